"""
Devices that the ID server has stored, as load/udpgen.c plays them.

Device number ``n`` has the id ``first_id + n`` and sends from address ``n % sockets``
above ``source``, in IPv6 from the /64 of that number; the server must know it by that
address, or it asks it to register anew, and then so many of them from one address are
too many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TypeAlias

from rdserver.storage.sqlite import FILE_NAME, open_database

FIRST_ID = 100_000_000
SOURCE = "127.20.0.1"
SOURCE_IPV6 = "fd20::1"
_BATCH = 10_000


Row: TypeAlias = tuple[bytes, str, bytes, bytes, str]


def own_address(source: str, which: int) -> str:
    """Return the address number *which* above *source*; of IPv6 each in its own /64."""
    first = ip_address(source)
    return str(first + (which if isinstance(first, IPv4Address) else which << 64))


def _row(number: int, sockets: int, source: str) -> Row:
    peer_id = str(FIRST_ID + number)
    host = own_address(source, number % sockets)
    pk = peer_id.encode().ljust(32, b"k")
    guid = number.to_bytes(16, "big")
    return guid, peer_id, b"machine-" + peer_id.encode(), pk, f'{{"ip":"{host}"}}'


def _batches(count: int, sockets: int, source: str) -> Iterator[list[Row]]:
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        yield [_row(n, sockets, source) for n in numbers]


def store_devices(folder: Path, count: int, sockets: int, source: str = SOURCE) -> None:
    """
    Fill the database in *folder*, made if missing, with *count* devices.

    Source: protocol.md section 3.15.
    """
    path = folder / FILE_NAME
    open_database(str(path)).close()
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA synchronous = OFF")  # nobody minds if this file is lost
        for rows in _batches(count, sockets, source):
            with database:
                database.executemany(
                    "INSERT OR REPLACE INTO peer (guid, id, uuid, pk, info) "
                    "VALUES (?, ?, ?, ?, ?)",
                    rows,
                )
    finally:
        database.close()
