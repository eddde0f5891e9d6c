"""Tests for :mod:`rdserver.transports.admission`."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.admission import Admission


class AdmissionTests(SynchronousTestCase):
    """Five connections, three of one address."""

    def setUp(self) -> None:
        self.admission = Admission(5, 3)

    def enter(self, host: str, times: int = 1) -> list[bool]:
        return [self.admission.enter(host) for _ in range(times)]

    def test_of_one_address(self) -> None:
        """As many as allowed come in, one more does not."""
        self.assertEqual([True, True, True, False], self.enter("192.0.2.1", 4))
        self.assertEqual([True], self.enter("192.0.2.2"))

    def test_of_all(self) -> None:
        """As many as allowed come in from everybody, one more does not."""
        hosts = [f"192.0.2.{number}" for number in range(6)]
        admitted = [self.admission.enter(host) for host in hosts]
        self.assertEqual([True] * 5 + [False], admitted)

    def test_count(self) -> None:
        """Those that were let in are counted, those refused apart."""
        self.enter("192.0.2.1", 9)
        self.assertEqual((3, 6), (len(self.admission), self.admission.refused))

    def test_crowded(self) -> None:
        """Of each that is not let in somebody hears."""
        hosts: list[str] = []
        self.admission = Admission(2, 1, crowded=hosts.append)
        for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
            self.admission.enter(host)
        self.assertEqual(["192.0.2.1", "192.0.2.3"], hosts)

    def test_leaving_makes_room(self) -> None:
        """For the address, and for all."""
        self.enter("192.0.2.1", 3)
        self.enter("192.0.2.2", 2)
        self.admission.leave("192.0.2.1")
        self.assertEqual([True, False], self.enter("192.0.2.1", 2))

    def test_refused_takes_no_room(self) -> None:
        """Who was refused has not come in, and need not leave."""
        self.enter("192.0.2.1", 100)
        self.assertEqual([True, True, False], self.enter("192.0.2.2", 3))

    def test_ipv6(self) -> None:
        """A /64 is one address: it belongs to one customer."""
        hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::3:0:0:1"]
        self.assertEqual([True] * 3, [self.admission.enter(host) for host in hosts])
        self.assertEqual([False, True], [*self.enter("2001:db8::9"), *self.enter("::1")])
        self.admission.leave("2001:db8::ffff")
        self.assertEqual([True], self.enter("2001:db8::9"))

    def test_nothing_is_left(self) -> None:
        """An address is forgotten with its last connection."""
        for number in range(5):
            self.enter(f"192.0.2.{number}")
        for number in range(5):
            self.admission.leave(f"192.0.2.{number}")
        self.assertEqual((0, {}), (len(self.admission), self.admission._open))

    def test_exempt(self) -> None:
        """A proxy may have all there are; whom it speaks for may not."""
        admission = Admission(4, 1, exempt={"10.0.0.1"})
        self.assertTrue(admission.enter("10.0.0.1") and admission.enter("10.0.0.1"))
        for expected in (True, False):
            admission.leave("10.0.0.1")
            self.assertEqual(expected, admission.enter("192.0.2.1"))
        self.assertEqual((1, 1), (len(admission), admission.refused))
        self.assertTrue(all(admission.enter("10.0.0.1") for _ in range(3)))
        self.assertFalse(admission.enter("10.0.0.1"))

    def test_neighbours(self) -> None:
        """A proxy takes no room of its neighbours in the same /64, nor they of it."""
        admission = Admission(10, 1, exempt={"fd00::1"})
        hosts = ["fd00::1", "fd00::1", "fd00::2", "fd00::3", "fd00::1"]
        admitted = [admission.enter(host) for host in hosts]
        self.assertEqual([True, True, True, False, True], admitted)
        for host in ("fd00::1", "fd00::1", "fd00::2", "fd00::1"):
            admission.leave(host)
        self.assertEqual((0, {}), (len(admission), admission._open))

    def test_each_leaves_once(self) -> None:
        """Whoever comes and goes, and in which order, nothing is left in the end."""
        rng = random.Random(51)
        proxies = {"10.0.0.1", "fd00::1", "fe80::1%eth0"}
        hosts = [*proxies, "10.0.0.2", "fd00::2", "fe80::1", "fe80::2%eth0"]
        admission = Admission(20, 3, exempt=proxies)
        inside: list[str] = []
        for _ in range(5000):
            host = rng.choice(hosts)
            if rng.random() < 0.5 and inside:
                admission.leave(inside.pop(rng.randrange(len(inside))))
            elif admission.enter(host):
                inside.append(host)
            others = sum(host in ("fe80::1", "fe80::2%eth0") for host in inside)
            self.assertEqual((len(inside), True), (len(admission), others <= 3))
        for host in inside:
            admission.leave(host)
        self.assertEqual((0, {}), (len(admission), admission._open))
