"""Limits on what one address may do.  All of them forget, and none can grow for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from rdserver.wire.address import address_bucket

_BURST = 30
_BURST_S = 61.0
_IDS = 300
_IDS_S = 86_401.0


class _Record:
    """What one address did: calls in the current minute, ids in the current day."""

    __slots__ = ("count", "count_s", "ids", "ids_s")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.count_s = now
        self.ids: set[str] = set()
        self.ids_s = now


class RegistrationLimit:
    """
    How often, and under how many ids, one address may register.

    The rule is the reference's, odd corners included: the first call from an
    address is free and unrecorded.  Ours are the bounds: the least recently used
    address is forgotten when there are too many.

    :param now: monotonic clock, in seconds.
    :param max_addresses: addresses remembered at the same time.
    :param max_ids: ids remembered, of all addresses together.

    Source: protocol.md section 3.9 (a), 3.18 no. 6.
    """

    def __init__(
        self,
        now: Callable[[], float],
        max_addresses: int = 200_000,
        max_ids: int = 1_000_000,
    ) -> None:
        self._now = now
        self._max_addresses = max_addresses
        self._max_ids = max_ids
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._ids = 0

    def admit(self, host: str, peer_id: str) -> bool:
        """Count one RegisterPk for *peer_id* from *host*; return whether it may pass."""
        bucket = address_bucket(host)
        record = self._records.get(bucket)
        if record is None:
            self._records[bucket] = _Record(self._now())
            self._make_room()
            return True
        self._records.move_to_end(bucket)
        return self._count_call(record) and self._count_id(record, peer_id)

    def _count_call(self, record: _Record) -> bool:
        now = self._now()
        if now - record.count_s >= _BURST_S:
            record.count = 0
        elif record.count > _BURST:
            return False
        record.count += 1
        record.count_s = now
        return True

    def _count_id(self, record: _Record, peer_id: str) -> bool:
        now = self._now()
        is_new = peer_id not in record.ids
        if now - record.ids_s >= _IDS_S:
            self._ids -= len(record.ids)
            record.ids.clear()
            is_new = True
        elif len(record.ids) > _IDS:
            return not is_new
        if is_new:
            record.ids.add(peer_id)
            self._ids += 1
            self._make_room()
        record.ids_s = now
        return True

    def _make_room(self) -> None:
        while len(self._records) > self._max_addresses or self._ids > self._max_ids:
            _bucket, record = self._records.popitem(last=False)
            self._ids -= len(record.ids)

    def sweep(self) -> None:
        """Forget addresses whose both windows have passed."""
        now = self._now()
        for bucket, record in list(self._records.items()):
            if now - record.count_s >= _BURST_S and now - record.ids_s >= _IDS_S:
                self.remove(bucket)

    def remove(self, bucket: str) -> None:
        """Forget one address, given as :meth:`rows` shows it."""
        record = self._records.pop(bucket, None)
        if record is not None:
            self._ids -= len(record.ids)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each address with ``<count>/<age>s <ids>/<age>s``, oldest use first."""
        for bucket in self._records:
            yield bucket, self.describe(bucket) or ""

    def describe(self, bucket: str) -> str | None:
        """Return ``<count>/<age>s <ids>/<age>s`` of one address, or None."""
        record = self._records.get(bucket)
        if record is None:
            return None
        now = self._now()
        return (
            f"{record.count}/{int(now - record.count_s)}s "
            f"{len(record.ids)}/{int(now - record.ids_s)}s"
        )

    def __len__(self) -> int:
        return len(self._records)


class RateLimit:
    """
    A token bucket for each address, of IPv6 for each /64.

    :param now: monotonic clock, in seconds.
    :param burst: how many may come at once.
    :param per_s: how many a second come back.
    :param max_addresses: addresses remembered; beyond, the oldest starts afresh.
    """

    def __init__(
        self,
        now: Callable[[], float],
        burst: float,
        per_s: float,
        max_addresses: int = 50_000,
    ) -> None:
        self._now = now
        self._burst = burst
        self._per_s = per_s
        self._max = max_addresses
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, host: str) -> bool:
        """Take one token of *host*; return whether there was one."""
        key = address_bucket(host)
        tokens = self._count(key)
        admitted = tokens >= 1
        self._keep(key, tokens - admitted)
        return admitted

    def is_exhausted(self, host: str) -> bool:
        """Return whether *host* has no token now; none is taken."""
        return self._count(address_bucket(host)) < 1

    def charge(self, host: str) -> None:
        """Take one token of *host*, there or not; it may end up owing some."""
        key = address_bucket(host)
        self._keep(key, self._count(key) - 1)

    def _count(self, key: str) -> float:
        now = self._now()
        tokens, since = self._tokens.get(key, (self._burst, now))
        return min(self._burst, tokens + (now - since) * self._per_s)

    def _keep(self, key: str, tokens: float) -> None:
        self._tokens[key] = (tokens, self._now())
        self._tokens.move_to_end(key)
        if len(self._tokens) > self._max:
            self._tokens.popitem(last=False)

    def sweep(self) -> None:
        """Forget whoever has all tokens back; the oldest use comes first."""
        full_s = self._burst / self._per_s
        while self._tokens:
            key, (_tokens, since) = next(iter(self._tokens.items()))
            if self._now() - since < full_s or self._count(key) < self._burst:
                return
            del self._tokens[key]

    def __len__(self) -> int:
        return len(self._tokens)
