"""Many deadlines of one length, for the price of one delayed call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """
    Calls *expired* with each item whose time is over.

    As all have the same time, the first that began is the first that ends: a dictionary
    keeps them in order, and only its head needs a delayed call.  An ordered one: a plain
    dictionary looks through all that were taken from its head to find the next.

    :param now: monotonic clock, in seconds; the reactor's own can be set by hand.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        timeout_s: float,
        expired: Callable[[Item], None],
    ) -> None:
        self._clock = clock
        self._now = now
        self._timeout_s = timeout_s
        self._expired = expired
        self._ends_s: OrderedDict[Item, float] = OrderedDict()
        self._call: IDelayedCall | None = None

    def start(self, item: Item) -> None:
        """Give *item* its time, from now."""
        self._ends_s[item] = self._now() + self._timeout_s
        self._ends_s.move_to_end(item)
        self._arm()

    def stop(self, item: Item) -> None:
        """Forget *item*; nothing happens if it has no deadline."""
        if self._ends_s.pop(item, None) is None or self._ends_s or self._call is None:
            return
        self._call.cancel()
        self._call = None

    def _arm(self) -> None:
        if self._call is None and self._ends_s:
            left_s = next(iter(self._ends_s.values())) - self._now()
            self._call = self._clock.callLater(max(left_s, 0.0), self._run)

    def _run(self) -> None:
        self._call = None
        try:
            self._expire()
        finally:  # an error in one must not leave the others without an end
            self._arm()

    def _expire(self) -> None:
        while self._ends_s:
            item, end_s = next(iter(self._ends_s.items()))
            if end_s > self._now():
                return
            del self._ends_s[item]
            self._expired(item)

    def __len__(self) -> int:
        return len(self._ends_s)
