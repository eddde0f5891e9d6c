"""A PeerStore that forgets everything when the process ends, for tests."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed

from rdserver.errors import StorageError
from rdserver.storage.interface import StoredPeer


class MemoryPeerStore:
    """Answers at once, by the rules that the database keeps."""

    def __init__(self) -> None:
        self._by_guid: dict[bytes, StoredPeer] = {}
        self._guids: dict[str, bytes] = {}
        self._banned: set[str] = set()

    def find(self, peer_id: str) -> Deferred[StoredPeer | None]:
        """Return the device with this id, or None."""
        guid = self._guids.get(peer_id)
        return succeed(None if guid is None else self._by_guid[guid])

    def save(self, peer: StoredPeer) -> Deferred[None]:
        """Insert the device, or update all but uuid of the one with its guid."""
        if self._guids.get(peer.id, peer.guid) != peer.guid:
            return fail(StorageError("id belongs to another device"))
        old = self._by_guid.get(peer.guid)
        if old is not None:
            del self._guids[old.id]
            if old.uuid and peer.uuid:
                peer = evolve(peer, uuid=old.uuid)
        self._by_guid[peer.guid] = peer
        self._guids[peer.id] = peer.guid
        return succeed(None)

    def page(self, after: str, count: int) -> Deferred[list[StoredPeer]]:
        """Return up to *count* devices whose ids follow *after*, in the ids' order."""
        following = sorted(peer_id for peer_id in self._guids if peer_id > after)
        return succeed([self._by_guid[self._guids[i]] for i in following[:count]])

    def bans(self) -> Deferred[list[str]]:
        """Return the ids that are banned."""
        return succeed(sorted(self._banned))

    def ban(self, peer_id: str) -> Deferred[None]:
        """Ban an id."""
        self._banned.add(peer_id)
        return succeed(None)

    def unban(self, peer_id: str) -> Deferred[None]:
        """Ban an id no more."""
        self._banned.discard(peer_id)
        return succeed(None)
