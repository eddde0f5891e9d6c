"""
Opening the reference's SQLite file, or making a new one.

The only module that knows SQLite: its file, its pragmas, its DDL, its error codes.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from rdserver.errors import ConfigError, StorageError
from rdserver.storage.sql import PEER, WRITES, SqlPeers

FILE_NAME = "db_v2.sqlite3"
"""The reference's name of its database, in the data folder."""

IN_MEMORY = ":memory:"
"""The path of a database that ends with the process; for tests."""

# How long another program (a backup, the sqlite3 shell) may hold the file before our
# request fails.  A client asks again after 3 s; more than this only fills the queue.
_BUSY_TIMEOUT_S = 5.0

# It holds the machine identities by which devices prove who they are.
_FILE_MODE = 0o600

# For the log's index, which SQLite makes even to read.
_SPACE_NEEDED_BYTES = 64 * 1024

_FILE_TROUBLE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)

_SCHEMA = (
    """
    CREATE TABLE peer (
        guid blob PRIMARY KEY NOT NULL,
        id varchar(100) NOT NULL,
        uuid blob NOT NULL,
        pk blob NOT NULL,
        created_at datetime NOT NULL DEFAULT (current_timestamp),
        user blob,
        status tinyint,
        note varchar(300),
        info text NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX index_peer_id ON peer (id)",
    "CREATE INDEX index_peer_user ON peer (user)",
    "CREATE INDEX index_peer_created_at ON peer (created_at)",
    "CREATE INDEX index_peer_status ON peer (status)",
)

# Beside what the original has, in files of its own too; it does not look at this.
_OURS = (
    "CREATE TABLE IF NOT EXISTS rdserver_ban (id varchar(100) PRIMARY KEY NOT NULL)",
)


def database_path(db_url: str, data_dir: str) -> str:
    """
    Return the file that the setting db-url names.

    :param db_url: empty for the default in *data_dir*; a path; or
        ``sqlite:path``, ``sqlite://path``, with ``?mode=rwc`` allowed behind it.
    :raises ConfigError: when it names another kind of database, or no file.

    Source: protocol.md sections 3.15 and 6.1.
    """
    if not db_url:
        return os.path.join(data_dir, FILE_NAME)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", db_url)
    if scheme is None:
        return db_url
    if scheme[1].lower() != "sqlite":
        raise ConfigError(
            f"db-url: {scheme[1]} is not supported; give a path or sqlite://path"
        )
    return _path_of_url(db_url[scheme.end() :].removeprefix("//"))


def open_database(path: str) -> SqlPeers:
    """
    Open the database at *path*, made if missing, and see that it can be written.

    The file stays one that the reference opens; one of the reference's is used as
    it is, but for the journal, which becomes a write-ahead log.

    :raises StorageError: one sentence that names the file and the cause.

    Source: protocol.md section 3.15.
    """
    if path != IN_MEMORY:
        path = os.path.abspath(path)
        _create_file(path)
    engine = _engine(path)
    try:
        # To begin a transaction that writes is the check that we can.
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            _check_table(connection, path)
    except DBAPIError as e:
        engine.dispose()
        raise StorageError(_sentence(path, e)) from None
    except StorageError:
        engine.dispose()
        raise
    return SqlPeers(engine)


def _path_of_url(rest: str) -> str:
    path, _, query = rest.partition("?")
    if query not in ("", "mode=rwc", "mode=rw"):
        raise ConfigError(f"db-url: ?{query} is not supported")
    if not path:
        raise ConfigError("db-url: names no file")
    return unquote(path)


def _create_file(path: str) -> None:
    """Make an empty file (to SQLite an empty database), readable by us alone."""
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE)
    except FileExistsError:
        return
    except OSError as e:
        raise StorageError(f"{path} cannot be created: {e.strerror}") from None
    try:
        os.fchmod(fd, _FILE_MODE)  # the umask may have taken more than we meant
    finally:
        os.close(fd)
    with suppress(OSError):  # not every file system can
        _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    # Or the file's name may be gone after a power cut, however well its content is kept.
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _engine(path: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=path),
        future=True,
        hide_parameters=True,
        # One connection: there is one thread, and SQLite has one writer.
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={
            "timeout": _BUSY_TIMEOUT_S,
            "isolation_level": None,  # _begin decides, not the driver
            "check_same_thread": False,  # opened in one thread, used in another
        },
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(db: sqlite3.Connection, _record: Any) -> None:
    # Whatever else wrote to the file: one text that is no UTF-8 must not hide a row.
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once, without waiting,
    # when another program wrote in between: so writers lock from the start.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_table(connection: Connection, path: str) -> None:
    for statement in _OURS:
        connection.exec_driver_sql(statement)
    rows = connection.exec_driver_sql("PRAGMA table_info(peer)")
    present = {row.name for row in rows}
    if not present:
        for statement in _SCHEMA:
            connection.exec_driver_sql(statement)
        return
    missing = [column.name for column in PEER.columns if column.name not in present]
    if missing:
        names = ", ".join(missing)
        raise StorageError(f"{path} cannot be used: its table peer has no column {names}")


def _sentence(path: str, e: DBAPIError) -> str:
    code = getattr(e.orig, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is not a database"
    if code not in _FILE_TROUBLE:
        return f"{path} cannot be used: {e.orig}"
    cause = _cause(path)
    return f"{path} cannot be written: " + (f"{cause} ({e.orig})" if cause else str(e.orig))


def _cause(path: str) -> str | None:
    """Return what the file system has against *path*; SQLite's own word is vague."""
    if os.path.isdir(path):
        return "it is a folder"
    disk = os.statvfs(os.path.dirname(path))
    if disk.f_flag & os.ST_RDONLY:
        return "read-only file system"
    if disk.f_bavail * disk.f_frsize < _SPACE_NEEDED_BYTES:
        return "no space left on the disk"
    allowed = os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    return None if allowed else "permission denied"
