"""
One edge-triggered loop for all spliced connections, inside the reactor.

Its epoll descriptor is a single reader of the reactor's.  So a chunk of data costs none
of the reactor's bookkeeping, and the loop decides who is served next: first whoever has
something new to say, then, one at a time, those in the middle of a bulk transfer.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.notices import Notices
from rdserver.transports.lull import SLICE_S, Lull

_EVENTS = 32  # and as many turns, before others are looked at
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_TO_READ = _IN | _ENDED
_INTEREST = _IN | _OUT | select.EPOLLRDHUP | select.EPOLLET


class Event(StrEnum):
    """What is counted, and what a few lines of go to the log."""

    BUG = "bug"
    FULL = "nothing more can be watched"


class Flow(Protocol):
    """
    One direction of a session, as the loop sees it.

    :ivar readable: there may be something to read at its source.
    :ivar closing: the source has closed its side, or broke, behind what there is to read.
        No further edge will tell of that.
    :ivar stuck: it has bytes that its sink did not take yet.
    :ivar queued: its turn will come without an event.
    """

    readable: bool
    closing: bool
    stuck: bool
    queued: bool

    def turn(self) -> None:
        """Move at most one chunk; never raises."""


@implementer(IReadDescriptor)
class SpliceLoop:
    """
    Watches sockets and gives turns to the flows between them.

    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param now: monotonic clock, in seconds.
    :param sleep: sleeps so many seconds.
    :ivar moved_bytes: for the flows to count what they move.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        now: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._epoll = select.epoll()
        self._notices = Notices(self._log, Event, now)
        self._lull = Lull(reactor, self._epoll, now, sleep)
        self.moved_bytes = 0
        # By descriptor: small numbers, which the system gives again and again.
        self._reading: list[Flow | None] = []
        self._writing: list[Flow | None] = []
        self._queue: deque[Flow] = deque()
        self._again: IDelayedCall | None = None
        self._running = False
        reactor.addReader(self)

    def watch(self, descriptor: int, reads: Flow, writes: Flow) -> None:
        """
        Give turns to *reads* when *descriptor* can be read, and to *writes* when it takes
        bytes again.  What it can do already is reported too.

        :raises OSError: the system watches no more.
        """
        self._epoll.register(descriptor, _INTEREST)
        missing = descriptor + 1 - len(self._reading)
        if missing > 0:
            self._reading.extend([None] * missing)
            self._writing.extend([None] * missing)
        self._reading[descriptor] = reads
        self._writing[descriptor] = writes

    def forget(self, descriptor: int) -> None:
        """
        Watch *descriptor* no more; to be called before it is closed.

        Closing alone would not do while a duplicate of it lives.
        """
        if descriptor < len(self._reading) and self._reading[descriptor] is not None:
            self._reading[descriptor] = self._writing[descriptor] = None
            self._epoll.unregister(descriptor)

    def queue(self, flow: Flow) -> None:
        """Give *flow* a turn soon, without an event."""
        if not flow.queued:
            flow.queued = True
            self._queue.append(flow)
        if not self._running:
            self._go_on_later()

    def _go_on_later(self) -> None:
        if self._again is None and not self._epoll.closed:
            self._again = self._reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self.doRead()

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Serve events and turns, for as long as the others can wait."""
        self._running = True
        try:
            self._serve(self._now() + SLICE_S)
        except Exception:
            # Twisted would never read from here again, and no byte would move.
            self.report_bug(Failure())
        finally:
            self._running = False
        if self._queue:
            self._go_on_later()

    def _serve(self, until_s: float) -> None:
        epoll, queue, now = self._epoll, self._queue, self._now
        served = self.moved_bytes = 0
        while True:
            ready = epoll.poll(0, _EVENTS)
            served += len(ready)
            self._give_turns(ready)
            if queue:
                flow = queue.popleft()
                flow.queued = False
                flow.turn()
                if now() > until_s:
                    return
            else:
                until_s = self._lull.next_slice(until_s, served, self.moved_bytes)
                served = self.moved_bytes = 0
            # Closed by what a turn brought about: the last connection of a server's.
            if not until_s or epoll.closed:
                return

    def _give_turns(self, ready: list[tuple[int, int]]) -> None:
        reading, writing = self._reading, self._writing
        for descriptor, events in ready:
            flow = writing[descriptor]
            if flow is not None and flow.stuck and events & _OUT and not flow.queued:
                flow.turn()
            flow = reading[descriptor]
            if flow is None or not events & _TO_READ:
                continue
            flow.readable = True
            if events & _ENDED:
                flow.closing = True
            if not (flow.queued or flow.stuck):
                flow.turn()

    def report_full(self, error: OSError) -> None:
        """Log that a session ended at once because the system watches no more."""
        self._notices.error(
            Event.FULL, "a session cannot be relayed: {why}", why=error.strerror
        )

    def report_bug(self, failure: Failure) -> None:
        """Log what should never happen; it costs one session, never the process."""
        self._notices.error(Event.BUG, "bug in a session's data path", log_failure=failure)

    def close(self) -> None:
        """Let go of the reactor; nothing may be watched any more."""
        self._reactor.removeReader(self)
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._queue.clear()
        self._epoll.close()

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "splice"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
