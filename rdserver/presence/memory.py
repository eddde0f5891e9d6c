"""Presence known to this process alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from rdserver.presence.interface import NEVER_S, Peer, Route, StreamId, StreamRoute
from rdserver.presence.untracked import untrack
from rdserver.storage.interface import StoredPeer

ONLINE_S = 30.0
"""A device is online for this long after it was heard.  protocol.md 3.2."""

_UNUSED_S = 600.0
_TRIES = 3
_TRIES_S = 7.0
_SAME_S = 0.01
"""Devices that register within this share one number; as an object it takes memory."""

# One table of a million devices stops everything when it grows (20 ms and more) and
# cannot be swept in slices without a copy of its keys.  So there are many small ones.
_SHARDS = 1024
# By the hash's highest bits: the lowest ones find the place in a shard.
_SHARD_SHIFT = sys.hash_info.width - 10

# Devices looked at in one slice of a sweep: half a millisecond.
_SLICE = 1000


class MemoryPresence:
    """
    Devices by id.  Bounded by what storage holds, and swept.

    :param now: monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._shards: tuple[dict[str, Peer], ...] = tuple({} for _ in range(_SHARDS))
        self._expected: dict[bytes, Peer] = {}  # at most one for each device
        self._on_stream: dict[StreamId, Peer] = {}
        self._tried_s = NEVER_S

    def _shard(self, peer_id: str) -> dict[str, Peer]:
        return self._shards[hash(peer_id) >> _SHARD_SHIFT]  # from -512 to 511

    def get(self, peer_id: str) -> Peer | None:
        return self._shards[hash(peer_id) >> _SHARD_SHIFT].get(peer_id)

    def remember(self, stored: StoredPeer) -> Peer:
        shard = self._shard(stored.id)
        peer = shard.get(stored.id)
        if peer is None:
            peer = shard[stored.id] = Peer(stored, self._now())
            untrack(peer)
            untrack(shard)
        return peer

    def confirm(self, stored: StoredPeer, route: Route) -> Peer:
        peer = self.remember(stored)
        peer.stored = stored
        self._expect_no_more(peer)
        self.refresh(peer, route)
        return peer

    def refresh(self, peer: Peer, route: Route) -> None:
        self._hold(peer, route if isinstance(route, StreamRoute) else None)
        port = 0 if isinstance(route, StreamRoute) else route.port
        if (peer.host, peer.port) != (route.host, port):
            self._expect_no_more(peer)
        if peer.host != route.host:
            # It is where it registered from, nearly always: one text for both.
            peer.host = peer.ip if peer.ip == route.host else route.host
        if peer.port != port:
            peer.port = port
        peer.seen_s = self._now()
        if not peer.tries:
            peer.tried_s = NEVER_S  # one number for all devices

    def _hold(self, peer: Peer, held: StreamRoute | None) -> None:
        if held == peer.held:
            return
        self._let_go(peer)
        if held is not None:
            self.stream_closed(held.stream)  # whoever it was before
            peer.held = held
            self._on_stream[held.stream] = peer

    def _let_go(self, peer: Peer) -> None:
        if peer.held is not None:
            del self._on_stream[peer.held.stream]
            peer.held = None

    def drop(self, peer_id: str) -> StreamRoute | None:
        peer = self._shard(peer_id).pop(peer_id, None)
        if peer is None:
            return None
        held = peer.held
        self._expect_no_more(peer)
        self._let_go(peer)
        return held

    def registered_on(self, stream: StreamId) -> Peer | None:
        return self._on_stream.get(stream)

    def stream_closed(self, stream: StreamId) -> None:
        peer = self._on_stream.get(stream)
        if peer is not None:
            self._let_go(peer)
            peer.seen_s = NEVER_S

    def expect(self, peer: Peer, heartbeat: bytes) -> None:
        self._expect_no_more(peer)
        peer.heartbeat = heartbeat
        self._expected[heartbeat] = peer
        untrack(self._expected)

    def _expect_no_more(self, peer: Peer) -> None:
        self._expected.pop(peer.heartbeat, None)
        peer.heartbeat = b""

    def expect_nothing(self) -> None:
        self._expected.clear()

    def hear(self, heartbeats: Sequence[bytes], first: int) -> int:
        # The busiest loop of the ID server: a look-up and a time stamp for each.
        now = self._now()
        peers = map(self._expected.get, heartbeats[first:] if first else heartbeats)
        for index, peer in enumerate(peers, first):
            if peer is None:
                return index
            peer.seen_s = now
        return len(heartbeats)

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
        if now - self._tried_s >= _SAME_S:
            self._tried_s = now
        peer.tried_s = self._tried_s
        return True

    def is_online(self, peer: Peer) -> bool:
        return peer.held is not None or self._now() - peer.seen_s < ONLINE_S

    def sweep(self) -> Iterator[None]:
        looked_at = 0
        for shard in self._shards:
            looked_at += len(shard)
            self._sweep(shard)
            if looked_at >= _SLICE:
                looked_at = 0
                yield

    def _sweep(self, shard: dict[str, Peer]) -> None:
        oldest = self._now() - _UNUSED_S
        unused = [
            peer_id
            for peer_id, peer in shard.items()
            if peer.seen_s < oldest and peer.tried_s < oldest and peer.held is None
        ]
        for peer_id in unused:
            self._expect_no_more(shard.pop(peer_id))

    def __len__(self) -> int:
        return sum(map(len, self._shards))
