"""Devices by id: from memory at once, from storage when they are first heard of."""

from __future__ import annotations

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.events import Event
from rdserver.storage.interface import PeerStore

MAX_ID_BYTES = 100
"""No device has a longer id; the column of the reference's table ends there."""

MAX_LOOKUPS = 10_000
"""Lookups under way at once.  Strangers asking for random ids get no further."""


class Directory:
    """
    Finds devices.  Storage gathers lookups that come close together.

    After a restart every device is found here by its first heartbeat, so that none
    has to register anew (protocol.md section 3.18 no. 6).
    """

    def __init__(
        self, presence: Presence, store: PeerStore, notices: Notices[Event]
    ) -> None:
        self._presence = presence
        self._store = store
        self._notices = notices
        self._lookups = 0

    def get(self, peer_id: str) -> Peer | None:
        """Return the device if it is in memory."""
        return self._presence.get(peer_id)

    async def find(self, peer_id: str) -> Peer | None:
        """
        Return the device, or None if it never registered.

        :raises StorageError: storage failed, or too many lookups are under way.
        """
        known = self._presence.get(peer_id)
        if known is not None or not 0 < len(peer_id.encode()) <= MAX_ID_BYTES:
            return known
        if self._lookups >= MAX_LOOKUPS:
            raise self._too_many()
        self._lookups += 1
        try:
            stored = await self._store.find(peer_id)
        finally:
            self._lookups -= 1
        if stored is None:
            return self._presence.get(peer_id)  # it may have registered meanwhile
        return self._presence.remember(stored)

    def _too_many(self) -> StorageError:
        # Logged here; the store logs what it fails at itself, and callers only count.
        text = "too many lookups of devices that are not in memory"
        self._notices.error(Event.LOOKUPS_REFUSED, "{error}", error=text)
        return StorageError(text)
