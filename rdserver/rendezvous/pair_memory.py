"""
Which addresses asked for which device lately: what makes a relay request A's.

Source: protocol.md section 3.18 no. 4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from attrs import frozen

from rdserver.rendezvous.identity import Credential
from rdserver.rendezvous.slices import in_slices
from rdserver.wire.address import address_bucket


@frozen
class _Pair:
    """
    An address that asked for a device.

    :ivar since_s: when it asked or was told something last.
    :ivar relays: what it was told.
    :ivar credential: what it has shown; None: nothing yet.
    """

    since_s: float
    relays: tuple[str, ...]
    credential: Credential | None


class PairMemory:
    """
    Which addresses asked for which device lately, and what relays they were told.

    A's relay request comes on a new connection without a key; this is what makes
    it more than a stranger's.  Of two behind one address with different keys the one
    that asked last counts.

    :param now: monotonic clock, in seconds.
    :param max_pairs: beyond, the oldest are forgotten.

    Source: protocol.md section 3.18 no. 4.
    """

    TTL_S = 120.0
    _MAX_RELAYS = 8
    _MAX_RELAY_CHARS = 260  # a host name of 253, a port

    def __init__(self, now: Callable[[], float], max_pairs: int = 100_000) -> None:
        self._now = now
        self._max = max_pairs
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    def asked(self, host: str, peer_id: str, credential: Credential) -> None:
        """Note that *host* asked for the device and has shown *credential*."""
        self._put(host, peer_id, self.relays(host, peer_id), credential)

    def told(self, host: str, peer_id: str, relay_server: str) -> None:
        """Note that *host* was told to meet the device at *relay_server*."""
        relays = self.relays(host, peer_id)
        fits = 0 < len(relay_server) <= self._MAX_RELAY_CHARS
        if fits and relay_server not in relays:
            relays = (*relays, relay_server)[-self._MAX_RELAYS :]
        self._put(host, peer_id, relays, self.credential(host, peer_id))

    def has_asked(self, host: str, peer_id: str) -> bool:
        """Return whether *host* asked for the device in the last two minutes."""
        return self._get(host, peer_id) is not None

    def relays(self, host: str, peer_id: str) -> tuple[str, ...]:
        """Return the relays that *host* was told for the device, if that is recent."""
        pair = self._get(host, peer_id)
        return () if pair is None else pair.relays

    def credential(self, host: str, peer_id: str) -> Credential | None:
        """Return what *host* has shown when it asked for the device, if that is recent."""
        pair = self._get(host, peer_id)
        return None if pair is None else pair.credential

    def sweep(self) -> Iterator[None]:
        """Forget pairs that are too old, a slice with each step."""
        return in_slices(self._forget_old())

    def _forget_old(self) -> Iterator[tuple[str, str]]:
        while self._pairs:
            names, pair = next(iter(self._pairs.items()))
            if self._now() - pair.since_s < self.TTL_S:
                return
            del self._pairs[names]
            yield names

    def _get(self, host: str, peer_id: str) -> _Pair | None:
        pair = self._pairs.get((address_bucket(host), peer_id))
        is_recent = pair is not None and self._now() - pair.since_s < self.TTL_S
        return pair if is_recent else None

    def _put(
        self,
        host: str,
        peer_id: str,
        relays: tuple[str, ...],
        credential: Credential | None,
    ) -> None:
        names = address_bucket(host), peer_id
        self._pairs[names] = _Pair(self._now(), relays, credential)
        self._pairs.move_to_end(names)
        if len(self._pairs) > self._max:
            self._pairs.popitem(last=False)

    def __len__(self) -> int:
        return len(self._pairs)
