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
from rdserver.rendezvous.directory import (
    MAX_CLAIMS,
    MAX_LOOKUPS,
    MAX_UNKNOWN,
    MAX_UNKNOWN_OF_ALL,
    Directory,
)
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.slices import at_once
from rdserver.storage.interface import StoredPeer
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    OTHER_PK,
    PK,
    STRANGER,
    UUID,
    FakeStore,
)

STORED = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)


class DirectoryCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        now = self.clock.seconds
        self.presence = MemoryPresence(now)
        self.store = FakeStore()
        self.logged: list[dict[str, Any]] = []
        log = Logger("test", observer=self.logged.append)
        self.notices = Notices(log, Event, now)
        self.directory = Directory(self.presence, self.store, self.notices, now)

    def find(
        self, peer_id: str = BOB_ID, host: str = BOB.host
    ) -> Deferred[Peer | None]:
        return Deferred.fromCoroutine(self.directory.find(peer_id, host))

    def find_claimed(
        self, peer_id: str = BOB_ID, host: str = BOB.host
    ) -> Deferred[Peer | None]:
        return Deferred.fromCoroutine(self.directory.find_claimed(peer_id, host))

    def find_called(
        self, peer_id: str = BOB_ID, host: str = ALICE.host
    ) -> Deferred[Peer | None]:
        return Deferred.fromCoroutine(self.directory.find_called(peer_id, host))

    def find_many(self, count: int, first: int = 0) -> list[Deferred[Peer | None]]:
        """Ask for ids that nobody has, each from an address of its own."""
        return [
            self.find(f"nobody-{n}", f"10.0.{n >> 8}.{n & 255}")
            for n in range(first, first + count)
        ]

    def tearDown(self) -> None:
        self.assertEqual(0, self.directory._lookups)


class DirectoryTests(DirectoryCase):
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
            self.assertIsNone(self.successResultOf(self.find_claimed(peer_id)))
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
        for first in (0, MAX_LOOKUPS):
            lookups = self.find_many(MAX_LOOKUPS, first)
            self.failureResultOf(self.find("one-more"), StorageError)
            self.failureResultOf(self.find_claimed("one-more"), StorageError)
            self.assertEqual(MAX_LOOKUPS, self.store.held)
            for lookup in reversed(lookups):
                self.store.give(-1)
                self.assertIsNone(self.successResultOf(lookup))
            self.clock.advance(60)
        self.assertEqual(4, self.notices.counts[Event.LOOKUPS_REFUSED])
        text = "too many lookups of devices that are not in memory"
        self.assertEqual([text] * 4, [formatEvent(event) for event in self.logged])

    def test_too_many_claims(self) -> None:
        """Claims under way leave room for devices that come back."""
        self.store.holding = True
        claims = [self.find_claimed(f"claim-{n}") for n in range(MAX_CLAIMS)]
        self.failureResultOf(self.find_claimed("one-more"), StorageError)
        lookups = self.find_many(MAX_LOOKUPS - MAX_CLAIMS)
        self.assertEqual(MAX_LOOKUPS, self.store.held)
        for lookup in claims + lookups:
            self.store.give()
            self.assertIsNone(self.successResultOf(lookup))
        again = self.find_claimed("one-more")
        self.store.give()
        self.assertIsNone(self.successResultOf(again))

    def test_known_beside_too_many(self) -> None:
        """However many lookups are under way, a device in memory is found."""
        self.store.holding = True
        lookups = self.find_many(MAX_LOOKUPS)
        self.presence.remember(STORED)
        self.assertIsNotNone(self.successResultOf(self.find()))
        for lookup in lookups:
            self.store.give()
            self.successResultOf(lookup)

    def test_failure(self) -> None:
        """A failed lookup says so, and does not count as under way; the store logs why."""
        self.store.failing = {"find"}
        for _ in range(MAX_LOOKUPS + 1):
            self.failureResultOf(self.find(), StorageError)
        self.assertEqual([], self.logged)
        self.store.failing.clear()
        self.assertIsNone(self.successResultOf(self.find()))


