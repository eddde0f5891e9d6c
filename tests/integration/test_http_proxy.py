"""A client's HTTP request through the ID server to a real HTTP server."""

from __future__ import annotations

import socket
import threading
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nacl.signing import VerifyKey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from rdserver.rendezvous.http_proxying import ApiError, ApiRequest, ApiResponse
from rdserver.transports import api_client
from rdserver.transports.api_client import ApiClient
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from rdserver.wire.secure import SecureChannel
from tests.conformance.world import ServerTests
from tests.integration.sockets import Stream
from tests.wire.secured import answer_offer


class Handler(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = f"{self.command} {self.path} {self.headers['X-Forwarded-For']} ".encode()
        self.answer(said + body)

    do_GET = do_HEAD = do_DELETE = do_POST  # noqa: N815 - as above

    def answer(self, content: bytes) -> None:
        if self.path.endswith("/big"):
            content = bytes(api_client.MAX_ANSWER_BYTES + 1)
        if self.path.endswith("/full"):
            content = bytes(range(256)) * 4096 * 3
        self.send_response(302 if self.path.endswith("/moved") else 200)
        self.send_header("Location", "http://192.0.2.1/")
        self.send_header("X-Token", self.headers.get("Authorization", ""))
        if self.path.endswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for byte in content:
                self.wfile.write(b"1\r\n%c\r\n" % byte)
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class WebServer:
    """A real HTTP server on loopback, until :meth:`close`."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def serve(said: bytes | None) -> tuple[str, Callable[[], None]]:
    """Answer one connection with *said* and its end; None: with nothing, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = [listener]

    def work() -> None:
        try:
            connection, _ = listener.accept()
            kept.append(connection)
            connection.recv(65536)
            if said is not None:
                connection.sendall(said)
                connection.close()
        except OSError:
            pass

    threading.Thread(target=work, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return url, lambda: [each.close() for each in kept] and None


class ApiClientTests(TestCase):
    """The client, without an ID server before it."""

    def setUp(self) -> None:
        self.web = WebServer()
        self.addCleanup(self.web.close)

    def ask(self, path: bytes, url: str = "", **changed: Any) -> Deferred[ApiResponse]:
        """Ask for *path*."""
        fields = {"method": b"POST", "headers": (), "body": b"", **changed}
        client = ApiClient(url or self.web.url, reactor)
        return Deferred.fromCoroutine(client.ask(ApiRequest(path=path, **fields)))

    async def test_answer(self) -> None:
        """Method, path, headers and body arrive, and the answer comes back."""
        headers = ((b"Authorization", b"Bearer t"), (b"X-Forwarded-For", b"192.0.2.7"))
        answer = await self.ask(b"/api/x?y=1", headers=headers, body=b"\0body")
        self.assertEqual(
            (200, b"POST /api/x?y=1 192.0.2.7 \0body"), (answer.status, answer.body)
        )
        self.assertIn((b"X-Token", b"Bearer t"), answer.headers)

    async def test_kinds_of_answers(self) -> None:
        """A path before, chunks, no body, a redirect: passed on as they are."""
        answer = await self.ask(b"/api/x", self.web.url + "/prefix/", method=b"GET")
        self.assertEqual(b"GET /prefix/api/x None ", answer.body)
        answer = await self.ask(b"/api/chunked", body=b"abc")
        self.assertTrue(answer.body.endswith(b"abc"))
        self.assertNotIn(b"transfer-encoding", [name.lower() for name, _ in answer.headers])
        answer = await self.ask(b"/api/x", method=b"HEAD")
        self.assertEqual((200, b""), (answer.status, answer.body))
        answer = await self.ask(b"/api/moved")
        self.assertEqual(302, answer.status)

    async def test_until_the_end(self) -> None:
        """An answer without a length lasts until the connection ends."""
        url, close = serve(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nall of it")
        self.addCleanup(close)
        self.assertEqual(b"all of it", (await self.ask(b"/api/x", url)).body)

    async def test_failures(self) -> None:
        """Whatever goes wrong is told in a few words."""
        garbage, close = serve(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.addCleanup(close)
        cut, close = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
        self.addCleanup(close)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for url, path in (
            (garbage, b"/api/x"),
            (cut, b"/api/x"),
            (closed, b"/api/x"),
            (self.web.url.replace("http", "https"), b"/api/x"),
            (self.web.url, b"/api/big"),
        ):
            try:
                await self.ask(path, url)
            except ApiError as e:
                self.assertLess(0, len(str(e)))
                self.assertLess(len(str(e)), 300)
            else:
                self.fail(f"{url} gave an answer")
        self.flushLoggedErrors()

    async def test_too_slow(self) -> None:
        """Who does not answer is not waited for beyond the time there is."""
        self.patch(api_client, "TOTAL_S", 0.2)
        url, close = serve(None)
        self.addCleanup(close)
        with self.assertRaisesRegex(ApiError, "no answer in 0.2 s"):
            await self.ask(b"/api/x", url)


class ThroughServerTests(ServerTests):
    """The whole way, through a process of its own."""

    instance = "http-proxy"
    web: WebServer

    def setUp(self) -> None:
        cls = type(self)
        if not cls.options:
            cls.web = WebServer()
            cls.options = (f"--api-url={cls.web.url}", "--key-exchange-delay=1")
        super().setUp()

    def secured(self) -> tuple[Stream, SecureChannel]:
        """Return a connection behind a key exchange."""
        stream = self.stream()
        offer = self.answer(stream)
        answer, channel = answer_offer(VerifyKey(b64decode(self.key)), offer)
        stream.send(answer)
        return stream, channel

    def ask(self, **fields: Any) -> pb.HttpProxyResponse:
        """Send one request after a key exchange; return the only answer."""
        stream, channel = self.secured()
        request = pb.HttpProxyRequest(**fields)
        payload = pb.encode(pb.RendezvousMessage(http_proxy_request=request))
        stream.send_bytes(encode_frame(channel.seal(payload)))
        frame = stream.receive_frame()
        assert frame is not None, "closed without an answer"
        response = pb.decode(channel.open(frame)).http_proxy_response
        self.assertTrue(stream.is_closed())
        return response

    def test_235_answer(self) -> None:
        """One answer comes, with status, headers and body of the API, long ones too."""
        body = bytes(1024 * 1024)
        response = self.ask(method=b"POST", path=b"/api/x", body=body)
        self.assertEqual(200, response.status)
        self.assertTrue(response.body.endswith(b" " + body))
        self.assertIn(b"X-Token", [header.name for header in response.headers])
        full = self.ask(method=b"GET", path=b"/api/full")
        self.assertEqual(3 * 1024 * 1024, len(full.body))

    def test_237_not_passed(self) -> None:
        """Other paths are an error."""
        response = self.ask(method=b"GET", path=b"/etc/passwd")
        self.assertEqual(400, response.status)
        self.assertTrue(response.error)

    def test_too_long(self) -> None:
        """A frame beyond the bound closes the connection at its header."""
        stream, _channel = self.secured()
        stream.send_bytes(encode_frame(bytes(1200 * 1024))[:100])
        self.assertTrue(stream.is_closed())
