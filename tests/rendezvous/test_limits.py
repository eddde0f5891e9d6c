"""
Tests for :mod:`rdserver.rendezvous.limits`: bounds and forgetting.

The rule of RegistrationLimit is in tests/conformance/test_id_registration.py.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.limits import RateLimit, RegistrationLimit
from rdserver.rendezvous.slices import at_once

ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class RegistrationLimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = RegistrationLimit(self.clock.seconds, max_addresses=3, max_ids=5)

    def hosts(self) -> list[str]:
        return [host for host, _ in self.limit.rows()]

    def admit(self, host: str, *ids: int) -> None:
        for peer_id in ids:
            self.limit.admit(host, str(peer_id))

    def test_too_many_addresses(self) -> None:
        """At the bound all are kept; beyond, the one used longest ago is forgotten."""
        for host in (ONE, TWO, THREE):
            self.admit(host, 0)
        self.admit(ONE, 1)
        self.assertEqual([TWO, THREE, ONE], self.hosts())
        self.admit("192.0.2.4", 0)
        self.assertEqual([THREE, ONE, "192.0.2.4"], self.hosts())

    def test_too_many_ids(self) -> None:
        """Of all addresses together five ids are kept; then the oldest address goes."""
        self.admit(ONE, 0, 1, 2)  # the first call of an address is not recorded
        self.admit(TWO, 0, 3, 4, 5)
        self.assertEqual(2, len(self.limit))
        self.admit(TWO, 6)
        self.assertEqual([TWO], self.hosts())
        self.assertEqual("4/0s 4/0s", self.limit.describe(TWO))

    def test_room_is_given_back(self) -> None:
        """What is removed, swept or cleared makes room for others' ids."""
        self.admit(ONE, 0, 1, 2, 3, 4, 5)
        self.limit.remove(ONE)
        self.admit(TWO, 0, 1, 2, 3, 4, 5)
        self.clock.advance(86_401)
        at_once(self.limit.sweep())
        self.admit(THREE, 0, 1, 2, 3, 4, 5)
        self.clock.advance(86_401)
        self.admit(THREE, 6)
        self.admit(ONE, 0, 1, 2, 3, 4)
        self.assertEqual([THREE, ONE], self.hosts())
        self.assertEqual("1/0s 1/0s", self.limit.describe(THREE))

    def test_one_address_alone(self) -> None:
        """Even an address that has all the room itself leaves no ids behind."""
        self.admit(ONE, *range(7))
        self.assertEqual(0, len(self.limit))
        self.admit(TWO, *range(6))
        self.assertEqual([TWO], self.hosts())

    def test_swept_when_both_windows_have_passed(self) -> None:
        """A day after the last id, and a minute after the last call."""
        self.admit(ONE, 0, 1)
        self.clock.advance(86_400.9)
        at_once(self.limit.sweep())
        self.assertEqual([ONE], self.hosts())
        self.clock.advance(0.1)
        at_once(self.limit.sweep())
        self.assertEqual([], self.hosts())

    def test_memory(self) -> None:
        """An address with one id, as most have, takes no more than that id."""
        self.limit = RegistrationLimit(self.clock.seconds)
        self.admit(ONE, 0, 1, 1)
        self.admit(TWO, 0, 1, 2)
        seen = [record._other_ids for record in self.limit._records.values()]
        self.assertEqual([None, {"2"}], seen)

    def test_refused_lately(self) -> None:
        """Who is refused for its many ids is kept until a minute after it last asked."""
        limit = RegistrationLimit(self.clock.seconds)
        for n in range(302):
            self.clock.advance(0 if n % 31 else 61)
            self.assertTrue(limit.admit(ONE, str(n)))
        self.clock.advance(86_390)
        self.assertFalse(limit.admit(ONE, "new"))
        self.clock.advance(60.9)
        at_once(limit.sweep())
        self.assertEqual(1, len(limit))
        self.clock.advance(0.1)
        at_once(limit.sweep())
        self.assertEqual(0, len(limit))

    def test_sweep_begins_with_the_oldest(self) -> None:
        """A sweep ends at the first that it keeps: nothing is looked at in vain."""
        for host in (ONE, TWO, THREE):
            self.admit(host, 0)
        self.clock.advance(86_401)
        self.admit(TWO, 0)
        at_once(self.limit.sweep())
        self.assertEqual([TWO], self.hosts())
        self.clock.advance(60.9)
        at_once(self.limit.sweep())
        self.assertEqual([TWO], self.hosts())

    def test_removed(self) -> None:
        """What is removed is gone; removing the unknown does nothing."""
        self.admit(ONE, 0)
        self.limit.remove(TWO)
        self.limit.remove(ONE)
        self.assertIsNone(self.limit.describe(ONE))

    def test_flood(self) -> None:
        """However many addresses call, the table stays at its bound."""
        limit = RegistrationLimit(self.clock.seconds, max_addresses=1000)
        for n in range(100_000):
            limit.admit(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", str(n))
        self.assertEqual(1000, len(limit))


class RateLimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = RateLimit(self.clock.seconds, burst=3, per_s=2, max_addresses=10)

    def admitted(self, host: str, times: int) -> int:
        return [self.limit.admit(host) for _ in range(times)].count(True)

    def test_burst(self) -> None:
        """Three at once, then two a second, never more than three saved up."""
        self.assertEqual(3, self.admitted(ONE, 5))
        self.clock.advance(0.5)
        self.assertEqual(1, self.admitted(ONE, 5))
        self.clock.advance(0.4)
        self.assertEqual(0, self.admitted(ONE, 1))
        self.clock.advance(100)
        self.assertEqual(3, self.admitted(ONE, 5))

    def test_addresses(self) -> None:
        """Each IPv4 address has its own, of IPv6 each /64."""
        self.admitted(ONE, 5)
        self.assertEqual(3, self.admitted(TWO, 5))
        self.admitted("2001:db8::1", 5)
        self.assertEqual(0, self.admitted("2001:db8::ffff", 5))
        self.assertEqual(3, self.admitted("2001:db8:0:1::1", 5))

    def test_flood(self) -> None:
        """However many addresses come, the last ten are known."""
        hosts = [f"10.0.{n >> 8}.{n & 255}" for n in range(1000)]
        for host in hosts:
            self.admitted(host, 3)
        self.assertEqual(10, len(self.limit))
        self.assertEqual([0] * 10, [self.admitted(host, 1) for host in hosts[-10:]])
        self.assertEqual(1, self.admitted(hosts[-11], 1))

    def test_sweep(self) -> None:
        """Who has all tokens back is forgotten, nobody else."""
        self.limit.admit(ONE)
        self.clock.advance(1)
        self.limit.admit(TWO)
        self.clock.advance(0.4)
        at_once(self.limit.sweep())
        self.assertEqual(2, len(self.limit))
        self.clock.advance(0.1)
        at_once(self.limit.sweep())
        self.assertEqual(1, len(self.limit))
        self.clock.advance(1)
        at_once(self.limit.sweep())
        self.assertEqual(0, len(self.limit))

    def test_charged(self) -> None:
        """One can owe tokens, and has none before they have come back."""
        for _ in range(5):
            self.limit.charge(ONE)
        self.clock.advance(1.4)
        self.assertTrue(self.limit.is_exhausted(ONE))
        self.assertEqual(0, self.admitted(ONE, 1))
        self.clock.advance(0.1)
        self.assertEqual(1, self.admitted(ONE, 2))

    def test_sweep_of_debts(self) -> None:
        """Who owes tokens is not forgotten before all have come back."""
        for _ in range(5):
            self.limit.charge(ONE)
        self.clock.advance(2.4)
        at_once(self.limit.sweep())
        self.assertEqual(1, len(self.limit))
        self.clock.advance(0.1)
        at_once(self.limit.sweep())
        self.assertEqual(0, len(self.limit))

    def test_exhausted(self) -> None:
        """Whether the next would be refused can be asked without taking one."""
        for admitted in (True, True, True, False):
            for _ in range(3):
                self.assertEqual(admitted, not self.limit.is_exhausted(ONE))
            self.assertEqual(admitted, self.limit.admit(ONE))
        self.clock.advance(0.5)
        self.assertFalse(self.limit.is_exhausted(ONE))
        self.assertFalse(self.limit.is_exhausted(TWO))
        self.assertEqual(1, len(self.limit))
