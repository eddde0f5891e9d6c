"""Tests for :mod:`rdserver.transports.http_page`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import arrival_s
from rdserver.transports.http_page import (
    CLOSING_S,
    MAX_HEAD_BYTES,
    MOST_DISCARDED_BYTES,
    REQUEST_S,
    PageFactory,
)
from tests.fakes import FakeTCP, settle

HEAD = b"GET / HTTP/1.1\r\nHost: x"
REQUEST = HEAD + b"\r\n\r\n"


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission(10, 2)
        self.asked: list[bytes] = []
        self.factory = PageFactory(
            self.answer, self.clock, self.clock.seconds, self.admission
        )
        self.factory.doStart()

    def answer(self, head: bytes) -> bytes:
        self.asked.append(head)
        return b"answer"

    def connect(self, *chunks: bytes, window_bytes: int = 2**40) -> FakeTCP:
        client = FakeTCP("192.0.2.7", window_bytes=window_bytes)
        client.protocol = self.factory.buildProtocol(client.peer)
        client.protocol.makeConnection(client)
        for chunk in chunks:
            client.send(chunk)
            client.turn()
        return client

    def tearDown(self) -> None:
        """Nobody is counted, waited for or kept."""
        self.assertEqual(0, len(self.admission))
        self.assertEqual(set(), self.factory.connections)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answer(self) -> None:
        """A request is answered as soon as its head is whole, and then we close."""
        client = self.connect(HEAD, b"\r\n", b"\r", b"\n")
        settle(client)
        self.assertEqual([HEAD], self.asked)
        self.assertEqual(b"answer", client.read())
        self.assertFalse(client.connected)

    def test_slow(self) -> None:
        """The head has its time from the connection on, however it drips."""
        client = FakeTCP("192.0.2.7")
        arrival_s(client, self.clock.seconds)
        self.clock.advance(4)
        client.protocol = self.factory.buildProtocol(client.peer)
        client.protocol.makeConnection(client)
        for _ in range(round(REQUEST_S) - 5):
            client.send(b"x")
            client.turn()
            self.clock.advance(1)
        self.assertFalse(client.aborted)
        self.clock.advance(1)
        self.assertTrue(client.aborted)
        self.assertEqual([], self.asked)

    def test_long_head(self) -> None:
        """A head without an end is not kept."""
        self.assertTrue(self.connect(b"x" * (MAX_HEAD_BYTES + 1)).aborted)

    def test_client_stays(self) -> None:
        """Who does not take the answer, or does not close, is cut."""
        client = self.connect(REQUEST, window_bytes=0)
        self.assertTrue(client.connected)
        self.clock.advance(CLOSING_S)
        self.assertTrue(client.aborted)

    def test_body(self) -> None:
        """Of a body a little is thrown away, so that the answer arrives; then we cut."""
        client = self.connect(REQUEST + b"x" * 100, window_bytes=0)
        protocol = client.protocol
        protocol.dataReceived(b"x" * (MOST_DISCARDED_BYTES - 100))
        self.assertFalse(client.aborted)
        protocol.dataReceived(b"x")
        self.assertTrue(client.aborted)
        self.assertEqual([HEAD], self.asked)

    def test_too_many(self) -> None:
        """Who waits for a page is counted, answered or not, until the connection ends."""
        clients = [self.connect(b"GET"), self.connect(REQUEST, window_bytes=0)]
        self.assertIsNone(self.factory.buildProtocol(clients[0].peer))
        self.clock.advance(REQUEST_S)
        self.assertEqual([True, True], [client.aborted for client in clients])

    def test_stop(self) -> None:
        """Nobody is waited for once the port is closed."""
        client = self.connect(b"GET")
        self.factory.doStop()
        self.assertTrue(client.aborted)
