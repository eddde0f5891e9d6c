"""Pages in a browser as clients: at the server's own TLS, and behind a proxy."""

from __future__ import annotations

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.integration.relayed import new_session
from tests.integration.web import Message, join
from tests.interop.browser import Browser
from tests.interop.case import MB, InteropTests
from tests.interop.daemon import free_port, need
from tests.interop.proxies import HOST, new_site, start_nginx

PAGES_S = 60.0
TOTAL = 10 * MB


class BrowserTests(InteropTests):
    """A server with a certificate and an open relay, and a browser."""

    def setUp(self) -> None:
        need("chromium")
        super().setUp()
        self.https = free_port()
        self.running = self.server(
            *(f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"),
            *(f"--https-port={self.https}", "--relay-auth=open"),
        ).start()
        self.base = f"wss://localhost:{self.https}"
        self.browser = self.keep(Browser(self.new_folder(), self.pair))

    def ask(self, **member: object) -> Message:
        """Let a page ask the ID server; return the answer."""
        question = pb.encode(Message(**member)).hex()
        url = f"{self.base}/ws/id"
        self.browser.open(task="ask", name="asks", url=url, message=question)
        return pb.decode(bytes.fromhex(self.browser.results(1, PAGES_S)["asks"]))

    def test_id_server(self) -> None:
        """A page learns who is online, and who asks for a device reaches it."""
        device = self.device(self.running.ports, "100200601").register()
        request = pb.OnlineRequest(id=b"me", peers=[b"x", device.id.encode()])
        answer = self.ask(online_request=request)
        self.assertEqual(b"\x40", answer.online_response.states)
        key = self.controller(self.running.ports).key.encode()
        punch = pb.PunchHoleRequest(id=device.id.encode(), licence_key=key)
        self.browser.open(
            task="ask",
            name="waits",
            url=f"{self.base}/ws/id",
            message=pb.encode(Message(punch_hole_request=punch)).hex(),
        )
        push = device.next_push(PAGES_S).punch_hole
        self.assertIn(decode_address(push.socket_addr).host, ("127.0.0.1", "::1"))
        device.answer_with_relay(push, "relay", "some session").close()
        reply = self.browser.results(1, PAGES_S)["waits"]
        response = pb.decode(bytes.fromhex(reply)).relay_response
        self.assertEqual("some session", pb.text(response.uuid))

    def test_unknown_certificate(self) -> None:
        """The browser looks at the certificate: one that it does not know is refused."""
        browser = self.keep(Browser(self.new_folder(), self.make_pair("unknown")))
        browser.open(task="ask", name="asks", url=f"{self.base}/ws/id", message="")
        self.assertEqual("error", browser.results(1, PAGES_S)["asks"])

    def test_two_at_once(self) -> None:
        """Two pages at one address ask for two devices, and each has its own answer."""
        key = self.controller(self.running.ports).key.encode()
        names = ["100200602", "100200603"]
        devices = [self.device(self.running.ports, name).register() for name in names]
        for device in devices:
            punch = pb.PunchHoleRequest(id=device.id.encode(), licence_key=key)
            question = pb.encode(Message(punch_hole_request=punch)).hex()
            url = f"{self.base}/ws/id"
            self.browser.open(task="ask", name=device.id, url=url, message=question)
        pushes = [device.next_push(PAGES_S).punch_hole for device in devices]
        for device, push in reversed(list(zip(devices, pushes, strict=True))):
            device.answer_with_relay(push, "relay", f"for {device.id}").close()
        results = self.browser.results(2, PAGES_S)
        for name in names:
            response = pb.decode(bytes.fromhex(results[name])).relay_response
            self.assertEqual(f"for {name}", pb.text(response.uuid))

    def test_relay(self) -> None:
        """Two pages send each other 10 MB, byte for byte, message by message."""
        self.hold_session(self.base, self.base)

    def test_relay_on_its_own_port(self) -> None:
        """One of them may come to the relay's own port, which has the same certificate."""
        own = f"wss://localhost:{self.running.ports.relay + 2}"
        self.hold_session(self.base, own)

    def test_behind_proxy(self) -> None:
        """Two pages do so through nginx."""
        need("nginx")
        site = new_site(self.new_folder(), self.running.ports, self.pair)
        site.folder.chmod(0o755)
        self.keep(start_nginx(site)).wait_for_port(HOST, site.https)
        behind = f"wss://localhost:{site.https}"
        self.hold_session(behind, behind)

    def hold_session(self, first: str, second: str) -> None:
        message = join(new_session()).hex()
        for base, seed, partner in ((first, 1, 2), (second, 2, 1)):
            self.browser.open(
                task="relay",
                name=f"page {seed}",
                url=f"{base}/ws/relay",
                message=message,
                seed=seed,
                partner=partner,
                total=TOTAL,
            )
        results = self.browser.results(2, PAGES_S)
        self.assertEqual({"page 1", "page 2"}, set(results))
        for outcome in results.values():
            self.assertRegex(outcome, f"^{TOTAL} bytes in [0-9]+ messages$")
