"""
Counting what strangers cause, and letting only a little of it into the log.

Lives outside the rooms because all of them use it.  It does no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, TypeVar

from twisted.logger import Logger, LogLevel

Reason = TypeVar("Reason", bound=StrEnum)


class Notices(Generic[Reason]):
    """
    Events by reason: each is counted, a few of each kind are logged.

    Of one reason at most *burst* lines go to the log in *interval_s* seconds; the
    next line that may go says how many were held back.

    :param reasons: the enumeration of all reasons; each counter starts at zero, so
        that whoever reads them sees the ones that never happened too.
    :param now: monotonic clock, in seconds.
    :ivar counts: how often each reason occurred since the start.
    """

    def __init__(
        self,
        log: Logger,
        reasons: type[Reason],
        now: Callable[[], float],
        burst: int = 10,
        interval_s: float = 10.0,
    ) -> None:
        self._log = log
        self._now = now
        self._burst = burst
        self._interval_s = interval_s
        self.counts: dict[Reason, int] = dict.fromkeys(reasons, 0)
        self._windows: dict[Reason, _Window] = {}

    def count(self, reason: Reason, times: int = 1) -> None:
        """Count an event that is never worth a line, or several."""
        self.counts[reason] += times

    def warn(self, reason: Reason, message: str, **fields: Any) -> None:
        """Count an event; log *message*, formatted with *fields*, if its turn has come."""
        self._note(LogLevel.warn, reason, message, fields)

    def error(self, reason: Reason, message: str, **fields: Any) -> None:
        """As :meth:`warn`, for what an operator must mend."""
        self._note(LogLevel.error, reason, message, fields)

    def _note(
        self, level: Any, reason: Reason, message: str, fields: dict[str, Any]
    ) -> None:
        self.counts[reason] += 1
        window = self._windows.setdefault(reason, _Window())
        held_back = window.admit(self._now(), self._burst, self._interval_s)
        if held_back is None:
            return
        if held_back:
            message += " (and {held_back} more like it before)"
        self._log.emit(level, message, reason=str(reason), held_back=held_back, **fields)


class _Window:
    """How many lines of one reason went out since the interval began."""

    def __init__(self) -> None:
        self._began_s = float("-inf")
        self._sent = 0
        self._held_back = 0

    def admit(self, now: float, burst: int, interval_s: float) -> int | None:
        """Return how many lines were held back before this one, or None to hold it."""
        if now - self._began_s >= interval_s:
            self._began_s, self._sent = now, 0
        if self._sent >= burst:
            self._held_back += 1
            return None
        self._sent += 1
        held_back, self._held_back = self._held_back, 0
        return held_back
