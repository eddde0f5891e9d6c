"""A copy of a database that another program may be using."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from rdserver.errors import StorageError

_BUSY_S = 10.0

# Two bytes of the header: 2 where the database has a write-ahead log, 1 where it has none
# (the file format's "write version" and "read version").
_VERSIONS = slice(18, 20)
_WITHOUT_LOG, _WITH_LOG = b"\1\1", b"\2\2"


def whole_database(source: Path) -> bytes:
    """
    Return *source* with what is only in its write-ahead log yet; it stays as it is.

    The copy has no such log.  As long as nobody writes into *source*, the bytes are the
    same every time.

    :raises StorageError: it cannot be read, or is no database.
    """
    try:
        with (
            closing(sqlite3.connect(_address(source), uri=True, timeout=_BUSY_S)) as old,
            closing(sqlite3.connect(":memory:")) as new,
        ):
            [size] = old.execute("PRAGMA page_size").fetchone()
            new.execute(f"PRAGMA page_size = {size}")
            old.backup(new)
            content = bytearray(new.serialize())
    except (sqlite3.Error, OSError) as e:
        raise StorageError(f"{source} cannot be copied: {e}") from e
    content[_VERSIONS] = _WITHOUT_LOG
    return bytes(content)


def _address(source: Path) -> str:
    # Read-only: to close the last connection that may write empties its log.
    address = f"{source.absolute().as_uri()}?mode=ro"
    log = source.with_name(f"{source.name}-wal")
    # Nobody has it open; to read it would make a log, and nobody would take it away.
    return address if log.exists() or not _has_log(source) else f"{address}&immutable=1"


def _has_log(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(_VERSIONS.stop)[_VERSIONS] == _WITH_LOG
