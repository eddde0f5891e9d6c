"""
Tests for :mod:`rdserver.rendezvous.relaying`: who answers whom, from where, odd fields.

What each message causes is in tests/conformance/test_id_relaying.py.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from rdserver.rendezvous.effects import Close, Stream
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.routing import Lan
from rdserver.storage.interface import StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    PK,
    STRANGER,
    UUID,
    RoomsTests,
    kind,
)

ALICE6 = Address("2001:db8::a", 40000)
BOB6 = Address("2001:db8:5:5::1", 50000)


class FlowTests(RoomsTests):
    """Flows (4) and (5) of protocol.md section 0.4, from all kinds of addresses."""

    def flow(self, alice: Address, bob: Address, bob_tcp: Address) -> None:
        """Let A punch, B answer with a relay, then A ask for one and B agree."""
        self.furnish()
        self.register(origin=bob)
        waiting, sender = self.stream(alice), self.stream(bob_tcp)
        hole = self.pushed(self.punch(waiting, force_relay=True), "punch_hole", to=bob)
        named = {"uuid": b"session-b", "relay_server": b"r", "id": BOB_ID.encode()}
        effects = self.relay_response(sender, socket_addr=hole.socket_addr, **named)
        self.assertEqual(b"session-b", self.answer(effects, waiting, sender).uuid)
        again, sender = self.stream(alice._replace(port=41000)), self.stream(bob_tcp)
        effects = self.ask_relay(again, relay_server=b"r")
        push = self.pushed(effects, "request_relay", to=bob)
        self.assertEqual(again.address, decode_address(push.socket_addr))
        effects = self.relay_response(sender, socket_addr=push.socket_addr)
        self.answer(effects, again, sender)
        self.assertEqual(["session-b", "session-1"], self.announced)
        self.assertEqual(0, len(self.rooms._introductions.pending))

    def test_ipv4(self) -> None:
        """A has IPv4: B may answer from any address."""
        self.flow(ALICE, BOB, BOB_TCP)
        self.flow(ALICE, BOB, STRANGER)
        self.flow(ALICE, BOB6, BOB_TCP)

    def test_ipv6(self) -> None:
        """A has IPv6: B answers from its own network, over IPv4 or IPv6."""
        self.flow(ALICE6, BOB, BOB_TCP)
        self.flow(ALICE6, BOB6, BOB6._replace(port=1))
        self.flow(ALICE6, BOB6, Address("2001:db8:5:5:99::1", 1))

    def test_same_machine(self) -> None:
        """B, A or both beside the server."""
        home = Address("127.0.0.1", 5000)
        self.flow(ALICE, home, Address("127.0.0.1", 6000))
        self.flow(ALICE6, home, Address("::1", 6000))
        self.flow(Address("::1", 7000), home, Address("127.0.0.1", 6000))
        self.flow(Address("::1", 7000), BOB, BOB_TCP)
        self.flow(Address("127.0.0.1", 7000), BOB, BOB_TCP)


class RelayCase(RoomsTests):
    """A has asked for B, which is online."""

    def setUp(self) -> None:
        self.start()

    def start(self, alice: Address = ALICE, **options: Any) -> None:
        self.furnish(**options)
        self.register()
        self.punch(self.stream(alice))

    def requested(self, stream: Stream, **fields: Any) -> pb.RequestRelay:
        return self.pushed(self.ask_relay(stream, **fields), "request_relay")

    def answered(self, waiting: Stream, disguise: bytes, **fields: Any) -> pb.RelayResponse:
        bob = self.stream(BOB_TCP)
        effects = self.relay_response(bob, socket_addr=disguise, **fields)
        return self.answer(effects, waiting, bob)

    def assert_ignored(self, disguise: bytes, **fields: Any) -> None:
        sender = self.stream(BOB_TCP)
        effects = self.relay_response(sender, socket_addr=disguise, **fields)
        self.assertEqual([Close(sender.id)], effects)


class RequestTests(RelayCase):
    def test_session_names(self) -> None:
        """A session name has 1 to 128 bytes; others are refused and not announced."""
        for size, passes in ((0, False), (1, True), (128, True), (129, False)):
            stream = self.stream()
            [effect] = self.ask_relay(stream, uuid=b"u" * size)
            self.assertEqual("request_relay" if passes else "relay_response", kind(effect))
        self.assertEqual(["u", "u" * 128], self.announced)
        self.assertEqual(2, self.notices.counts[Event.RELAY_REFUSED])

    def test_relay_left_to_b(self) -> None:
        """Without a relay_server B chooses."""
        self.assertEqual(b"", self.requested(self.stream()).relay_server)

    def test_relay_inside(self) -> None:
        """The relay's address in the LAN is one of ours."""
        lan = Lan(IPv4Network("192.168.0.0/16"), "192.168.0.2")
        self.start(lan=lan, relay_servers=("r1",))
        for relay in (b"192.168.0.2", b"r1"):
            self.assertEqual(
                relay, self.requested(self.stream(), relay_server=relay).relay_server
            )

    def test_only_configured_relays(self) -> None:
        """A relay that a health check left out may still be named."""
        self.start(relay_servers=("r1", "r2"))
        self.rooms.relays.checked(("r1", "r2"), ["r2"])
        self.requested(self.stream(), relay_server=b"r1")

    def test_storage_is_not_asked_for_strangers(self) -> None:
        """Who has not asked with the key learns nothing and costs no lookup."""
        self.store.asked.clear()
        for peer_id in (b"nobody-123", BOB_ID.encode(), b"x" * 60_000, b""):
            stream = self.stream(STRANGER)
            self.refusal(self.ask_relay(stream, id=peer_id), stream)
        self.assertEqual([], self.store.asked)

    def test_looked_up(self) -> None:
        """A device that came online while it was looked up is asked."""
        self.furnish(required_key="")
        stored = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.store.holding = True
        request = {"id": BOB_ID.encode(), "uuid": b"session-1"}
        stream = self.stream()
        asked = self.begin(self.frame("request_relay", request, stream))
        self.store.holding = False
        self.heartbeat()
        self.store.give()
        self.pushed(self.effects(asked), "request_relay")

    def test_database_cannot_be_read(self) -> None:
        """A is told so, in words, and it is counted; the store logs why."""
        self.furnish(required_key="")
        self.store.failing = {"find"}
        stream = self.stream()
        refusal = self.refusal(self.ask_relay(stream), stream)
        self.assertIn(b"database", refusal.refuse_reason)
        self.assertEqual(1, self.notices.counts[Event.STORAGE_FAILED])
        self.assertEqual([], self.lines())

    def test_flood(self) -> None:
        """One connection makes us send three datagrams a second."""
        stream = self.stream()
        sent = [self.ask_relay(stream, uuid=b"%d" % n) for n in range(100)]
        self.assertEqual(3, sum(map(len, sent)))
        self.assertEqual(["0", "1", "2"], self.announced)

    def test_asked_twice_on_one_connection(self) -> None:
        """A connection that asked for a punch may ask for a relay, and waits for that."""
        waiting = self.stream()
        hole = self.asked(waiting)
        push = self.requested(waiting)
        self.assert_ignored(hole.socket_addr)
        self.answered(waiting, push.socket_addr)


