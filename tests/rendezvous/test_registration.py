"""
Tests for :mod:`rdserver.rendezvous.registration`: a slow or broken database, rivals.

What each request is answered is in tests/conformance/test_id_registration.py.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from rdserver.rendezvous.directory import MAX_UNKNOWN, MAX_UNKNOWN_OF_ALL
from rdserver.rendezvous.effects import Send
from rdserver.rendezvous.events import Event
from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    BOB,
    BOB_ID,
    OTHER_PK,
    PK,
    STRANGER,
    UUID,
    FakeStore,
    RoomsTests,
    result_name,
)

ELSEWHERE = Address("203.0.113.99", 50000)


class HeartbeatTests(RoomsTests):
    def test_known_device(self) -> None:
        """A device in memory is answered without coroutine or storage, wherever from."""
        self.register()
        self.store.asked.clear()
        self.store.failing = {"find", "save"}
        for origin in (BOB, Address(BOB.host, 9), ELSEWHERE, Address("::1", 9)):
            fields = {"id": BOB_ID.encode(), "serial": 3}
            outcome = self.datagram("register_peer", fields, origin)
            self.assertIsInstance(outcome, tuple)
            [reply] = outcome  # type: ignore[misc]
            self.assertEqual(origin, reply.to)
        self.assertEqual([], self.store.asked)

    def test_known_registration(self) -> None:
        """An unchanged RegisterPk is answered without coroutine or storage too."""
        self.register()
        self.store.asked.clear()
        self.assertIsInstance(self.claim(), tuple)
        self.assertEqual([], self.store.asked)

    def test_database_cannot_be_read(self) -> None:
        """No answer: the device asks again in three seconds."""
        self.store.failing = {"find"}
        self.assertIsNone(self.heartbeat())
        self.assertEqual(1, self.notices.counts[Event.STORAGE_FAILED])
        self.store.failing.clear()
        self.assertTrue(self.heartbeat())

    def test_slow_database(self) -> None:
        """The answer comes when storage has answered, to each heartbeat its own."""
        stored = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.store.holding = True
        fields = {"id": BOB_ID.encode(), "serial": 3}
        heartbeats = [
            self.begin(self.datagram("register_peer", fields, origin))
            for origin in (BOB, ELSEWHERE)
        ]
        for heartbeat in heartbeats:
            self.assertNoResult(heartbeat)
        self.store.give()
        self.store.give()
        answers = [self.effects(heartbeat) for heartbeat in heartbeats]
        self.assertEqual([BOB, ELSEWHERE], [self.sent(a).to for [a] in answers])
        asked = [a.message.register_peer_response.request_pk for [a] in answers]
        self.assertEqual([False, True], asked)
        self.assertTrue(self.is_online())

    def test_answered_after_registration(self) -> None:
        """A lookup that ends after the device registered finds it registered."""
        self.store.holding = True
        fields = {"id": BOB_ID.encode(), "serial": 3}
        heartbeat = self.begin(self.datagram("register_peer", fields, BOB))
        registration = self.begin(self.claim())
        self.store.give(1)
        self.store.give(1)
        self.assertEqual("OK", result_name(self.effects(registration)))
        self.store.give()
        [reply] = self.effects(heartbeat)
        self.assertFalse(reply.message.register_peer_response.request_pk)

    def test_absurd_ids(self) -> None:
        """An id of 60 KB is answered at once, costs no lookup and leaves nothing behind."""
        fields = {"id": b"x" * 60_000, "serial": 3}
        outcome = self.datagram("register_peer", fields, BOB)
        self.assertIsInstance(outcome, tuple)
        self.assertTrue(self.heartbeat("x" * 60_000))
        self.assertEqual([], self.store.asked)
        self.assertEqual(0, len(self.rooms.presence))


class StrangerTests(RoomsTests):
    """Heartbeats and registrations under ids that nobody has."""

    def test_repeated(self) -> None:
        """An unknown id is looked up once; then it is answered without a coroutine."""
        self.assertTrue(self.heartbeat())
        fields = {"id": BOB_ID.encode(), "serial": 3}
        outcome = self.datagram("register_peer", fields, STRANGER)
        self.assertIsInstance(outcome, tuple)
        [reply] = self.effects(outcome)
        self.assertTrue(reply.message.register_peer_response.request_pk)
        self.assertEqual([f"find {BOB_ID}"], self.store.asked)

    def test_registers_afterwards(self) -> None:
        """A device that was unknown a moment ago registers, and is known."""
        self.assertTrue(self.heartbeat())
        self.assertEqual("OK", self.register())
        self.assertFalse(self.heartbeat())

    def test_stored_elsewhere(self) -> None:
        """What somebody else stored since is respected when the id is claimed."""
        self.assertTrue(self.heartbeat())
        stored = StoredPeer(BOB_ID, bytes(16), b"another", PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.assertEqual("UUID_MISMATCH", self.register())
        self.assertEqual(stored, self.stored())

    def test_many_ids(self) -> None:
        """An address that asked for too many is told to register, nothing looked up."""
        for n in range(MAX_UNKNOWN):
            self.assertTrue(self.heartbeat(f"nobody-{n}", STRANGER))
        self.register(origin=BOB)
        self.clock.advance(601)
        self.sweep()
        for n in range(MAX_UNKNOWN):
            self.assertTrue(self.heartbeat(f"no-one-{n}", STRANGER))
        self.store.asked.clear()
        self.assertTrue(self.heartbeat("one-more", STRANGER))
        self.assertEqual([], self.store.asked)
        self.assertFalse(self.heartbeat())

    def test_many_claims(self) -> None:
        """An address that claimed too many ids is refused at once, one more looked up."""
        self.claim_many(STRANGER)
        self.assertEqual("TOO_FREQUENT", self.register("one-more", STRANGER))
        self.assertEqual(["find one-more"], self.store.asked)
        refused = self.claim("one-more", STRANGER)
        self.assertIsInstance(refused, tuple)
        self.assertEqual("TOO_FREQUENT", result_name(self.effects(refused)))
        self.assertEqual(["find one-more"], self.store.asked)
        self.assertEqual("OK", self.register())

    def claim_many(self, origin: Address) -> None:
        """Claim as many ids as one address may."""
        for n in range(MAX_UNKNOWN):
            self.register(f"nobody-{n}", origin)
        self.store.asked.clear()

    def test_stored_beside_many_claims(self) -> None:
        """A stored device at such an address gets in, and nobody in its place."""
        self.result_of(self.store.save(StoredPeer(BOB_ID, bytes(16), UUID, PK, "")))
        self.claim_many(BOB)
        self.assertEqual("TOO_FREQUENT", self.register(uuid=b"another"))
        self.furnish(store=self.store)
        self.claim_many(BOB)
        self.assertEqual("OK", self.register())
        self.assertTrue(self.is_online())

    def test_flood_of_claims(self) -> None:
        """A flood of random ids is answered at once when enough were looked up."""
        self.claim_many(STRANGER)
        for n in range(MAX_UNKNOWN_OF_ALL):
            self.assertEqual("TOO_FREQUENT", self.register(f"no-one-{n}", STRANGER))
        self.assertEqual(MAX_UNKNOWN_OF_ALL, len(self.store.asked))
        self.assertIsInstance(self.claim("one-more", STRANGER), tuple)
        self.assertEqual("OK", self.register())


class SlowStoreTests(RoomsTests):
    """Requests that meet while the database is slow."""

    def setUp(self) -> None:
        super().setUp()
        self.store.holding = True

    def tearDown(self) -> None:
        self.assertEqual(0, self.store.held)
        registration: Any = self.rooms.core._datagrams["register_pk"]
        self.assertEqual(set(), registration.__self__._busy)

    def give_all(self) -> None:
        while self.store.held:
            self.store.give()

    def test_acknowledged_when_stored(self) -> None:
        """OK is said after the row is safe, and the device is online from then on."""
        registration = self.begin(self.claim())
        self.store.give()
        self.assertNoResult(registration)
        self.assertIsNone(self.stored())
        self.assertFalse(self.is_online())
        self.store.give()
        self.assertEqual("OK", result_name(self.effects(registration)))
        self.assertIsNotNone(self.stored())
        self.assertTrue(self.is_online())

    def test_rivals(self) -> None:
        """Of two machines that claim one new id at once, exactly one gets it."""
        first = self.begin(self.claim())
        second = self.begin(self.claim(origin=STRANGER, uuid=b"another", pk=OTHER_PK))
        self.give_all()
        self.assertEqual("OK", result_name(self.effects(first)))
        self.assertEqual([], self.effects(second))
        self.store.holding = False
        rival = {"origin": STRANGER, "uuid": b"another", "pk": OTHER_PK}
        self.assertEqual("UUID_MISMATCH", self.register(**rival))
        self.assertEqual((UUID, PK), (self.stored().uuid, self.stored().pk))

    def test_rival_while_first_is_stored(self) -> None:
        """A rival that comes between lookup and write is not answered either."""
        first = self.begin(self.claim())
        self.store.give()
        second = self.begin(self.claim(origin=STRANGER, uuid=b"another"))
        self.assertEqual([], self.effects(second))
        self.give_all()
        self.assertEqual("OK", result_name(self.effects(first)))

    def test_repeated(self) -> None:
        """A device that asks again before it is answered gets one answer and one row."""
        claims = [self.begin(self.claim()) for _ in range(3)]
        self.give_all()
        results = [result_name(self.effects(claim)) for claim in claims]
        self.assertEqual(["OK", None, None], results)
        self.assertEqual(1, self.store.asked.count(f"save {BOB_ID}"))

    def test_different_ids(self) -> None:
        """Devices do not wait for each other."""
        claims = [self.begin(self.claim(f"device-{n}")) for n in range(3)]
        for index in (2, 1, 0, 2, 1, 0):
            self.store.give(index)
        results = [result_name(self.effects(claim)) for claim in claims]
        self.assertEqual(["OK"] * 3, results)

    def test_heartbeat_while_stored(self) -> None:
        """A heartbeat between write and answer is believed as soon as the row is there."""
        registration = self.begin(self.claim())
        self.store.give()
        fields = {"id": BOB_ID.encode(), "serial": 3}
        heartbeat = self.begin(self.datagram("register_peer", fields, BOB))
        self.give_all()
        [reply] = self.effects(heartbeat)
        self.assertFalse(reply.message.register_peer_response.request_pk)
        self.assertEqual("OK", result_name(self.effects(registration)))

    def test_write_fails(self) -> None:
        """SERVER_ERROR when the lookup went well and the write does not."""
        registration = self.begin(self.claim())
        self.store.failing = {"save"}
        self.store.give()
        self.assertEqual("SERVER_ERROR", result_name(self.effects(registration)))
        self.assertFalse(self.is_online())

    def test_old_key_while_new_is_stored(self) -> None:
        """Until its new key is safe a device is known by the old one; then by the new."""
        self.store.holding = False
        self.register()
        self.store.holding = True
        change = self.begin(self.claim(pk=OTHER_PK))
        self.assertEqual("OK", self.register())
        self.assertEqual(PK, self.rooms.presence.get(BOB_ID).stored.pk)
        self.store.give()
        self.assertEqual("OK", result_name(self.effects(change)))
        self.assertEqual(OTHER_PK, self.rooms.presence.get(BOB_ID).stored.pk)

    def test_forgotten_while_stored(self) -> None:
        """A device that is swept from memory while its change is stored is back after."""
        self.store.holding = False
        self.register()
        self.store.holding = True
        change = self.begin(self.claim(origin=ELSEWHERE))
        self.clock.advance(601)
        self.sweep()
        self.assertEqual(0, len(self.rooms.presence))
        self.store.give()
        self.assertEqual("OK", result_name(self.effects(change)))
        self.assertTrue(self.is_online())


class RowTests(RoomsTests):
    """Rows that the reference, or an older state of ours, left."""

    def put(self, **fields: object) -> None:
        stored = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(evolve(stored, **fields)))

    def test_no_uuid(self) -> None:
        """Whoever comes first owns a row without uuid; no change of address is noted."""
        self.put(uuid=b"", ip="192.0.2.1")
        self.assertEqual("OK", self.register(pk=OTHER_PK))
        self.assertEqual((BOB.host, OTHER_PK), (self.stored().ip, self.stored().pk))
        self.assertEqual("UUID_MISMATCH", self.register(uuid=b"another"))
        self.assertEqual(0, len(self.rooms._changes))

    def test_no_address(self) -> None:
        """A row without address is proved once, with the stored key, from anywhere."""
        self.put(ip="")
        self.assertTrue(self.heartbeat())
        self.assertEqual("OK", self.register())
        self.assertFalse(self.heartbeat())

    def test_unchanged(self) -> None:
        """A device that only storage knows registers as it did: nothing is written."""
        self.put()
        self.store.asked.clear()
        self.assertEqual("OK", self.register())
        self.assertEqual([f"find {BOB_ID}"], self.store.asked)
        self.assertTrue(self.is_online())

    def test_guid_stays(self) -> None:
        """A registration keeps the row's guid."""
        self.put()
        self.register(pk=OTHER_PK)
        self.assertEqual(bytes(16), self.stored().guid)


