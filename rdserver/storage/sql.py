"""
Statements on the reference's table ``peer``, in SQL that every backend shares.

SQLAlchemy Core only, the subset that means the same on 1.4 and 2.1.  Blocking: it
runs on the storage thread.  No DDL and nothing that one kind of database alone
understands (that is ``sqlite.py``).  Errors of drivers and of SQLAlchemy end here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from rdserver.errors import StorageError
from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import v4_normalise

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Connection, Sequence[Item]], Sequence[Result]]
"""Statements for many items at once; one result for each, in order."""

WRITES = "rdserver_writes"
"""Execution option of a transaction that will write, for backends that lock by it."""

# SQLite before 3.32 refuses more than 999 parameters; beyond this nothing gets faster.
_CHUNK = 500

# Only the columns that are ours to read and write.  The table has more (user, status,
# note, created_at); no statement here names them, so they stay as they are.
PEER = Table(
    "peer",
    MetaData(),
    Column("guid", LargeBinary, primary_key=True),
    Column("id", String(100), nullable=False),
    Column("uuid", LargeBinary, nullable=False),
    Column("pk", LargeBinary, nullable=False),
    Column("info", Text, nullable=False),
)
BAN = Table(
    "rdserver_ban",
    MetaData(),
    Column("id", String(100), primary_key=True),
)
"""Ours alone, beside the reference's table, which an id without a device cannot be in."""

_INSERT = insert(PEER)
_UPDATE = (
    update(PEER)
    .where(PEER.c.guid == bindparam("its_guid"))
    .values(
        id=bindparam("new_id"),
        uuid=bindparam("new_uuid"),
        pk=bindparam("new_pk"),
        info=bindparam("new_info"),
    )
)

# A driver reports what a row's content did to it in many ways: text that is no
# Unicode is a ValueError, a number where bytes belong a TypeError.
_ERRORS = (SQLAlchemyError, ValueError, TypeError)


def find_peers(connection: Connection, ids: Sequence[str]) -> list[StoredPeer | None]:
    """Return what is stored under each of *ids*, in their order."""
    found: dict[str, StoredPeer] = {}
    for chunk in _chunks(set(ids)):
        rows = connection.execute(select(PEER).where(PEER.c.id.in_(chunk)))
        for row in rows:
            peer = _peer(row)
            found[peer.id] = peer
    return [found.get(peer_id) for peer_id in ids]


def save_peers(connection: Connection, peers: Sequence[StoredPeer]) -> list[None]:
    """
    Insert or update each of *peers* by its guid; of several with one guid the last wins.

    An update leaves uuid alone, as the reference does, unless it is or becomes empty,
    and keeps what others may have put into info beside the address.

    Source: protocol.md section 3.15.
    """
    first: dict[bytes, StoredPeer] = {}
    for peer in peers:
        first.setdefault(peer.guid, peer)
    last = {peer.guid: peer for peer in peers}
    rows = _rows(connection, last)
    changed = [_changes(last[guid], *row) for guid, row in rows.items()]
    fresh = [_row(last[guid], first[guid].uuid) for guid in last if guid not in rows]
    if changed:
        connection.execute(_UPDATE, changed)
    if fresh:
        connection.execute(_INSERT, fresh)
    return [None] * len(peers)


def page_of_peers(connection: Connection, after: str, count: int) -> list[StoredPeer]:
    """Return up to *count* devices whose ids follow *after*, in the ids' order."""
    page = select(PEER).where(PEER.c.id > after).order_by(PEER.c.id).limit(count)
    return [_peer(row) for row in connection.execute(page)]


def banned_ids(connection: Connection) -> list[str]:
    """Return the ids that are banned, in their order."""
    return [row.id for row in connection.execute(select(BAN).order_by(BAN.c.id))]


def set_ban(connection: Connection, peer_id: str, is_banned: bool) -> None:
    """Ban an id, or no more."""
    connection.execute(delete(BAN).where(BAN.c.id == peer_id))
    if is_banned:
        connection.execute(insert(BAN).values(id=peer_id))


