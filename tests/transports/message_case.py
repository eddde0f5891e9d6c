"""A relay whose clients come by TCP or by WebSocket, on a clock; see path_case."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port

from rdserver.relay.messages import PARTS_BYTES
from rdserver.transports.relay_connection import RelayConnection
from rdserver.transports.relay_tcp import RelayFactory
from rdserver.wire.address import Address
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.transports.path_case import SMALL_BYTES, PathCase
from tests.transports.relay_case import hello
from tests.transports.stepped import Client
from tests.wire.masked import BINARY, client_frame, server_frames

BOTH, BY_TCP, BY_WEBSOCKET = (True, True), (False, True), (True, False)
"""Which sides of a session come by WebSocket."""


class Upgraded(Protocol):
    """Stands for the upgrade: reads one whole Binary frame, and gives the rest away."""

    def __init__(self, factory: RelayFactory, address: Any) -> None:
        self._factory = factory
        self._address = Address(address.host, address.port)
        self._first = client_frame(BINARY, b"")[:2]
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        size = 6 + (self._received[1] & 0x7F if len(self._received) > 1 else 200)
        if len(self._received) < size:
            return
        mask = self._received[2:6]
        first = bytes(b ^ mask[i % 4] for i, b in enumerate(self._received[6:size]))
        connection = self._factory.admit(self._address, is_websocket=True)
        assert isinstance(connection, RelayConnection)
        self.transport.protocol = connection
        connection.makeConnection(self.transport)
        connection.take_over(first, self._received[size:])


class UpgradedFactory(Factory):
    noisy = False

    def __init__(self, factory: RelayFactory) -> None:
        self._relay_factory = factory

    def buildProtocol(self, addr: Any) -> Upgraded:
        return Upgraded(self._relay_factory, addr)


class Speaker:
    """
    A client that speaks in messages.

    :ivar is_websocket: and it frames them as such a one.
    """

    def __init__(self, client: Client, is_websocket: bool) -> None:
        self.client = client
        self.is_websocket = is_websocket

    def framed(self, payload: bytes) -> bytes:
        """Return a whole message as this client must frame it."""
        if self.is_websocket:
            return client_frame(BINARY, payload)
        return encode_frame(payload)

    def say(self, *payloads: bytes) -> None:
        """Send whole messages."""
        self.client.send(b"".join(map(self.framed, payloads)))

    @property
    def heard(self) -> list[bytes]:
        """The messages it got; Close, Ping and Pong are none, and no rest is left."""
        if self.is_websocket:
            frames = server_frames(bytes(self.client.received))
            return [payload for first, payload in frames if first == 0x82]
        decoder = FrameDecoder(1 << 30)
        messages = list(decoder.feed(bytes(self.client.received)))
        assert not decoder.take_rest()
        return messages

    @property
    def control(self) -> list[tuple[int, bytes]]:
        """The control frames it got, with their first bytes."""
        if not self.is_websocket:
            return []
        frames = server_frames(bytes(self.client.received))
        return [(first, payload) for first, payload in frames if first != 0x82]


class MessageCase(PathCase):
    """Base of the tests of a data path with messages."""

    def setUp(self) -> None:
        super().setUp()
        self.websocket_port = self.listen_for_websockets()

    def listen_for_websockets(self) -> Port:
        raw, self.factory = self.factory, UpgradedFactory(self.factory)  # type: ignore[assignment]
        try:
            return self.listen()
        finally:
            self.factory = raw

    def tearDown(self) -> None:
        self.websocket_port.stopListening()
        super().tearDown()

    def assert_nothing_left(self) -> None:
        """No message in parts is counted any more, either."""
        super().assert_nothing_left()
        self.assertEqual(PARTS_BYTES, self.path._messages._allowance._left_bytes)

    def join(self, name: str, is_websocket: bool, early: bytes = b"") -> Speaker:
        """Return a client that asked for a session, and said *early* in the same breath."""
        first = hello(name)
        if is_websocket:
            [frame] = FrameDecoder(1000).feed(first)
            first = client_frame(BINARY, frame)
        return Speaker(self.dial(first + early, is_websocket), is_websocket)

    def dial(self, data: bytes, is_websocket: bool) -> Client:
        port = self.websocket_port if is_websocket else self.port
        client = Client(port.getHost().port, SMALL_BYTES if self.small else 0)
        self.clients.append(client)
        client.send(data)
        return client

    def speakers(
        self, kinds: tuple[bool, bool], name: str = "s1"
    ) -> tuple[Speaker, Speaker]:
        """Return the clients of a new session; *kinds* says who comes by WebSocket."""
        before = self.begun()
        first = self.join(name, kinds[0])
        self.until(lambda: self.relay.waiting == 1)
        second = self.join(name, kinds[1])
        self.until(lambda: self.begun() > before)
        return first, second

    def until_heard(self, speaker: Speaker, size: int) -> None:
        """Take turns until it has got so many bytes, heads included."""
        self.until(lambda: len(speaker.client.received) >= size)
