"""Places that a few connections may have at the same time, of one address fewer."""

from __future__ import annotations

from collections import Counter

from rdserver.presence.interface import StreamId
from rdserver.wire.address import address_bucket


class Places:
    """
    Counts connections that have a place; each gives it back once.

    :param most: connections at the same time.
    :param per_address: of one IPv4 address or IPv6 /64.
    """

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._held: dict[StreamId, str] = {}
        self._per_bucket: Counter[str] = Counter()

    def hold(self, stream: StreamId, host: str) -> bool:
        """Return whether *stream*, from *host*, has a place, or gets one."""
        if stream in self._held:
            return True
        bucket = address_bucket(host)
        if len(self._held) >= self._most or self._per_bucket[bucket] >= self._per_address:
            return False
        self._held[stream] = bucket
        self._per_bucket[bucket] += 1
        return True

    def release(self, stream: StreamId) -> None:
        """Give the place of *stream* free, if it has one."""
        bucket = self._held.pop(stream, None)
        if bucket is None:
            return
        self._per_bucket[bucket] -= 1
        if not self._per_bucket[bucket]:
            del self._per_bucket[bucket]

    def __len__(self) -> int:
        return len(self._held)
