"""Deadlines of a protocol, on the clock that it was given."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.protocols.policies import TimeoutMixin


class Timed(TimeoutMixin):
    """
    Twisted's own takes the global reactor.

    :ivar clock: for the deadline.
    """

    clock: IReactorTime

    def callLater(
        self, period: float, func: Callable[[], None]
    ) -> IDelayedCall:
        """For the base class."""
        return self.clock.callLater(period, func)

    def wait(self, seconds: float) -> None:
        """Call ``timeoutConnection`` after so long, and not before."""
        if self.timeOut is not None and seconds < self.timeOut:
            # Not reset to an earlier time: the reactor would search all its timers for it.
            self.setTimeout(None)
        self.setTimeout(seconds)
