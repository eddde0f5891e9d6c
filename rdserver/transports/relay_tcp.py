"""The relay's TCP port: which connections may come in, and the end of all of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory

from rdserver.relay.core import Relay
from rdserver.relay.limits import FIRST_FRAME_S, LINGER_S, PARTNER_WAIT_S, TICKET_WAIT_S
from rdserver.relay.refusals import Refusal
from rdserver.relay.usage import EndReason
from rdserver.transports.admission import Admission
from rdserver.transports.lingering import Lingering
from rdserver.transports.relay_connection import RelayConnection, Shared
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_deadlines import Deadlines
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import DataPath, Detached
from rdserver.wire.address import Address, source_host
from rdserver.wire.websocket import GOING_AWAY

FLUSH_S = 2.0
"""Time for what is buffered to leave when the server stops."""


class RelayFactory(Factory):
    """
    Makes a :class:`RelayConnection` of each accepted connection that may come in.

    Something that looks at the first bytes of a connection may stand in front: it calls
    :meth:`buildProtocol`, closes if that is None, and otherwise gives the connection
    away: ``transport.protocol = connection``, ``connection.makeConnection(transport)``,
    ``connection.dataReceived(first_bytes)``.

    :param admission: how many connections there may be.
    :param path: moves the bytes after the pairing; copies if it is not given.
    :ivar connections: how many connections there are, in whatever state.
    """

    noisy = False

    def __init__(
        self,
        relay: Relay[RelayConnection],
        admission: Admission,
        clock: IReactorTime,
        path: DataPath | None = None,
    ) -> None:
        self._relay = relay
        self._admission = admission
        self._clock = clock
        self._connections: set[RelayConnection] = set()
        self.connections = 0
        self._closing: Deferred[None] | None = None
        self._last_resort: IDelayedCall | None = None
        path = path or CopyPath(Pacer(relay.total, clock, relay.now), relay.finish)
        self._shared = Shared(
            relay=relay,
            path=path,
            first_frame=self._deadlines(FIRST_FRAME_S, Refusal.NO_FIRST_FRAME),
            ticket=self._deadlines(TICKET_WAIT_S, Refusal.NO_TICKET),
            partner=self._deadlines(PARTNER_WAIT_S, Refusal.NO_PARTNER),
            linger=Lingering(clock, relay.now, LINGER_S),
            gone=self._gone,
            detached=self._connections.discard,
        )

    def _deadlines(self, timeout_s: float, reason: Refusal) -> Deadlines[RelayConnection]:
        return Deadlines(
            self._clock,
            self._relay.now,
            timeout_s,
            lambda connection: connection.refuse(reason),
        )

    def buildProtocol(self, addr: Any) -> RelayConnection | None:
        """Return the protocol of a new connection, or None to close it at once."""
        host = source_host(addr.host)
        if host is None:
            self.refuse(Address(addr.host, addr.port), Refusal.IMPOSSIBLE_SOURCE)
            return None
        return self.admit(Address(host, addr.port))

    def admit(
        self, address: Address, is_websocket: bool = False
    ) -> RelayConnection | None:
        """As :meth:`buildProtocol`, for a client that may have come by WebSocket."""
        if self._closing is not None or not self.is_welcome(address):
            return None
        if not self._admission.enter(address.host):
            self.refuse(address, Refusal.TOO_MANY_CONNECTIONS)
            return None
        connection = RelayConnection(address, self._shared, is_websocket)
        self._connections.add(connection)
        self.connections += 1
        return connection

    def is_welcome(self, address: Address) -> bool:
        """Return whether a client may come at all; one that may not is counted."""
        is_blocked = self._relay.blocklist.matches(address.host)
        if is_blocked:
            self.refuse(address, Refusal.BLOCKED)
        return not is_blocked

    def refuse(self, address: Address, reason: Refusal) -> None:
        """Count a client that is not served."""
        self._relay.refuse(address, reason)

    def _gone(self, connection: Detached) -> None:
        self._connections.discard(connection)
        self.connections -= 1
        self._admission.leave(connection.address.host)
        self._finish_closing()

    def close_all(self) -> Deferred[None]:
        """
        End every session and connection, and let in no more; to be called once.

        What is buffered has some time to leave.  Fires when all connections are gone.
        """
        self._closing = Deferred()
        for session in list(self._relay.sessions):
            session.end(EndReason.STOPPED)
        for connection in [c for c in self._connections if not c.ending]:
            connection.drop(GOING_AWAY)
        closing = self._closing
        if self.connections:
            self._last_resort = self._clock.callLater(FLUSH_S, self._give_up)
        self._finish_closing()
        return closing

    def _give_up(self) -> None:
        self._last_resort = None
        for connection in {*self._connections, *self._shared.linger}:
            connection.give_up()

    def _finish_closing(self) -> None:
        if self._closing is None or self.connections or self._closing.called:
            return
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._closing.callback(None)
