"""
Sockets that the service manager opened for this process: systemd's socket activation.

They outlive the process, so that a restart refuses nobody: whoever comes waits.
Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from rdserver.errors import ConfigError

_FIRST = 3
_NAMES = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}
_INTERNET = (socket.AF_INET, socket.AF_INET6)


class GivenSockets:
    """
    What was given and has not been taken yet.

    :param sockets: of TCP they listen already.
    :raises ConfigError: one of them is nothing that a server could answer on.
    """

    def __init__(self, *sockets: socket.socket) -> None:
        self._left = list(sockets)
        for given in sockets:
            _check(given)
            given.setblocking(False)  # systemd's block; an accept() would stop everything
            given.set_inheritable(False)

    def take(self, kind: socket.SocketKind, port: int) -> socket.socket | None:
        """Return one for *port*, which is the caller's from now on; None: there is none."""
        for given in self._left:
            if (given.type, _port(given)) == (kind, port):
                self._left.remove(given)
                return given
        return None

    def check_all_taken(self) -> None:
        """
        Refuse a start that would let callers of a port wait for ever.

        :raises ConfigError: a socket is left; it names the port.
        """
        if self._left:
            left = self._left[0]
            raise ConfigError(
                f"the service manager opened {_NAMES[left.type]} port {_port(left)}, which "
                "is none of this server's or is there twice: let the ports of the socket "
                "unit be those of the settings"
            )


def given_sockets(environ: Mapping[str, str], pid: int) -> GivenSockets:
    """
    Return the sockets that *environ* tells of.

    :param environ: as it was when this process began.
    :param pid: of this process; what is meant for another one is not touched.
    :raises ConfigError: one of them is nothing that a server could answer on.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not count.isdecimal():
        return GivenSockets()
    descriptors = range(_FIRST, _FIRST + int(count))
    try:
        return GivenSockets(*(socket.socket(fileno=number) for number in descriptors))
    except OSError as e:
        raise ConfigError(f"what the service manager gave is no socket: {e}") from e


def first_environ() -> Mapping[str, str]:
    """
    Return the environment as this process was given it.

    Twisted takes the variables of socket activation out of it when it is imported.
    """
    try:
        text = os.fsdecode(Path("/proc/self/environ").read_bytes())
    except OSError:  # not Linux, so no systemd either
        return os.environ
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def _check(given: socket.socket) -> None:
    is_internet = given.family in _INTERNET and given.type in _NAMES
    if is_internet and (given.type == socket.SOCK_DGRAM or _listens(given)):
        return
    raise ConfigError(
        "the service manager gave a socket that is neither of UDP nor a listening one of "
        "TCP: the socket unit must not say Accept=yes, nor name a path"
    )


def _listens(given: socket.socket) -> bool:
    return bool(given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _port(given: socket.socket) -> int:
    return int(given.getsockname()[1])
