"""Statements 42 to 44 and 8.8, put to the rooms: exact effects, forged answers, bounds."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from nacl.exceptions import BadSignatureError

from rdserver.keys import KeyPair, load_server_key
from rdserver.rendezvous.effects import Close, Stream
from rdserver.rendezvous.routing import Lan
from rdserver.storage.interface import StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from tests.conformance.doors import Client, DoorTests
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    KEY,
    PAIR,
    PK,
    STRANGER,
    UUID,
    CountingPair,
    RoomsTests,
    kind,
    proven,
)

R1 = "relay.example:21117"
LAN = Lan(IPv4Network("192.168.0.0/16"), "192.168.0.2")
INSIDE = Address("192.168.1.10", 40000)
INSIDE_TOO = Address("192.168.2.20", 50000)
NEIGHBOUR = Address(BOB.host, 40000)
"""An A behind the same address as B."""


class PunchingTests(RoomsTests):
    """Base: B is registered."""

    def setUp(self) -> None:
        self.start()

    def start(self, bob: Address = BOB, **options: Any) -> None:
        """Start a server with B online at *bob*."""
        self.furnish(**options)
        self.register(origin=bob)

    def bob(self) -> Stream:
        """Return a connection that B answers on."""
        return self.stream(BOB_TCP)


class ProofTests(PunchingTests):
    """8.4, what vouches for B."""

    def proof(self, version: bytes = b"1.4.9") -> bytes:
        """Return the proof that A gets with B's answer."""
        waiting, bob = self.stream(), self.bob()
        asked = self.asked(waiting)
        effects = self.hole(asked.socket_addr, bob, version=version)
        return self.answer(effects, waiting, bob).pk

    def test_042_ancient_device(self) -> None:
        """When B's version is empty, so is the pk field towards A."""
        self.assertEqual(b"", self.proof(version=b""))
        self.assertEqual((BOB_ID, PK), proven(self.proof()))

    def test_043_no_secret_key(self) -> None:
        """Where the key is a literal text the pk field towards A is empty."""
        self.start(required_key=KEY, pair=None)
        self.assertEqual(b"", self.proof())

    def test_044_secret_key_as_setting(self) -> None:
        """The required key is the last 32 of its 64 bytes, and IdPk is signed with it."""
        key = load_server_key(PAIR.secret_text, self.mktemp())
        self.start(required_key=key.required, pair=key.pair)
        self.assertEqual((BOB_ID, PK), proven(self.proof()))
        wrong = self.refusal(self.punch(s := self.stream(), licence_key=b"other"), s)
        self.assertEqual(pb.PunchHoleResponse.LICENSE_MISMATCH, wrong.failure)

    def test_044_other_key(self) -> None:
        """Another key pair's signature does not verify."""
        self.start(pair=KeyPair.generate())
        self.assertRaises(BadSignatureError, proven, self.proof())


