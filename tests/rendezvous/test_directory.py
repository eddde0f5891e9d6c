"""Tests for :mod:`rdserver.rendezvous.directory`."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer
from rdserver.presence.memory import MemoryPresence
from rdserver.rendezvous.directory import MAX_LOOKUPS, Directory
from rdserver.rendezvous.events import Event
from rdserver.storage.interface import StoredPeer
from tests.rendezvous.fixture import BOB, BOB_ID, OTHER_PK, PK, UUID, FakeStore

STORED = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)


class DirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.presence = MemoryPresence(Clock().seconds)
        self.store = FakeStore()
        self.logged: list[dict[str, Any]] = []
        log = Logger("test", observer=self.logged.append)
        self.notices = Notices(log, Event, Clock().seconds)
        self.directory = Directory(self.presence, self.store, self.notices)

    def find(self, peer_id: str = BOB_ID) -> Deferred[Peer | None]:
        return Deferred.fromCoroutine(self.directory.find(peer_id))

    def test_unknown(self) -> None:
        """A device that never registered is None, and memory does not grow."""
        self.assertIsNone(self.successResultOf(self.find()))
        self.assertEqual(0, len(self.presence))

    def test_stored(self) -> None:
        """A stored device is taken into memory and not looked up again."""
        self.successResultOf(self.store.save(STORED))
        self.assertIsNone(self.directory.get(BOB_ID))
        peer = self.successResultOf(self.find())
        self.assertIs(peer, self.successResultOf(self.find()))
        self.assertIs(peer, self.directory.get(BOB_ID))
        self.assertEqual(1, self.store.asked.count(f"find {BOB_ID}"))

    def test_impossible_ids(self) -> None:
        """Nobody makes storage look for, or hold, an id that no device can have."""
        for peer_id in ("", "x" * 101, "é" * 51, "x" * 60_000):
            self.assertIsNone(self.successResultOf(self.find(peer_id)))
        self.assertEqual([], self.store.asked)
        self.assertIsNone(self.successResultOf(self.find("x" * 100)))
        self.assertEqual(1, len(self.store.asked))

    def test_registered_meanwhile(self) -> None:
        """A lookup that found nothing sees the device that registered meanwhile."""
        self.store.holding = True
        found = self.find()
        peer = self.presence.confirm(STORED, BOB)
        self.store.give()
        self.assertIs(peer, self.successResultOf(found))

    def test_changed_meanwhile(self) -> None:
        """A lookup that found an old row does not undo what the device proved since."""
        self.successResultOf(self.store.save(STORED))
        self.store.holding = True
        found = self.find()
        renewed = evolve(STORED, pk=OTHER_PK)
        self.presence.confirm(renewed, BOB)
        self.store.give()
        self.assertEqual(renewed, self.successResultOf(found).stored)

    def test_too_many(self) -> None:
        """Lookups under way are bounded, time and again, and the operator reads of it."""
        self.store.holding = True
        for _ in range(2):
            lookups = [self.find(f"nobody-{n}") for n in range(MAX_LOOKUPS)]
            self.failureResultOf(self.find("one-more"), StorageError)
            self.assertEqual(MAX_LOOKUPS, self.store.held)
            for lookup in reversed(lookups):
                self.store.give(-1)
                self.assertIsNone(self.successResultOf(lookup))
        self.assertEqual(2, self.notices.counts[Event.LOOKUPS_REFUSED])
        text = "too many lookups of devices that are not in memory"
        self.assertEqual([text] * 2, [formatEvent(event) for event in self.logged])

    def test_known_beside_too_many(self) -> None:
        """However many lookups are under way, a device in memory is found."""
        self.store.holding = True
        for n in range(MAX_LOOKUPS):
            self.find(f"nobody-{n}")
        self.presence.remember(STORED)
        self.assertIsNotNone(self.successResultOf(self.find()))

    def test_failure(self) -> None:
        """A failed lookup says so, and does not count as under way; the store logs why."""
        self.store.failing = {"find"}
        for _ in range(MAX_LOOKUPS + 1):
            self.failureResultOf(self.find(), StorageError)
        self.assertEqual([], self.logged)
        self.store.failing.clear()
        self.assertIsNone(self.successResultOf(self.find()))
