"""
What one session may move.

A data path asks :meth:`Meter.want` before it reads, moves what it can and tells
:meth:`Meter.pay` what it was.  A path that cannot limit one read may move more than
it was given: the bucket then owes, and nothing is given until that is paid back.  So
the rate holds either way.
"""

from __future__ import annotations

from rdserver.relay.bucket import Bucket
from rdserver.relay.total import Total


class Meter:
    """
    What one session may move; both its directions draw on it.

    :param total: what all sessions share.
    :param single: bits per second of this session, or None for no limit of its own.
    :param slow: bits per second while it is slowed down.
    :ivar served: its place in the line for the total; only :class:`Total` looks at it.
    """

    __slots__ = ("_own", "_slow", "_total", "served", "single")

    def __init__(
        self, total: Total, single: float | None, slow: float, now_s: float
    ) -> None:
        self.single = single
        self.served = 0.0
        self._total = total
        # To be slowed down must never make a session faster.
        self._slow = slow if single is None else min(slow, single)
        self._own = None if single is None else Bucket(single, now_s)

    def slow_down(self, slowed: bool, now_s: float) -> None:
        """Switch between the session's own limit and the slower one."""
        rate = self._slow if slowed else self.single
        if rate is None:
            self._own = None
        elif self._own is None:
            self._own = Bucket(rate, now_s)
        elif self._own.rate != rate:
            self._own.change_rate(rate, now_s)

    @property
    def limited(self) -> bool:
        """Whether there is any limit now; if not, nothing need be asked or paid."""
        return self._own is not None or self._total.bucket is not None

    @property
    def contended(self) -> bool:
        """Whether others wait for the total."""
        return len(self._total) > 0

    def pay(self, size_bytes: int) -> None:
        """Count *size_bytes* that were moved."""
        bits = 8.0 * size_bytes
        if self._own is not None:
            self._own.pay(bits)
        self._total.pay(self, bits)

    def take(self, size_bytes: int) -> bool:
        """
        Count *size_bytes* that were moved far from every limit; :meth:`settle` follows.

        The total is paid at once, for all sessions together would owe it too much.

        :returns: whether it may be near by now: then settle, and ask before more is moved.
        """
        bucket = self._total.bucket
        return bucket is not None and bucket.take(8.0 * size_bytes)

    def settle(self, size_bytes: int) -> None:
        """Pay the rest for *size_bytes* that were taken, in one or more times."""
        bits = 8.0 * size_bytes
        if self._own is not None:
            self._own.pay(bits)
        self._total.note(self, bits)

    def want(self, size_bytes: int, now_s: float) -> int:
        """Return how many of *size_bytes* may move now; 0 is to wait."""
        for bucket in (self._own, self._total.bucket):
            if bucket is None:
                continue
            if bucket.wait_s(now_s):
                return 0
            size_bytes = min(size_bytes, int(bucket.level(now_s) / 8))
        return size_bytes

    def grant(self, size_bytes: int, now_s: float) -> int:
        """
        Return how many of *size_bytes* who does not wait may move at once.

        It is never nothing, so that a click passes at once; what is too much is owed, and
        to be waited for afterwards.  If it is *size_bytes* no limit is near.
        """
        bits = 8.0 * size_bytes
        own, total = self._own, self._total.bucket
        if own is not None:
            bits = min(bits, own.grant(now_s))
        if total is not None:
            bits = min(bits, total.grant(now_s))
        return int(bits / 8)

    def own_wait_s(self, now_s: float) -> float:
        """Return how long the session's own limit makes it wait; 0.0 is not at all."""
        return 0.0 if self._own is None else self._own.wait_s(now_s)
