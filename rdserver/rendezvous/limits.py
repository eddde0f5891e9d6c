"""Limits on what one address may do.  All of them forget, and none can grow for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from rdserver.rendezvous.slices import in_slices
from rdserver.wire.address import address_bucket

_BURST = 30
_BURST_S = 61.0
_IDS = 300
_IDS_S = 86_401.0


class _Record:
    """
    What one address did: calls in the current minute, ids in the current day.

    Most have one id at most.  There may be many of them, and a set takes 216 bytes.
    """

    __slots__ = ("_first_id", "_other_ids", "count", "count_s", "ids_s")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.count_s = now
        self.ids_s = now
        self.clear_ids()

    def clear_ids(self) -> None:
        self._first_id = ""
        self._other_ids: set[str] | None = None

    def has_id(self, peer_id: str) -> bool:
        if peer_id == self._first_id:
            return True
        return self._other_ids is not None and peer_id in self._other_ids

    def add_id(self, peer_id: str) -> None:
        """Record an id that is not there yet."""
        if not self._first_id:
            self._first_id = peer_id
        elif self._other_ids is None:
            self._other_ids = {peer_id}
        else:
            self._other_ids.add(peer_id)

    @property
    def ids(self) -> int:
        """How many."""
        return bool(self._first_id) + len(self._other_ids or ())


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
        is_new = not record.has_id(peer_id)
        if now - record.ids_s >= _IDS_S:
            self._ids -= record.ids
            record.clear_ids()
            is_new = True
        elif record.ids > _IDS:
            return not is_new
        if is_new:
            record.add_id(peer_id)
            self._ids += 1
            self._make_room()
        record.ids_s = now
        return True

    def _make_room(self) -> None:
        while len(self._records) > self._max_addresses or self._ids > self._max_ids:
            _bucket, record = self._records.popitem(last=False)
            self._ids -= record.ids

    def sweep(self) -> Iterator[None]:
        """
        Forget addresses whose both windows have passed, a slice with each step.

        One that asked later than another that is kept may be kept as well.
        """
        return in_slices(self._forget_idle())

    def _forget_idle(self) -> Iterator[str]:
        # The oldest use comes first.  To look at all of them takes 60 ms and more, even
        # if it is only to list them.
        while self._records:
            bucket, record = next(iter(self._records.items()))
            if not self._is_idle(record):
                return
            self.remove(bucket)
            yield bucket

    def _is_idle(self, record: _Record) -> bool:
        now = self._now()
        return now - record.count_s >= _BURST_S and now - record.ids_s >= _IDS_S

    def remove(self, bucket: str) -> None:
        """Forget one address, given as :meth:`rows` shows it."""
        record = self._records.pop(bucket, None)
        if record is not None:
            self._ids -= record.ids

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
            f"{record.ids}/{int(now - record.ids_s)}s"
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

    def sweep(self) -> Iterator[None]:
        """Forget whoever has all tokens back, a slice with each step."""
        return in_slices(self._forget_full())

    def _forget_full(self) -> Iterator[str]:
        # The oldest use comes first.
        full_s = self._burst / self._per_s
        while self._tokens:
            key, (_tokens, since) = next(iter(self._tokens.items()))
            if self._now() - since < full_s or self._count(key) < self._burst:
                return
            del self._tokens[key]
            yield key

    def __len__(self) -> int:
        return len(self._tokens)
