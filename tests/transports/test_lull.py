"""The end of the loop's work: waiting in the reactor's stead, and naps."""

from __future__ import annotations

import os
import select

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.lull import (
    _ALERT,
    NAP_ABOVE_BYTES,
    NAP_BELOW_BYTES,
    NAP_FOR_BYTES,
    NAP_S,
    SLICE_S,
    Lull,
)

SMALL = NAP_ABOVE_BYTES - 1
LARGE = NAP_ABOVE_BYTES


class EpollReactor(Clock):
    """
    As much of Twisted's as counts here.

    :ivar timeout_s: how long it would wait.
    """

    running = True
    _justStopped = False  # noqa: N815 - Twisted's name
    timeout_s: float | None = 0.001

    def __init__(self) -> None:
        super().__init__()
        self._poller = select.epoll()
        self.threadCallQueue: list[object] = []

    def timeout(self) -> float | None:
        return self.timeout_s


class LullCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EpollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.epoll = select.epoll()
        self.addCleanup(self.epoll.close)
        self.reactor._poller.register(self.epoll.fileno(), select.EPOLLIN)
        self.naps: list[float] = []
        self.lull = self.make_lull()

    def make_lull(self) -> Lull:
        return Lull(self.reactor, self.epoll, self.reactor.seconds, self.naps.append)

    def pipe(self) -> tuple[int, int]:
        """Return both ends of a pipe."""
        ends = os.pipe()
        for end in ends:
            self.addCleanup(os.close, end)
        return ends

    def give_ours_something(self) -> None:
        """One of the loop's own descriptors can be read from now on."""
        reading, writing = self.pipe()
        self.epoll.register(reading, select.EPOLLIN)
        os.write(writing, b"x")

    def give_others_something(self) -> None:
        """One of the reactor's other descriptors can be read from now on."""
        reading, writing = self.pipe()
        self.reactor._poller.register(reading, select.EPOLLIN)
        os.write(writing, b"x")

    def next_slice(self, served: int = 1, moved_bytes: int = SMALL) -> float:
        return self.lull.next_slice(self.reactor.seconds() + SLICE_S, served, moved_bytes)


class StandInTests(LullCase):
    def test_called_by_a_thread(self) -> None:
        """A thread's call goes first, also if what woke the reactor was read before."""
        self.reactor.timeout_s = 5.0
        self.give_ours_something()
        self.reactor.threadCallQueue.append(None)
        self.assertEqual(0.0, self.next_slice())

    def test_just_stopped(self) -> None:
        """A reactor that is to end is not kept from it."""
        self.reactor.timeout_s = 5.0
        self.give_ours_something()
        self.reactor._justStopped = True
        self.assertEqual(0.0, self.next_slice())

    def test_ours_alone(self) -> None:
        """What comes for the loop alone is served at once, in a new slice of time."""
        self.give_ours_something()
        self.reactor.advance(7)
        self.assertEqual(7 + SLICE_S, self.next_slice())

    def test_nothing(self) -> None:
        """The reactor goes on when its next call is due."""
        self.assertEqual(0.0, self.next_slice())

    def test_others_too(self) -> None:
        """As soon as others have something to do the reactor goes on."""
        self.give_ours_something()
        self.give_others_something()
        for _ in range(5):
            self.assertEqual(0.0, self.next_slice())

    def test_others_only(self) -> None:
        """So it does when the loop has nothing."""
        self.give_others_something()
        self.assertEqual(0.0, self.next_slice())

    def test_no_call_waits(self) -> None:
        """With no call to make the wait is as long as it takes."""
        self.reactor.timeout_s = None
        self.give_ours_something()
        self.assertNotEqual(0.0, self.next_slice())

    def test_call_is_due(self) -> None:
        """A call that is due comes before whatever the loop has."""
        self.give_ours_something()
        self.reactor.timeout_s = 0
        self.assertEqual(0.0, self.next_slice())

    def test_stopped(self) -> None:
        """Nobody waits for a reactor that is not running."""
        self.give_ours_something()
        self.reactor.running = False
        self.assertEqual(0.0, self.next_slice())

    def test_other_reactors(self) -> None:
        """One that does not wait with epoll is always gone back to."""
        self.give_ours_something()
        self.patch(self.reactor, "_poller", select.poll())
        self.assertEqual(0.0, self.make_lull().next_slice(SLICE_S, 1, SMALL))
        self.patch(self.reactor, "_poller", None)
        self.assertEqual(0.0, self.make_lull().next_slice(SLICE_S, 1, SMALL))

    def test_closed(self) -> None:
        """A loop that is closed waits for nothing."""
        self.epoll.close()
        self.give_others_something()
        self.reactor.timeout_s = None
        self.assertEqual(0.0, self.next_slice())


class NapTests(LullCase):
    def setUp(self) -> None:
        super().setUp()
        for _ in range(_ALERT):
            self.next_slice()
        self.assertEqual([], self.naps)

    def test_before_the_first(self) -> None:
        """No nap is taken before something has come often."""
        self.lull = self.make_lull()
        for _ in range(_ALERT):
            self.next_slice(1, LARGE)
        self.assertEqual([], self.naps)

    def test_useful(self) -> None:
        """As long as naps gather several there is one after the other."""
        for count in range(1, 10):
            self.assertEqual(SLICE_S, self.next_slice(2, 2 * LARGE))
            self.assertEqual([NAP_S] * count, self.naps)

    def test_much_of_one(self) -> None:
        """So they are when a single connection brought much, in chunks of some size."""
        for count in range(1, 10):
            self.next_slice(1, NAP_FOR_BYTES)
            self.assertEqual([NAP_S] * count, self.naps)

    def test_large_chunks(self) -> None:
        """Beside large chunks an awakening costs little: they never wait."""
        for _ in range(2 * _ALERT):
            self.next_slice(2, 2 * NAP_BELOW_BYTES)
        self.assertEqual([], self.naps)

    def test_useless(self) -> None:
        """After one that gathered a single chunk there is none for a while."""
        self.next_slice(1, LARGE)
        for _ in range(_ALERT):
            self.assertEqual(0.0, self.next_slice(1, LARGE))
        self.assertEqual([NAP_S], self.naps)
        self.next_slice(1, LARGE)
        self.assertEqual([NAP_S, NAP_S], self.naps)

    def test_small_chunks(self) -> None:
        """What a hand may have typed never waits for a nap."""
        for _ in range(2 * _ALERT):
            self.next_slice(2, 2 * SMALL)
        self.assertEqual([], self.naps)

    def test_nothing(self) -> None:
        """Nor does anybody nap over nothing."""
        for _ in range(2 * _ALERT):
            self.next_slice(0, 0)
        self.assertEqual([], self.naps)

    def test_slice_is_over(self) -> None:
        """Naps do not keep the others from their turn."""
        self.reactor.advance(SLICE_S)
        self.assertEqual(0.0, self.lull.next_slice(SLICE_S, 2, 2 * LARGE))
        self.assertEqual([], self.naps)
