"""Presence known to this process alone."""

from __future__ import annotations

from collections.abc import Callable

from rdserver.presence.interface import Peer, Route
from rdserver.storage.interface import StoredPeer

ONLINE_S = 30.0
"""A device is online for this long after it was heard.  protocol.md 3.2."""

_UNUSED_S = 600.0
_TRIES = 3
_TRIES_S = 7.0


class MemoryPresence:
    """
    Devices by id.  Bounded by what storage holds, and swept.

    :param now: monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._peers: dict[str, Peer] = {}

    def get(self, peer_id: str) -> Peer | None:
        return self._peers.get(peer_id)

    def remember(self, stored: StoredPeer) -> Peer:
        peer = self._peers.get(stored.id)
        if peer is None:
            peer = self._peers[stored.id] = Peer(stored, self._now())
        return peer

    def confirm(self, stored: StoredPeer, route: Route) -> Peer:
        peer = self.remember(stored)
        peer.stored = stored
        self.refresh(peer, route)
        return peer

    def refresh(self, peer: Peer, route: Route) -> None:
        peer.route = route
        peer.seen_s = peer.used_s = self._now()

    def try_register(self, peer: Peer) -> bool:
        """Three in quick succession pass; then it takes seven seconds of silence.

        Source: protocol.md section 3.9, per-peer limiter.
        """
        now = self._now()
        if now - peer.tried_s >= _TRIES_S:
            peer.tries = 0
        elif peer.tries >= _TRIES:
            return False
        peer.tries += 1
        peer.tried_s = peer.used_s = now
        return True

    def is_online(self, peer: Peer) -> bool:
        return self._now() - peer.seen_s < ONLINE_S

    def sweep(self) -> None:
        oldest = self._now() - _UNUSED_S
        unused = [peer_id for peer_id, peer in self._peers.items() if peer.used_s < oldest]
        for peer_id in unused:
            del self._peers[peer_id]

    def __len__(self) -> int:
        return len(self._peers)
