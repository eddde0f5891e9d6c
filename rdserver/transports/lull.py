"""
What the loop of spliced connections does once nothing is left to do.

To go back to the reactor and be called again costs more than a small chunk itself.  So
the loop waits in the reactor's stead, for as long as it alone has something to do.  And
where chunks of some size come so often that each finds us asleep again, it sleeps a
little longer, so that one awakening serves several: on a machine whose processor sleeps
in between, waking up is what most of such a chunk costs.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

SLICE_S = 0.002
"""How long the loop goes on before everything else in the reactor gets its turn."""

NAP_S = 0.0004
"""What a nap adds to the latency, at most; a nap is for chunks that no hand has typed."""

NAP_ABOVE_BYTES, NAP_BELOW_BYTES = 4096, 128 * 1024
"""How large chunks are on average.  Beside a large one the awakening costs little, and who
sends such would soon find the buffers full."""

NAP_FOR_BYTES = 64 * 1024
"""What makes a nap worth while, if it was a single connection's."""

_ALERT = 64
"""After a nap that gathered nothing: so many times without one."""


class Lull:
    """
    Waits for more, or says that the reactor must go on.

    :param reactor: an ``IReactorTime``; of one that waits with epoll this waits in the
        stead.
    :param epoll: the loop's own, which is a reader of the reactor's.
    :param now: monotonic clock, in seconds.
    :param sleep: sleeps so many seconds.
    """

    def __init__(
        self,
        reactor: Any,
        epoll: select.epoll,
        now: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reactor = reactor
        self._poller = _poller(reactor)
        self._epoll = epoll
        self._ours = epoll.fileno()
        self._now = now
        self._sleep = sleep
        self._alert = _ALERT
        self._has_napped = False

    def next_slice(self, until_s: float, served: int, moved_bytes: int) -> float:
        """
        Wait until the loop has something to do, unless others have.

        :param until_s: end of the present slice of time.
        :param served: how many events there were since the last time.
        :param moved_bytes: what all of them together brought.
        :return: until when to serve what has come, or 0.0 to let the reactor go on.
        """
        if self._has_napped:
            self._has_napped = False
            if served < 2 and moved_bytes < NAP_FOR_BYTES:
                self._alert = _ALERT
        if self._alert:
            self._alert -= 1
        elif (
            NAP_ABOVE_BYTES * served <= moved_bytes < NAP_BELOW_BYTES * served
            and self._now() < until_s
        ):
            self._has_napped = True
            self._sleep(NAP_S)
            return until_s
        return self._now() + SLICE_S if self._is_ours_alone() else 0.0

    def _is_called(self) -> bool:
        """
        Return whether the reactor has something to do at once that no descriptor tells.

        A thread's call may be known by now: whoever woke the reactor for it was read in
        the same turn, before us.
        """
        reactor = self._reactor
        return not reactor.running or reactor.threadCallQueue or reactor._justStopped

    def _is_ours_alone(self) -> bool:
        """Wait as the reactor would; return whether only the loop has something to do."""
        if self._poller is None or self._epoll.closed or self._is_called():
            return False
        timeout_s = self._reactor.timeout()
        if timeout_s == 0:
            return False
        ready = self._poller.poll(timeout_s, 2)
        return len(ready) == 1 and ready[0][0] == self._ours


def _poller(reactor: Any) -> select.epoll | None:
    """Return what *reactor* waits with, if it is an epoll: it reports things again."""
    poller: select.epoll | None = getattr(reactor, "_poller", None)  # Twisted's own name
    return poller if isinstance(poller, select.epoll) else None
