"""
Tests for :mod:`rdserver.rendezvous.punch`: slow storage, many at once, floods.

What each message causes is in tests/conformance/test_id_punching.py.
"""

from __future__ import annotations

from rdserver.rendezvous.effects import Close
from rdserver.rendezvous.events import Event
from rdserver.storage.interface import StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    KEY,
    PK,
    STRANGER,
    UUID,
    RoomsTests,
    proven,
)


class SlowStoreTests(RoomsTests):
    """A asks for a device that is not in memory."""

    def setUp(self) -> None:
        super().setUp()
        stored = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.store.holding = True

    def begin_punch(self, stream: object, peer_id: str = BOB_ID) -> object:
        request = {"id": peer_id.encode(), "licence_key": KEY.encode()}
        return self.begin(self.frame("punch_hole_request", request, stream))

    def come_online(self) -> None:
        """Let B's heartbeat be served while others wait."""
        self.store.holding = False
        self.assertFalse(self.heartbeat())
        self.store.holding = True

    def test_online_meanwhile(self) -> None:
        """A device that comes online while it is looked up is asked."""
        waiting = self.stream()
        punch = self.begin_punch(waiting)
        self.come_online()
        self.store.give()
        hole = self.pushed(self.effects(punch), "punch_hole")
        self.assertEqual(ALICE, decode_address(hole.socket_addr))

    def test_gone_meanwhile(self) -> None:
        """An A that leaves while its device is looked up leaves nothing behind for long."""
        waiting = self.stream()
        punch = self.begin_punch(waiting)
        self.come_online()
        self.core.stream_closed(waiting.id)
        self.store.give()
        hole = self.pushed(self.effects(punch), "punch_hole")
        bob = self.stream(BOB_TCP)
        self.answer(self.hole(hole.socket_addr, bob), waiting, bob)
        self.assertEqual(0, len(self.rooms._introductions.pending))

    def test_gone_meanwhile_unanswered(self) -> None:
        """Nor does one whose device never answers."""
        waiting = self.stream()
        punch = self.begin_punch(waiting)
        self.come_online()
        self.core.stream_closed(waiting.id)
        self.store.give()
        self.effects(punch)
        self.assertEqual(1, len(self.rooms._introductions.pending))
        self.clock.advance(151)
        self.sweep()
        self.assertEqual(0, len(self.rooms._introductions.pending))

    def test_database_cannot_be_read(self) -> None:
        """A is told so, in words, rather than that the id does not exist."""
        self.store.failing = {"find"}
        stream = self.stream()
        refusal = self.refusal(self.punch(stream), stream)
        self.assertIn(b"database", refusal.other_failure)
        self.assertEqual(1, self.notices.counts[Event.STORAGE_FAILED])

    def test_absurd_id(self) -> None:
        """An id of 60 KB does not exist; storage is not asked."""
        self.store.asked.clear()
        stream = self.stream()
        refusal = self.refusal(self.punch(stream, "x" * 60_000), stream)
        self.assertEqual(pb.PunchHoleResponse(), refusal)
        self.assertEqual([], self.store.asked)


