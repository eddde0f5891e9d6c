"""
The ways between two clients behind routers of several kinds.

Each case says what path the specification predicts (protocol.md sections 7.3 to 7.6), and
that a direct one costs the relay nothing.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.world import eventually
from tests.integration.namespace import succeed
from tests.integration.process import START_S
from tests.interop.daemon import Daemon, need
from tests.natlab.laboratory import (
    PORT,
    SERVER,
    SERVER6,
    SYMMETRIC,
    Home,
    LaboratoryTests,
)
from tests.natlab.network import Host

A_HOME, B_HOME = Home(1), Home(2)
BY_IPV6: dict[str, Any] = {"a_ipv6": A_HOME.client_ipv6, "b_ipv6": B_HOME.client_ipv6}


class HomesTests(LaboratoryTests):
    """A and B at two homes."""

    def build(self, a_nat: str = "masquerade", b_nat: str = "masquerade") -> None:
        """Build both homes, and start the server."""
        self.a = self.client("a", self.home(A_HOME, masquerade=a_nat), A_HOME)
        self.b = self.client("b", self.home(B_HOME, masquerade=b_nat), B_HOME)
        self.start_server()

    def test_1_independent(self) -> None:
        """Behind endpoint-independent NATs a hole is punched, by TCP or UDP."""
        self.build()
        self.assert_direct("tcp", self.session(self.a, self.b))
        # A asks for both at the same time, and takes what is there first.
        outcome = self.session(self.a, self.b, a_udp_punch=True, closed=["tcp"])
        self.assert_direct("udp", outcome)

    def test_1_registered_by_tcp(self) -> None:
        """The same with devices that register by TCP, and clients that are signed in."""
        self.build()
        outcome = self.session(self.a, self.b, b_mode="tcp", a_token="secret")
        self.assert_direct("tcp", outcome)

    def test_1_by_websocket(self) -> None:
        """Through a proxy or by WebSocket there is only the relay."""
        self.build()
        self.assert_relayed(self.session(self.a, self.b, b_mode="websocket"))
        self.assert_relayed(self.session(self.a, self.b, a_mode="websocket"))

    def test_2_one_symmetric(self) -> None:
        """Where one NAT is symmetric, A's or B's, the relay is used at once."""
        self.build(a_nat=SYMMETRIC)
        self.assert_relayed(self.session(self.a, self.b))
        self.assert_relayed(self.session(self.b, self.a, a_udp_punch=True))

    def test_3_both_symmetric(self) -> None:
        """Where both are, it is as well."""
        self.build(SYMMETRIC, SYMMETRIC)
        self.assert_relayed(self.session(self.a, self.b, a_udp_punch=True))

    def test_3_ipv6_beside_symmetric(self) -> None:
        """With IPv6 addresses beside symmetric NATs there is a way by IPv6."""
        self.build(SYMMETRIC, SYMMETRIC)
        # A tries it and the relay at the same time, and takes what is there first.
        path, count = self.session(self.a, self.b, **BY_IPV6, a_closed=["relay"])
        self.assertEqual("ipv6", path)
        self.assertLess(count, 2000)  # B waits at the relay, in vain

    def test_6_ipv6_only(self) -> None:
        """With IPv6 alone, and firewalls in between, holes are punched too."""
        self.build()
        for host in (self.a, self.b, self.server):
            host.ip("-4", "address", "flush", "dev", "eth")
        self.assert_direct("tcp", self.session(self.a, self.b, server=SERVER6))
        outcome = self.session(self.a, self.b, server=SERVER6, **BY_IPV6, closed=["tcp"])
        self.assert_direct("ipv6", outcome)


class OneHomeTests(LaboratoryTests):
    def test_4_same_lan(self) -> None:
        """Two behind one router talk in their own network."""
        home = self.home(A_HOME)
        a, b = self.client("a", home, A_HOME, 1), self.client("b", home, A_HOME, 2)
        self.start_server()
        self.assert_direct("lan", self.session(a, b))


class NoUdpTests(LaboratoryTests):
    def test_5_udp_blocked(self) -> None:
        """Where no datagram passes, devices register by TCP, and a hole is punched."""
        a = self.client("a", self.home(A_HOME, blocks_udp=True), A_HOME)
        b = self.client("b", self.home(B_HOME, blocks_udp=True), B_HOME)
        self.start_server()
        outcome = self.session(a, b, b_mode="tcp", a_udp_punch=True)
        self.assert_direct("tcp", outcome)
        self.assert_relayed(self.session(a, b, mode="websocket"))


PROXY = "198.51.100.2"
_HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
_FORWARD = """
listen port{port}
    bind {proxy}:{port}
    server it {server}:{port} send-proxy-v2
"""


class ProxyTests(LaboratoryTests):
    """The server is behind a proxy that says for whom each connection is."""

    def setUp(self) -> None:
        super().setUp()
        self.a = self.client("a", self.home(A_HOME), A_HOME)
        self.b = self.client("b", self.home(B_HOME), B_HOME)
        self.start_server("--proxy-protocol", f"--trusted-proxies={PROXY}")
        self.proxy: Host = self._add(Host("proxy"))
        self.internet.plug(self.proxy, "eth", f"{PROXY}/24")
        forwards = [
            _FORWARD.format(port=port, proxy=PROXY, server=SERVER)
            for port in (PORT - 1, PORT, PORT + 1, PORT + 2, PORT + 3)
        ]
        (self.folder / "haproxy.cfg").write_text("".join([_HAPROXY, *forwards]))
        command = self.proxy.command(need("haproxy"), "-db", "-f", "haproxy.cfg")
        daemon = Daemon(self.folder, "haproxy", command)
        self.addCleanup(daemon.close)
        self.assertTrue(eventually(lambda: self._listens(PORT + 3), START_S), daemon.log())

    def _listens(self, port: int) -> bool:
        return f":{port} " in succeed(*self.proxy.command("ss", "-Hltn"))

    def test_7_proxy_protocol(self) -> None:
        """By TCP a hole is punched, for the server knows the clients' addresses."""
        outcome = self.session(self.a, self.b, server=PROXY, b_mode="tcp")
        self.assert_direct("tcp", outcome)

    def test_7_by_websocket(self) -> None:
        """By WebSocket both meet at the relay, behind the same proxy."""
        self.assert_relayed(self.session(self.a, self.b, server=PROXY, mode="websocket"))
