"""Statements 8.9, put to the rooms: what B is sent and who may ask; relays' health."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.effects import Stream
from rdserver.rendezvous.routing import Relays
from rdserver.storage.interface import StoredPeer
from rdserver.transports.relay_health import RelayHealth
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    PK,
    STRANGER,
    UUID,
    RoomsTests,
    proven,
)

R1, R2 = "r1.example:21117", "r2.example:21117"
V6 = bytes.fromhex("20010db8000000000000000000000001901f")


class RelayTests(RoomsTests):
    """B is online, and A has asked for it with the right key."""

    def setUp(self) -> None:
        self.start(relay_servers=(R1,))

    def start(self, **options: Any) -> None:
        self.furnish(**options)
        self.register()
        self.asked(self.stream())

    def pushed_request(self, stream: Stream, **fields: Any) -> pb.RequestRelay:
        """Ask for a relay, and return what B is pushed."""
        return self.pushed(self.ask_relay(stream, **fields), "request_relay")

    def reason(self, stream: Stream, **fields: Any) -> str:
        """Ask for a relay, and return why not; nothing else may happen."""
        announced = list(self.announced)
        refusal = self.refusal(self.ask_relay(stream, **fields), stream)
        self.assertEqual(announced, self.announced)
        self.assertEqual(pb.RelayResponse(refuse_reason=refusal.refuse_reason), refusal)
        self.assertNotEqual(b"", refusal.refuse_reason)
        return refusal.refuse_reason.decode()

    def answered(self, waiting: Stream, **fields: Any) -> pb.RelayResponse:
        """Let B answer, and return what A gets."""
        bob = self.stream(BOB_TCP)
        return self.answer(self.relay_response(bob, **fields), waiting, bob)


class RequestTests(RelayTests):
    def test_101_push(self) -> None:
        """B receives these values and A's address; the relay is told the session first."""
        waiting = self.stream()
        for secure in (False, True):
            push = self.pushed_request(waiting, relay_server=R1.encode(), secure=secure)
            self.assertEqual(ALICE, decode_address(push.socket_addr))
            expected = pb.RequestRelay(
                id=BOB_ID.encode(),
                uuid=b"session-1",
                socket_addr=push.socket_addr,
                relay_server=R1.encode(),
                secure=secure,
            )
            self.assertEqual(expected, push)
        self.assertEqual(["session-1"] * 2, self.announced)

    def test_102_rebuilt(self) -> None:
        """B receives none of what A may not decide, nor what we do not know."""
        request = pb.RequestRelay(
            id=BOB_ID.encode(),
            uuid=b"session-1",
            socket_addr=b"forged",
            licence_key=b"key",
            conn_type=5,  # TERMINAL
            token=b"token",
            switch_code=b"code",
            control_permissions=pb.ControlPermissions(permissions=0x5555),
        )
        request.controlled_context.conn_audit_ref = b"ref"
        request.MergeFromString(bytes.fromhex("fa0603616263"))  # field 111
        push = self.pushed(
            self.effects(self.frame("request_relay", request, self.stream())),
            "request_relay",
        )
        expected = pb.RequestRelay(
            id=BOB_ID.encode(), uuid=b"session-1", socket_addr=push.socket_addr
        )
        self.assertEqual(expected.SerializeToString(), push.SerializeToString())

    def test_105_offline(self) -> None:
        """A refuse_reason at once; the client knows these words in its user's language."""
        self.clock.advance(30)
        self.assertEqual("Remote desktop is offline", self.reason(self.stream()))

    def test_105_not_in_memory(self) -> None:
        """A refuse_reason at once for an unknown id, and for one that is only stored."""
        self.start(required_key="")
        stored = StoredPeer("stored-only", bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.assertEqual(
            "Remote desktop is offline", self.reason(self.stream(), id=b"stored-only")
        )
        self.assertEqual("ID does not exist", self.reason(self.stream(), id=b"nobody-123"))
        self.store.failing = {"find"}
        self.assertIn("database", self.reason(self.stream(), id=b"nobody-124"))

    def test_106_never_asked(self) -> None:
        """Without an earlier key-validated PunchHoleRequest for this id a refuse_reason."""
        self.register("987654321", Address("192.0.2.99", 1))
        stranger = self.stream(STRANGER)
        reasons = {
            self.reason(stranger),
            self.reason(self.stream(), id=b"987654321"),
            self.reason(self.stream(Address("2001:db8::a", 1))),
        }
        self.punch(stranger, licence_key=b"wrong")
        reasons.add(self.reason(stranger))
        self.assertEqual(1, len(reasons))
        self.punch(stranger)
        self.pushed_request(stranger)

    def test_106_long_ago(self) -> None:
        """What A asked counts for two minutes."""
        self.clock.advance(119.9)
        self.heartbeat()
        self.pushed_request(self.stream())
        self.clock.advance(0.1)
        self.reason(self.stream())

    def test_106_no_server_key(self) -> None:
        """Without a server key nobody need have asked."""
        self.start(required_key="")
        self.pushed_request(self.stream(STRANGER))

    def test_107_unknown_relay(self) -> None:
        """A refuse_reason, and B is not contacted."""
        for relay in ("evil.example:21117", "r1.example", R1 + " ", R1.upper()):
            self.reason(self.stream(), relay_server=relay.encode())

    def test_107_relay_named_by_b(self) -> None:
        """One that B named for this pair is known, to no other A, for two minutes."""
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        named = {"relay_server": b"own.example"}
        self.reason(self.stream(), **named)
        hole = self.hole(self.asked(waiting).socket_addr, bob, **named)
        self.answer(hole, waiting, bob)
        self.pushed_request(self.stream(), **named)
        self.punch(self.stream(STRANGER))
        self.reason(self.stream(STRANGER), **named)
        self.clock.advance(120)
        self.heartbeat()
        self.asked(self.stream())
        self.reason(self.stream(), **named)


class ResponseTests(RelayTests):
    def test_103_without_id(self) -> None:
        """A receives a RelayResponse with empty socket_addr and no pk."""
        waiting = self.stream()
        push = self.pushed_request(waiting)
        response = self.answered(waiting, socket_addr=push.socket_addr, version=b"1.4.9")
        self.assertEqual(pb.RelayResponse(version=b"1.4.9"), response)

    def test_103_refused_by_b(self) -> None:
        """B's refuse_reason reaches A."""
        waiting = self.stream()
        push = self.pushed_request(waiting)
        fields = {"socket_addr": push.socket_addr, "refuse_reason": b"no"}
        self.assertEqual(b"no", self.answered(waiting, **fields).refuse_reason)

    def test_104_with_id(self) -> None:
        """A receives the signed IdPk instead of the id; the rest is unchanged."""
        waiting = self.stream()
        kept = {"uuid": b"session-b", "version": b"1.4.9", "socket_addr_v6": V6}
        kept |= {"relay_server": b"own.example", "upnp_port": 7}
        asked = self.asked(waiting).socket_addr
        response = self.answered(waiting, socket_addr=asked, id=BOB_ID.encode(), **kept)
        self.assertEqual((BOB_ID, PK), proven(response.pk))
        self.assertEqual(pb.RelayResponse(pk=response.pk, **kept), response)
        self.assertEqual(["session-b"], self.announced)

    def test_108_three_attempts(self) -> None:
        """Three uuids on three connections: each is answered on its own."""
        ports = (40001, 40002, 40003)
        waiting = [self.stream(Address(ALICE.host, port)) for port in ports]
        pushes = [
            self.pushed_request(stream, uuid=f"session-{stream.id}".encode())
            for stream in waiting
        ]
        for n in (2, 0, 1):
            fields = {"socket_addr": pushes[n].socket_addr, "uuid": pushes[n].uuid}
            self.assertEqual(pushes[n].uuid, self.answered(waiting[n], **fields).uuid)


class ChoiceTests(RelayTests):
    def proposed(self, *relays: str) -> list[bytes]:
        """Return what four punches propose."""
        self.start(relay_servers=relays)
        self.console("tg 192.0.2.1")  # a turn goes there, as one went to setUp's punch
        return [self.asked(self.stream()).relay_server for _ in range(4)]

    def test_109_turns(self) -> None:
        """[r1]: r1; [r1, r2]: round robin; []: empty text."""
        self.assertEqual([R1.encode()] * 4, self.proposed(R1))
        self.assertEqual([R1.encode(), R2.encode()] * 2, self.proposed(R1, R2))
        self.assertEqual([b""] * 4, self.proposed())


class HealthTests(SynchronousTestCase):
    """Relays that are dead or alive, on a network of our own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dead: set[str] = set()
        self.connections = 0

    def check(self, *configured: str) -> Relays:
        """Start checking these relays."""
        relays = Relays(configured)
        health = RelayHealth(relays, self.connect, self.clock)
        health.startService()
        self.addCleanup(health.stopService)
        return relays

    def connect(self, host: str, _port: int) -> Deferred[Any]:
        """Answer a second later, or never."""
        self.connections += 1
        attempt: Deferred[Any] = Deferred()
        if host not in self.dead:
            self.clock.callLater(1, attempt.callback, None)
        return attempt

    def pass_time(self, seconds: int) -> None:
        self.clock.pump([0.5] * 2 * seconds)

    def choices(self, relays: Relays) -> set[str]:
        return {relays.choose() for _ in range(4)}

    def test_110_dead_relay(self) -> None:
        """After 6 s only the one alive is handed out; when it dies too, still that one."""
        self.dead = {"r1.example"}
        relays = self.check(R1, R2)
        self.pass_time(6)
        self.assertEqual({R2}, self.choices(relays))
        self.dead = {"r1.example", "r2.example"}
        self.pass_time(12)
        self.assertEqual({R2}, self.choices(relays))
        self.dead = set()
        self.pass_time(12)
        self.assertEqual({R1, R2}, self.choices(relays))

    def test_111_one_relay(self) -> None:
        """No health check connections are made."""
        relays = self.check(R1)
        self.pass_time(30)
        self.assertEqual((0, {R1}), (self.connections, self.choices(relays)))
