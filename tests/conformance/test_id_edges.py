"""
Statements 8.1, 8.2, 8.3 and 8.8 where rooms and edges meet: the whole way of a message.

The server is whole but for its sockets; so errors of the system can be had, storage
can be slow, and time passes when a test says so.
"""

from __future__ import annotations

import errno
import random
from typing import Any

from rdserver.rendezvous.events import Event
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.conformance.doors import DoorTests
from tests.fakes import FakePort, FakeReactor
from tests.rendezvous.fixture import ALICE, BOB, BOB_ID, BOB_TCP, KEY, PK, UUID, Message

DISGUISED = f"::ffff:{BOB.host}"


class EdgeTests(DoorTests):
    """An ID server on a dual-stack UDP port, and its TCP ports."""

    def furnish(self, **options: Any) -> None:
        super().furnish(**options)
        self.udp = RendezvousDatagrams(
            self.core.datagram, self.outlet, self.notices, dual_stack=True
        )
        self.port = FakePort(FakeReactor(), self.udp)
        self.udp.makeConnection(self.port)
        self.outlet.send_datagram = self.udp.send

    def receive(self, data: bytes, host: str = DISGUISED, port: int = BOB.port) -> None:
        """Let a datagram arrive, as the system shows it."""
        self.udp.datagramReceived(data, (host, port))

    def replies(self) -> list[tuple[str, tuple[str, int]]]:
        """Return which messages went out by UDP since the last call, and to whom."""
        sent, self.port.sent = self.port.sent, []
        return [(pb.decode(data).WhichOneof("union"), to) for data, to in sent]

    def register_by_udp(self, host: str = DISGUISED) -> None:
        """Register B."""
        claim = pb.RegisterPk(id=BOB_ID.encode(), uuid=UUID, pk=PK)
        self.receive(pb.encode(Message(register_pk=claim)), host)

    def heartbeat_by_udp(self) -> list[tuple[str, tuple[str, int]]]:
        """Return what goes out for a heartbeat of B's."""
        beat = pb.RegisterPeer(id=BOB_ID.encode())
        self.receive(pb.encode(Message(register_peer=beat)))
        return self.replies()

    ALIVE = [("register_peer_response", (DISGUISED, BOB.port))]

    def test_014_partial_frame(self) -> None:
        """The connection ends without a handled message, at any byte of it."""
        request = pb.PunchHoleRequest(id=BOB_ID.encode(), licence_key=KEY.encode())
        data = encode_frame(pb.encode(Message(punch_hole_request=request)))
        self.register_by_udp()
        self.replies()
        for size in range(len(data)):
            client = self.connect()
            client.send_bytes(data[:size])
            client.leave()
            self.assertEqual([], client.received())
        self.assertEqual(([], {}), (self.replies(), self.failures()))

    def failures(self) -> dict[Event, int]:
        """Return what was counted."""
        return {event: count for event, count in self.notices.counts.items() if count}

    def test_015_zero_length(self) -> None:
        """There is no reply, nothing is counted, and the port answers the next."""
        self.receive(b"")
        self.assertEqual(([], {}), (self.replies(), self.failures()))
        self.assertEqual(self.ALIVE, self.heartbeat_by_udp())

    def test_016_random_bytes(self) -> None:
        """None of a thousand is answered, logged or a bug; the next is answered."""
        rng = random.Random(16)
        for _ in range(1000):
            self.receive(rng.randbytes(rng.randrange(1, 200)))
        self.assertEqual([], self.lines())
        self.assertEqual({Event.BAD_MESSAGE}, set(self.failures()) | {Event.BAD_MESSAGE})
        self.replies()
        self.assertEqual(self.ALIVE, self.heartbeat_by_udp())

    def test_017_odd_sources(self) -> None:
        """Whatever the system says to an answer, others are served."""
        beat = pb.encode(Message(register_peer=pb.RegisterPeer(id=BOB_ID.encode())))
        for number in (errno.EPERM, errno.ENETUNREACH, errno.EINVAL, errno.EAGAIN):
            self.port.error = OSError(number, errno.errorcode[number])
            self.receive(beat, "::ffff:240.0.0.1")
            self.receive(beat, "fe80::1", 0)
            self.port.error = None
            self.assertEqual(self.ALIVE, self.heartbeat_by_udp())
        self.assertEqual([], self.lines())

    def test_017_push_that_fails(self) -> None:
        """A push to B that cannot go out costs A nothing but the wait."""
        self.register_by_udp()
        self.port.error = OSError(errno.ENETUNREACH, "Network is unreachable")
        alice = self.connect(*ALICE)
        request = {"id": BOB_ID.encode(), "licence_key": KEY.encode()}
        alice.send("punch_hole_request", request)
        self.assertEqual(([], True), (alice.received(), alice.is_open))
        self.port.error = None
        self.replies()
        alice.send("punch_hole_request", request)
        self.assertEqual([("punch_hole", (DISGUISED, BOB.port))], self.replies())

    def test_036_plain_ipv4_text(self) -> None:
        """Stored IP and limiter key are the plain text; the answer finds its way."""
        self.store.holding = True
        self.register_by_udp()
        while self.store.held:
            self.store.give()
        self.assertEqual([("register_pk_response", (DISGUISED, BOB.port))], self.replies())
        stored = self.stored()
        self.assertEqual(BOB.host, stored and stored.ip)
        self.assertIn(BOB.host, dict(self.rooms._limit.rows()))

    def test_086_gone_while_looked_up(self) -> None:
        """A that left while its device was looked up waits for nothing afterwards."""
        self.register_by_udp()
        store = self.store
        self.furnish(store=store)  # a restart: B is in the database alone
        store.holding = True
        alice = self.connect(*ALICE)
        request = {"id": BOB_ID.encode(), "licence_key": KEY.encode()}
        alice.send("punch_hole_request", request)
        self.heartbeat_by_udp()
        store.give(1)  # B's own lookup: now it is online
        self.clock.advance(30)
        self.assertFalse(alice.is_open)
        self.heartbeat_by_udp()
        store.give()
        self.assertEqual(
            1, len([to for kind, to in self.replies() if kind == "punch_hole"])
        )
        self.assertEqual(0, len(self.rooms._introductions.pending))

    def test_087_unanswered(self) -> None:
        """Asked for again and again A's connection ends too, with an answer or not."""
        self.store.holding = True
        alice = self.connect(*ALICE)
        request = {"id": b"555555555", "licence_key": KEY.encode()}
        for number in range(15):
            alice.send("punch_hole_request", request)
            while self.store.held:
                self.store.give()
            self.assertEqual(number < 12, alice.is_open)
            self.clock.advance(10)
        self.assertEqual(12 + 1, len(alice.received()))

    def test_088_late_bug(self) -> None:
        """A bug in a decision closes the sender's connection, and that one alone."""
        self.register_by_udp()
        other, sender = self.connect(), self.connect(*BOB_TCP)
        self.patch(self.rooms._introductions.pending, "_by_address", None)
        sender.send("punch_hole_sent", {"id": BOB_ID.encode(), "socket_addr": bytes(8)})
        self.assertEqual((False, True), (sender.is_open, other.is_open))
        self.assertEqual({Event.BUG: 1}, self.failures())

    def test_089_unparsable(self) -> None:
        """A fresh stream is closed at the first frame that is none of ours."""
        for payload in (b"", b"\x00\x00", b"\xff" * 30, b"\xfa\x3f\x00"):
            client = self.connect()
            client.send_bytes(encode_frame(payload))
            self.assertEqual((False, []), (client.is_open, client.received()))

    def test_090_trickle(self) -> None:
        """Bytes that make no frame do not keep a stream open."""
        client = self.connect()
        client.send_bytes(b"\xfd\xff")
        for _ in range(29):
            self.clock.advance(1)
            client.send_bytes(b"\x00")
        self.assertTrue(client.is_open)
        self.clock.advance(1)
        self.assertFalse(client.is_open)
