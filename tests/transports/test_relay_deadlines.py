"""Many deadlines of one length."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.relay_deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[str] = []
        self.deadlines: Deadlines[str] = Deadlines(
            self.clock, self.clock.seconds, 10, self.expired.append
        )

    def test_expires(self) -> None:
        """Each item ends when its own time is over, not before."""
        self.deadlines.start("a")
        self.clock.advance(4)
        self.deadlines.start("b")
        self.clock.advance(5.9)
        self.assertEqual([], self.expired)
        self.clock.advance(0.1)
        self.assertEqual(["a"], self.expired)
        self.clock.advance(3.9)
        self.assertEqual(["a"], self.expired)
        self.clock.advance(0.1)
        self.assertEqual((["a", "b"], 0), (self.expired, len(self.deadlines)))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop(self) -> None:
        """A stopped item never ends; stopping it again, or an unknown one, is harmless."""
        self.deadlines.start("a")
        self.deadlines.start("b")
        self.deadlines.stop("a")
        self.deadlines.stop("a")
        self.deadlines.stop("x")
        self.clock.advance(10)
        self.assertEqual(["b"], self.expired)

    def test_nothing_pending(self) -> None:
        """Without items there is no delayed call."""
        self.deadlines.start("a")
        self.deadlines.stop("a")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_one_delayed_call(self) -> None:
        """However many items there are, one delayed call is enough."""
        for item in "abcdef":
            self.deadlines.start(item)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_start_again(self) -> None:
        """Starting an item again gives it its whole time again."""
        self.deadlines.start("a")
        self.deadlines.start("b")
        self.clock.advance(6)
        self.deadlines.start("a")
        self.clock.advance(4)
        self.assertEqual(["b"], self.expired)
        self.clock.advance(6)
        self.assertEqual(["b", "a"], self.expired)

    def test_expiry_may_stop_and_start(self) -> None:
        """What is called at an end may change the table."""

        def expired(item: str) -> None:
            self.expired.append(item)
            deadlines.stop("b")
            deadlines.start("c")

        deadlines: Deadlines[str] = Deadlines(self.clock, self.clock.seconds, 10, expired)
        deadlines.start("a")
        deadlines.start("b")
        self.clock.advance(10)
        self.assertEqual((["a"], 1), (self.expired, len(deadlines)))
        deadlines.stop("c")

    def test_a_bug_in_one(self) -> None:
        """An error at one end keeps no other from its own."""

        def expired(item: str) -> None:
            self.expired.append(item)
            if item == "a":
                raise RuntimeError("bug")

        deadlines: Deadlines[str] = Deadlines(self.clock, self.clock.seconds, 10, expired)
        deadlines.start("a")
        deadlines.start("b")
        self.assertRaises(RuntimeError, self.clock.advance, 10)
        self.clock.advance(0)
        self.assertEqual(["a", "b"], self.expired)

    def test_two_clocks(self) -> None:
        """The reactor's clock may jump: an item has its whole time on the steady one."""
        steady = Clock()
        deadlines: Deadlines[str] = Deadlines(
            self.clock, steady.seconds, 10, self.expired.append
        )
        deadlines.start("a")
        steady.advance(1)
        self.clock.advance(3600)
        self.assertEqual([], self.expired)
        steady.advance(9)
        self.clock.advance(9)
        self.assertEqual(["a"], self.expired)
