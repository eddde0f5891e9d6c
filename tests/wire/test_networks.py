"""Tests for :mod:`rdserver.wire.networks`."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.networks import Networks


def networks(*texts: str) -> Networks:
    return Networks(map(ip_network, texts))


class NetworksTests(SynchronousTestCase):
    def test_inside(self) -> None:
        """Addresses of both families are found in their networks."""
        some = networks("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "fe80::/64")
        for host in ("10.255.0.1", "192.0.2.1", "2001:db8:1::1", "fe80::1%eth0"):
            self.assertIn(host, some)

    def test_outside(self) -> None:
        """Others are not, nor is what is no address."""
        some = networks("10.0.0.0/8", "2001:db8::/32")
        for host in ("11.0.0.1", "2001:db9::1", "::1", "", "proxy", "10.0.0.0/8", "10.1"):
            self.assertNotIn(host, some)
        for host in ("10.0.0.1%eth0", "2001:db8::1%", "010.0.0.1", "\u06610.0.0.1"):
            self.assertNotIn(host, some)

    def test_none(self) -> None:
        """No networks hold nobody."""
        self.assertNotIn("127.0.0.1", networks())

    def test_mapped(self) -> None:
        """IPv4 in an IPv6 disguise means IPv4."""
        some = networks("::ffff:10.0.0.0/104")
        self.assertIn("10.1.2.3", some)
        self.assertNotIn("11.1.2.3", some)
        self.assertIn("::1", networks("::/0"))
        for host in ("::ffff:10.1.2.3", "::FFFF:a01:203"):
            self.assertIn(host, some)
            self.assertIn(host, networks("10.0.0.0/8"))
            self.assertNotIn(host, networks("::/0"))

    def test_nobody(self) -> None:
        """An IPv6 address that only ends like IPv4 is not that one."""
        for host in ("::10.1.2.3", "::a01:203", "64:ff9b::a01:203"):
            self.assertNotIn(host, networks("10.0.0.0/8"))

    def test_remembered(self) -> None:
        """What is remembered is bounded."""
        some = networks("10.0.0.0/8")
        for number in range(5000):
            self.assertIn(f"10.0.{number >> 8}.{number & 255}", some)
        self.assertLess(some._remembered.cache_info().currsize, 5000)

    def test_long(self) -> None:
        """A text that is too long for an address is not even remembered."""
        some = networks("fe80::/10")
        for host in ("1" * 2000, "fe80::1%" + "x" * 2000):
            self.assertNotIn(host, some)
        self.assertEqual(0, some._remembered.cache_info().currsize)
        self.assertIn("fe80:1111:2222:3333:4444:5555:6666:7777%enp0s31f6.100", some)