class RefusalTests(PunchingTests):
    def failure(self, **fields: Any) -> str:
        stream = self.stream()
        refusal = self.refusal(self.punch(stream, **fields), stream)
        self.assertEqual(b"", refusal.socket_addr)
        return pb.PunchHoleResponse.Failure.Name(refusal.failure)

    def test_075_wrong_key(self) -> None:
        """LICENSE_MISMATCH for an id that exists or not, and the line of 3.16."""
        for peer_id in (BOB_ID, "nobody-123"):
            for key in (b"", b"wrong", KEY.encode()[:-1]):
                self.assertEqual(
                    "LICENSE_MISMATCH", self.failure(peer_id=peer_id, licence_key=key)
                )
            line = f"Authentication failed from {ALICE} for peer {peer_id} - invalid key"
            self.assertEqual([line] * 3, self.lines())
        self.assertNotIn("find nobody-123", self.store.asked)

    def test_075_line_cannot_be_forged(self) -> None:
        """An id cannot put a sentence of ours with another's address into the log."""
        forged = "x\nAuthentication failed from 192.0.2.1:1 for peer y - invalid key"
        self.failure(peer_id=forged, licence_key=b"")
        [line] = self.lines()
        self.assertEqual(1, line.count("Authentication failed from "))
        self.assertEqual(1, len(line.splitlines()))

    def test_076_no_key(self) -> None:
        """Any licence_key is accepted where the server key is empty."""
        self.start(required_key="")
        for key in (b"", b"whatever", b"\xc3\xa9" * 1000):
            self.asked(self.stream(), licence_key=key)

    def test_077_unknown(self) -> None:
        """ID_NOT_EXIST, encoded ``5a00``."""
        stream = self.stream()
        [answer] = self.punch(stream, "nobody-123")
        self.assertEqual("5a00", pb.encode(answer.message).hex())

    def test_078_offline(self) -> None:
        """OFFLINE, whether the id is known to memory or to the database alone."""
        self.clock.advance(30)
        self.assertEqual("OFFLINE", self.failure())
        stored = StoredPeer("stored-only", bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.assertEqual("OFFLINE", self.failure(peer_id="stored-only"))


class IntroductionTests(PunchingTests):
    def test_079_elsewhere(self) -> None:
        """B gets A's address, A's nat_type and the relay; A gets nothing yet."""
        self.start(relay_servers=(R1,))
        hole = self.asked(self.stream(), nat_type=pb.ASYMMETRIC)
        self.assertEqual(ALICE, decode_address(hole.socket_addr))
        self.assertEqual((pb.ASYMMETRIC, R1.encode()), (hole.nat_type, hole.relay_server))
        self.assertFalse(hole.force_relay)

    def test_080_same_address(self) -> None:
        """B gets FetchLocalAddr with A's address and the relay."""
        self.start(relay_servers=(R1,))
        fetch = self.pushed(self.punch(self.stream(NEIGHBOUR)), "fetch_local_addr")
        self.assertEqual(NEIGHBOUR, decode_address(fetch.socket_addr))
        self.assertEqual(R1.encode(), fetch.relay_server)

    def test_082_hole_sent(self) -> None:
        """A gets B's TCP source, the signed pk; relay_server and nat_type are copied."""
        fields = {"relay_server": b"b.example", "version": b"1.4.9"}
        for nat_type in pb.NatType.values():
            waiting, bob = self.stream(), self.bob()
            asked = self.asked(waiting).socket_addr
            effects = self.hole(asked, bob, nat_type=nat_type, **fields)
            response = self.answer(effects, waiting, bob)
            self.assertEqual(BOB_TCP, decode_address(response.socket_addr))
            self.assertEqual((BOB_ID, PK), proven(response.pk))
            self.assertEqual(b"b.example", response.relay_server)
            self.assertEqual("nat_type", response.WhichOneof("union"))
            self.assertEqual(nat_type, response.nat_type)

    def test_083_local_addr(self) -> None:
        """A gets local_addr as it is, and is_local; B encodes A's address anew."""
        waiting, bob = self.stream(NEIGHBOUR), self.bob()
        self.pushed(self.punch(waiting), "fetch_local_addr")
        effects = self.local(
            encode_address(NEIGHBOUR, 12345),
            bob,
            local_addr=b"\x01\x02",
            relay_server=b"b.example",
            version=b"1.4.9",
        )
        response = self.answer(effects, waiting, bob)
        self.assertEqual((b"\x01\x02", True), (response.socket_addr, response.is_local))
        self.assertEqual((BOB_ID, PK), proven(response.pk))
        self.assertEqual(b"b.example", response.relay_server)

    def test_084_second_answer(self) -> None:
        """A gets nothing more; the second sender is closed like the first."""
        waiting = self.stream()
        asked = self.asked(waiting)
        self.answer(self.hole(asked.socket_addr, first := self.bob()), waiting, first)
        second = self.bob()
        self.assertEqual([Close(second.id)], self.hole(asked.socket_addr, second))

    def test_085_repeated(self) -> None:
        """B is notified each time, with the same disguise, and one answer reaches A."""
        waiting, bob = self.stream(), self.bob()
        asked = [self.asked(waiting) for _ in range(3)]
        self.assertEqual([asked[0]] * 3, asked)
        self.answer(self.hole(asked[0].socket_addr, bob), waiting, bob)

    def test_086_gone(self) -> None:
        """B's answer is dropped without error when A's connection is closed."""
        waiting, bob = self.stream(), self.bob()
        asked = self.asked(waiting)
        self.core.stream_closed(waiting.id)
        self.assertEqual([Close(bob.id)], self.hole(asked.socket_addr, bob))

    def test_087_may_ask_again(self) -> None:
        """The answer closes B's connection and not A's, who may even ask again."""
        waiting, bob = self.stream(), self.bob()
        effects = self.hole(self.asked(waiting).socket_addr, bob)
        self.answer(effects, waiting, bob)
        self.asked(waiting)

    def test_088_sender_is_closed(self) -> None:
        """The connection of a B that answered, or of a NAT test, is closed."""
        for member, fields in (
            ("punch_hole_sent", {"id": BOB_ID.encode()}),
            ("local_addr", {"id": BOB_ID.encode()}),
            ("relay_response", {"id": BOB_ID.encode()}),
            ("test_nat_request", {}),
        ):
            stream = self.stream(STRANGER)
            *_, last = self.effects(self.frame(member, fields, stream))
            self.assertEqual(Close(stream.id), last, member)

    def test_089_unknown_member(self) -> None:
        """What is not served on P closes the connection, and so does an empty message."""
        for message in (
            pb.RendezvousMessage(),
            pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=BOB_ID.encode())),
            pb.RendezvousMessage(punch_hole=pb.PunchHole()),
            pb.RendezvousMessage(http_proxy_response=pb.HttpProxyResponse()),
        ):
            stream = self.stream()
            effects = self.effects(self.core.main_frame(message, stream))
            self.assertEqual([Close(stream.id)], effects)