class TogetherTests(RoomsTests):
    """Several requests at once."""

    def setUp(self) -> None:
        super().setUp()
        self.register()

    def test_two_ports(self) -> None:
        """Two parallel requests of one A are passed on and answered each by itself."""
        streams = [self.stream(ALICE._replace(port=port)) for port in (40000, 40001)]
        holes = [self.asked(stream) for stream in streams]
        self.assertNotEqual(*(decode_address(hole.socket_addr) for hole in holes))
        for n in (1, 0):
            bob = self.stream(BOB_TCP)
            effects = self.hole(holes[n].socket_addr, bob, relay_server=b"r%d" % n)
            response = self.answer(effects, streams[n], bob)
            self.assertEqual(b"r%d" % n, response.relay_server)

    def test_two_devices(self) -> None:
        """A connection that asks for another device waits for that one only."""
        elsewhere = Address("192.0.2.99", 5000)
        self.register("987654321", elsewhere)
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        first = self.asked(waiting)
        effects = self.punch(waiting, "987654321")
        second = self.pushed(effects, "punch_hole", to=elsewhere)
        self.assertEqual([Close(bob.id)], self.hole(first.socket_addr, bob))
        effects = self.hole(second.socket_addr, bob, id=b"987654321", version=b"1")
        self.assertEqual(("987654321", PK), proven(self.answer(effects, waiting, bob).pk))

    def test_flood(self) -> None:
        """One connection makes us send three datagrams a second, and one log entry."""
        waiting = self.stream()
        effects = [self.punch(waiting) for _ in range(100)]
        self.assertEqual([1] * 3 + [0] * 97, list(map(len, effects)))
        self.assertEqual(1, self.console("pr").count("\n"))

    def test_flood_of_two(self) -> None:
        """Nor does it help to ask for two devices in turn."""
        self.register("987654321", Address("192.0.2.99", 5000))
        waiting = self.stream()
        sent = [self.punch(waiting, (BOB_ID, "987654321")[n % 2]) for n in range(100)]
        self.assertEqual(3, sum(map(len, sent)))
        self.assertEqual(2, self.console("pr").count("\n"))


class AnswerTests(RoomsTests):
    """B's answers that are unusual, yet B's."""

    def setUp(self) -> None:
        super().setUp()
        self.register()

    def test_unknown_nat_type(self) -> None:
        """A number that is no nat_type is left out towards A, and passed on towards B."""
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        hole = self.asked(waiting, nat_type=99)
        self.assertEqual(99, hole.nat_type)
        response = self.answer(self.hole(hole.socket_addr, bob, nat_type=99), waiting, bob)
        self.assertIsNone(response.WhichOneof("union"))

    def test_forced_by_a(self) -> None:
        """A that insists on a relay gets a forced PunchHole, from B's own address too."""
        for alice in (ALICE, Address(BOB.host, 7)):
            hole = self.asked(self.stream(alice), force_relay=True)
            self.assertEqual((pb.SYMMETRIC, True), (hole.nat_type, hole.force_relay))

    def test_same_machine(self) -> None:
        """A and B beside the server meet as any two that share an address."""
        home, alice = Address("127.0.0.1", 5000), Address("127.0.0.1", 6000)
        self.assertFalse(self.heartbeat(origin=home))
        waiting, bob = self.stream(alice), self.stream(Address("::1", 7000))
        fetch = self.pushed(self.punch(waiting), "fetch_local_addr", to=home)
        response = self.answer(self.local(fetch.socket_addr, bob), waiting, bob)
        self.assertTrue(response.is_local)

    def test_relay_after_relay_request(self) -> None:
        """A connection that asked for a relay is not answered with an address."""
        self.asked(self.stream(ALICE._replace(port=1)))
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        push = self.pushed(self.ask_relay(waiting), "request_relay")
        self.assertEqual([Close(bob.id)], self.hole(push.socket_addr, bob))
        self.assertEqual([Close(bob.id)], self.local(push.socket_addr, bob))
        self.assertEqual(2, self.notices.counts[Event.FORGED_ANSWER])

    def test_long_relay(self) -> None:
        """B may name any relay, but we do not keep a name of 60 KB."""
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        name = b"x" * 60_000
        hole = self.hole(self.asked(waiting).socket_addr, bob, relay_server=name)
        self.assertEqual(name, self.answer(hole, waiting, bob).relay_server)
        self.assertEqual((), self.rooms._introductions.pairs.relays(ALICE.host, BOB_ID))

    def test_stranger_learns_nothing(self) -> None:
        """Whatever a stranger answers, all that happens is that he is closed."""
        self.asked(self.stream())
        for member in ("punch_hole_sent", "local_addr", "relay_response"):
            stranger = self.stream(STRANGER)
            fields = {"id": BOB_ID.encode(), "socket_addr": b"\x01" * 11}
            effects = self.effects(self.frame(member, fields, stranger))
            self.assertEqual([Close(stranger.id)], effects)
