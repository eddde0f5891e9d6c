"""
Opens listening sockets, and says in one sentence why one cannot be opened.

They are made here and handed to the reactor, not by it: so they are dual-stack on
every system, are never shared with a second server by accident (no SO_REUSEPORT),
and exist before the server drops its rights.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from rdserver.errors import ConfigError
from rdserver.transports.given_sockets import GivenSockets
from rdserver.wire.networks import plain_address

BACKLOG = 1024
UDP_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked for where no size is set: the system's usual holds some 250 heartbeats."""

HEARTBEAT_BYTES = 416
"""One takes so much of what is granted, of which the system has double; or more."""

_MAX_DATAGRAM_BYTES = 65536
_TURN_DATAGRAMS = 64
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_NAMES = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}


@frozen
class Wanted:
    """
    A port to listen on.

    :ivar kind: ``socket.SOCK_STREAM`` or ``socket.SOCK_DGRAM``.
    :ivar purpose: for people, such as "ID server".
    """

    port: int
    kind: socket.SocketKind
    purpose: str

    def __str__(self) -> str:
        return f"{self.port}/{_NAMES[self.kind].lower()} ({self.purpose})"


def bind(interface: str, wanted: Wanted) -> socket.socket:
    """
    Return a bound, non-blocking socket, of TCP a listening one.

    Who connects to it waits until it is given to the reactor.  (It listens this early
    because only that finds every other server: two may be bound to one TCP port.)

    :param interface: an IP address, or empty for all addresses of both families.
    :raises ConfigError: the port is taken, forbidden, or the address is not ours.
    """
    if interface:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        return _bind(family, interface, wanted)
    try:
        return _bind(socket.AF_INET6, "::", wanted)
    except _NoIPv6Error:
        return _bind(socket.AF_INET, "0.0.0.0", wanted)


class _NoIPv6Error(ConfigError):
    """This machine has no IPv6, or not this address."""


def _bind(family: socket.AddressFamily, host: str, wanted: Wanted) -> socket.socket:
    try:
        bound = socket.socket(family, wanted.kind)
    except OSError as e:
        raise _refusal(e, host, wanted) from e
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        if wanted.kind == socket.SOCK_STREAM:
            # After a restart old connections may linger; on Linux this does not let two
            # servers listen.  For UDP it would, so there it is not set.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((host, wanted.port))
        if wanted.kind == socket.SOCK_STREAM:
            bound.listen(BACKLOG)
    except OSError as e:
        bound.close()
        raise _refusal(e, host, wanted) from e
    return bound


def _refusal(error: OSError, host: str, wanted: Wanted) -> ConfigError:
    kind = _NoIPv6Error if error.errno in _NO_IPV6 else ConfigError
    return kind(_complaint(error, host, wanted))


def _complaint(error: OSError, host: str, wanted: Wanted) -> str:
    where = f"{_NAMES[wanted.kind]} port {wanted.port} ({wanted.purpose})"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is already taken: another server is running on it"
    if error.errno == errno.EACCES:
        return f"{where} cannot be used without more rights"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"bind: {host} is not an address of this machine"
    return f"{where} cannot be used on {host} ({error.strerror})"


def _check_address(given: socket.socket, interface: str, wanted: Wanted) -> None:
    """Refuse to answer on another address than the one that is set."""
    host = given.getsockname()[0]
    if interface and plain_address(host) != plain_address(interface):
        given.close()
        raise ConfigError(
            f"bind: the service manager opened {wanted} on {host}, not on {interface}: let "
            "the socket unit name that address, or unset bind"
        )


def set_buffers(bound: socket.socket, size_bytes: int) -> int:
    """
    Ask for room for datagrams, as much on the way out as on the way in.

    :returns: the size of the receive buffer that the system granted, in bytes.
    """
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        bound.setsockopt(socket.SOL_SOCKET, buffer, size_bytes or UDP_BUFFER_BYTES)
    return bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def _take_some(port: Any) -> None:
    """Let a Twisted port receive, but only so much that others have their turn."""
    for _ in range(_TURN_DATAGRAMS):
        try:
            datagram, source = port.socket.recvfrom(_MAX_DATAGRAM_BYTES)
        except OSError:  # there is no more, or it belongs to no datagram of ours
            return
        port.protocol.datagramReceived(datagram, source[:2])


