"""Tests for :mod:`rdserver.rendezvous.routing`."""

from __future__ import annotations

from ipaddress import IPv4Network

from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.routing import Lan, Relays


class LanTests(SynchronousTestCase):
    def test_inside(self) -> None:
        """IPv4 addresses of the network are inside, to its last one."""
        lan = Lan(IPv4Network("192.168.4.0/22"), "192.168.4.1")
        hosts = ("192.168.4.0", "192.168.7.255", "192.168.8.0", "192.168.3.255", "10.0.0.1")
        self.assertEqual([True, True, False, False, False], [host in lan for host in hosts])

    def test_ipv6(self) -> None:
        """No IPv6 address is inside."""
        lan = Lan(IPv4Network("0.0.0.0/0"), "192.168.4.1")
        for host in ("::1", "2001:db8::1", "::ffff:192.168.4.1"):
            self.assertNotIn(host, lan)

    def test_off(self) -> None:
        """Without a network nobody is inside, and there is no local address."""
        lan = Lan(None, "192.168.4.1")
        self.assertNotIn("192.168.4.1", lan)
        self.assertEqual("", lan.local_ip)


class RelaysTests(SynchronousTestCase):
    def choices(self, relays: Relays, number: int = 4) -> list[str]:
        return [relays.choose() for _ in range(number)]

    def test_turns_through_changes(self) -> None:
        """The turn goes on when the list of usable relays shrinks and grows."""
        relays = Relays(["a", "b", "c"])
        self.assertEqual(["a", "b", "c", "a"], self.choices(relays))
        relays.checked(("a", "b", "c"), ["c", "a"])
        self.assertEqual(("a", "c"), relays.usable)
        self.assertEqual({"a", "c"}, set(self.choices(relays)))
        relays.checked(("a", "b", "c"), ["c", "b", "a"])
        self.assertEqual({"a", "b", "c"}, set(self.choices(relays)))

    def test_default(self) -> None:
        """Peers may meet without a relay unless the operator says otherwise."""
        self.assertFalse(Relays(["a"]).always)
        self.assertTrue(Relays(["a"], always=True).always)

    def test_none_alive(self) -> None:
        """A check that finds none alive changes nothing."""
        relays = Relays(["a", "b"])
        relays.checked(("a", "b"), ["b"])
        relays.checked(("a", "b"), [])
        self.assertEqual(("b",), relays.usable)

    def test_replaced_meanwhile(self) -> None:
        """A check of a list that was replaced meanwhile is ignored."""
        relays = Relays(["a", "b"])
        relays.replace(["b", "x"])
        relays.checked(("a", "b"), ["b"])
        self.assertEqual(("b", "x"), relays.usable)
