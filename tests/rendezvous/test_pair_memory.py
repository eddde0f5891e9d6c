"""Tests for :mod:`rdserver.rendezvous.pair_memory`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.identity import Credential
from rdserver.rendezvous.pair_memory import PairMemory
from rdserver.rendezvous.slices import at_once
from tests.rendezvous.fixture import BOB_ID, SHOWN

OTHER_ID = "987654321"


class PairMemoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pairs = PairMemory(self.clock.seconds, max_pairs=3)

    def test_two_minutes(self) -> None:
        """A pair is known for two minutes from the last time it was asked or told."""
        self.pairs.asked("192.0.2.1", BOB_ID, SHOWN)
        self.clock.advance(119)
        self.pairs.told("192.0.2.1", BOB_ID, "r1")
        self.clock.advance(119.9)
        self.assertTrue(self.pairs.has_asked("192.0.2.1", BOB_ID))
        self.assertEqual(("r1",), self.pairs.relays("192.0.2.1", BOB_ID))
        self.clock.advance(0.1)
        self.assertFalse(self.pairs.has_asked("192.0.2.1", BOB_ID))
        self.assertEqual((), self.pairs.relays("192.0.2.1", BOB_ID))

    def test_who(self) -> None:
        """Another device or address is another pair; of IPv6 a /64 is one address."""
        self.pairs.asked("2001:db8::1", BOB_ID, SHOWN)
        self.assertTrue(self.pairs.has_asked("2001:db8::2", BOB_ID))
        self.assertFalse(self.pairs.has_asked("2001:db8:0:1::1", BOB_ID))
        self.assertFalse(self.pairs.has_asked("2001:db8::1", OTHER_ID))

    def test_asked_again(self) -> None:
        """Asking again keeps the relays; an old pair's relays are not revived."""
        self.pairs.told("192.0.2.1", BOB_ID, "r1")
        self.pairs.asked("192.0.2.1", BOB_ID, SHOWN)
        self.assertEqual(("r1",), self.pairs.relays("192.0.2.1", BOB_ID))
        self.clock.advance(120)
        self.pairs.asked("192.0.2.1", BOB_ID, SHOWN)
        self.assertEqual((), self.pairs.relays("192.0.2.1", BOB_ID))

    def test_credential(self) -> None:
        """What was shown is remembered as long as the pair, whatever is told meanwhile."""
        other = Credential(None, "old")
        self.assertIsNone(self.pairs.credential("192.0.2.1", BOB_ID))
        self.pairs.asked("192.0.2.1", BOB_ID, other)
        self.pairs.asked("192.0.2.2", BOB_ID, SHOWN)
        self.pairs.told("192.0.2.1", BOB_ID, "r1")
        self.assertIs(other, self.pairs.credential("192.0.2.1", BOB_ID))
        self.assertIs(SHOWN, self.pairs.credential("192.0.2.2", BOB_ID))
        self.assertIsNone(self.pairs.credential("192.0.2.1", OTHER_ID))
        self.pairs.asked("192.0.2.1", BOB_ID, SHOWN)
        self.assertIs(SHOWN, self.pairs.credential("192.0.2.1", BOB_ID))
        self.clock.advance(120)
        self.assertIsNone(self.pairs.credential("192.0.2.1", BOB_ID))
        self.pairs.told("192.0.2.1", BOB_ID, "r1")
        self.assertIsNone(self.pairs.credential("192.0.2.1", BOB_ID))

    def test_relays_are_bounded(self) -> None:
        """The last eight names are kept, each once, none empty or longer than 260."""
        names = ("r0", "r0", *(f"r{n}" for n in range(1, 9)), "x" * 260)
        for name in (*names, "", "x" * 261):
            self.pairs.told("192.0.2.1", BOB_ID, name)
        expected = (*(f"r{n}" for n in range(2, 9)), "x" * 260)
        self.assertEqual(expected, self.pairs.relays("192.0.2.1", BOB_ID))

    def test_pairs_are_bounded(self) -> None:
        """At the bound all are kept; beyond, the one used longest ago is forgotten."""
        for n in range(3):
            self.pairs.asked(f"192.0.2.{n}", BOB_ID, SHOWN)
        self.pairs.asked("192.0.2.0", BOB_ID, SHOWN)
        self.pairs.asked("192.0.2.3", BOB_ID, SHOWN)
        known = [self.pairs.has_asked(f"192.0.2.{n}", BOB_ID) for n in range(4)]
        self.assertEqual([True, False, True, True], known)
        self.assertEqual(3, len(self.pairs))

    def test_sweep(self) -> None:
        """Pairs that are too old are forgotten, no others."""
        self.pairs.asked("192.0.2.1", BOB_ID, SHOWN)
        self.clock.advance(60)
        self.pairs.asked("192.0.2.2", BOB_ID, SHOWN)
        self.clock.advance(60)
        at_once(self.pairs.sweep())
        self.assertEqual(1, len(self.pairs))
        self.clock.advance(60)
        at_once(self.pairs.sweep())
        self.assertEqual(0, len(self.pairs))
