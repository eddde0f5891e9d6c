"""
The limit that all sessions share, and the line in which they wait for it.

Whoever will have been served least goes first (fair queueing with start times as the
clock and finish times as the order): so sessions that want much get equal shares, and
one that wants little, a mouse click, does not wait behind the others' file transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from typing import Protocol

from rdserver.relay.bucket import Bucket

_TIDY_ABOVE = 64


class Served(Protocol):
    """A session as the line sees it: *served* is its bits, on the line's own scale."""

    served: float


def _nobody() -> None:
    """Nobody waits for the limit to change."""


class Total:
    """
    A bucket for all sessions, and those who wait for it.

    Who waits is any hashable object: one direction of one session.

    :param rate: bits per second, or None for no limit.
    :ivar bucket: None while there is no limit.
    :ivar changed: called after the limit changed; whoever serves the line sets it.
    """

    def __init__(self, rate: float | None, now_s: float) -> None:
        self.bucket = None if rate is None else Bucket(rate, now_s)
        self.changed: Callable[[], None] = _nobody
        # Entries of those who left stay in the heap until they come up or are tidied.
        self._heap: list[tuple[float, int, float, Hashable]] = []
        self._places: dict[Hashable, int] = {}
        self._arrivals = 0
        self._virtual = 0.0

    def set_rate(self, rate: float | None, now_s: float) -> None:
        """Change or remove the limit, for everybody at once."""
        if rate is None:
            self.bucket = None
        elif self.bucket is None:
            self.bucket = Bucket(rate, now_s)
        else:
            self.bucket.change_rate(rate, now_s)
        self.changed()

    def pay(self, payer: Served, bits: float) -> None:
        """Count *bits* that *payer* moved."""
        if self.bucket is not None:
            self.bucket.pay(bits)
            self.note(payer, bits)

    def note(self, payer: Served, bits: float) -> None:
        """Let *payer* have been served *bits*, which are paid already."""
        payer.served += bits
        if not self._places:
            # Nobody waits: what was before is not held against anybody.
            self._virtual = max(self._virtual, payer.served)

    def join(self, waiter: Hashable, payer: Served, expected_bits: float) -> None:
        """
        Put *waiter*, who will pay as *payer*, in the line.

        :param expected_bits: what it will move in its turn, as far as one can guess.
        """
        if waiter in self._places:
            return
        self._arrivals += 1
        self._places[waiter] = self._arrivals
        # Who was away has no share saved up.
        start = payer.served = max(payer.served, self._virtual)
        heappush(self._heap, (start + expected_bits, self._arrivals, start, waiter))

    def leave(self, waiter: Hashable) -> None:
        """Take *waiter* out of the line, if it is in it."""
        self._places.pop(waiter, None)
        if len(self._heap) > 2 * len(self._places) + _TIDY_ABOVE:
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapify(self._heap)

    def serve(self, now_s: float) -> Hashable | None:
        """
        Return the next in line, who leaves it, or None if nobody's turn has come.

        Let it move something before asking for the next one.
        """
        if self.wait_s(now_s) != 0.0:
            return None
        while self._heap:
            entry = heappop(self._heap)
            if self._stands(entry):
                _, _, start, waiter = entry
                self._virtual = max(self._virtual, start)
                del self._places[waiter]
                return waiter
        return None  # pragma: no cover  (wait_s said that somebody stands)

    def wait_s(self, now_s: float) -> float | None:
        """Return how long until somebody's turn comes, or None if nobody waits."""
        if not self._places:
            return None
        return 0.0 if self.bucket is None else self.bucket.wait_s(now_s)

    def __len__(self) -> int:
        return len(self._places)

    def _stands(self, entry: tuple[float, int, float, Hashable]) -> bool:
        return self._places.get(entry[3]) == entry[1]
