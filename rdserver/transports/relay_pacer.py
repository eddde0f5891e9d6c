"""Makes directions of sessions wait when a limit is reached, and lets them go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from rdserver.relay.limiter import Meter
from rdserver.relay.total import Total

_ONE_READ_BYTES = 64 * 1024
_LOOK_AGAIN_S = 1.0


class Paced(Protocol):
    """One direction of a session, which is itself and equals no other."""

    def __hash__(self) -> int: ...

    @property
    def meter(self) -> Meter: ...

    def hold(self) -> None:
        """Read nothing until :meth:`release`."""

    def release(self) -> None:
        """Read again, unless something else stands against it."""


class Pacer:
    """
    Asks the meter after each chunk, and keeps who must wait until their turn comes.

    A direction waits for its session's own limit first, then in the line for the total.
    The line is served one by one, so that each has read before the next is let in.

    :param now: monotonic clock, in seconds.
    """

    def __init__(self, total: Total, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._total = total
        self._clock = clock
        self._now = now
        self._delays: dict[Paced, IDelayedCall] = {}
        self._held: dict[Paced, int] = {}  # with the size in bytes of its last read
        self._serving: IDelayedCall | None = None
        total.changed = self._total_changed

    def moved(self, flow: Paced, size_bytes: int) -> None:
        """Charge *flow* for what it moved, and hold it if that was all it may for now."""
        flow.meter.pay(size_bytes)
        if flow not in self._held:
            self._check(flow, size_bytes)

    def leave(self, flow: Paced) -> None:
        """Forget *flow*: its session is over."""
        if self._held.pop(flow, None) is None:
            return
        self._total.leave(flow)
        delay = self._delays.pop(flow, None)
        if delay is not None:
            delay.cancel()
        if not len(self._total):
            self._stop_serving()

    def _check(self, flow: Paced, last_bytes: int) -> None:
        now_s = self._now()
        # Nor may it go on while others wait: one of them would find nothing saved up.
        if flow.meter.want(_ONE_READ_BYTES, now_s) and not flow.meter.contended:
            return
        self._held[flow] = last_bytes
        flow.hold()
        wait_s = flow.meter.own_wait_s(now_s)
        if wait_s:
            self._wait_for_own(flow, wait_s)
        else:
            self._stand_in_line(flow)

    def _stand_in_line(self, flow: Paced) -> None:
        self._total.join(flow, flow.meter, 8.0 * self._held[flow])
        self._serve_later()

    def _release(self, flow: Paced) -> None:
        del self._held[flow]
        flow.release()

    def _wait_for_own(self, flow: Paced, wait_s: float) -> None:
        # In parts: the limit may be lifted meanwhile, and its debt be minutes long.
        part_s = min(wait_s, _LOOK_AGAIN_S)
        self._delays[flow] = self._clock.callLater(
            part_s, self._own_part_over, flow, wait_s - part_s
        )

    def _own_part_over(self, flow: Paced, left_s: float) -> None:
        # Never longer than at first: if the session's other direction was faster each
        # time, this one would never have its turn.  What it moves too much it waits for
        # afterwards.
        left_s = min(left_s, flow.meter.own_wait_s(self._now()))
        del self._delays[flow]
        if left_s:
            self._wait_for_own(flow, left_s)
        elif self._total_allows():
            self._release(flow)
        else:
            self._stand_in_line(flow)

    def _total_allows(self) -> bool:
        bucket = self._total.bucket
        if bucket is None:
            return True
        return not len(self._total) and not bucket.wait_s(self._now())

    def _serve(self) -> None:
        self._serving = None
        flow = self._total.serve(self._now())
        self._serve_later()
        if flow is not None:
            self._release(cast(Paced, flow))

    def _serve_later(self) -> None:
        wait_s = self._total.wait_s(self._now())
        if self._serving is None and wait_s is not None:
            self._serving = self._clock.callLater(wait_s, self._serve)

    def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None

    def _total_changed(self) -> None:
        self._stop_serving()
        self._serve_later()