class MissTests(DirectoryCase):
    """Ids that nobody has, asked for again."""

    def asked(self) -> int:
        """Return how often storage was asked since the last call."""
        count = len(self.store.asked)
        self.store.asked.clear()
        return count

    def test_remembered(self) -> None:
        """Storage is asked once, whoever asks; the answer stays None."""
        self.assertFalse(self.directory.is_missing(BOB_ID, BOB.host))
        for host in (BOB.host, BOB.host, ALICE.host):
            self.assertIsNone(self.successResultOf(self.find(host=host)))
        self.assertEqual(1, self.asked())
        self.assertTrue(self.directory.is_missing(BOB_ID, BOB.host))

    def test_forgotten(self) -> None:
        """What somebody else puts into the table is seen within a minute."""
        self.successResultOf(self.find())
        self.successResultOf(self.store.save(STORED))
        self.asked()
        self.clock.advance(29.9)
        self.assertIsNone(self.successResultOf(self.find()))
        self.assertEqual(0, self.asked())
        self.clock.advance(30.1)
        self.assertIsNotNone(self.successResultOf(self.find()))

    def test_registered(self) -> None:
        """Whoever registers is found at once, and after it was swept from memory."""
        self.successResultOf(self.find())
        self.successResultOf(self.store.save(STORED))
        peer = self.presence.confirm(STORED, BOB)
        self.assertIs(peer, self.successResultOf(self.find()))
        self.clock.advance(600.1)
        for _slice in self.presence.sweep():
            pass
        self.assertEqual(0, len(self.presence))
        self.assertEqual(STORED, self.successResultOf(self.find()).stored)

    def test_claimed(self) -> None:
        """Who will register the id is told what storage says now."""
        self.successResultOf(self.find())
        self.successResultOf(self.store.save(STORED))
        peer = self.successResultOf(self.find_claimed())
        self.assertEqual(STORED, peer.stored)
        self.assertIs(peer, self.successResultOf(self.find()))
        self.assertIs(peer, self.successResultOf(self.find_claimed()))

    def test_claimed_by_nobody(self) -> None:
        """Storage is asked for each claim, and for what comes while it is being stored."""
        self.successResultOf(self.find())
        for _ in range(2):
            self.assertIsNone(self.successResultOf(self.find_claimed()))
            self.assertFalse(self.directory.is_missing(BOB_ID, BOB.host))
        self.assertEqual(3, self.asked())

    def test_failure_is_no_miss(self) -> None:
        """An id whose lookup failed is looked up again."""
        self.store.failing = {"find"}
        self.failureResultOf(self.find(), StorageError)
        self.assertFalse(self.directory.is_missing(BOB_ID, BOB.host))

    def test_impossible_is_missing(self) -> None:
        """An id that no device can have is missing at once, and takes no memory."""
        # Were it looked up in vain each time, it would cost a coroutine and no limit.
        for peer_id in ("", "x" * 101, "\u00e9" * 51):
            self.assertTrue(self.directory.is_missing(peer_id, BOB.host))
            self.successResultOf(self.find(peer_id))
        self.assertEqual((0, 0), (len(self.directory._misses), self.asked()))
        self.assertFalse(self.directory.is_missing("x" * 100, BOB.host))


