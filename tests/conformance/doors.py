"""The rooms behind their TCP ports, on fake connections and a clock of our own."""

from __future__ import annotations

from typing import Any

from rdserver.transports.admission import Admission
from rdserver.transports.conversation import Door
from rdserver.transports.outlet import Outlet
from rdserver.transports.tcp import RendezvousFactory
from rdserver.wire import pb
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.fakes import FakeTCP
from tests.rendezvous.fixture import RoomsTests

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


class DoorTests(RoomsTests):
    """Base: P and P-1 of an ID server."""

    def furnish(self, **options: Any) -> None:
        super().furnish(**options)
        self.outlet = Outlet(self.notices)
        self._main = self._factory(
            Door(self.core.main_frame, self.core.stream_closed, 1 << 16)
        )
        self._nat = self._factory(
            Door(self.core.nat_frame, self.core.stream_closed, 1 << 18)
        )

    def connect(self, host: str = "198.51.100.10", port: int = 40000) -> Client:
        """Return a connection to P."""
        return self._connect(self._main, FakeTCP(host, port))

    def connect_nat(self, host: str = "198.51.100.10", port: int = 40000) -> Client:
        """Return a connection to P-1."""
        return self._connect(self._nat, FakeTCP(host, port))

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
