"""Tests for :mod:`rdserver.http.pages`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.http.pages import Pages


class PagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pages = Pages(["/ws/id", "/ws/relay"], lambda: 784_111_777.0)

    def answer(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        """Return status, head and text of the answer."""
        return self.ask(f"{method} {path} HTTP/1.1\r\nHost: x")

    def ask(self, request: str) -> tuple[int, str, str]:
        head, _, text = self.pages.answer(request.encode()).decode().partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), text

    def test_home(self) -> None:
        """The home page says what this is, and where clients belong."""
        for path in ("/", "/?x=1"):
            status, head, text = self.answer(path)
            self.assertEqual(200, status)
            self.assertTrue(head.startswith("http/1.1 200 ok\r\n"))
            self.assertIn("\r\ncontent-type: text/plain; charset=utf-8\r\n", head)
            self.assertIn(f"\r\ncontent-length: {len(text)}\r\n", head)
            self.assertIn("\r\ndate: sun, 06 nov 1994 08:49:37 gmt\r\n", head)
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
        """Every answer says that it is the last one on its connection."""
        for path, method in (("/healthz", "GET"), ("/no", "GET"), ("/", "PUT")):
            self.assertIn("\r\nconnection: close", self.answer(path, method)[1])

    def test_head(self) -> None:
        """HEAD has no text, and says how long it would be."""
        status, head, text = self.answer("/healthz", "HEAD")
        self.assertEqual((200, ""), (status, text))
        self.assertIn("\r\ncontent-length: 3\r\n", head)

    def test_other_methods(self) -> None:
        """Nothing can be changed here."""
        for method in ("POST", "PUT", "OPTIONS", "get"):
            status, head, _ = self.answer("/", method)
            self.assertEqual(405, status)
            self.assertIn("\r\nallow: get, head", head)

    def test_nonsense(self) -> None:
        """What is no request of HTTP is told so."""
        for request in ("", "GET /", "GET / FTP/1.0", "GET / x HTTP/1.1", "\x00\xff"):
            self.assertEqual(400, self.ask(request)[0], request)
