"""Deadlines of a protocol, on the clock that it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure


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


class Stage(Protocol, Timed):
    """What a connection is for a while: cut when the time is over."""

    transport: Any  # the reactor's, or what lies over it

    def abort(self) -> None:
        """Close now, whatever is not out yet."""
        self.setTimeout(None)
        self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
