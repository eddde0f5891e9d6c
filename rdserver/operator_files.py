"""Files that an operator names in a setting, and may change while the server runs."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.logger import Logger

from rdserver.errors import ConfigError

Stamp = tuple[int, int, int]


def read_operator_file(setting: str, path: Path, *, max_bytes: int, kind: str) -> bytes:
    """
    Return what is in a file.

    :param max_bytes: the wrong file may have no end.
    :param kind: what it should be, such as "a PEM file".
    :raises ConfigError: it cannot be read; the sentence names the setting and the file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is not a file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except PermissionError as e:
        raise ConfigError(
            f"{setting}: {path} cannot be read: the user that this server runs as may not"
            " read it, or not enter its folder"
        ) from e
    except OSError as e:
        raise ConfigError(f"{setting}: {path} cannot be read: {e.strerror or e}") from e
    if len(data) > max_bytes:
        raise ConfigError(f"{setting}: {path} is too long to be {kind}")
    return data


class ChangingFiles:
    """
    Reads files, and again when they have changed.

    :param paths: the files, which belong together.
    :param read: takes them into use, or changes nothing and raises ConfigError.
    :param kept: what goes on if they are no good later, such as "the certificate that was
        read before stays in use".
    """

    _log = Logger()

    def __init__(self, paths: Sequence[Path], read: Callable[[], None], kept: str) -> None:
        self._paths = paths
        self._read = read
        self._kept = kept
        self._refused: tuple[object, str] | None = None
        self._used: list[Stamp | None] = []

    def load(self) -> None:
        """
        Read the files.

        :raises ConfigError: they are no good.
        """
        # Before reading, so that a change meanwhile is seen at the next look.
        stamps = self._stamps()
        self._read()
        self._used = stamps

    def reload_if_changed(self) -> bool:
        """
        Read the files again if they are not those in use; return whether that was done.

        Files that are no good, say half written, are tried again each time, and
        complained about once.
        """
        stamps = self._stamps()
        return stamps != self._used and self._try(stamps)

    def reload(self) -> bool:
        """Read the files again; where they are no good, say so and return False."""
        self._refused = None
        return self._try(self._stamps())

    def _try(self, stamps: object) -> bool:
        try:
            self.load()
        except ConfigError as e:
            self._complain((stamps, str(e)))
            return False
        self._refused = None
        return True

    def _complain(self, refused: tuple[object, str]) -> None:
        if refused != self._refused:
            self._log.error("{why}; {kept}", why=refused[1], kept=self._kept)
        self._refused = refused

    def _stamps(self) -> list[Stamp | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> Stamp | None:
    """Return what differs between two versions of a file; links are followed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
