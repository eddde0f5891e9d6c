"""The server's own TLS, as ``openssl s_client`` and ``curl`` see it."""

from __future__ import annotations

from tests.interop.case import InteropTests, run_program
from tests.interop.daemon import free_port, need
from tests.interop.proxies import HOST
from tests.interop.tls import handshake, permissive, serve

UPGRADE = (
    *("--header", "Connection: Upgrade", "--header", "Upgrade: websocket"),
    *("--header", "Sec-WebSocket-Version: 13"),
    *("--header", "Sec-WebSocket-Key: cmRzZXJ2ZXIgaXMgaGVyZQ=="),
)


class OwnTlsTests(InteropTests):
    """A server with a certificate, and no proxy."""

    def setUp(self) -> None:
        need("openssl")
        need("curl")
        super().setUp()
        self.https = free_port()
        self.running = self.server(
            *(f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"),
            f"--https-port={self.https}",
            extra=permissive(self.folder),
        ).start()

    def ports(self) -> list[int]:
        """Return all ports that speak TLS."""
        ports = self.running.ports
        return [self.https, ports.main + 2, ports.relay + 2]

    def curl(self, url: str, *options: str) -> str:
        """Return status, headers and body of what is at *url*."""
        trust = ("--cacert", str(self.ca_file), "--noproxy", "*")
        more = ("--silent", "--show-error", "--include", "--max-time", "2")
        done = run_program("curl", *trust, *more, *options, url)
        self.assertNotEqual("", done.stdout, done.stderr)
        return done.stdout

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken on each port, the chain is right; no older one is."""
        for port in self.ports():
            for version in ("1.2", "1.3"):
                done = handshake(port, version, self.ca_file)
                self.assertTrue(done.is_complete, done)
                self.assertEqual(f"TLSv{version}", done.version)
            for version in ("1.0", "1.1"):
                self.assertEqual("", handshake(port, version, self.ca_file).version)

    def test_old_versions_could_be_spoken(self) -> None:
        """It is not ``openssl`` that refuses old versions in these tests."""
        port = free_port()
        other = self.keep(serve(self.new_folder(), self.pair, port))
        other.wait_for_port(HOST, port)
        self.assertTrue(handshake(port, "1.1", self.ca_file).is_complete)

    def test_another_authority(self) -> None:
        """Who trusts another authority does not trust this server."""
        other = type(self.authority).make("another").save(self.new_folder())
        self.assertFalse(handshake(self.https, "1.3", other).is_complete)

    def test_pages(self) -> None:
        """The one port says that it is well, what it is, and what there is not."""
        base = f"https://localhost:{self.https}"
        for options in (("--http1.1",), ("--http2",), ("--http1.0",)):
            healthy = self.curl(f"{base}/healthz", *options)
            self.assertIn(" 200 ", healthy.splitlines()[0])
            self.assertTrue(healthy.endswith("\n\nok\n"), healthy)
        self.assertIn("RustDesk", self.curl(f"{base}/"))
        missing = self.curl(f"{base}/nowhere")
        self.assertIn(" 404 ", missing.splitlines()[0])
        self.assertIn("/ws/id, /ws/relay, /healthz", missing)

    def test_upgrade(self) -> None:
        """Every way to WebSocket is open, with TLS and, on the old ports, without."""
        main, relay = self.running.ports.main + 2, self.running.ports.relay + 2
        for url in (
            f"https://localhost:{self.https}/ws/id",
            f"https://localhost:{self.https}/ws/relay",
            f"https://localhost:{main}/",
            f"http://localhost:{main}/ws/id",
            f"https://localhost:{relay}/",
            f"http://localhost:{relay}/any/path?and=more",
        ):
            answer = self.curl(url, "--http1.1", "--max-time", "0.7", *UPGRADE)
            self.assertTrue(answer.startswith("HTTP/1.1 101 "), (url, answer))

    def test_plain_on_https(self) -> None:
        """Who forgets TLS on the one port gets nothing; the log says what came."""
        url = f"http://localhost:{self.https}/"
        done = run_program("curl", "--silent", "--noproxy", "*", "--max-time", "5", url)
        self.assertEqual("", done.stdout)
        self.assertRegex(self.running.log(), r"no TLS from 127\.0\.0\.1:\d+ ")

    def test_lost_ways(self) -> None:
        """TLS and HTTP on ports for frames are closed at once, and the log says so."""
        ports = self.running.ports
        for port in (ports.main - 1, ports.main, ports.relay):
            for scheme in ("https", "http"):
                url = f"{scheme}://localhost:{port}/"
                done = run_program(
                    "curl", "--silent", "--noproxy", "*", "--max-time", "5", url
                )
                timeout = 28
                self.assertNotIn(done.returncode, (0, timeout), (url, done))
        for what in ("TLS", "HTTP"):
            self.assertIn(f"{what} from 127.0.0.1", self.running.log())
