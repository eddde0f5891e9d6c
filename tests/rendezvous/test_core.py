"""Tests for :mod:`rdserver.rendezvous.core`: any bytes, at any door, and what is left."""

from __future__ import annotations

import random
from collections.abc import Iterator

from rdserver.errors import ProtocolError
from rdserver.rendezvous.effects import Answer, Close, Effect, Send
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    KEY,
    PK,
    STRANGER,
    UUID,
    Message,
    RoomsTests,
    kind,
)
from tests.vectors import VECTORS

DOORS = {
    "UDP": {
        "punch_hole_sent",
        "register_peer",
        "register_pk",
        "test_nat_request",
        "configure_update",
        "software_update",
    },
    "P": {
        "punch_hole_request",
        "punch_hole_sent",
        "local_addr",
        "request_relay",
        "relay_response",
        "test_nat_request",
        "register_pk",
        "register_peer",
        "online_request",
        "hc",
        "http_proxy_request",
    },
    "P-1": {"test_nat_request", "online_request"},
}
"""Which messages are served where (protocol.md sections 3.3 to 3.7, and 7)."""

PUSHES = {"punch_hole", "fetch_local_addr", "request_relay"}
ANSWERS = {"punch_hole_response", "relay_response"}


class DoorTests(RoomsTests):
    def test_doors(self) -> None:
        """Each door serves what it should and nothing else."""
        tables = (self.core._datagrams, self.core._main, self.core._nat)
        self.assertEqual(DOORS, dict(zip(DOORS, map(set, tables), strict=True)))

    def test_not_served(self) -> None:
        """What is not served gets no datagram, and closes a connection without a word."""
        for field in Message.DESCRIPTOR.oneofs_by_name["union"].fields:
            for door, served in DOORS.items():
                if field.name not in served:
                    self.assert_not_served(door, field.name)

    def assert_not_served(self, door: str, member: str) -> None:
        stream = self.stream(STRANGER)
        if door == "UDP":
            effects = self.effects(self.datagram(member, {}, STRANGER))
            self.assertEqual([], effects, member)
            return
        frame = self.frame if door == "P" else self.nat_frame
        effects = self.effects(frame(member, {}, stream))
        self.assertEqual([Close(stream.id)], effects, (door, member))

    def test_stream_that_waits_for_nobody(self) -> None:
        """Any connection may end."""
        self.core.stream_closed(12345)


class AnyBytesTests(RoomsTests):
    """Random and mutated messages from everywhere, to a server in use."""

    def setUp(self) -> None:
        self.furnish(serial=5, rendezvous_servers=("one.example",), relay_servers=("r1",))
        self.rng = random.Random(35)
        self.register()
        self.asked(self.stream())
        self.streams = {}

    def seeds(self) -> list[bytes]:
        """Return messages that the server answers, and all samples of the spec."""
        hole = self.asked(self.stream())
        echo = {"socket_addr": hole.socket_addr, "id": BOB_ID.encode()}
        known = {
            "register_peer": {"id": BOB_ID.encode()},
            "register_pk": {"id": BOB_ID.encode(), "uuid": UUID, "pk": PK},
            "punch_hole_request": {"id": BOB_ID.encode(), "licence_key": KEY.encode()},
            "punch_hole_sent": echo,
            "local_addr": echo,
            "relay_response": echo,
            "request_relay": {"id": BOB_ID.encode(), "uuid": b"u"},
            "online_request": {"peers": [BOB_ID.encode()] * 9},
        }
        ours = [pb.encode(Message(**{member: fields})) for member, fields in known.items()]
        return ours + [bytes.fromhex(sample) for sample in VECTORS["messages"].values()]

    def mutated(self, seed: bytes) -> bytes:
        data = bytearray(seed)
        for _ in range(self.rng.randrange(4)):
            if data:
                data[self.rng.randrange(len(data))] = self.rng.randrange(256)
        if self.rng.random() < 0.2:
            del data[self.rng.randrange(len(data) + 1) :]
        return bytes(data)

    def inputs(self) -> Iterator[bytes]:
        for _ in range(1000):
            yield self.rng.randbytes(100)
        seeds = self.seeds()
        for _ in range(5000):
            yield self.mutated(self.rng.choice(seeds))

    def test_any_bytes(self) -> None:
        """
        Nothing but ProtocolError is ever raised, and only at decoding.

        Datagrams go to whoever asked and to registered devices, frames to whoever
        asked and to those who wait.
        """
        decoded = 0
        for data in self.inputs():
            try:
                message = pb.decode(data)
            except ProtocolError:
                continue
            decoded += 1
            self.put(message)
            self.clock.advance(0.01)
        self.assertGreater(decoded, 1000)

    def put(self, message: Message) -> None:
        origin = self.rng.choice((ALICE, BOB, BOB_TCP, STRANGER, Address("::1", 5)))
        stream = self.stream(origin)
        self.streams[stream.id] = stream
        for effect in self.effects(self.core.datagram(message, origin)):
            if isinstance(effect, Send):
                self.assertEqual(origin, effect.to)
            else:  # B's answer by datagram, or its new registration
                self.assert_expected(effect, 0)
        for frame in (self.core.main_frame, self.core.nat_frame):
            for effect in self.effects(frame(message, stream)):
                self.assert_expected(effect, stream.id)

    def assert_expected(self, effect: Effect, asker: int) -> None:
        if isinstance(effect, Send):
            shards = self.rooms.presence._shards
            devices = (device for shard in shards for device in shard.values())
            self.assertIn(effect.to, {device.route for device in devices})
            self.assertIn(kind(effect), PUSHES)
        elif isinstance(effect, Answer) and effect.stream != asker:
            if self.rooms.presence.registered_on(effect.stream) is None:
                self.assertIn(kind(effect), ANSWERS)
            else:
                self.assertIn(kind(effect), PUSHES | ANSWERS)
        elif isinstance(effect, Close) and effect.stream != asker:
            self.assertIsNone(self.rooms.presence.registered_on(effect.stream))
        else:
            self.assertEqual(asker, effect.stream)


class EmptyTests(RoomsTests):
    def test_tables(self) -> None:
        """When all have left, and a day has passed, memory is empty."""
        self.furnish(serial=5, rendezvous_servers=("one.example",))
        for n in range(300):
            home = Address(f"10.0.{n >> 8}.{n & 255}", 5000)
            away = Address(f"10.1.{n >> 8}.{n & 255}", 5000)
            device = f"device-{n}"
            self.register(device, home)
            self.register(device, away)
            self.heartbeat(device, away)
            waiting = self.stream(Address(f"10.2.{n >> 8}.{n & 255}", 40000))
            hole = self.pushed(self.punch(waiting, device), "punch_hole", to=away)
            if n % 2:
                bob = self.stream(away)
                fields = {"id": device.encode(), "relay_server": b"own.example"}
                self.answer(self.hole(hole.socket_addr, bob, **fields), waiting, bob)
            self.core.stream_closed(waiting.id)
        tables = self.tables()
        self.assertEqual(0, tables.pop("pending"))
        self.assertNotIn(0, tables.values(), tables)
        self.clock.advance(86_401)
        self.sweep()
        self.assertEqual({0}, set(self.tables().values()), self.tables())

    def tables(self) -> dict[str, int]:
        rooms = self.rooms
        return {
            "presence": len(rooms.presence),
            "registrations": len(rooms._limit),
            "ids": rooms._limit._ids + len(rooms._limit),
            "changes": len(rooms._changes),
            "answers": len(rooms._answers),
            "pairs": len(rooms._introductions.pairs),
            "pending": len(rooms._introductions.pending),
        }
