"""Messages in, messages out, on the ID server's WebSocket port; decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

from rdserver.transports.conversation import Conversation
from rdserver.transports.door import Company
from rdserver.transports.websocket import GuardedWebSocket
from rdserver.transports.websocket_environment import Environment
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.address import Address
from rdserver.wire.websocket import BINARY, GOING_AWAY, NORMAL


class RendezvousWebSocket(GuardedWebSocket):
    """
    One WebSocket connection to the ID server: each Binary message is one of ours.

    Text, Ping and Pong are none, and yet signs of life.

    Source: protocol.md section 1.4.
    """

    def __init__(
        self, address: Address, environment: Environment, company: Company
    ) -> None:
        super().__init__(address, environment)
        self._company = company
        self._conversation: Conversation | None = None
        # What one read of the transport brought while storage is asked; nothing is read
        # meanwhile.
        self._waiting: deque[bytes] = deque()
        self._code = NORMAL

    def opened(self) -> None:
        self._conversation = Conversation(
            self, self._company, self.address, websocket=True
        )

    def received(self, payload: bytes, is_binary: bool) -> None:
        conversation = self._conversation
        if conversation is None or not conversation.is_open:
            return
        if not is_binary:
            conversation.heard()
            return
        self._waiting.append(payload)
        if conversation.is_listening:
            conversation.take(self._messages())

    def _messages(self) -> Iterator[bytes]:
        while self._waiting:
            yield self._waiting.popleft()

    def heard(self) -> None:
        if self._conversation is not None and self._conversation.is_open:
            self._conversation.heard()

    def late(self) -> None:
        if self._conversation is not None:
            self._conversation.late()

    def lost(self) -> None:
        if self._conversation is not None:
            self._conversation.lost()

    def stop(self) -> None:
        self._code = GOING_AWAY
        if self._conversation is None:
            self.abort()
        else:
            self._conversation.finish()

    # What the conversation asks for.

    def write(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:  # behind a Close there must be nothing
            # Autobahn's sendMessage() would hold our answers to the bound of what comes in.
            self.sendFrame(opcode=BINARY, payload=payload)

    def close(self) -> None:
        self.finish(self._code)

    def cut(self) -> None:
        self.abort()

    def pause(self) -> None:
        self.transport.pauseProducing()

    def go_on(self) -> None:
        self.transport.resumeProducing()
        if self._conversation is not None:
            self._conversation.take(self._messages())

    def let_pile_up(self) -> None:
        """Nothing long is ever sent by WebSocket."""

    def hold(self) -> None:
        self.setTimeout(None)
        self.transport.setTcpKeepAlive(True)


def rendezvous_websockets(company: Company, environment: Environment) -> GuardedFactory:
    """Return the factory of connections by WebSocket to the ID server."""
    make = partial(RendezvousWebSocket, company=company)
    return GuardedFactory(make, environment, company.door.max_frame_bytes)
