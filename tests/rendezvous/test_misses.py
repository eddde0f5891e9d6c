"""Tests for :mod:`rdserver.rendezvous.misses`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.misses import Misses


class MissesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.misses = Misses(self.clock.seconds, most=3)

    def test_remembered(self) -> None:
        """An id is there for at least 30 s."""
        self.clock.advance(29)
        self.assertNotIn("a", self.misses)
        self.misses.add("a")
        self.clock.advance(29.9)
        self.assertIn("a", self.misses)
        self.assertNotIn("b", self.misses)

    def test_forgotten(self) -> None:
        """After 60 s at most it is gone, whether somebody looked meanwhile or not."""
        self.misses.add("a")
        self.clock.advance(59.9)
        self.assertIn("a", self.misses)
        self.clock.advance(0.1)
        self.assertNotIn("a", self.misses)

    def test_forgotten_unseen(self) -> None:
        """The same when nobody looked; then nothing is kept."""
        self.misses.add("a")
        self.clock.advance(60)
        self.assertNotIn("a", self.misses)
        self.assertEqual(0, len(self.misses))

    def test_bound(self) -> None:
        """Of more ids than two generations hold the oldest are forgotten."""
        for peer_id in "abcdef":
            self.misses.add(peer_id)
        self.assertEqual(6, len(self.misses))
        self.misses.add("g")
        self.assertEqual(4, len(self.misses))
        self.assertEqual("defg", "".join(c for c in "abcdefg" if c in self.misses))

    def test_discarded(self) -> None:
        """An id can be forgotten at any age, known or not."""
        self.misses.add("a")
        self.clock.advance(30)
        self.misses.add("b")
        for peer_id in "abc":
            self.misses.discard(peer_id)
        self.assertEqual(0, len(self.misses))

    def test_one_id(self) -> None:
        """One id, again and again, takes one place."""
        for _ in range(10):
            self.misses.add("a")
        self.assertEqual(1, len(self.misses))

    def test_sweep(self) -> None:
        """What is too old takes no memory, even if nobody asks."""
        self.misses.add("a")
        self.clock.advance(30)
        self.misses.sweep()
        self.assertEqual(1, len(self.misses))
        self.clock.advance(30)
        self.misses.sweep()
        self.assertEqual(0, len(self.misses))
