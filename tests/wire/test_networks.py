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

    def test_none(self) -> None:
        """No networks hold nobody."""
        self.assertNotIn("127.0.0.1", networks())

    def test_mapped(self) -> None:
        """IPv4 in an IPv6 disguise means IPv4."""
        some = networks("::ffff:10.0.0.0/104")
        self.assertIn("10.1.2.3", some)
        self.assertNotIn("11.1.2.3", some)
        self.assertIn("::1", networks("::/0"))

    def test_remembered(self) -> None:
        """What is remembered is bounded."""
        some = networks("10.0.0.0/8")
        for number in range(5000):
            self.assertIn(f"10.0.{number >> 8}.{number & 255}", some)
        self.assertLess(some._remembered.cache_info().currsize, 5000)
