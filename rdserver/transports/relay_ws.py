"""The relay's WebSocket connections until their first message; then they are as others."""

from __future__ import annotations

from functools import partial

from rdserver.relay.limits import FIRST_FRAME_BYTES, FIRST_FRAME_S
from rdserver.relay.refusals import Refusal
from rdserver.transports.handover import hand_over
from rdserver.transports.relay_tcp import RelayFactory
from rdserver.transports.websocket import GuardedWebSocket
from rdserver.transports.websocket_environment import Environment
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.address import Address
from rdserver.wire.websocket import NORMAL, REFUSED


class RelayUpgrade(GuardedWebSocket):
    """
    Waits for the first message, and gives the connection away with it.

    What comes behind it is a session's, and no business of Autobahn's any more.

    :param relay: takes the connection.
    """

    def __init__(
        self, address: Address, environment: Environment, relay: RelayFactory
    ) -> None:
        super().__init__(address, environment)
        self._relay = relay

    def is_welcome(self, address: Address) -> bool:
        return self._relay.is_welcome(address)

    def opened(self) -> None:
        self.setTimeout(FIRST_FRAME_S)

    def received(self, payload: bytes, is_binary: bool) -> None:
        if not is_binary:
            self._relay.refuse(self.address, Refusal.NOT_A_REQUEST)
            self.finish(REFUSED)
            return
        connection = self._relay.admit(self.address, is_websocket=True)
        if connection is None:
            self.finish(REFUSED)
            return
        transport, rest = self.transport, self.give_away()
        self.factory.left(self)
        hand_over(transport, connection, b"")
        connection.take_over(payload, rest)

    def late(self) -> None:
        self._relay.refuse(self.address, Refusal.NO_FIRST_FRAME)
        self.finish(NORMAL)


def relay_websockets(relay: RelayFactory, environment: Environment) -> GuardedFactory:
    """Return the factory of connections by WebSocket that go to *relay*."""
    make = partial(RelayUpgrade, relay=relay)
    return GuardedFactory(make, environment, FIRST_FRAME_BYTES)
