"""
TLS in front of any protocol, and beside it in plain on the same port.

The first byte tells: a TLS connection begins with a handshake record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import arrival_s
from rdserver.transports.certificate import Certificate
from rdserver.transports.handover import hand_over
from rdserver.transports.relay_deadlines import Deadlines
from rdserver.wire.address import source_host

if TYPE_CHECKING:
    from twisted.internet.tcp import Server

SILENCE_S = 10.0
"""Time for the first byte; the next protocol knows when the connection came."""

MOST_UNSENT_BYTES = 4 * 1024 * 1024
"""
For a client that sends and does not read.  Protocols hold themselves back long before,
but TLS answers by itself too: each key update, each wish to renegotiate.
"""

TLS_RECORD = b"\x16"
"""The type of a handshake record.  Neither HTTP nor a text begins so."""


class TlsTransport(TLSMemoryBIOProtocol):
    """
    Twisted's TLS, as a transport that ends in every state a connection may be in.

    Once it is lost it bears any call, as Twisted's TCP does.
    """

    transport: Server

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.transport.disconnecting:
            # The client has ended TLS.  With a paused producer still registered the
            # connection below would never close, and reads no more, so nobody would see.
            self.transport.unregisterProducer()
        elif _unsent_bytes(self.transport) > MOST_UNSENT_BYTES:
            self.abortConnection()

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        super().loseConnection()
        # It ends when the client has ended TLS too, so that must be read.
        self.transport.resumeProducing()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        if self.connected:
            super().abortConnection()

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        if self.connected:
            super().unregisterProducer()


def _unsent_bytes(transport: object) -> int:
    if not isinstance(transport, FileDescriptor):
        return 0
    # Twisted has no other way to tell; all its versions in question have these.
    unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return unsent


class _Silent(Protocol):
    """A connection that has said nothing yet."""

    transport: Server

    def __init__(self, address: Any, host: str, port: SniffingTlsFactory) -> None:
        self.address = address
        self.host = host
        self._port = port

    def connectionMade(self) -> None:
        self._port.began(self)

    def dataReceived(self, data: bytes) -> None:
        self._port.heard(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._port.forget(self)


class SniffingTlsFactory(Factory):
    """
    One port for TLS, and for the same in plain unless that is refused.

    :param inner: makes the protocols; it sees what TLS carries, or what came in plain.
    :param clock: for the deadline.
    :param now: monotonic clock, in seconds.
    :param admission: how many connections may be silent; *inner* may share it, as they
        have left before it is asked.
    :param refuse_plain: given, only TLS may come in; it is told the address and the first
        bytes of each connection that is closed because it is not.
    """

    noisy = False

    def __init__(
        self,
        certificate: Certificate,
        inner: IProtocolFactory,
        clock: IReactorTime,
        *,
        now: Callable[[], float],
        admission: Admission,
        refuse_plain: Callable[[Any, bytes], None] | None = None,
    ) -> None:
        self._inner = inner
        self._admission = admission
        self._refuse_plain = refuse_plain
        self._now = now
        self._tls = _tls_factory(certificate, inner, clock)
        self._silent: set[_Silent] = set()
        self._deadlines: Deadlines[_Silent] = Deadlines(clock, now, SILENCE_S, self._end)

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        super().doStart()
        self._inner.doStart()

    def doStop(self) -> None:  # noqa: N802 - Twisted's name
        super().doStop()
        self._inner.doStop()

    def stopFactory(self) -> None:
        """Nobody listens any more: close what is silent."""
        for silent in list(self._silent):
            self._end(silent)

    def buildProtocol(self, addr: Any) -> Protocol | None:
        host = source_host(addr.host)
        if host is None or not self._admission.enter(host):
            return None
        return _Silent(addr, host, self)

    def began(self, silent: _Silent) -> None:
        """Give a new connection its time."""
        arrival_s(silent.transport, self._now)
        self._silent.add(silent)
        self._deadlines.start(silent)

    def forget(self, silent: _Silent) -> None:
        """Note, once or more, that a connection is silent no more, or gone."""
        if silent in self._silent:
            self._silent.remove(silent)
            self._deadlines.stop(silent)
            self._admission.leave(silent.host)

    def heard(self, silent: _Silent, data: bytes) -> None:
        """Give a connection away, as its first bytes are there."""
        self.forget(silent)
        is_tls = data.startswith(TLS_RECORD)
        if not is_tls and self._refuse_plain is not None:
            self._refuse_plain(silent.address, data)
            silent.transport.loseConnection()
            return
        protocol = self._inner.buildProtocol(silent.address)
        if protocol is None:
            silent.transport.loseConnection()
        elif is_tls:
            hand_over(silent.transport, TlsTransport(self._tls, protocol), data)
        else:
            hand_over(silent.transport, protocol, data)

    def _end(self, silent: _Silent) -> None:
        self.forget(silent)
        silent.transport.loseConnection()


def _tls_factory(
    certificate: Certificate, inner: IProtocolFactory, clock: IReactorTime
) -> TLSMemoryBIOFactory:
    try:
        return TLSMemoryBIOFactory(certificate, False, inner, clock)
    except TypeError:  # Twisted 22.4 has no use for a clock
        return TLSMemoryBIOFactory(certificate, False, inner)
