"""Tests for :mod:`rdserver.notices`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.notices import Notices


class Reason(StrEnum):
    WRONG_KEY = "wrong key"
    GARBAGE = "garbage"


class NoticesTests(SynchronousTestCase):
    """Three lines of a reason in ten seconds."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.clock = Clock()
        self.notices = Notices(
            Logger("test", observer=self.events.append),
            Reason,
            self.clock.seconds,
            burst=3,
            interval_s=10,
        )

    def lines(self) -> list[str]:
        """Return the lines logged since the last call."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def warn(self, times: int = 1) -> None:
        for _ in range(times):
            self.notices.warn(
                Reason.WRONG_KEY, "wrong key from {remote}", remote="192.0.2.1"
            )

    def test_counters_begin_at_zero(self) -> None:
        """Every reason is there from the start, so that none looks forgotten."""
        self.assertEqual({Reason.WRONG_KEY: 0, Reason.GARBAGE: 0}, self.notices.counts)

    def test_count(self) -> None:
        """What is only counted reaches no log."""
        self.notices.count(Reason.GARBAGE)
        self.assertEqual({Reason.WRONG_KEY: 0, Reason.GARBAGE: 1}, self.notices.counts)
        self.assertEqual([], self.lines())

    def test_event(self) -> None:
        """A line carries its level, its fields and its reason."""
        self.warn()
        self.notices.error(Reason.GARBAGE, "cannot read {name}", name="x")
        first, second = self.events
        self.assertEqual(LogLevel.warn, first["log_level"])
        self.assertEqual(("192.0.2.1", "wrong key"), (first["remote"], first["reason"]))
        self.assertEqual(
            (LogLevel.error, "garbage"), (second["log_level"], second["reason"])
        )
        self.assertEqual(["wrong key from 192.0.2.1", "cannot read x"], self.lines())

    def test_burst(self) -> None:
        """A burst is logged, one more is only counted."""
        self.warn(3)
        self.assertEqual(3, len(self.lines()))
        self.warn()
        self.assertEqual([], self.lines())
        self.assertEqual(4, self.notices.counts[Reason.WRONG_KEY])

    def test_held_back(self) -> None:
        """Once the interval is over the next line says how many were held back, once."""
        self.warn(8)
        self.lines()
        self.clock.advance(9.9)
        self.warn()
        self.assertEqual([], self.lines())
        self.clock.advance(0.1)
        self.warn(2)
        self.assertEqual(
            [
                "wrong key from 192.0.2.1 (and 6 more like it before)",
                "wrong key from 192.0.2.1",
            ],
            self.lines(),
        )

    def test_new_interval_allows_a_new_burst(self) -> None:
        """Each interval has its own burst, however much was held back before."""
        for _ in range(3):
            self.warn(100)
            self.assertEqual(3, len(self.lines()))
            self.clock.advance(10)
        self.assertEqual(300, self.notices.counts[Reason.WRONG_KEY])

    def test_reasons_do_not_share(self) -> None:
        """A flood of one reason does not silence another."""
        self.warn(100)
        self.lines()
        self.notices.warn(Reason.GARBAGE, "garbage")
        self.assertEqual(["garbage"], self.lines())

    def test_levels_share_a_reason(self) -> None:
        """A reason has one budget, whatever the level."""
        self.warn(3)
        self.notices.error(Reason.WRONG_KEY, "again")
        self.assertEqual(3, len(self.lines()))

    def test_long_flood(self) -> None:
        """A stranger who sends all day fills no log: three lines in ten seconds."""
        for _ in range(500):
            self.warn(5)
            self.clock.advance(10)
        self.assertEqual(3 * 500, len(self.lines()))

    def test_default_burst(self) -> None:
        """Unless said otherwise ten lines in ten seconds."""
        notices = Notices(
            Logger("test", observer=self.events.append), Reason, self.clock.seconds
        )
        for _ in range(11):
            notices.warn(Reason.GARBAGE, "garbage")
        self.assertEqual(10, len(self.lines()))
        self.clock.advance(10)
        notices.warn(Reason.GARBAGE, "garbage")
        self.assertEqual(["garbage (and 1 more like it before)"], self.lines())