class LanTests(PunchingTests):
    def test_091_both_inside(self) -> None:
        """FetchLocalAddr, though the IPs differ."""
        self.start(bob=INSIDE_TOO, lan=LAN, relay_servers=(R1,))
        fetch = self.pushed(
            self.punch(self.stream(INSIDE)), "fetch_local_addr", to=INSIDE_TOO
        )
        self.assertEqual(R1.encode(), fetch.relay_server)

    def test_092_b_inside(self) -> None:
        """PunchHole with nat_type SYMMETRIC and relay_server = local-ip."""
        self.start(bob=INSIDE, lan=LAN, relay_servers=(R1,))
        effects = self.punch(self.stream(), nat_type=pb.ASYMMETRIC)
        hole = self.pushed(effects, "punch_hole", to=INSIDE)
        self.assertEqual((pb.SYMMETRIC, b"192.168.0.2"), (hole.nat_type, hole.relay_server))
        self.assertFalse(hole.force_relay)

    def test_093_a_inside(self) -> None:
        """PunchHole SYMMETRIC with the relay; in B's RelayResponse it becomes local-ip."""
        self.start(lan=LAN, relay_servers=(R1,))
        waiting, bob = self.stream(INSIDE), self.bob()
        hole = self.asked(waiting, nat_type=pb.ASYMMETRIC)
        self.assertEqual((pb.SYMMETRIC, R1.encode()), (hole.nat_type, hole.relay_server))
        fields = {"socket_addr": hole.socket_addr, "uuid": b"s", "id": BOB_ID.encode()}
        effects = self.relay_response(bob, relay_server=R1.encode(), **fields)
        self.assertEqual(b"192.168.0.2", self.answer(effects, waiting, bob).relay_server)

    def test_093_no_relay_named(self) -> None:
        """An empty relay_server in B's RelayResponse stays empty."""
        self.start(lan=LAN)
        waiting, bob = self.stream(INSIDE), self.bob()
        hole = self.asked(waiting)
        effects = self.relay_response(bob, socket_addr=hole.socket_addr, uuid=b"s")
        self.assertEqual(b"", self.answer(effects, waiting, bob).relay_server)

    def test_094_always_use_relay(self) -> None:
        """PunchHole with SYMMETRIC, though the IPs differ."""
        self.start(always_use_relay=True, relay_servers=(R1,))
        hole = self.asked(self.stream(), nat_type=pb.ASYMMETRIC)
        self.assertEqual((pb.SYMMETRIC, R1.encode()), (hole.nat_type, hole.relay_server))

    def test_095_always_use_relay_same_address(self) -> None:
        """PunchHole SYMMETRIC with force_relay, never FetchLocalAddr; with a mask too."""
        self.start(always_use_relay=True)
        hole = self.asked(self.stream(NEIGHBOUR))
        self.assertEqual((pb.SYMMETRIC, True), (hole.nat_type, hole.force_relay))
        self.start(bob=INSIDE_TOO, always_use_relay=True, lan=LAN)
        effects = self.punch(self.stream(INSIDE))
        hole = self.pushed(effects, "punch_hole", to=INSIDE_TOO)
        self.assertEqual((pb.SYMMETRIC, True), (hole.nat_type, hole.force_relay))
        self.assertEqual(b"192.168.0.2", hole.relay_server)


