"""Makes the WebSocket connections of one port, and knows those that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory

from rdserver.transports.websocket import GuardedWebSocket
from rdserver.transports.websocket_environment import Environment, Silence
from rdserver.wire.address import Address, source_host


class GuardedFactory(WebSocketServerFactory):
    """
    Makes the WebSocket connections of one port.

    :param make: returns the protocol for a client's address.
    :param max_message_bytes: a longer message closes its connection.
    """

    noisy = False
    log = Silence()

    def __init__(
        self,
        make: Callable[[Address, Environment], GuardedWebSocket],
        environment: Environment,
        max_message_bytes: int,
    ) -> None:
        super().__init__(reactor=environment.clock)
        self.setProtocolOptions(
            webStatus=False,
            utf8validateIncoming=False,
            failByDrop=False,
            maxFramePayloadSize=max_message_bytes,
            maxMessagePayloadSize=max_message_bytes,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            autoPingTimeout=0,
            perMessageCompressionAccept=lambda _offers: None,
        )
        self._make = make
        self._environment = environment
        self._connections: set[GuardedWebSocket] = set()
        self._stops = False

    def buildProtocol(self, addr: Any) -> GuardedWebSocket | None:
        """Return None, which closes at once, at a stop and where there are too many."""
        host = source_host(addr.host)
        if self._stops or host is None or not self._environment.admission.enter(host):
            return None
        connection = self._make(Address(host, addr.port), self._environment)
        connection.factory = self
        self._connections.add(connection)
        return connection

    def left(self, connection: GuardedWebSocket) -> None:
        """Forget a connection that is gone, or somebody else's."""
        self._connections.discard(connection)

    def close_all(self) -> None:
        """Tell every connection that the server stops; take no more."""
        self._stops = True
        for connection in list(self._connections):
            connection.stop()

    def abort_all(self) -> None:
        """Cut every connection that is still there."""
        for connection in list(self._connections):
            connection.abort()

    def __len__(self) -> int:
        return len(self._connections)