class StrangerTests(DirectoryCase):
    """One address that asks for one random id after the other."""

    def exhaust(self, find: Any) -> None:
        for n in range(MAX_UNKNOWN):
            self.assertIsNone(self.successResultOf(find(f"nobody-{n}", STRANGER.host)))
        self.assertEqual(MAX_UNKNOWN, len(self.store.asked))
        self.store.asked.clear()

    def test_heartbeats(self) -> None:
        """After 1000 storage is not asked any more; twenty a second come back."""
        self.exhaust(self.find)
        self.assertTrue(self.directory.is_missing(BOB_ID, STRANGER.host))
        self.assertFalse(self.directory.is_missing(BOB_ID, ALICE.host))
        for n in range(1000):
            self.assertIsNone(self.successResultOf(self.find(f"more-{n}", STRANGER.host)))
        self.assertEqual([], self.store.asked)
        self.assertEqual(1001, self.notices.counts[Event.STRANGER])
        self.clock.advance(1)
        for n in range(1000):
            self.assertIsNone(self.successResultOf(self.find(f"then-{n}", STRANGER.host)))
        self.assertEqual(20, len(self.store.asked))

    def test_others(self) -> None:
        """Nobody else is affected, nor those at that address who are in memory."""
        self.exhaust(self.find)
        self.successResultOf(self.store.save(STORED))
        self.assertIsNone(self.successResultOf(self.find(host=STRANGER.host)))
        peer = self.successResultOf(self.find())
        self.assertEqual(STORED, peer.stored)
        self.assertIs(peer, self.successResultOf(self.find(host=STRANGER.host)))

    def test_many_strangers(self) -> None:
        """All have 5000 looked up, then 500 a second; a device can still prove itself."""
        self.successResultOf(self.store.save(STORED))
        for lookup in self.find_many(MAX_UNKNOWN_OF_ALL):
            self.assertIsNone(self.successResultOf(lookup))
        self.store.asked.clear()
        self.assertTrue(self.directory.is_missing(BOB_ID, BOB.host))
        self.assertIsNone(self.successResultOf(self.find()))
        self.assertEqual([], self.store.asked)
        self.assertIsNotNone(self.successResultOf(self.find_claimed()))
        self.clock.advance(1)
        self.find_many(2000, MAX_UNKNOWN_OF_ALL)
        self.assertEqual(1 + 500, len(self.store.asked))

    def test_callers(self) -> None:
        """However many heartbeats ask, in whoever's name, callers find stored devices."""
        self.successResultOf(self.store.save(STORED))
        self.find_many(MAX_UNKNOWN_OF_ALL)
        self.assertTrue(self.directory.is_missing(BOB_ID, ALICE.host))
        self.assertEqual(STORED, self.successResultOf(self.find_called()).stored)

    def test_too_many_calls(self) -> None:
        """Callers have limits of their own, and take nothing from heartbeats."""
        self.exhaust(self.find_called)
        self.assertIsNone(self.successResultOf(self.find_called(BOB_ID, STRANGER.host)))
        self.assertEqual([], self.store.asked)
        self.assertFalse(self.directory.is_missing(BOB_ID, STRANGER.host))
        for n in range(MAX_UNKNOWN_OF_ALL):
            self.find_called(f"id-{n}", f"10.0.{n >> 8}.{n & 255}")
        self.assertEqual(MAX_UNKNOWN_OF_ALL - MAX_UNKNOWN, len(self.store.asked))

    def test_claims(self) -> None:
        """Heartbeats sent in its name do not keep an address from registering."""
        self.exhaust(self.find)
        self.successResultOf(self.store.save(STORED))
        peer = self.successResultOf(self.find_claimed(host=STRANGER.host))
        self.assertEqual(STORED, peer.stored)

    def test_too_many_claims(self) -> None:
        """Whoever claims random ids is refused after as many; twenty a second come back."""
        self.successResultOf(self.find())
        self.store.asked.clear()
        self.assertFalse(self.is_refused(BOB_ID))
        self.exhaust(self.find_claimed)
        self.assertTrue(self.is_refused(BOB_ID))
        self.assertFalse(self.is_refused(BOB_ID, ALICE.host))
        self.assertEqual(1, self.notices.counts[Event.STRANGER])
        self.clock.advance(0.05)
        self.assertFalse(self.is_refused(BOB_ID))

    def is_refused(self, peer_id: str, host: str = STRANGER.host) -> bool:
        return self.directory.is_refused(peer_id, host)

    def test_claims_of_what_may_be_stored(self) -> None:
        """Beyond that it is looked up whether an id is there, once in a while."""
        self.exhaust(self.find_claimed)
        self.assertFalse(self.is_refused(BOB_ID))
        self.assertIsNone(self.successResultOf(self.find_claimed(host=STRANGER.host)))
        self.assertTrue(self.is_refused(BOB_ID))
        self.assertFalse(self.is_refused(BOB_ID, ALICE.host))
        self.successResultOf(self.store.save(STORED))
        self.clock.advance(60)
        self.exhaust_again()
        self.assertFalse(self.is_refused(BOB_ID))
        peer = self.successResultOf(self.find_claimed(host=STRANGER.host))
        self.assertEqual(STORED, peer.stored)

    def exhaust_again(self) -> None:
        """Claim once more what the address may claim after a minute, and more."""
        for n in range(MAX_UNKNOWN + 50):
            self.find_claimed(f"no-one-{n}", STRANGER.host)

    def test_flood_of_claims(self) -> None:
        """Of those all addresses together have 5000 looked up, then 500 a second."""
        own = 2 * MAX_UNKNOWN
        self.assertEqual(own + MAX_UNKNOWN_OF_ALL, self.claimed("first"))
        self.clock.advance(1)
        self.assertEqual(2 * 20 + 500, self.claimed("then"))
        self.assertFalse(self.is_refused("another", BOB.host))
        self.assertFalse(self.directory.is_missing("another", BOB.host))

    def claimed(self, word: str) -> int:
        """Claim 9000 ids from two addresses; return how many were looked up."""
        self.store.asked.clear()
        for n in range(9000):
            peer_id, host = f"{word}-{n}", (STRANGER, ALICE)[n % 2].host
            if not self.is_refused(peer_id, host):
                self.assertIsNone(self.successResultOf(self.find_claimed(peer_id, host)))
        return len(self.store.asked)

    def test_no_debt(self) -> None:
        """Claims beyond its share are not held against an address later."""
        self.exhaust(self.find_claimed)
        self.exhaust_again()
        self.clock.advance(0.05)
        self.find_claimed("one-more", STRANGER.host)
        self.assertFalse("one-more" in self.directory._misses)

    def test_known_ids_cost_nothing(self) -> None:
        """Any number of stored devices behind one address come back at once."""
        count = MAX_UNKNOWN + 100
        for n in range(count):
            stored = evolve(STORED, id=f"device-{n}", guid=n.to_bytes(16, "big"))
            self.successResultOf(self.store.save(stored))
        for n in range(count):
            self.assertIsNotNone(self.successResultOf(self.find(f"device-{n}")))
        self.assertEqual(0, self.notices.counts[Event.STRANGER])

    def test_answers_that_come_late(self) -> None:
        """What was under way when the limit was reached counts too."""
        self.store.holding = True
        lookups = [self.find(f"id-{n}", STRANGER.host) for n in range(MAX_UNKNOWN + 40)]
        while self.store.held:
            self.store.give()
        self.assertEqual([None] * len(lookups), [self.successResultOf(d) for d in lookups])
        self.clock.advance(2)
        self.assertTrue(self.directory.is_missing(BOB_ID, STRANGER.host))
        self.clock.advance(0.1)
        self.assertFalse(self.directory.is_missing(BOB_ID, STRANGER.host))

    def test_failures_cost_nothing(self) -> None:
        """That the database fails is not held against whoever asks."""
        self.store.failing = {"find"}
        for n in range(MAX_UNKNOWN + 100):
            self.failureResultOf(self.find(f"device-{n}"), StorageError)
        self.assertEqual(0, self.notices.counts[Event.STRANGER])

    def test_forgotten(self) -> None:
        """Neither ids nor addresses are kept for ever."""
        self.exhaust(self.find)
        self.successResultOf(self.find_claimed("another"))
        self.successResultOf(self.find_called("a third"))
        self.clock.advance(60)
        at_once(self.directory.sweep())
        directory = self.directory
        tables = directory._heartbeats, directory._callers
        tables += directory._misses, directory._claimers
        self.assertEqual([0] * 4, [len(table) for table in tables])