class SqlPeers:
    """
    The table ``peer`` of one database: many requests, one transaction.

    A request that fails becomes a :class:`StorageError` in its place in the answer.
    One bad row does not fail its neighbours; a database that fails, fails them all.

    :ivar engine: its transactions that will write carry the option :data:`WRITES`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{WRITES: True})

    def find(self, ids: Sequence[str]) -> Sequence[StoredPeer | StorageError | None]:
        """Return the device with each of *ids*, None where there is none."""
        return self._perform(self.engine, find_peers, ids)

    def save(self, peers: Sequence[StoredPeer]) -> Sequence[StorageError | None]:
        """Save each of *peers* as :func:`save_peers` does; committed on return."""
        return self._perform(self._writing, save_peers, peers)

    def page(self, after: str, count: int) -> Sequence[StoredPeer]:
        """
        Return up to *count* devices whose ids follow *after*, in the ids' order.

        :raises StorageError: as the next three may.
        """
        return self._do(self.engine, lambda db: page_of_peers(db, after, count))

    def bans(self) -> Sequence[str]:
        """Return the ids that are banned."""
        return self._do(self.engine, banned_ids)

    def set_ban(self, peer_id: str, is_banned: bool) -> None:
        """Ban an id, or no more; committed on return."""
        self._do(self._writing, lambda db: set_ban(db, peer_id, is_banned))

    def _do(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        try:
            with engine.begin() as connection:
                return work(connection)
        except _ERRORS as e:
            raise self._error(e) from None

    def close(self) -> None:
        """Close every connection to the database."""
        self.engine.dispose()

    def _perform(
        self, engine: Engine, work: Work[Item, Result], items: Sequence[Item]
    ) -> Sequence[Result | StorageError]:
        try:
            with engine.begin() as connection:
                return work(connection, items)
        except OperationalError as e:
            # The database itself fails.  One by one it would fail as often as there
            # are items, after the wait for a lock each time.
            return [self._error(e) for _ in items]
        except _ERRORS:
            return self._one_by_one(engine, work, items)

    def _one_by_one(
        self, engine: Engine, work: Work[Item, Result], items: Sequence[Item]
    ) -> Sequence[Result | StorageError]:
        """Give each item a savepoint of its own: still one commit for all."""
        try:
            with engine.begin() as connection:
                return [self._alone(connection, work, item) for item in items]
        except _ERRORS as e:
            return [self._error(e) for _ in items]

    def _alone(
        self, connection: Connection, work: Work[Item, Result], item: Item
    ) -> Result | StorageError:
        try:
            with connection.begin_nested():
                return work(connection, [item])[0]
        except OperationalError:
            raise
        except _ERRORS as e:
            return self._error(e)

    def _error(self, e: Exception) -> StorageError:
        # Never the text of SQLAlchemy's own error (it may quote the values), and of
        # the driver's only the first line (PostgreSQL quotes them in the second).
        reason = str(getattr(e, "orig", None) or e).partition("\n")[0]
        return StorageError(f"{self.engine.url.database}: {reason}")


def _chunks(items: Collection[Item]) -> Iterator[list[Item]]:
    ordered = list(items)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


def _peer(row: Any) -> StoredPeer:
    guid, peer_id, uuid, pk, info = row  # by name it takes twice the time
    return StoredPeer(peer_id, bytes(guid), bytes(uuid), bytes(pk), _info_ip(info))


def _rows(
    connection: Connection, guids: Collection[bytes]
) -> dict[bytes, tuple[bytes, str]]:
    """Return the columns uuid and info of those *guids* that have a row."""
    columns = select(PEER.c.guid, PEER.c.uuid, PEER.c.info)
    return {
        row.guid: (bytes(row.uuid), row.info)
        for chunk in _chunks(guids)
        for row in connection.execute(columns.where(PEER.c.guid.in_(chunk)))
    }


def _changes(peer: StoredPeer, uuid: bytes, info: str) -> dict[str, Any]:
    return {
        "its_guid": peer.guid,
        "new_id": peer.id,
        "new_uuid": uuid if uuid and peer.uuid else peer.uuid,
        "new_pk": peer.pk,
        "new_info": _info_text({**_info_object(info), "ip": peer.ip}),
    }


def _row(peer: StoredPeer, uuid: bytes) -> dict[str, Any]:
    info = _info_text({"ip": peer.ip})
    return {"guid": peer.guid, "id": peer.id, "uuid": uuid, "pk": peer.pk, "info": info}


def _info_ip(info: str) -> str:
    """Return the address in the column info, empty when there is none to be had."""
    ip = _info_object(info).get("ip")
    if not isinstance(ip, str):
        return ""
    try:
        return v4_normalise(ip)
    except ValueError:  # a NUL or half a character, from whoever else wrote here
        return ""


def _info_object(info: str) -> dict[str, Any]:
    try:
        value = json.loads(info)
    except (ValueError, TypeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _info_text(info: dict[str, Any]) -> str:
    return json.dumps(info, separators=(",", ":"))
