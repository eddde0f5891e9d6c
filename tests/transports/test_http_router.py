"""Tests for :mod:`rdserver.transports.http_router`."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import arrival_s
from rdserver.transports.http_router import MAX_LINE_BYTES, REQUEST_S, HttpRouterFactory
from tests.fakes import FakeTCP


class Recorder(Protocol):
    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class RecorderFactory(Factory):
    """Remembers what it was given."""

    refuses = False

    def __init__(self) -> None:
        self.address: Any = None
        self.protocols: list[Recorder] = []

    def buildProtocol(self, addr: Any) -> Recorder | None:
        if self.refuses:
            return None
        self.address = addr
        self.protocols.append(Recorder())
        return self.protocols[-1]

    @property
    def received(self) -> bytes:
        return b"".join(protocol.received for protocol in self.protocols)


class HttpRouterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission(10, 2)
        self.socket, self.pages = RecorderFactory(), RecorderFactory()
        self.factory = HttpRouterFactory(
            {"/ws/id": self.socket},
            self.pages,
            self.clock,
            self.clock.seconds,
            self.admission,
        )

    def tearDown(self) -> None:
        """Whoever has a protocol of its own, or is gone, is not counted here."""
        self.assertEqual(0, len(self.admission))

    def connect(self, *chunks: bytes) -> FakeTCP:
        client = FakeTCP("192.0.2.7")
        client.protocol = self.factory.buildProtocol(client.peer)
        client.protocol.makeConnection(client)
        for chunk in chunks:
            client.send(chunk)
            client.turn()
        return client

    def test_route(self) -> None:
        """A path's factory gets the connection, its address, and all bytes."""
        request = b"GET /ws/id HTTP/1.1\r\nHost: x\r\n\r\n\x82\x80"
        self.connect(request)
        self.assertEqual((request, b""), (self.socket.received, self.pages.received))
        self.assertEqual(IPv4Address("TCP", "192.0.2.7", 5001), self.socket.address)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_cut(self) -> None:
        """The first line may come in pieces; what comes later goes past the router."""
        client = self.connect(b"GE", b"T /ws/id?a=b HTTP/1.1\r", b"\nHost: x\r\n")
        self.assertEqual(1, len(self.socket.protocols))
        client.send(b"\r\n")
        client.turn()
        self.assertTrue(self.socket.received.endswith(b"Host: x\r\n\r\n"))

    def test_others(self) -> None:
        """Everything else is for the pages, nonsense too."""
        lines = (b"GET / HTTP/1.1", b"GET /ws/idx HTTP/1.1", b"\xff\xfe", b"", b"/ws/id")
        for line in lines:
            self.connect(line + b"\r\n")
        self.assertEqual((0, 5), (len(self.socket.protocols), len(self.pages.protocols)))

    def test_silence(self) -> None:
        """Who sends no whole line is cut off."""
        client = self.connect(b"GET /ws/id")
        self.clock.advance(REQUEST_S - 1)
        self.assertFalse(client.aborted)
        self.clock.advance(1)
        self.assertTrue(client.aborted)

    def test_time_before(self) -> None:
        """What passed before the router had the connection is not given again."""
        client = FakeTCP("192.0.2.7")
        arrival_s(client, self.clock.seconds)
        self.clock.advance(REQUEST_S - 1)
        client.protocol = self.factory.buildProtocol(client.peer)
        client.protocol.makeConnection(client)
        self.clock.advance(1)
        self.assertTrue(client.aborted)

    def test_stop(self) -> None:
        """Whose line is not whole when the port closes is cut; the others are not."""
        late, early = self.connect(b"GET"), self.connect(b"GET /ws/id HTTP/1.1\r\n")
        self.factory.doStart()
        self.factory.doStop()
        self.assertEqual((True, False), (late.aborted, early.aborted))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_pages_are_started_and_stopped(self) -> None:
        """The pages' factory learns of the port too."""
        self.factory.doStart()
        self.assertEqual(1, self.pages.numPorts)
        self.factory.doStop()
        self.assertEqual(0, self.pages.numPorts)

    def test_too_many(self) -> None:
        """An address may have so many without a line, and no more."""
        clients = [self.connect(b"GET") for _ in range(2)]
        self.assertIsNone(self.factory.buildProtocol(clients[0].peer))
        self.clock.advance(REQUEST_S)

    def test_long_line(self) -> None:
        """A line without an end is not kept."""
        client = self.connect(b"GET /" + b"x" * MAX_LINE_BYTES)
        self.assertTrue(client.aborted)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_refused(self) -> None:
        """Whom the factory does not take is cut off."""
        self.socket.refuses = True
        self.assertTrue(self.connect(b"GET /ws/id HTTP/1.1\r\n").aborted)

    def test_lost(self) -> None:
        """Who goes before the line is whole leaves nothing behind."""
        client = self.connect(b"GET")
        client.close()
        client.turn()
        self.assertEqual([], self.clock.getDelayedCalls())
