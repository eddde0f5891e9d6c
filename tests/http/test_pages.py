"""Tests for :mod:`rdserver.http.pages`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from rdserver.http.pages import TIMEOUT_S, Pages


class PagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pages = Pages(["/ws/id", "/ws/relay"], self.clock)

    def ask(self, request: bytes) -> StringTransport:
        """Return the connection after *request*."""
        transport = StringTransport()
        self.channel = self.pages.buildProtocol(transport.getPeer())
        self.channel.makeConnection(transport)
        self.channel.dataReceived(request)
        return transport

    def answer(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        """Return status, head and text of the answer."""
        transport = self.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, text = transport.value().decode().partition("\r\n\r\n")
        self.assertTrue(transport.disconnecting)
        return int(head.split()[1]), head.lower(), text

    def test_home(self) -> None:
        """The home page says what this is, and where clients belong."""
        for path in ("/", "/?x=1"):
            status, head, text = self.answer(path)
            self.assertEqual(200, status)
            self.assertIn("content-type: text/plain; charset=utf-8", head)
            self.assertIn("RustDesk", text)
            self.assertIn("/ws/id and /ws/relay", text)

    def test_health(self) -> None:
        """Whoever watches the server gets a word."""
        self.assertEqual((200, "ok\n"), self.answer("/healthz")[::2])

    def test_missing(self) -> None:
        """Other paths are answered with a sentence."""
        for path in ("/admin", "/ws", "/ws/other", "/healthz/more", "/ws/id/"):
            status, _, text = self.answer(path)
            self.assertEqual(404, status, path)
            self.assertIn("/ws/id, /ws/relay, /healthz", text)

    def test_one_request(self) -> None:
        """No second request is taken on a connection."""
        self.assertIn("connection: close", self.answer("/healthz")[1])

    def test_head(self) -> None:
        """HEAD has no text."""
        self.assertEqual((200, ""), self.answer("/", "HEAD")[::2])

    def test_other_methods(self) -> None:
        """Nothing can be changed here."""
        self.assertEqual(405, self.answer("/", "POST")[0])

    def test_silence(self) -> None:
        """Who does not finish its request is not waited for."""
        transport = self.ask(b"GET / HTTP/1.1\r\n")
        self.clock.advance(TIMEOUT_S)
        self.assertTrue(transport.disconnecting)

    def test_no_log(self) -> None:
        """Strangers' requests leave no line and no delayed call behind."""
        self.answer("/")
        self.channel.connectionLost(None)
        self.assertEqual([], self.clock.getDelayedCalls())
