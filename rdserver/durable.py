"""
Small files that are on the disk whole, or not at all, whenever the power fails.

Everything here may raise ``OSError``; whoever calls knows which setting to name.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def read(path: Path) -> bytes | None:
    """Return the file's content, or None if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_new(path: Path, text: str | bytes, mode: int) -> None:
    """
    Make a file, but never over one that is there or comes meanwhile.

    :param mode: the permissions it has from the first moment on.
    """
    with _temporary_file(path.parent, text, mode) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # no hard links here: FAT, some network folders
            os.rename(temporary, path)
        _sync_folder(path.parent)


def replace(path: Path, text: str, mode: int) -> None:
    """Make a file, in place of the one that may be there; *mode* as above."""
    with _temporary_file(path.parent, text, mode) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)


@contextmanager
def _temporary_file(folder: Path, text: str | bytes, mode: int) -> Iterator[str]:
    """Hold *text*, safe on the disk, in a file of *folder* until it gets its name."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(descriptor)
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as e:
        # Some network folders know no such thing; then it is not needed either.
        if e.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
