"""A copy of a database that another program may be using."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from rdserver.errors import StorageError

LOGS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of its name."""

_BUSY_S = 10.0

# Two bytes of the header: 2 where the database has a write-ahead log, 1 where it has none
# (the file format's "write version" and "read version").
_VERSIONS = slice(18, 20)
_WITHOUT_LOG, _WITH_LOG = b"\1\1", b"\2\2"

# Its program ended halfway, and to take that back in its place is not for who only reads.
_CRASHED = "SQLITE_READONLY_ROLLBACK"


def whole_database(source: Path) -> bytes:
    """
    Return *source* with what is only in one of its logs yet.

    It stays as it is, and so do its logs, but for an index of one (``-shm``) that is there.

    The copy has no such log.  As long as nobody writes into *source*, the bytes are the
    same every time.

    :raises StorageError: it cannot be read, or is no database.
    """
    try:
        return _of_closed(source) if _is_closed(source) else _of_any(source)
    except (sqlite3.Error, OSError) as e:
        raise StorageError(f"{source} cannot be copied: {e}") from e


def _is_closed(source: Path) -> bool:
    """Return whether nobody has it open, as far as the files tell."""
    if _beside(source, "-wal").exists():
        return not _beside(source, "-shm").exists()
    with source.open("rb") as file:
        return file.read(_VERSIONS.stop)[_VERSIONS] == _WITH_LOG


def _of_any(source: Path) -> bytes:
    # Read-only: to close the last connection that may write empties its log.
    try:
        return _content(f"{source.absolute().as_uri()}?mode=ro")
    except sqlite3.OperationalError as e:
        if e.sqlite_errorname != _CRASHED:
            raise
        return _of_closed(source)


def _of_closed(source: Path) -> bytes:
    """Put right in a folder of ours what a crash left: in its own it stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "database")
        _copy(source, copy)
        for end in ("-wal", "-journal"):
            if _beside(source, end).exists():
                _copy(_beside(source, end), _beside(copy, end))
        return _content(copy.as_uri())


def _copy(source: Path, target: Path) -> None:
    # Not by a link: who may write there may not read all that we may.
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as old, target.open("wb") as new:
        shutil.copyfileobj(old, new)


def _content(address: str) -> bytes:
    with (
        closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as old,
        closing(sqlite3.connect(":memory:")) as new,
    ):
        [size] = old.execute("PRAGMA page_size").fetchone()
        new.execute(f"PRAGMA page_size = {size}")
        old.backup(new)
        content = bytearray(new.serialize())
    content[_VERSIONS] = _WITHOUT_LOG
    return bytes(content)


def _beside(database: Path, end: str) -> Path:
    return database.with_name(f"{database.name}{end}")
