"""The rooms behind their TCP ports, on fake connections and a clock of our own."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from rdserver.transports.admission import Admission
from rdserver.transports.conversation import Company, Door
from rdserver.transports.outlet import Outlet
from rdserver.transports.rendezvous_ws import rendezvous_websockets
from rdserver.transports.tcp import RendezvousFactory
from rdserver.transports.websocket_environment import Environment
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire import pb
from rdserver.wire.forwarded import client_host
from rdserver.wire.framing import FrameDecoder, encode_frame
from rdserver.wire.networks import Networks
from tests.fakes import FakeTCP
from tests.rendezvous.fixture import RoomsTests
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import BINARY

Message = pb.RendezvousMessage


class Client:
    """One connection to the server."""

    def __init__(self, tcp: FakeTCP) -> None:
        self._tcp = tcp
        self._decoder = FrameDecoder(1 << 20)

    def send(self, member: str, fields: Any) -> None:
        """Send one message."""
        self.send_bytes(encode_frame(pb.encode(Message(**{member: fields}))))

    def send_bytes(self, data: bytes) -> None:
        self._tcp.send(data)
        self._settle()

    def received(self) -> list[Message]:
        """Return the messages that came since the last call."""
        self._settle()
        return [pb.decode(frame) for frame in self._decoder.feed(self._tcp.read())]

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
        frames = self.client.frames()
        return [pb.decode(data) for first, data in frames if first == 0x80 | BINARY]

    def control(self) -> list[int]:
        """Return the opcodes of the control frames that came since the last call."""
        return [first & 0x0F for first, _ in self.client.frames()]

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it."""
        self.client.settle()
        return self.client.is_connected


class DoorTests(RoomsTests):
    """Base: P, P-1 and P+2 of an ID server, with proxies in 127.0.0.0/8."""

    def furnish(self, **options: Any) -> None:
        super().furnish(**options)
        self.outlet = Outlet(self.notices)
        self._main = self._factory(
            Door(self.core.main_frame, self.core.stream_closed, 1 << 16)
        )
        self._nat = self._factory(
            Door(self.core.nat_frame, self.core.stream_closed, 1 << 18)
        )
        self.websockets = self._websockets(
            Door(self.core.websocket_message, self.core.stream_closed, 1 << 16)
        )

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
