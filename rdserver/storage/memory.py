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
            peer = evolve(peer, uuid=old.uuid)
        self._by_guid[peer.guid] = peer
        self._guids[peer.id] = peer.guid
        return succeed(None)
