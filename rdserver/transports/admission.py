"""How many connections a listener may hold, in all and from one address."""

from __future__ import annotations

from collections.abc import Callable, Container

from rdserver.wire.address import address_bucket


class Admission:
    """
    Counts open connections; each that was let in must leave exactly once.

    :param total: connections at the same time from everybody.
    :param per_address: from one IPv4 address or IPv6 /64.
    :param exempt: proxies, of which one address may have any number of the total, and
        takes no room of its neighbours: whoever learns for whom a connection is lets its
        proxy leave, and that one enter.
    :param crowded: told of each host that is not let in.
    :ivar refused: connections not let in, since the start.
    """

    def __init__(
        self,
        total: int,
        per_address: int,
        exempt: Container[str] = (),
        crowded: Callable[[str], None] = lambda _host: None,
    ) -> None:
        self._exempt = exempt
        self._bucket = self._bucket_beside_proxies if exempt else address_bucket
        self._total = total
        self._per_address = per_address
        self._crowded = crowded
        self._open: dict[str, int] = {}
        self._count = 0
        self.refused = 0

    def enter(self, host: str) -> bool:
        """Count a connection from the normalised *host* in, unless it is one too many."""
        bucket = self._bucket(host)
        here = self._open.get(bucket, 0)
        is_one_too_many = here >= self._per_address and host not in self._exempt
        if is_one_too_many or self._count >= self._total:
            self.refused += 1
            self._crowded(host)
            return False
        self._open[bucket] = here + 1
        self._count += 1
        return True

    def leave(self, host: str) -> None:
        """Count a connection out."""
        bucket = self._bucket(host)
        self._count -= 1
        self._open[bucket] -= 1
        if not self._open[bucket]:
            del self._open[bucket]

    def _bucket_beside_proxies(self, host: str) -> str:
        # Of IPv4 it is the host in any case, so that is not looked up.
        if ":" in host and host in self._exempt:
            return host
        return address_bucket(host)

    def __len__(self) -> int:
        return self._count
