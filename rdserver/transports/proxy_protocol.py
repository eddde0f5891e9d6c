"""Connections that proxies make for clients, and say so before anything else."""
# ruff: noqa: N802 - doStart and the like are Twisted's names.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from rdserver.errors import ProtocolError
from rdserver.transports.admission import Admission
from rdserver.transports.handover import hand_over
from rdserver.transports.timed import Stage
from rdserver.wire.address import Address, source_host
from rdserver.wire.foreign import foreign
from rdserver.wire.networks import Networks
from rdserver.wire.proxy_header import read_proxy_header

HEADER_S = 1.0
"""A proxy sends its header with its first packet."""

Refused = Callable[[str, str], None]
"""Told the proxy's host, and what was wrong."""


class ProxyHeaderProtocol(Stage):
    """One connection from a trusted proxy, until its header is whole."""

    def __init__(self, address: Address, factory: ProxyHeaderFactory) -> None:
        self._address = address
        self._proxies = factory
        self.clock = factory.clock
        self._received = b""

    def connectionMade(self) -> None:
        self._proxies.waiting.add(self)
        self.setTimeout(HEADER_S)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        try:
            header = read_proxy_header(self._received)
        except ProtocolError as e:
            what = foreign(self._received)
            self._refuse(f"{what} and no PROXY header" if what else str(e))
            return
        if header is not None:
            self._give_away(header.source or self._address, header.rest)

    def _give_away(self, source: Address, rest: bytes) -> None:
        self.setTimeout(None)
        self._leave()
        protocol = self._proxies.inner.buildProtocol(source)
        if protocol is None:
            self.transport.abortConnection()
        else:
            hand_over(self.transport, protocol, rest)

    def timeoutConnection(self) -> None:
        self._refuse("no PROXY header in time")

    def _refuse(self, why: str) -> None:
        self._proxies.refused(self._address.host, why)
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._leave()

    def _leave(self) -> None:
        self._proxies.waiting.discard(self)
        if self._address.host:
            self._proxies.admission.leave(self._address.host)
            self._address = Address("", 0)


class ProxyHeaderFactory(Factory):
    """
    Stands before another factory, which is told who the client is.

    Who is no trusted proxy goes straight to that one, and so may not name another.

    :param admission: counts proxies' connections that have not said for whom they are.
    :param refused: told of each that was closed because it did not say so.
    :ivar waiting: the connections that have not said it yet.
    """

    noisy = False

    def __init__(
        self,
        inner: Any,
        trusted: Networks,
        *,
        admission: Admission,
        clock: IReactorTime,
        refused: Refused,
    ) -> None:
        self.inner = inner
        self.admission = admission
        self.clock = clock
        self.refused = refused
        self.waiting: set[ProxyHeaderProtocol] = set()
        self._trusted = trusted

    def doStart(self) -> None:
        super().doStart()
        self.inner.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.inner.doStop()

    def stopFactory(self) -> None:
        """Nobody listens any more: whoever has not begun comes too late."""
        for connection in list(self.waiting):
            connection.abort()

    def buildProtocol(self, addr: Any) -> Any:
        host = source_host(addr.host)
        if host is None or host not in self._trusted:
            return self.inner.buildProtocol(addr)
        if not self.admission.enter(host):
            return None
        return ProxyHeaderProtocol(Address(host, addr.port), self)
