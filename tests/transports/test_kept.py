"""Tests for :mod:`rdserver.transports.kept`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.stream_state import HEARTBEAT_S, SILENCE_S
from rdserver.transports.kept import Kept


class Line:
    """Counts its heartbeats."""

    def __init__(self) -> None:
        self.beats = 0
        self.is_silent = False

    def beat(self) -> None:
        self.beats += 1

    def silent(self) -> None:
        self.is_silent = True


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.kept = Kept(self.clock, self.clock.seconds)
        self.line = Line()
        self.kept.start(self.line)

    def tearDown(self) -> None:
        self.kept.stop(self.line)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_heartbeats(self) -> None:
        """Each line has its heartbeats, one after the other, whatever it says."""
        for beats in range(1, 10):
            self.clock.advance(HEARTBEAT_S - 1)
            self.kept.heard(self.line)
            self.assertEqual(beats - 1, self.line.beats)
            self.clock.advance(1)
            self.assertEqual(beats, self.line.beats)
        self.assertFalse(self.line.is_silent)

    def test_silence(self) -> None:
        """Who says nothing for too long is told once."""
        self.clock.advance(SILENCE_S - 1)
        self.kept.heard(self.line)
        self.clock.advance(SILENCE_S - 1)
        self.assertFalse(self.line.is_silent)
        self.clock.advance(1)
        self.assertTrue(self.line.is_silent)

    def test_again(self) -> None:
        """Who is kept already is kept once."""
        self.kept.start(self.line)
        self.assertEqual(1, len(self.kept))
        self.clock.advance(HEARTBEAT_S)
        self.assertEqual(1, self.line.beats)

    def test_stopped(self) -> None:
        """Whoever is kept no more hears nothing; again, or never, does no harm."""
        for _ in range(2):
            self.kept.stop(self.line)
        self.kept.stop(Line())
        self.clock.advance(10 * SILENCE_S)
        self.assertEqual((0, False), (self.line.beats, self.line.is_silent))

    def test_many(self) -> None:
        """There is one delayed call for all heartbeats, and one for all silences."""
        lines = [Line() for _ in range(1000)]
        for line in lines:
            self.kept.start(line)
        self.assertEqual(2, len(self.clock.getDelayedCalls()))
        self.clock.advance(HEARTBEAT_S)
        self.assertEqual({1}, {line.beats for line in lines})
        for line in lines:
            self.kept.stop(line)
