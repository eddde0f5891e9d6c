"""Devices by id: from memory at once, from storage when they are first heard of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.limits import RateLimit
from rdserver.rendezvous.misses import Misses
from rdserver.storage.interface import PeerStore, StoredPeer

MAX_ID_BYTES = 100
"""No device has a longer id; the column of the reference's table ends there."""

MAX_LOOKUPS = 10_000
"""Lookups under way at once."""

MAX_CLAIMS = 2_000
"""Those of them that are for registrations; the others are for devices that come back."""

MAX_UNKNOWN = 1_000
"""Ids that nobody has, which one address may ask for in a row."""

MAX_UNKNOWN_OF_ALL = 5_000
"""Ids that nobody has, which all together may ask for in a row."""

# So many more come back each second.  A lookup takes 50 us of the time in which devices
# are answered: 500 take a fortieth of it.
_UNKNOWN_PER_S = 20.0
_UNKNOWN_OF_ALL_PER_S = 500.0
_ALL = ""  # instead of an address


class _Askers:
    """Who has asked for ids that nobody has, each alone and all together."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._each = RateLimit(now, MAX_UNKNOWN, _UNKNOWN_PER_S)
        self._all = RateLimit(now, MAX_UNKNOWN_OF_ALL, _UNKNOWN_OF_ALL_PER_S)

    def may_ask(self, host: str) -> bool:
        return not (self._all.is_exhausted(_ALL) or self._each.is_exhausted(host))

    def charge(self, host: str) -> None:
        self._each.charge(host)
        self._all.charge(_ALL)

    def sweep(self) -> Iterator[None]:
        yield from self._each.sweep()
        yield from self._all.sweep()

    def __len__(self) -> int:
        return len(self._each) + len(self._all)


class _Claimers:
    """
    Who has claimed ids that nobody had.

    Beyond its own share an address has a part in what is left for all such addresses:
    anybody may spend it in the name of devices that live there, and storage knows them.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._each = RateLimit(now, MAX_UNKNOWN, _UNKNOWN_PER_S)
        self._beyond = RateLimit(now, MAX_UNKNOWN_OF_ALL, _UNKNOWN_OF_ALL_PER_S)

    def is_beyond(self, host: str) -> bool:
        """Return whether *host* has used up its own share."""
        return self._each.is_exhausted(host)

    def is_nothing_left(self) -> bool:
        """Return whether those who have used up theirs must all wait."""
        return self._beyond.is_exhausted(_ALL)

    def charge(self, host: str) -> None:
        if self.is_beyond(host):
            self._beyond.charge(_ALL)
        else:
            self._each.charge(host)

    def sweep(self) -> Iterator[None]:
        yield from self._each.sweep()
        yield from self._beyond.sweep()

    def __len__(self) -> int:
        return len(self._each) + len(self._beyond)


