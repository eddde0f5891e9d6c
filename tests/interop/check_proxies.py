"""Clients by WebSocket through a proxy that is set up as docs/proxies says."""

from __future__ import annotations

import http.client
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.integration.web import Framed, run
from tests.interop.case import (
    CLIENT,
    FORGED,
    MB,
    PARTNER,
    InteropTests,
    Rendezvous,
    run_program,
)
from tests.interop.daemon import Daemon, need
from tests.interop.proxies import (
    HOST,
    NAME,
    Site,
    new_site,
    start_apache,
    start_caddy,
    start_haproxy,
    start_nginx,
)
from tests.interop.snippets import shipped
from tests.interop.tls import handshake

_Mixin = InteropTests if TYPE_CHECKING else object

Opens = Callable[[], Any]
"""Returns a connection to be entered."""

SESSION_S = 120.0


class ProxyContract(_Mixin):
    """
    What each proxy must do.

    :cvar program: its name, to be installed.
    """

    program: str

    def start(self, site: Site) -> Daemon:
        raise NotImplementedError

    def setUp(self) -> None:
        need(self.program)
        super().setUp()
        self.running = self.server().start()
        self.site = new_site(self.new_folder(), self.running.ports, self.pair)
        self.site.folder.chmod(0o755)
        self.proxy = self.keep(self.start(self.site))
        for port in (self.site.http, self.site.https):
            self.proxy.wait_for_port(HOST, port)

    def url(self, path: str, scheme: str = "wss") -> str:
        port = self.site.https if scheme == "wss" else self.site.http
        return f"{scheme}://localhost:{port}{path}"

    def test_online(self) -> None:
        """A device that registered with the server itself is found to be online."""
        device = self.device(self.running.ports, "100200301")
        self.assertFalse(run(self.is_online(self.url("/ws/id"), device.id)))
        device.register()
        for scheme in ("wss", "ws"):
            url = self.url("/ws/id", scheme)
            self.assertTrue(run(self.is_online(url, device.id)))

    def test_real_address(self) -> None:
        """The device is told of the client's own address, whatever the client claims."""
        device = self.device(self.running.ports, "100200302").register()
        key = self.controller(self.running.ports).key
        for scheme in ("wss", "ws"):
            url = self.url("/ws/id", scheme)
            for headers in ({}, FORGED):
                seen = self.seen_host(url, device, key, host=CLIENT, headers=headers)
                self.assertEqual(CLIENT, run(seen))

    def test_session_of_two(self) -> None:
        """Two clients behind the proxy have a session, each with its own address."""
        url = self.url("/ws/relay")
        self.hold_session(
            lambda: self.open(url, host=CLIENT, headers=FORGED),
            lambda: self.open(url, host=PARTNER, headers=FORGED),
        )
        self.wait_for(lambda: f"{CLIENT}:" in self.sessions(), "A is not in the log")
        self.assertIn(f"{PARTNER}:", self.sessions())

    def test_session_with_tcp(self) -> None:
        """One behind the proxy has a session with one that is not."""
        self.hold_session(
            lambda: self.open(self.url("/ws/relay"), host=CLIENT),
            lambda: Framed(HOST, self.running.ports.relay),
        )

    def hold_session(self, first: Opens, second: Opens) -> None:
        device = self.device(self.running.ports, "100200303").register()
        both = Rendezvous(self, self.running, self.url("/ws/id"), device)

        async def hold() -> None:
            session = await both.agree(self.controller(self.running.ports))
            await both.meet(session, first(), second(), 50 * MB)

        run(hold(), SESSION_S)

    def sessions(self) -> str:
        """Return what the log says about sessions that are over."""
        lines = self.running.log().splitlines()
        return "\n".join(line for line in lines if " bytes" in line)

    def test_pages(self) -> None:
        """Without an upgrade the server says what is there, and nothing else is."""
        status, text = self.get("/ws/id")
        self.assertEqual(426, status)
        self.assertIn("RustDesk clients connect here by WebSocket", text)
        for path in ("/", "/ws", "/healthz"):
            self.assertEqual(404, self.get(path)[0])

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(
            "localhost", self.site.https, context=self.context, timeout=5
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def test_advice(self) -> None:
        """What the README tells to try works as it says."""
        (line,) = (
            line for line in shipped("README.md").splitlines() if "curl --" in line
        )
        self.assertIn(f"https://{NAME}/ws/id", line)
        for path in ("/ws/id", "/ws/relay"):
            words = shlex.split(line)
            words[-1] = f"https://localhost:{self.site.https}{path}"
            trust = ("--cacert", str(self.ca_file), "--noproxy", "*")
            done = run_program(*words, *trust, "--max-time", "1")
            self.assertTrue(done.stdout.startswith("HTTP/1.1 101 "), done)

    def test_tls(self) -> None:
        """TLS 1.2 and 1.3 are spoken, and nothing older."""
        for version, is_spoken in (("1.1", False), ("1.2", True), ("1.3", True)):
            done = handshake(self.site.https, version, self.ca_file)
            self.assertEqual(is_spoken, done.is_complete, done)


class NginxTests(ProxyContract, InteropTests):
    program = "nginx"

    def start(self, site: Site) -> Daemon:
        return start_nginx(site)


class HaproxyTests(ProxyContract, InteropTests):
    program = "haproxy"

    def start(self, site: Site) -> Daemon:
        return start_haproxy(site)


class ApacheTests(ProxyContract, InteropTests):
    program = "apache2"

    def start(self, site: Site) -> Daemon:
        return start_apache(site)


class CaddyTests(ProxyContract, InteropTests):
    program = "caddy"

    def start(self, site: Site) -> Daemon:
        return start_caddy(site)
