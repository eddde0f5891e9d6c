"""What every PeerStore must do.  A mixin: trial would run a TestCase wherever imported."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import StorageError
from rdserver.storage.interface import PeerStore, StoredPeer

_Mixin = SynchronousTestCase if TYPE_CHECKING else object

T = TypeVar("T")

ALICE = StoredPeer(
    id="123456789",
    guid=bytes(range(16)),
    uuid=b"\0machine\xff",
    pk=bytes(32),
    ip="192.0.2.1",
)
BOB = StoredPeer(
    id="987654321",
    guid=bytes(range(16, 32)),
    uuid=b"other machine",
    pk=bytes(range(32)),
    ip="2001:db8::1",
)


class PeerStoreContract(_Mixin):
    def make_store(self) -> PeerStore:
        raise NotImplementedError

    def settle(self, answer: Awaitable[object]) -> None:
        """Do what has to be done before *answer* fires."""

    def result(self, answer: Awaitable[T]) -> T:
        self.settle(answer)
        return self.successResultOf(answer)

    def assert_fails(self, answer: Awaitable[object]) -> None:
        self.settle(answer)
        self.failureResultOf(answer, StorageError)

    def setUp(self) -> None:
        self.store = self.make_store()

    def stored(self, peer_id: str) -> StoredPeer | None:
        return self.result(self.store.find(peer_id))

    def test_unknown(self) -> None:
        """An id that nobody saved is None, not an error."""
        self.assertIsNone(self.stored("nobody"))

    def test_round_trip(self) -> None:
        """What was saved comes back equal, NUL bytes and all."""
        self.result(self.store.save(ALICE))
        self.result(self.store.save(BOB))
        self.assertEqual(ALICE, self.stored(ALICE.id))
        self.assertEqual(BOB, self.stored(BOB.id))

    def test_id_is_compared_exactly(self) -> None:
        """Neither case nor surrounding blanks nor wildcards find another's row."""
        self.result(self.store.save(evolve(ALICE, id="desk-ä")))
        for other in ("DESK-ä", "desk-Ä", "desk-ä ", "desk-%", "desk-_", ""):
            self.assertIsNone(self.stored(other), other)
        self.assertIsNotNone(self.stored("desk-ä"))

    def test_update(self) -> None:
        """A second save with the same guid changes pk and ip."""
        self.result(self.store.save(ALICE))
        changed = evolve(ALICE, pk=b"\x01" * 32, ip="198.51.100.2")
        self.result(self.store.save(changed))
        self.assertEqual(changed, self.stored(ALICE.id))

    def test_new_id(self) -> None:
        """A device that changes its id keeps its row; the old id is free again."""
        self.result(self.store.save(ALICE))
        self.result(self.store.save(evolve(ALICE, id="new-name")))
        self.assertIsNone(self.stored(ALICE.id))
        self.assertEqual(evolve(ALICE, id="new-name"), self.stored("new-name"))
        self.result(self.store.save(evolve(BOB, id=ALICE.id)))
        self.assertEqual(evolve(BOB, id=ALICE.id), self.stored(ALICE.id))

    def test_uuid_is_set_once(self) -> None:
        """The machine identity is written on insert only."""
        self.result(self.store.save(ALICE))
        self.result(self.store.save(evolve(ALICE, uuid=b"thief", ip="198.51.100.2")))
        self.assertEqual(evolve(ALICE, ip="198.51.100.2"), self.stored(ALICE.id))

    def test_release(self) -> None:
        """An empty machine identity may be written, and the next one over it."""
        self.result(self.store.save(ALICE))
        released = evolve(ALICE, uuid=b"", pk=b"")
        self.result(self.store.save(released))
        self.assertEqual(released, self.stored(ALICE.id))
        taken = evolve(ALICE, uuid=b"new machine")
        self.result(self.store.save(taken))
        self.assertEqual(taken, self.stored(ALICE.id))

    def test_page(self) -> None:
        """Devices come in the order of their ids, so many, from the one named on."""
        peers = [evolve(ALICE, id=f"device-{n}", guid=bytes([n] * 16)) for n in range(5)]
        for peer in reversed(peers):
            self.result(self.store.save(peer))
        for after, count, expected in (
            ("", 2, peers[:2]),
            ("device-1", 9, peers[2:]),
            ("device-4", 9, []),
        ):
            page = self.result(self.store.page(after, count))
            self.assertEqual(expected, list(page))

    def test_bans(self) -> None:
        """Any id can be banned, once or twice, and freed; others stay as they are."""
        for peer_id in ("b", "a", "b"):
            self.result(self.store.ban(peer_id))
        self.assertEqual(["a", "b"], list(self.result(self.store.bans())))
        for peer_id in ("b", "never"):
            self.result(self.store.unban(peer_id))
        self.assertEqual(["a"], list(self.result(self.store.bans())))

    def test_id_of_another(self) -> None:
        """An id that another row has cannot be taken; the owner's row stays."""
        self.result(self.store.save(ALICE))
        self.assert_fails(self.store.save(evolve(BOB, id=ALICE.id)))
        self.assertEqual(ALICE, self.stored(ALICE.id))

    def test_id_of_another_by_update(self) -> None:
        """Nor can a device that has a row of its own take it."""
        self.result(self.store.save(ALICE))
        self.result(self.store.save(BOB))
        self.assert_fails(self.store.save(evolve(BOB, id=ALICE.id)))
        self.assertEqual([ALICE, BOB], [self.stored(ALICE.id), self.stored(BOB.id)])

    def test_no_address(self) -> None:
        """An empty address is stored as one."""
        self.result(self.store.save(evolve(ALICE, ip="")))
        self.assertEqual(evolve(ALICE, ip=""), self.stored(ALICE.id))
