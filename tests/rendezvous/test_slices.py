"""Tests for :mod:`rdserver.rendezvous.slices`, and that every large table is swept so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.memory import MemoryPresence
from rdserver.rendezvous.effects import Stream
from rdserver.rendezvous.journal import AddressChanges
from rdserver.rendezvous.limits import RateLimit, RegistrationLimit
from rdserver.rendezvous.pair_memory import PairMemory
from rdserver.rendezvous.pending import Kind, PendingTable
from rdserver.rendezvous.slices import SLICE, at_once, in_slices
from rdserver.storage.interface import StoredPeer
from tests.rendezvous.fixture import ALICE, BOB, BOB_ID, JUDGED, PK, SHOWN, UUID

MANY = 2 * SLICE + 1
TOO_OLD_S = 100_000.0


class SlicesTests(SynchronousTestCase):
    def test_slices(self) -> None:
        """A slice is so many steps; what is left of them is done with the last."""
        for steps, slices in ((0, 0), (1, 0), (SLICE, 1), (2 * SLICE + 1, 2)):
            done: list[int] = []
            made = in_slices(done.append(n) for n in range(steps))
            self.assertEqual([], done)
            seen = [len(done) for _slice in made]
            self.assertEqual([SLICE * n for n in range(1, slices + 1)], seen)
            self.assertEqual(steps, len(done))

    def test_at_once(self) -> None:
        """They can be done together."""
        done: list[int] = []
        at_once(in_slices(done.append(n) for n in range(MANY)))
        self.assertEqual(MANY, len(done))


class TablesTests(SynchronousTestCase):
    """Full tables of which all is too old."""

    def setUp(self) -> None:
        self.clock = Clock()

    def assert_swept_in_slices(self, table: Any, add: Callable[[int], object]) -> None:
        """Assert that a sweep takes its time, and what comes or goes in between is safe."""
        for n in range(MANY):
            add(n)
        self.assertEqual(MANY, len(table))
        self.clock.advance(TOO_OLD_S)
        left = []
        for number, _slice in enumerate(table.sweep()):
            left.append(len(table))
            add(MANY + number)  # new ones
            add(MANY - 1 - number)  # old ones that come back
        self.assertEqual([MANY - SLICE, MANY - 2 * SLICE + 1], left)
        self.assertEqual(4, len(table))

    def test_registrations(self) -> None:
        """Of addresses that registered."""
        limit = RegistrationLimit(self.clock.seconds)
        self.assert_swept_in_slices(limit, lambda n: limit.admit(f"host-{n}", "id"))

    def test_removed_meanwhile(self) -> None:
        """What the operator removes between two slices is no trouble."""
        limit = RegistrationLimit(self.clock.seconds)
        for n in range(MANY):
            limit.admit(f"host-{n}", "id")
        self.clock.advance(TOO_OLD_S)
        sweep = limit.sweep()
        next(sweep)
        limit.remove(f"host-{MANY - 1}")
        at_once(sweep)
        self.assertEqual(0, len(limit))

    def test_rates(self) -> None:
        """Of addresses that asked for something."""
        limit = RateLimit(self.clock.seconds, 10, 1)
        self.assert_swept_in_slices(limit, lambda n: limit.admit(f"host-{n}"))

    def test_changes(self) -> None:
        """Of devices that moved."""
        changes = AddressChanges(self.clock.seconds)
        self.assert_swept_in_slices(changes, lambda n: changes.record(f"id-{n}", "host"))

    def test_pairs(self) -> None:
        """Of who asked for whom."""
        pairs = PairMemory(self.clock.seconds)
        self.assert_swept_in_slices(pairs, lambda n: pairs.asked(f"host-{n}", "id", SHOWN))

    def test_pending(self) -> None:
        """Of who waits for an answer."""
        now = self.clock.seconds
        table = PendingTable(now, lambda: 7)
        row = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        peer = MemoryPresence(now).confirm(row, BOB)
        self.assert_swept_in_slices(
            table, lambda n: table.open(Stream(n, ALICE), peer, Kind.PUNCH, JUDGED, SHOWN)
        )
