"""Tests for :mod:`rdserver.wire.forwarded`."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.forwarded import MAX_PROXIES, client_host
from rdserver.wire.networks import Networks

TRUSTED = Networks(map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32")))
PROXY = "10.0.0.1"


class ClientHostTests(SynchronousTestCase):
    def real(self, peer: str = PROXY, **headers: str) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client_host(peer, names, TRUSTED)

    def chain(self, text: str) -> str:
        return self.real(x_forwarded_for=text)

    def test_nothing_said(self) -> None:
        """Without a header it is who connected."""
        self.assertEqual(PROXY, self.real())
        self.assertEqual("192.0.2.1", self.real("192.0.2.1"))

    def test_stranger(self) -> None:
        """Nobody but a trusted proxy is believed."""
        for headers in ({"x_real_ip": "1.2.3.4"}, {"x_forwarded_for": "1.2.3.4"}):
            self.assertEqual("192.0.2.1", self.real("192.0.2.1", **headers))

    def test_real_ip(self) -> None:
        """X-Real-IP counts, before the other."""
        self.assertEqual("198.51.100.7", self.real(x_real_ip=" 198.51.100.7 "))
        both = {"x_real_ip": "198.51.100.7", "x_forwarded_for": "203.0.113.9"}
        self.assertEqual("198.51.100.7", self.real(**both))

    def test_real_ip_that_is_none(self) -> None:
        """Said twice, or no address, it counts as not said."""
        for text in ("1.2.3.4, 5.6.7.8", "unknown", "", "::1::", "1.2.3.4.5", "é", ","):
            self.assertEqual(PROXY, self.real(x_real_ip=text))
            both = {"x_real_ip": text, "x_forwarded_for": "203.0.113.9"}
            self.assertEqual("203.0.113.9", self.real(**both))

    def test_chain(self) -> None:
        """The right-most that is no trusted proxy is the client."""
        chains = {
            "203.0.113.9": "203.0.113.9",
            "1.1.1.1, 203.0.113.9": "203.0.113.9",
            "1.1.1.1,203.0.113.9, 10.9.9.9 ,127.0.0.1": "203.0.113.9",
            "2a00::1, 2001:db8::5": "2a00::1",
        }
        for text, expected in chains.items():
            self.assertEqual(expected, self.chain(text))

    def test_all_trusted(self) -> None:
        """Where all are proxies it is the first of them."""
        self.assertEqual("10.1.1.1", self.chain("10.1.1.1, 10.2.2.2"))

    def test_forms(self) -> None:
        """Ports and brackets are left out, IPv4 is never in disguise."""
        for text in ("203.0.113.9:443", "[::ffff:203.0.113.9]", "::ffff:203.0.113.9"):
            self.assertEqual("203.0.113.9", self.chain(text))
        for text in ("2A00:0::1", "[2a00::1]", "[2a00::1]:443"):
            self.assertEqual("2a00::1", self.chain(text))

    def test_malformed(self) -> None:
        """Nothing is believed beyond what is no address."""
        bad_ones = (
            *("unknown", "_hidden", "", "1.2.3", "203.0.113.9:x", "[1.2.3.4", "1.2.3.4]"),
            *("203.0.113.9:", "1.2.3.4:\u0661", "1.2.3.4:123456", "[]", "[2a00::1]x"),
            *("1.2.3.4%eth0", "fe80::1%eth0", "fe80::1%a from 1.2.3.4"),
        )
        for bad in bad_ones:
            self.assertEqual(PROXY, self.chain(f"1.1.1.1, {bad}"))
            self.assertEqual("10.2.2.2", self.chain(f"1.1.1.1, {bad}, 10.2.2.2"))

    def test_long_chain(self) -> None:
        """Only so many proxies are followed."""
        self.assertEqual("10.2.2.2", self.chain("1.1.1.1" + ", 10.2.2.2" * MAX_PROXIES))
        self.assertEqual("1.1.1.1", self.chain("1.1.1.1" + ", 10.2.2.2" * 10))

    def test_nobody(self) -> None:
        """An address that no machine has is none, least of all this machine's own."""
        for text in ("::7f00:1", "::127.0.0.1", "[::127.0.0.1]:80", "0.0.0.0", "::"):
            self.assertEqual(PROXY, self.real(x_real_ip=text))
            self.assertEqual(PROXY, self.chain(f"203.0.113.9, {text}"))

    def test_absurd(self) -> None:
        """A header of any length and content costs little, and is not believed."""
        names: list[str] = []

        class Counted(Networks):
            def __contains__(self, host: object) -> bool:
                names.append(str(host))
                return super().__contains__(host)

        trusted = Counted([ip_network("10.0.0.0/8")])
        size = 16 * 1024
        for text in ("10.2.2.2," * size, "," * size, "1" * size, ":" * size, "[" * size):
            for name in ("x-real-ip", "x-forwarded-for"):
                client_host(PROXY, {name: text}, trusted)
        self.assertEqual({PROXY}, set(names))
        chain = {"x-forwarded-for": ",10.2.2.2" * size}
        names.clear()
        self.assertEqual("10.2.2.2", client_host(PROXY, chain, trusted))
        self.assertEqual(1 + MAX_PROXIES, len(names))