class RefusalTests(RoomsTests):
    def test_sizes(self) -> None:
        """A uuid of 512 and a pk of 128 bytes pass; one more is refused without state."""
        self.assertEqual("INVALID_ID_FORMAT", self.register(uuid=b"u" * 513))
        self.assertEqual("INVALID_ID_FORMAT", self.register(pk=b"p" * 129))
        self.assertEqual([], self.store.asked)
        self.assertEqual(2, self.notices.counts[Event.BAD_ID])
        self.assertEqual("OK", self.register(uuid=b"u" * 512, pk=b"p" * 128))

    def test_answers_are_short(self) -> None:
        """No answer to a forged sender is longer than the question."""
        for origin in (BOB, STRANGER):
            fields = {"id": BOB_ID.encode(), "uuid": UUID, "pk": PK}
            [send] = self.effects(self.datagram("register_pk", fields, origin))
            assert isinstance(send, Send)
            self.assertEqual(origin, send.to)
            self.assertLess(send.message.ByteSize(), 8)

    def test_log(self) -> None:
        """Refusals are logged, without uuid or key, and an id stays one word."""
        peer_id = "x Authentication failed from 192.0.2.1:1"
        self.register(peer_id)
        for _ in range(3):
            self.register(peer_id)
        self.register(peer_id, uuid=b"another")
        word = peer_id.replace(" ", "?")
        self.assertEqual(
            [
                f"{BOB} registers too often, now as {word}",
                f"{word} is online at {BOB.host}, and another machine at {BOB} claims "
                "the same id: is it a copy?",
            ],
            self.lines(),
        )

    def test_refused_often(self) -> None:
        """A stranger who is refused all day fills neither log nor memory."""
        self.register()
        for n in range(1000):
            self.register(origin=STRANGER, uuid=b"%d" % n)
        # Ten of each of two kinds, and that there are two machines.
        self.assertEqual(21, len(self.lines()))
        self.assertEqual((1, 1), (len(self.rooms.presence), len(self.rooms._limit) - 1))


class RestartTests(RoomsTests):
    def test_everybody_at_once(self) -> None:
        """After a restart a device is online by its first heartbeat; none is written."""
        store = FakeStore()
        for n in range(1000):
            guid, ip = n.to_bytes(16, "big"), f"10.0.{n >> 8}.{n & 255}"
            self.result_of(store.save(StoredPeer(f"device-{n}", guid, UUID, PK, ip)))
        self.furnish(store=store)
        store.asked.clear()
        for n in range(1000):
            origin = Address(f"10.0.{n >> 8}.{n & 255}", 5000)
            self.assertFalse(self.heartbeat(f"device-{n}", origin))
        self.assertEqual([f"find device-{n}" for n in range(1000)], store.asked)
        self.assertTrue(all(self.is_online(f"device-{n}") for n in range(1000)))
