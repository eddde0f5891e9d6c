"""A relay with clients, on a clock and without a network; for several test files."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.tickets import Tickets
from rdserver.relay.usage import SessionRecord
from rdserver.transports.admission import Admission
from rdserver.transports.relay_tcp import RelayFactory
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.fakes import FakeTCP, settle


def hello(uuid: str = "s1", key: str = "") -> bytes:
    """Return a RequestRelay frame."""
    request = pb.RequestRelay(uuid=uuid.encode(), licence_key=key.encode())
    return encode_frame(pb.encode(pb.RendezvousMessage(request_relay=request)))


class RelayCase(SynchronousTestCase):
    auth = RelayAuth.OPEN
    key = ""
    limits = Limits()
    connections = 100
    per_address = 100

    def setUp(self) -> None:
        self.clock = self.make_clock()
        self.tickets = Tickets(self.clock.seconds)
        self.records: list[SessionRecord] = []
        self.relay: Relay[Any] = Relay(
            self.auth,
            self.key,
            self.tickets,
            limits=self.limits,
            now=self.clock.seconds,
            finished=self.records.append,
        )
        self.admission = Admission(self.connections, self.per_address)
        self.factory = RelayFactory(self.relay, self.admission, self.clock)
        self.clients: list[FakeTCP] = []

    def make_clock(self) -> Clock:
        return Clock()

    def connect(
        self, first_bytes: bytes = b"", host: str = "192.0.2.1", **more: int
    ) -> FakeTCP:
        """Return a client that has been let in and has said *first_bytes*."""
        client = FakeTCP(host, 5000 + len(self.clients), **more)
        client.protocol = self.factory.buildProtocol(client.peer)
        self.assertIsNotNone(client.protocol)
        client.protocol.makeConnection(client)
        self.clients.append(client)
        client.send(first_bytes)
        self.settle()
        return client

    def pair(self, **more: int) -> tuple[FakeTCP, FakeTCP]:
        """Return the two clients of a new session; *more* is for the second."""
        first = self.connect(hello())
        return first, self.connect(hello(), "192.0.2.2", **more)

    def settle(self) -> None:
        """Let everything happen that needs no clock."""
        settle(*self.clients)

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings."""
        self.clock.advance(seconds)
        self.settle()

    def assert_nothing_left(self) -> None:
        """Every table is empty and no delayed call is pending."""
        self.assertEqual(0, self.factory.connections)
        self.assertEqual(0, len(self.admission))
        self.assertEqual(0, self.relay.waiting)
        self.assertEqual(0, self.tickets.waiting)
        self.assertEqual([], list(self.relay.sessions))
        self.assertEqual([], self.clock.getDelayedCalls())