@define
class _Listener:
    wanted: Wanted
    bound: socket.socket | None = None
    open_port: Any = None


class Listeners:
    """
    The ports of one server: bound early, opened when the server is ready, closed last.

    :param interface: as for :func:`bind`.
    :param reactor: an ``IReactorSocket``.
    :param given: sockets that are open already; a port of theirs is not bound.
    """

    def __init__(
        self,
        interface: str,
        wanted: list[Wanted],
        reactor: Any,
        given: GivenSockets | None = None,
    ) -> None:
        self._interface = interface
        self._reactor = reactor
        self._given = given or GivenSockets()
        self._listeners = {(w.kind, w.port): _Listener(w) for w in wanted}

    def bind_all(self) -> None:
        """
        Bind every port, or none.

        :raises ConfigError: one of them cannot be had.
        """
        try:
            for listener in self._listeners.values():
                if listener.bound is None and listener.open_port is None:
                    listener.bound = self._open(listener.wanted)
        except ConfigError:
            self.release()
            raise

    def _open(self, wanted: Wanted) -> socket.socket:
        given = self._given.take(wanted.kind, wanted.port)
        if given is None:
            return bind(self._interface, wanted)
        _check_address(given, self._interface, wanted)
        return given

    def release(self) -> None:
        """Give up the sockets that were bound but not opened."""
        for listener in self._listeners.values():
            if listener.bound is not None:
                listener.bound.close()
                listener.bound = None

    def is_dual_stack(self, port: int) -> bool:
        """Return whether the UDP *port*'s socket shows IPv4 peers as IPv6 ones."""
        bound = self._listeners[socket.SOCK_DGRAM, port].bound
        return bound is not None and bound.family == socket.AF_INET6

    def open_tcp(self, port: int, factory: Any) -> None:
        """Accept connections on *port* from now on."""
        with self._handing_over(socket.SOCK_STREAM, port) as (listener, bound):
            listener.open_port = self._reactor.adoptStreamPort(
                bound.fileno(), bound.family, factory
            )

    def open_tcp_by(self, adopt: Callable[[socket.socket], Any], port: int) -> None:
        """
        As :meth:`open_tcp`, with a port that *adopt* makes.

        :param adopt: must duplicate the socket; what it returns has ``stopListening``.
        """
        with self._handing_over(socket.SOCK_STREAM, port) as (listener, bound):
            listener.open_port = adopt(bound)

    def open_udp(self, port: int, protocol: Any, buffer_bytes: int) -> int:
        """Receive datagrams from now on; return the receive buffer's size in bytes."""

        def adopt(bound: socket.socket) -> Any:
            adopted = self._reactor.adoptDatagramPort(
                bound.fileno(), bound.family, protocol, _MAX_DATAGRAM_BYTES
            )
            # Its own would count bytes: empty ones could keep it busy for ever.
            adopted.doRead = partial(_take_some, adopted)
            return adopted

        return self.open_udp_by(adopt, port, buffer_bytes)

    def open_udp_by(
        self, adopt: Callable[[socket.socket], Any], port: int, buffer_bytes: int
    ) -> int:
        """
        As :meth:`open_udp`, with a port that *adopt* makes.

        :param adopt: must duplicate the socket; what it returns has ``stopListening``.
        """
        with self._handing_over(socket.SOCK_DGRAM, port) as (listener, bound):
            granted = set_buffers(bound, buffer_bytes)
            listener.open_port = adopt(bound)
        return granted

    @contextmanager
    def _handing_over(
        self, kind: socket.SocketKind, port: int
    ) -> Iterator[tuple[_Listener, socket.socket]]:
        listener = self._listeners[kind, port]
        if listener.bound is None:
            raise RuntimeError(f"{listener.wanted} was not bound")
        yield listener, listener.bound
        listener.bound.close()  # the reactor has its own duplicate
        listener.bound = None

    def close(self) -> Deferred[Any]:
        """Stop listening on every port."""
        self.release()
        ports = [listener.open_port for listener in self._listeners.values()]
        for listener in self._listeners.values():
            listener.open_port = None
        return gatherResults([maybeDeferred(p.stopListening) for p in ports if p])