class Directory:
    """
    Finds devices.  Storage gathers lookups that come close together.

    After a restart every device is found here by its first heartbeat, so that none
    has to register anew (protocol.md section 3.18 no. 6).

    Random ids cannot keep storage busy: one that it does not know is remembered for a
    while, and only so many of them are looked up for one address, and for all.  Beyond
    that whoever is not in memory must register, which is another limit's matter.  An id
    that storage knows costs its asker nothing: any number of devices behind one address
    may return at once.

    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self,
        presence: Presence,
        store: PeerStore,
        notices: Notices[Event],
        now: Callable[[], float],
    ) -> None:
        self._presence = presence
        self._store = store
        self._notices = notices
        self._lookups = 0
        self._claims = 0
        self._misses = Misses(now)
        # Apart: whoever sends heartbeats in the name of addresses that are not his must
        # not keep those who live there from proving themselves, nor callers, whose
        # addresses are proven, from hearing of a device that it is there.
        self._heartbeats = _Askers(now)
        self._callers = _Askers(now)
        self._claimers = _Claimers(now)

    def get(self, peer_id: str) -> Peer | None:
        """Return the device if it is in memory."""
        return self._presence.get(peer_id)

    def is_missing(self, peer_id: str, host: str) -> bool:
        """
        Return whether :meth:`find` would say None without asking storage.

        For the id of a heartbeat that is not in memory.  It costs less than
        :meth:`find`, and that is what it is for: a flood must not cost more than the
        heartbeats of devices.
        """
        return self._is_missing(peer_id, host, self._heartbeats)

    def _is_missing(self, peer_id: str, host: str, askers: _Askers) -> bool:
        if not _is_possible(peer_id) or peer_id in self._misses:
            return True
        if askers.may_ask(host):
            return False
        self._notices.count(Event.STRANGER)
        return True

    async def find(self, peer_id: str, host: str) -> Peer | None:
        """
        Return the device, or None if as far as *host* may know it never registered.

        For heartbeats, which come again: what happened to the table outside this process in
        the last minute may not be seen.

        :raises StorageError: storage failed, or too many lookups are under way.
        """
        return await self._find(peer_id, host, self._heartbeats)

    async def find_called(self, peer_id: str, host: str) -> Peer | None:
        """As :meth:`find`, for a caller on a connection: no heartbeats count against it."""
        return await self._find(peer_id, host, self._callers)

    async def _find(self, peer_id: str, host: str, askers: _Askers) -> Peer | None:
        known = self._presence.get(peer_id)
        if known is not None:
            return known
        if self._is_missing(peer_id, host, askers):
            return None
        found = await self._look_up(peer_id)
        if found is None:
            self._misses.add(peer_id)
            askers.charge(host)
        return found

    def is_refused(self, peer_id: str, host: str) -> bool:
        """
        Return whether *host* must wait before it may claim this id, not in memory.

        It must if it has claimed many ids that nobody had, unless storage may know this
        one and can be asked: its owner is let in (protocol.md section 3.18 no. 6).
        """
        if not self._claimers.is_beyond(host):
            return False
        if peer_id not in self._misses and not self._claimers.is_nothing_left():
            return False
        self._notices.count(Event.STRANGER)
        return True

    async def find_claimed(self, peer_id: str, host: str) -> Peer | None:
        """
        Return the device, or None if it never registered, for whoever will register it.

        For whoever is not refused; see :meth:`is_refused`.

        :raises StorageError: storage failed, or too many lookups are under way.
        """
        known = self._presence.get(peer_id)
        if known is not None or not _is_possible(peer_id):
            return known
        self._misses.discard(peer_id)
        found = await self._look_up_claimed(peer_id)
        if found is None:
            self._miss_claimed(peer_id, host)
        return found

    def _miss_claimed(self, peer_id: str, host: str) -> None:
        if self._claimers.is_beyond(host):
            # The next claim costs nothing.  Whoever may register now is in memory then.
            self._misses.add(peer_id)
        self._claimers.charge(host)

    async def _look_up_claimed(self, peer_id: str) -> Peer | None:
        if self._claims >= MAX_CLAIMS:
            raise self._too_many()
        self._claims += 1
        try:
            return await self._look_up(peer_id)
        finally:
            self._claims -= 1

    async def _look_up(self, peer_id: str) -> Peer | None:
        stored = await self._ask(peer_id)
        if stored is None:
            return self._presence.get(peer_id)  # it may have registered meanwhile
        return self._presence.remember(stored)

    async def _ask(self, peer_id: str) -> StoredPeer | None:
        if self._lookups >= MAX_LOOKUPS:
            raise self._too_many()
        self._lookups += 1
        try:
            return await self._store.find(peer_id)
        finally:
            self._lookups -= 1

    def _too_many(self) -> StorageError:
        # Logged here; the store logs what it fails at itself, and callers only count.
        text = "too many lookups of devices that are not in memory"
        self._notices.error(Event.LOOKUPS_REFUSED, "{error}", error=text)
        return StorageError(text)

    def sweep(self) -> Iterator[None]:
        """Forget ids that were missing, and who asked; a slice with each step."""
        self._misses.sweep()
        for askers in (self._heartbeats, self._callers, self._claimers):
            yield from askers.sweep()


def _is_possible(peer_id: str) -> bool:
    return 0 < len(peer_id.encode()) <= MAX_ID_BYTES
