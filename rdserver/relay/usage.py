"""What a session used: the console's figures, and the record at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Protocol

from attrs import frozen
from twisted.logger import Logger

from rdserver.relay.bucket import Bucket
from rdserver.wire.address import Address

TICK_MS = 1000
_BITS_PER_MEGABYTE = 1024 * 1024 * 8

_LINE = (
    "relayed {first_bytes} bytes from {first} and {second_bytes} from {second} "
    "in {seconds:.0f} s: {reason}"
)
_HELD_BACK = " (and {held_back} more before)"
_LINES_PER_S = 1.0
_LINES_BURST_S = 100.0


class EndReason(StrEnum):
    """Why a session ended; its text is for the log."""

    CLOSED = "closed"
    SILENT = "silent"
    BLOCKED = "blocklist"
    STOPPED = "server stopped"
    BROKEN = "broken off by the relay"


class Usage:
    """
    The figures of one session as of its last tick, a second ago or little more.

    Speeds are in bits per millisecond, which the console calls kb/s.

    Source: protocol.md section 4.5.
    """

    __slots__ = ("_since_s", "current", "elapsed_ms", "highest", "total_bits")

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self.elapsed_ms = 0
        self.total_bits = 0
        self.current = 0.0
        self.highest = 0.0

    def tick(self, total_bits: int, now_s: float) -> bool:
        """Take the figures anew, if the last time is long enough ago; say whether."""
        ms = round((now_s - self._since_s) * 1000)
        if ms < TICK_MS:
            return False
        self.current = (total_bits - self.total_bits) / ms
        self.highest = max(self.highest, self.current)
        self.elapsed_ms += ms
        self.total_bits = total_bits
        self._since_s = now_s
        return True

    @property
    def average(self) -> float:
        """Bits per millisecond since the session began."""
        return self.total_bits / self.elapsed_ms if self.elapsed_ms else 0.0

    def __str__(self) -> str:
        return (
            f"{self.elapsed_ms // 1000}s {self.total_bits / _BITS_PER_MEGABYTE:.2f}MB "
            f"{int(self.highest)}kb/s {int(self.average)}kb/s {int(self.current)}kb/s"
        )


class Used(Protocol):
    """A session as the listing sees it."""

    @property
    def second(self) -> Address: ...

    @property
    def usage(self) -> Usage: ...


def usage_lines(sessions: Iterable[Used]) -> str:
    """
    Return the console's listing: the sessions that moved most first.

    Each is named by its second comer; IPv6 addresses are without brackets, as there.

    Source: protocol.md section 4.7.
    """
    ticked = [session for session in sessions if session.usage.elapsed_ms]
    ticked.sort(key=lambda session: session.usage.total_bits, reverse=True)
    return "".join(f"{s.second.host}:{s.second.port}: {s.usage}\n" for s in ticked)


@frozen
class SessionRecord:
    """
    A session that is over.

    :ivar first: address of the side that waited.
    :ivar first_bytes: what that side sent.
    """

    first: Address
    second: Address
    first_bytes: int
    second_bytes: int
    seconds: float
    reason: EndReason


class SessionLog:
    """
    One line for each finished session, but no flood of them.

    Who may use the relay is not always known (``--relay-auth open``), so behind a burst
    of some hundred only one line a second is written; it says how many were held back.
    """

    _log = Logger()

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines = Bucket(_LINES_PER_S, now() - _LINES_BURST_S, _LINES_BURST_S)
        self._held_back = 0

    def write(self, record: SessionRecord) -> None:
        """Log *record*."""
        if self._lines.level(self._now()) < 1:
            self._held_back += 1
            return
        self._lines.pay(1)
        held_back, self._held_back = self._held_back, 0
        self._log.info(
            _LINE + _HELD_BACK if held_back else _LINE,
            first=record.first,
            second=record.second,
            first_bytes=record.first_bytes,
            second_bytes=record.second_bytes,
            seconds=record.seconds,
            reason=str(record.reason),
            held_back=held_back,
        )
