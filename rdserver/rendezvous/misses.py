"""Ids that nobody has: remembered for a while, so that storage is asked once."""

from __future__ import annotations

from collections.abc import Callable

# Somebody else may write the table: after a minute at most we ask it again.
_GENERATION_S = 30.0
_GENERATION_IDS = 50_000


class Misses:
    """
    Ids that storage did not know lately, in two generations.

    An id is forgotten after 30 to 60 s, or as soon as two generations of others came.
    Then a whole generation goes at once, so no id needs a time of its own.

    :param now: monotonic clock, in seconds.
    :param most: ids in one generation.
    """

    def __init__(self, now: Callable[[], float], most: int = _GENERATION_IDS) -> None:
        self._now = now
        self._most = most
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._since_s = now()

    def add(self, peer_id: str) -> None:
        """Remember that storage does not know this id."""
        self.sweep()
        if len(self._young) >= self._most:
            self._begin_generation(self._now())
        self._young.add(peer_id)

    def discard(self, peer_id: str) -> None:
        """Forget this id."""
        self._young.discard(peer_id)
        self._old.discard(peer_id)

    def sweep(self) -> None:
        """Forget what is too old."""
        now_s = self._now()
        age_s = now_s - self._since_s
        if age_s >= 2 * _GENERATION_S:
            self._old, self._young = set(), set()
            self._since_s = now_s
        elif age_s >= _GENERATION_S:
            self._begin_generation(self._since_s + _GENERATION_S)

    def _begin_generation(self, since_s: float) -> None:
        self._old, self._young = self._young, set()
        self._since_s = since_s

    def __contains__(self, peer_id: str) -> bool:
        self.sweep()
        return peer_id in self._young or peer_id in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