class ResponseTests(RelayCase):
    def test_other_session(self) -> None:
        """Where A chose the session, B's answer cannot name another."""
        waiting = self.stream()
        push = self.requested(waiting)
        self.assert_ignored(push.socket_addr, uuid=b"session-2")
        response = self.answered(waiting, push.socket_addr, uuid=b"session-1")
        self.assertEqual(b"session-1", response.uuid)

    def test_own_proof(self) -> None:
        """B cannot bring a proof of its own."""
        waiting = self.stream()
        push = self.requested(waiting)
        response = self.answered(waiting, push.socket_addr, pk=b"forged", version=b"1")
        self.assertEqual(b"", response.pk)

    def test_session_names(self) -> None:
        """B's name for a session is announced to the relay if it has 1 to 128 bytes."""
        for size in (0, 1, 128, 129):
            waiting = self.stream()
            hole = self.asked(waiting)
            self.answered(waiting, hole.socket_addr, uuid=b"u" * size)
        self.assertEqual(["u", "u" * 128], self.announced)

    def test_ipv6_address(self) -> None:
        """B's IPv6 address is passed on if it is global and has a port, else dropped."""
        good = encode_address(Address("2001:db8::1", 8080), 0)
        other = encode_address(Address("3fff::1", 1), 0)
        for v6, passes in (
            (good, True),
            (other, True),
            (encode_address(Address("2001:db8::1", 0), 0), False),
            (encode_address(Address("fe80::1", 8080), 0), False),
            (encode_address(Address("fd00::1", 8080), 0), False),
            (encode_address(Address("::1", 8080), 0), False),
            (encode_address(Address("192.0.2.1", 8080), 7), False),
            (good + b"\0", False),
            (good[:-1], False),
            (b"\x20", False),
        ):
            waiting = self.stream()
            push = self.requested(waiting)
            response = self.answered(waiting, push.socket_addr, socket_addr_v6=v6)
            self.assertEqual(v6 if passes else b"", response.socket_addr_v6, v6)

    def test_from_inside_to_outside(self) -> None:
        """An A outside is given the relay's public name for its address in the LAN."""
        lan = Lan(IPv4Network("203.0.113.0/24"), "203.0.113.2")
        self.start(lan=lan, relay_servers=("r1",))
        waiting = self.stream()
        hole = self.asked(waiting)
        self.assertEqual(b"203.0.113.2", hole.relay_server)
        fields = {"relay_server": hole.relay_server, "uuid": b"session-b"}
        response = self.answered(waiting, hole.socket_addr, **fields)
        self.assertEqual(b"r1", response.relay_server)

    def test_other_relay_stays(self) -> None:
        """A relay of B's own is what A outside is given."""
        lan = Lan(IPv4Network("203.0.113.0/24"), "203.0.113.2")
        self.start(lan=lan, relay_servers=("r1",))
        waiting = self.stream()
        fields = {"relay_server": b"own.example", "uuid": b"session-b"}
        response = self.answered(waiting, self.asked(waiting).socket_addr, **fields)
        self.assertEqual(b"own.example", response.relay_server)

    def test_once(self) -> None:
        """A second RelayResponse is dropped."""
        waiting = self.stream()
        push = self.requested(waiting)
        self.answered(waiting, push.socket_addr)
        self.assert_ignored(push.socket_addr)
