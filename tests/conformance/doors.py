"""The rooms behind their TCP ports, on fake connections and a clock of our own."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, ClassVar

from nacl.signing import VerifyKey

from rdserver.transports.admission import Admission
from rdserver.transports.door import Company, Door
from rdserver.transports.long_frames import LongFrames
from rdserver.transports.outlet import Outlet
from rdserver.transports.rendezvous_ws import rendezvous_websockets
from rdserver.transports.tcp import RendezvousFactory
from rdserver.transports.websocket_environment import Environment
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire import pb
from rdserver.wire.forwarded import client_host
from rdserver.wire.framing import FrameDecoder, encode_frame
from rdserver.wire.networks import Networks
from rdserver.wire.secure import KeyOffer, SecureChannel
from tests.fakes import FakeTCP
from tests.rendezvous.fixture import PAIR, RoomsTests
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import BINARY
from tests.wire.secured import answer_offer

Message = pb.RendezvousMessage
SERVER_KEY = VerifyKey(PAIR.public)


class Client:
    """
    One connection to the server.

    :ivar channel: encrypts what is said from now on; None: nothing is encrypted.
    """

    def __init__(self, tcp: FakeTCP) -> None:
        self._tcp = tcp
        self._decoder = FrameDecoder(1 << 20)
        self.channel: SecureChannel | None = None

    def send(self, member: str, fields: Any) -> None:
        """Send one message."""
        payload = pb.encode(Message(**{member: fields}))
        if self.channel is not None:
            payload = self.channel.seal(payload)
        self.send_frame(payload)

    def send_frame(self, payload: bytes) -> None:
        """Send one frame as it is."""
        self.send_bytes(encode_frame(payload))

    def send_bytes(self, data: bytes) -> None:
        self._tcp.send(data)
        self._settle()

    def received(self) -> list[Message]:
        """Return the messages that came since the last call; heartbeats are none."""
        channel = self.channel
        frames = [frame for frame in self.frames() if frame]
        return [pb.decode(channel.open(f) if channel else f) for f in frames]

    def frames(self) -> list[bytes]:
        """Return the payloads of the frames that came since the last call."""
        self._settle()
        return list(self._decoder.feed(self._tcp.read()))

    def secure(self) -> None:
        """Complete the key exchange that the server has begun."""
        [offer] = self.received()
        answer, channel = answer_offer(SERVER_KEY, offer)
        self.send_frame(pb.encode(answer))
        self.channel = channel

    @property
    def has_keep_alive(self) -> bool:
        """Whether the server lets the system see if the connection is alive."""
        return "keepalive" in self._tcp.options

    def stop_reading(self) -> None:
        """Take nothing more of what comes."""
        self._tcp.window_bytes = 0

    def leave(self) -> None:
        """Close the connection."""
        self._tcp.close()
        self._settle()

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it."""
        self._settle()
        return self._tcp.connected and not self._tcp.disconnecting

    def _settle(self) -> None:
        while self._tcp.turn():
            pass


class Browser:
    """One WebSocket connection to the server, its upgrade complete."""

    def __init__(self, client: WebSocketClient) -> None:
        self.client = client

    def send(self, member: str, fields: Any) -> None:
        """Send one message."""
        self.client.say(pb.encode(Message(**{member: fields})))

    def received(self) -> list[Message]:
        """Return the messages that came since the last call; all must be Binary."""
        return [pb.decode(payload) for payload in self.frames() if payload]

    def frames(self) -> list[bytes]:
        """Return the payloads of the Binary messages that came since the last call."""
        frames = self.client.frames()
        return [data for first, data in frames if first == 0x80 | BINARY]

    def control(self) -> list[int]:
        """Return the opcodes of the control frames that came since the last call."""
        return [first & 0x0F for first, _ in self.client.frames()]

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it."""
        self.client.settle()
        return self.client.is_connected


class DoorTests(RoomsTests):
    """
    Base: P, P-1 and P+2 of an ID server, with proxies in 127.0.0.0/8.

    :cvar grace_s: how long P waits until it offers a key exchange; None: it never does.
    """

    grace_s: ClassVar[float | None] = None
    long_frames: LongFrames | None = None

    def furnish(self, **options: Any) -> None:
        super().furnish(**options)
        self.outlet = Outlet(self.notices)
        self._main = self._factory(
            Door(
                self.core.main_frame,
                self.core.stream_closed,
                1 << 16,
                long_frames=self.long_frames,
                offer=None if self.grace_s is None else self.offer,
                grace_s=self.grace_s or 0.0,
            )
        )
        self._nat = self._factory(
            Door(self.core.nat_frame, self.core.stream_closed, 1 << 18)
        )
        self.websockets = self._websockets(
            Door(self.core.main_frame, self.core.stream_closed, 1 << 16)
        )

    def offer(self) -> KeyOffer:
        """Return what the server begins a key exchange with."""
        return KeyOffer(PAIR.signing_key)

    def secured(self, host: str = "198.51.100.10", port: int = 40000) -> Client:
        """Return a connection to P behind a key exchange."""
        client = self.connect(host, port)
        self.clock.advance(self.grace_s or 0.0)
        client.secure()
        return client

    def connect(self, host: str = "198.51.100.10", port: int = 40000) -> Client:
        """Return a connection to P."""
        return self._connect(self._main, FakeTCP(host, port))

    def connect_nat(self, host: str = "198.51.100.10", port: int = 40000) -> Client:
        """Return a connection to P-1."""
        return self._connect(self._nat, FakeTCP(host, port))

    def browser(
        self,
        host: str = "198.51.100.10",
        port: int = 40000,
        path: str = "/",
        **headers: str,
    ) -> Browser:
        """Return a connection to P+2."""
        client = WebSocketClient(self.websockets, host, port)
        self.assertEqual(101, client.upgrade(path, **headers))
        return Browser(client)

    def _websockets(self, door: Door) -> GuardedFactory:
        trusted = Networks([ip_network("127.0.0.0/8")])
        company = Company(
            door=door,
            outlet=self.outlet,
            clock=self.clock,
            now=self.clock.seconds,
            notices=self.notices,
        )
        environment = Environment(
            purpose="",
            admission=Admission(1000, 1000),
            clock=self.clock,
            now=self.clock.seconds,
            real_host=lambda peer, headers: client_host(peer, headers, trusted),
            refused=lambda _address, _what: None,
            flooded=lambda: None,
            report_bug=lambda failure: failure.raiseException(),
        )
        return rendezvous_websockets(company, environment)

    def _factory(self, door: Door) -> RendezvousFactory:
        return RendezvousFactory(
            door=door,
            outlet=self.outlet,
            admission=Admission(1000, 1000),
            clock=self.clock,
            now=self.clock.seconds,
            notices=self.notices,
        )

    def _connect(self, factory: RendezvousFactory, tcp: FakeTCP) -> Client:
        tcp.protocol = factory.buildProtocol(tcp.getPeer())
        tcp.protocol.makeConnection(tcp)
        return Client(tcp)