class PunchLogTests(PunchingTests):
    def ask_again(self, times: int, every_s: float) -> None:
        """Punch from new connections, with B kept online."""
        for _ in range(times):
            self.heartbeat()
            self.asked(self.stream())
            self.clock.advance(every_s)

    def test_096_repeated(self) -> None:
        """Within 60 s there is one entry; after 60 s a second one."""
        self.ask_again(3, 19.9)
        self.assertEqual(1, self.console("pr").count("\n"))
        self.ask_again(1, 0.3)
        self.assertEqual(1, self.console("pr").count("\n"))
        self.ask_again(1, 0)
        self.assertEqual(2, self.console("pr").count("\n"))

    def test_099_bounded(self) -> None:
        """After 100 000 punch requests the log holds the last 10 000."""
        log = self.rooms._punches
        for n in range(100_000):
            log.record("192.0.2.1", BOB.host, str(n))
        self.assertEqual(10_000, len(log))
        self.assertEqual(["90000"], [punch.to_id for punch in log.page(0, 1)])


class ForgeryTests(PunchingTests):
    """What is not B's answer to this A."""

    def assert_ignored(self, sender: Stream, effects: list[Any]) -> None:
        self.assertEqual([Close(sender.id)], effects)

    def test_097_wrong_id_or_cookie(self) -> None:
        """It is ignored, and A still waits for the right one."""
        self.register("987654321", Address("192.0.2.99", 1))
        waiting, stranger = self.stream(), self.stream(STRANGER)
        asked = self.asked(waiting)
        right = asked.socket_addr
        wrong = (encode_address(ALICE, 0), right[:-1], right + b"\0", b"", b"x" * 18)
        for disguise in wrong:
            self.assert_ignored(stranger, self.hole(disguise, stranger))
        for peer_id in (b"987654321", b"nobody-123", b""):
            self.assert_ignored(stranger, self.hole(right, stranger, id=peer_id))
            if peer_id:
                forged = self.relay_response(stranger, socket_addr=right, id=peer_id)
                self.assert_ignored(stranger, forged)
        effects = self.hole(right, bob := self.bob())
        self.answer(effects, waiting, bob)

    def test_097_local_addr_from_elsewhere(self) -> None:
        """LocalAddr carries no cookie: it must come from B's address, within 30 s."""
        waiting, stranger = self.stream(NEIGHBOUR), self.stream(STRANGER)
        [_fetch] = self.punch(waiting)
        again = encode_address(NEIGHBOUR, 1)
        self.assert_ignored(stranger, self.local(again, stranger))
        self.clock.advance(30.1)
        self.assert_ignored(bob := self.bob(), self.local(again, bob))
        self.heartbeat()
        self.punch(waiting)
        self.clock.advance(30)
        self.answer(self.local(again, bob := self.bob()), waiting, bob)

    def test_097_ipv6(self) -> None:
        """An IPv6 A has no cookie: the answer must come from B's address or its /64."""
        home = Address("2001:db8:5:5::1", 50000)
        self.start(bob=home)
        alice = Address("2001:db8::a", 40000)
        waiting = self.stream(alice)
        hole = self.pushed(self.punch(waiting), "punch_hole", to=home)
        self.assertEqual(alice, decode_address(hole.socket_addr))
        for host in (STRANGER.host, "2001:db8:5:6::1", "::1", "127.0.0.1"):
            stranger = self.stream(Address(host, 1))
            self.assert_ignored(stranger, self.hole(hole.socket_addr, stranger))
        temporary = self.stream(Address("2001:db8:5:5:1234::9", 50001))
        effects = self.hole(hole.socket_addr, temporary)
        response = self.answer(effects, waiting, temporary)
        self.assertEqual(temporary.address, decode_address(response.socket_addr))

    def test_098_not_waiting(self) -> None:
        """No signature is computed for an A that does not wait, or waits for another."""
        self.start(pair=(pair := CountingPair()))
        waiting, bob = self.stream(), self.bob()
        asked = self.asked(waiting)
        fields = {"id": BOB_ID.encode(), "version": b"1.4.9"}
        for disguise in (encode_address(ALICE, 5), encode_address(STRANGER, 5)):
            self.hole(disguise, bob, version=b"1.4.9")
            self.local(disguise, self.stream(STRANGER), version=b"1.4.9")
            self.relay_response(bob, socket_addr=disguise, **fields)
        self.assertEqual(0, pair.signed)
        effects = self.hole(asked.socket_addr, bob, version=b"1.4.9")
        self.assertEqual("punch_hole_response", kind(effects[0]))
        self.assertEqual(1, pair.signed)


