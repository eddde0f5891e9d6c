"""One relayed session: what it moved, how fast it may, and when it is over."""

from __future__ import annotations

from typing import Protocol

from rdserver.relay.limiter import Meter
from rdserver.relay.limits import SILENCE_S, Limits
from rdserver.relay.usage import EndReason, SessionRecord, Usage
from rdserver.wire.address import Address


class Listed(Protocol):
    """A list of addresses."""

    def matches(self, host: str) -> bool: ...


class Carrier(Protocol):
    """The part of a data path that moves a session's bytes."""

    def end(self, reason: EndReason) -> None:
        """End the session; what was read still leaves."""

    def settle(self) -> None:
        """Pay the meter for what was moved; a limit that has changed holds from now on."""

    def unsent_bytes(self) -> int:
        """
        Return how many bytes wait for a side that takes them more slowly than they come;
        0 if none does.
        """


class NoCarrier:
    """No data path has taken the session on yet, or all is over."""

    def end(self, reason: EndReason) -> None:
        """There is nothing to end."""

    def settle(self) -> None:
        """Nothing was moved."""

    def unsent_bytes(self) -> int:
        """Nothing was sent."""
        return 0


NO_CARRIER = NoCarrier()


class Session:
    """
    Two connections that are one.

    The data path owns *received*, *held* and *carrier*; everything else is judged
    once a second by :meth:`tick`, so that a chunk of data costs one addition here.

    :param number: its name inside this process.
    :param first: address of the side that waited.
    :param second: address of the side that came to it.
    :ivar received: bytes from the first and from the second.
    :ivar held: how many directions the limiter keeps waiting.
    :ivar carrier: what moves the bytes.

    Source: protocol.md section 4.5.
    """

    __slots__ = (
        "_active_s",
        "_began_s",
        "_downgraded",
        "_seen_bytes",
        "_seen_unsent",
        "carrier",
        "first",
        "held",
        "meter",
        "number",
        "received",
        "second",
        "usage",
    )

    def __init__(
        self, number: int, first: Address, second: Address, meter: Meter, now_s: float
    ) -> None:
        self.number = number
        self.first = first
        self.second = second
        self.meter = meter
        self.received = [0, 0]
        self.held = 0
        self.carrier: Carrier = NO_CARRIER
        self.usage = Usage(now_s)
        self._began_s = now_s
        self._active_s = now_s
        self._seen_bytes = 0
        self._seen_unsent = 0
        self._downgraded = False

    def end(self, reason: EndReason) -> None:
        """End the session on its data path."""
        self.carrier.end(reason)

    def tick(
        self, now_s: float, limits: Limits, blacklist: Listed, blocklist: Listed
    ) -> EndReason | None:
        """Do what is due, and return why the session must end, if it must."""
        self.carrier.settle()
        total_bytes = sum(self.received)
        if self._is_silent(total_bytes, now_s):
            return EndReason.SILENT
        if self.usage.tick(8 * total_bytes, now_s):
            if self._is_on(blocklist):
                return EndReason.BLOCKED
            self._downgraded = self._downgraded or self._is_over(limits)
            self.check_speed(blacklist, now_s)
        return None

    def check_speed(self, blacklist: Listed, now_s: float) -> None:
        """Slow the session down, or no longer, as the blacklist and its past say."""
        self.meter.slow_down(self._downgraded or self._is_on(blacklist), now_s)

    def record(self, reason: EndReason, now_s: float) -> SessionRecord:
        """Return what is worth keeping of the session."""
        return SessionRecord(
            first=self.first,
            second=self.second,
            first_bytes=self.received[0],
            second_bytes=self.received[1],
            seconds=now_s - self._began_s,
            reason=reason,
        )

    def _is_silent(self, total_bytes: int, now_s: float) -> bool:
        unsent = self.carrier.unsent_bytes()
        is_moving = total_bytes != self._seen_bytes or unsent != self._seen_unsent
        # Data that the limiter keeps waiting was sent: that is no silence.
        if is_moving or self.held:
            self._active_s = now_s
        self._seen_bytes, self._seen_unsent = total_bytes, unsent
        return int(now_s - self._active_s) > SILENCE_S

    def _is_on(self, addresses: Listed) -> bool:
        return addresses.matches(self.first.host) or addresses.matches(self.second.host)

    def _is_over(self, limits: Limits) -> bool:
        """Return whether the session used more of its single limit than is its part."""
        single, usage = self.meter.single, self.usage
        if single is None or usage.elapsed_ms <= limits.downgrade_start_check_s * 1000:
            return False
        return usage.average > single * limits.downgrade_percent / 100 / 1000
