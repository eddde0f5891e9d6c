"""
The consoles' Unix sockets in the data folder.

Twisted's own ways do not fit: ``adoptStreamPort`` makes the socket writable for
everybody, ``listenUNIX`` removes whatever file has the name when it stops, and its
pid file takes a process 1 of another container for the one that left the socket.

Source: protocol.md section 3.18 number 12.
"""
# ruff: noqa: N802 - doRead and the like are Twisted's names.

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ConfigError, UnavailableError

MODE = 0o660
MAX_PATH_BYTES = 107
"""What fits into the system's ``sun_path``, a zero byte not counted."""

BACKLOG = 16
PROBE_S = 1.0
REST_S = 1.0
"""How long no connection is accepted after one could not be (no descriptors left)."""


def listen_unix(path: Path) -> socket.socket:
    """
    Return a listening, non-blocking socket that owner and group may use.

    A socket that a dead server left behind is replaced.

    :raises ConfigError: another server answers there, or the socket cannot be made.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"data-dir: {path} is longer than the {MAX_PATH_BYTES} bytes that the path of"
            " a socket can have; choose a folder with a shorter path"
        )
    try:
        _remove_stale(path)
        return _listen(path)
    except OSError as e:
        raise ConfigError(
            f"data-dir: the socket {path} cannot be made: {e.strerror or e}"
        ) from e


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"data-dir: {path} is in the way; it is no socket, so it stays")
    if _is_answered(path):
        raise UnavailableError(
            f"data-dir: another server is running in this data folder, for it answers on"
            f" {path}; stop it, or choose another folder"
        )
    path.unlink(missing_ok=True)


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError):  # so many wait that one more may not
            return True
        return True


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        with suppress(OSError):  # on Linux the file then never has more rights than these
            os.fchmod(listener.fileno(), MODE)
        listener.bind(os.fspath(path))
        os.chmod(path, MODE)  # the umask may have taken some away
        listener.listen(BACKLOG)  # only now can anybody connect, on any system
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


@implementer(IReadDescriptor)
class UnixPort:
    """
    A Unix socket from its making to its end.

    :param reactor: an ``IReactorFDSet``, ``IReactorSocket`` and ``IReactorTime``.
    """

    _log = Logger()

    def __init__(self, path: Path, reactor: Any) -> None:
        self._path = path
        self._reactor = reactor
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._factory: Any = None
        self._resting: IDelayedCall | None = None

    def listen(self) -> None:
        """
        Make the socket; who connects now waits until :meth:`open`.

        :raises ConfigError: as :func:`listen_unix`.
        """
        self._listener = listen_unix(self._path)
        self._identity = _identity_of(self._path)

    def open(self, factory: Any) -> None:
        """Accept connections from now on, each with a protocol of *factory*."""
        self._factory = factory
        factory.doStart()
        self._reactor.addReader(self)

    def close(self) -> None:
        """Stop; remove the socket's file, if it is still the one that we made."""
        if self._listener is None:
            return
        self._reactor.removeReader(self)
        listener, self._listener = self._listener, None
        if self._resting is not None:
            self._resting.cancel()
        # First the file: as long as we hold the socket, no other can have its identity.
        if _identity_of(self._path) == self._identity:
            with suppress(OSError):  # the next start replaces it
                self._path.unlink()
        listener.close()
        if self._factory is not None:
            self._factory.doStop()

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._listener is None else self._listener.fileno()

    def logPrefix(self) -> str:
        """For the reactor."""
        return type(self).__name__

    def doRead(self) -> None:
        """Accept one connection; the reactor calls again while there are more."""
        if self._listener is None:
            return
        try:
            with self._listener.accept()[0] as connection:
                connection.setblocking(False)
                # This makes a duplicate; ours closes.
                self._reactor.adoptStreamConnection(
                    connection.fileno(), socket.AF_UNIX, self._factory
                )
        except BlockingIOError:
            return
        except OSError as e:
            self._rest(e)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor drops us, at its own end for example."""
        self.close()

    def _rest(self, error: OSError) -> None:
        """Without a rest the reactor would try again and again at once."""
        self._log.error(
            "console cannot accept a connection: {reason}", reason=error.strerror
        )
        self._reactor.removeReader(self)
        self._resting = self._reactor.callLater(REST_S, self._resume)

    def _resume(self) -> None:
        self._resting = None
        self._reactor.addReader(self)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
