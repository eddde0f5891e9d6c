"""A copy of a database that another program may be using."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from rdserver.errors import StorageError

_BUSY_S = 10.0


def copy_database(source: Path, target: Path, mode: int) -> None:
    """
    Copy *source* with what is only in its write-ahead log yet; *source* stays as it is.

    :param target: must not exist; it appears whole, or not at all.
    :param mode: its permissions.
    :raises StorageError: one of them cannot be read or written.
    """
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
    os.close(descriptor)
    try:
        _back_up(source, name)
        os.chmod(name, mode)
        os.link(name, target)
    except (sqlite3.Error, OSError) as e:
        raise StorageError(f"{source} cannot be copied to {target}: {e}") from e
    finally:
        for left in (name, f"{name}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(left)


def _back_up(source: Path, name: str) -> None:
    # Read-only: to close the last connection that may write empties its log.
    address = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as old,
        closing(sqlite3.connect(name)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")
