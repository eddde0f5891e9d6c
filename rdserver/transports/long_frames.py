"""Frames longer than others may be, for a few connections at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from rdserver.wire.address import address_bucket


class LongFrames:
    """
    Lets so many connections bring a long frame; each keeps its place until it ends.

    Anybody can complete a key exchange, so behind one memory needs a bound too.

    :param most: connections at the same time.
    :param per_address: of one IPv4 address or IPv6 /64.
    :param max_bytes: of one frame.
    """

    def __init__(self, most: int, per_address: int, max_bytes: int) -> None:
        self._most = most
        self._per_address = per_address
        self._max_bytes = max_bytes
        self._held: dict[Hashable, str] = {}
        self._per_bucket: Counter[str] = Counter()

    def admit(self, connection: Hashable, host: str, size: int) -> bool:
        """Return whether *connection*, from *host*, may bring a frame of *size* bytes."""
        return size <= self._max_bytes and self.hold(connection, host)

    def hold(self, connection: Hashable, host: str) -> bool:
        """Return whether *connection*, from *host*, has a place, or gets one."""
        if connection in self._held:
            return True
        bucket = address_bucket(host)
        if len(self._held) >= self._most or self._per_bucket[bucket] >= self._per_address:
            return False
        self._held[connection] = bucket
        self._per_bucket[bucket] += 1
        return True

    def release(self, connection: Hashable) -> None:
        """Give the place of *connection* free, if it has one."""
        bucket = self._held.pop(connection, None)
        if bucket is None:
            return
        self._per_bucket[bucket] -= 1
        if not self._per_bucket[bucket]:
            del self._per_bucket[bucket]

    def __len__(self) -> int:
        return len(self._held)
