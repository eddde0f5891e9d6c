"""The token bucket that every limit is made of."""

from __future__ import annotations

BURST_S = 0.1
"""What an idle bucket saves up, as time at its rate (protocol.md section 4.5)."""

QUANTUM_BITS = 8 * 32 * 1024
"""Moving less at a time costs more processor time than it saves in waiting."""

SHORTEST_WAIT_S = 0.001
"""What a poll can tell apart; and a wait of nothing would be no wait at all."""


class Bucket:
    """
    Tokens of one bit each.  It starts empty, so that no second is over the rate.

    :param rate: bits per second, more than none.
    :param burst_s: how many seconds' worth it can hold.
    """

    __slots__ = ("_at_s", "_burst_s", "_level", "rate")

    def __init__(self, rate: float, now_s: float, burst_s: float = BURST_S) -> None:
        self.rate = rate
        self._burst_s = burst_s
        self._level = 0.0
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """Return the tokens there are; below zero they are owed."""
        level = self._level + (now_s - self._at_s) * self.rate
        most = self.rate * self._burst_s
        self._at_s = now_s
        self._level = level = most if level > most else level
        return level

    def grant(self, now_s: float) -> float:
        """
        Return the tokens that who does not wait may take at once.

        They are never less than what is worth while to move: the rest is owed.
        """
        level = self.level(now_s)
        return level if level >= QUANTUM_BITS else max(level, self._enough())

    def pay(self, tokens: float) -> None:
        """Take *tokens* out, more than there are if need be."""
        self._level -= tokens

    def take(self, tokens: float) -> bool:
        """
        As :meth:`pay`; return whether the limit may be near.

        No clock is read, so what has come since it was asked last does not count.
        """
        self._level -= tokens
        return self._level < QUANTUM_BITS

    def change_rate(self, rate: float, now_s: float) -> None:
        """Fill at another rate from now on; what is owed stays owed."""
        self.level(now_s)
        self.rate = rate

    def wait_s(self, now_s: float) -> float:
        """Return how long until it is worth while to move something; 0.0 is now."""
        missing = self._enough() - self.level(now_s)
        return 0.0 if missing <= 0 else max(missing / self.rate, SHORTEST_WAIT_S)

    def _enough(self) -> float:
        return min(QUANTUM_BITS, self.rate * self._burst_s) / 2
