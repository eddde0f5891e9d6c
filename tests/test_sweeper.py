"""Tests for :mod:`rdserver.sweeper`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rdserver.sweeper import Sweeper
from tests.fakes import TurnClock


class SweeperTests(SynchronousTestCase):
    """A job every minute."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.runs: list[float] = []

    def start(self, job: Callable[[], object], **options: bool) -> Sweeper:
        """Return a sweeper that runs."""

        def run() -> object:
            self.runs.append(self.clock.seconds())
            return job()

        sweeper = Sweeper("test sweep", run, 60, self.clock, **options)
        sweeper.startService()
        return sweeper

    def test_regular(self) -> None:
        """The job runs every minute, for the first time after one."""
        sweeper = self.start(lambda: None)
        self.clock.pump([59, 1, 59, 1])
        self.assertEqual([60, 120], self.runs)
        self.successResultOf(sweeper.stopService())

    def test_at_once(self) -> None:
        """If so wanted the first time is the start."""
        sweeper = self.start(lambda: None, at_once=True)
        self.clock.advance(60)
        self.assertEqual([0, 60], self.runs)
        self.successResultOf(sweeper.stopService())

    def test_slices(self) -> None:
        """A job in slices: one each turn, not overlapped by the next run."""
        done: list[int] = []
        sweeper = self.start(lambda: (done.append(n) for n in range(3)))
        self.clock.advance(60)
        for count in (0, 1, 2, 3):
            self.assertEqual(count, len(done))
            self.clock.advance(0)
        self.clock.advance(60)
        self.assertEqual([60, 120], self.runs)
        stopped = sweeper.stopService()
        self.assertNoResult(stopped)
        self.clock.pump([0] * 4)
        self.successResultOf(stopped)
        self.assertEqual(6, len(done))

    def test_survives_a_failing_slice(self) -> None:
        """A slice that fails ends that run, not the next."""
        sweeper = self.start(lambda: (1 // n for n in (1, 0, 1)))
        for runs in ([60], [60, 120]):
            self.clock.advance(60 - self.clock.seconds() % 60)
            self.assertEqual(runs, self.runs)
            self.clock.pump([0] * 3)
            self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.successResultOf(sweeper.stopService())

    def test_survives_a_failing_job(self) -> None:
        """Each bad run is logged; the next comes on time."""
        sweeper = self.start(lambda: 1 // 0)
        self.clock.pump([60, 60])
        self.assertEqual([60, 120], self.runs)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.successResultOf(sweeper.stopService())

    def test_survives_a_job_that_fails_later(self) -> None:
        """A Deferred that fails is no different."""
        jobs = [Deferred(), Deferred()]
        sweeper = self.start(iter(jobs).__next__)
        self.clock.advance(60)
        jobs[0].errback(OSError("disk full"))
        self.clock.advance(60)
        self.assertEqual([60, 120], self.runs)
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        jobs[1].callback(None)
        self.successResultOf(sweeper.stopService())

    def test_no_overlap(self) -> None:
        """A job that takes long is not run again before it has ended."""
        job: Deferred[None] = Deferred()
        sweeper = self.start(lambda: job)
        self.clock.pump([60, 60, 60])
        self.assertEqual([60], self.runs)
        job.callback(None)
        self.clock.advance(60)
        self.assertEqual([60, 240], self.runs)
        self.successResultOf(sweeper.stopService())

    def test_stop(self) -> None:
        """Stopping stops it, and leaves no delayed call behind."""
        sweeper = self.start(lambda: None)
        self.successResultOf(sweeper.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.clock.advance(600)
        self.assertEqual([], self.runs)

    def test_stop_waits_for_the_job(self) -> None:
        """Shutdown does not cut a run in half."""
        job: Deferred[None] = Deferred()
        sweeper = self.start(lambda: job)
        self.clock.advance(60)
        stopped = sweeper.stopService()
        self.assertNoResult(stopped)
        job.callback(None)
        self.successResultOf(stopped)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop_without_start(self) -> None:
        """A start that failed before this one is stopped all the same."""
        sweeper = Sweeper("test sweep", lambda: None, 60, self.clock)
        self.assertIsNone(sweeper.stopService())

    def test_stop_twice(self) -> None:
        """The second time nothing is left to stop."""
        sweeper = self.start(lambda: None)
        sweeper.stopService()
        self.successResultOf(sweeper.stopService())

    def test_start_again(self) -> None:
        """A sweeper that was stopped can run again."""
        sweeper = self.start(lambda: None)
        self.successResultOf(sweeper.stopService())
        sweeper.startService()
        self.clock.advance(60)
        self.assertEqual([60], self.runs)
        self.successResultOf(sweeper.stopService())