class SilenceTests(DoorTests):
    """Connections to P, and how long they live."""

    def waiting(self) -> Client:
        """Return A's connection, on which B has been asked for."""
        self.register()
        alice = self.connect(*ALICE)
        request = {"id": BOB_ID.encode(), "licence_key": KEY.encode()}
        alice.send("punch_hole_request", request)
        return alice

    def test_087_answered(self) -> None:
        """An answered A stays connected until it closes or is silent for 30 s."""
        pushed: list[bytes] = []
        self.outlet.send_datagram = lambda data, _to: pushed.append(data)
        leaves, stays = self.waiting(), self.waiting()
        for data in pushed:
            bob = self.connect(*BOB_TCP)
            asked = pb.decode(data).punch_hole.socket_addr
            bob.send("punch_hole_sent", {"id": BOB_ID.encode(), "socket_addr": asked})
            self.assertFalse(bob.is_open)
        self.clock.advance(29.9)
        for alice in (leaves, stays):
            self.assertEqual(1, len(alice.received()))
            self.assertTrue(alice.is_open)
        leaves.leave()
        self.clock.advance(0.1)
        self.assertFalse(stays.is_open)

    def test_090_silence(self) -> None:
        """A stream is closed when no frame comes within 30 s, and then nobody waits."""
        silent, asking = self.connect(), self.waiting()
        self.assertEqual(1, len(self.rooms._introductions.pending))
        self.clock.advance(29.9)
        self.assertEqual([True, True], [silent.is_open, asking.is_open])
        self.clock.advance(0.1)
        self.assertEqual([False, False], [silent.is_open, asking.is_open])
        self.assertEqual([], silent.received() + asking.received())
        self.assertEqual(0, len(self.rooms._introductions.pending))
