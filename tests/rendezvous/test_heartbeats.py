"""Tests for :mod:`rdserver.rendezvous.heartbeats`: short cuts that nobody can notice."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.directory import MAX_UNKNOWN
from rdserver.rendezvous.effects import Effect, Send
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.heartbeats import Reading
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import BOB, BOB_ID, OTHER_PK, PK, UUID, Message, RoomsTests

KNOWN = b"\x3a\x00"
ASKED = b"\x3a\x02\x10\x01"
MOVED = Address(BOB.host, 50001)
AWAY = Address("198.51.100.77", 50000)
LOCAL = Address("127.0.0.1", 5000)


def register_peer(peer_id: str = BOB_ID, serial: int = 3) -> bytes:
    request = pb.RegisterPeer(id=peer_id.encode(), serial=serial)
    return pb.encode(Message(register_peer=request))


class ShortWayCase(RoomsTests):
    """
    Base: an ID server that is asked the short way where there is one.

    :ivar recognised, learned, asked: how many datagrams took one.
    """

    def furnish(self, **options: object) -> None:
        super().furnish(**options)
        self.heartbeats = self.rooms.heartbeats
        self.recognised = self.learned = self.asked = 0

    def key(self, datagram: bytes, origin: Address) -> bytes:
        return str(origin).encode() + datagram

    def put(self, datagram: bytes, origin: Address = BOB) -> list[bytes]:
        """Put a datagram to the server; return what is answered."""
        key = self.key(datagram, origin)
        if self.heartbeats.recognise([key], 0) == 1:
            self.recognised += 1
            return [self.heartbeats.known]
        reading = self.heartbeats.learn(key, datagram, origin)
        if reading is Reading.KNOWN:
            self.learned += 1
            return [self.heartbeats.known]
        if reading is Reading.ASKED:
            self.asked += 1
            return [self.heartbeats.asked]
        return self.put_the_long_way(datagram, origin)

    def put_the_long_way(self, datagram: bytes, origin: Address = BOB) -> list[bytes]:
        effects = self.effects(self.core.datagram(pb.decode(datagram), origin))
        return [self.encoded(effect, origin) for effect in effects]

    def encoded(self, effect: Effect, origin: Address) -> bytes:
        assert isinstance(effect, Send)
        self.assertEqual(origin, effect.to)
        return pb.encode(effect.message)

    def short_ways(self) -> tuple[int, int]:
        """Return how many were recognised and learned since the last call."""
        counted = self.recognised, self.learned
        self.recognised = self.learned = 0
        return counted

    def counted(self) -> dict[Event, int]:
        return {event: n for event, n in self.notices.counts.items() if n}


class ShortWayTests(ShortWayCase):
    def setUp(self) -> None:
        super().setUp()
        self.register()

    def test_answers(self) -> None:
        """They are the constants of protocol.md section 2.6."""
        self.assertEqual((KNOWN, ASKED), (self.heartbeats.known, self.heartbeats.asked))

    def test_repeated(self) -> None:
        """The first one is read, the others only recognised; each is a sign of life."""
        for _ in range(3):
            self.clock.advance(29.9)
            self.assertEqual([KNOWN], self.put(register_peer()))
            self.clock.advance(29.9)
            self.assertTrue(self.is_online())
        self.assertEqual((2, 1), self.short_ways())
        self.clock.advance(0.1)
        self.assertFalse(self.is_online())

    def test_several(self) -> None:
        """Those before the first unknown one are taken, and none behind it."""
        self.put(register_peer())
        known, other = self.key(register_peer(), BOB), b"other"
        for keys, first, expected in (
            ([], 0, 0),
            ([other], 0, 0),
            ([known, known], 0, 2),
            ([known, other, known], 0, 1),
            ([known, other, known], 1, 1),
            ([known, other, known], 2, 3),
            ([known, other, known], 3, 3),
            ([b""], 0, 0),
        ):
            self.assertEqual(expected, self.heartbeats.recognise(keys, first))
        self.clock.advance(30)
        self.assertEqual(0, self.heartbeats.recognise([other, known], 0))
        self.assertFalse(self.is_online())

    def test_unknown_device(self) -> None:
        """A device that nobody knows is looked up once, and then asked for its key."""
        for asked in range(3):
            self.assertEqual([ASKED], self.put(register_peer("987654321")))
            self.assertEqual(asked, self.asked)
        self.assertEqual((0, 0), self.short_ways())

    def test_flood(self) -> None:
        """Of random ids so many are looked up; the others are counted and asked at once."""
        for n in range(MAX_UNKNOWN + 5):
            self.assertEqual([ASKED], self.put(register_peer(f"random-{n}")))
        self.assertEqual((5, {Event.STRANGER: 5}), (self.asked, self.counted()))
        self.assertEqual([KNOWN], self.put(register_peer()))

    def test_newer_list(self) -> None:
        """Whoever is to be sent the server list takes the long way, asked or not."""
        update = pb.ConfigUpdate(serial=4, rendezvous_servers=[b"one.example"])
        told = pb.encode(Message(configure_update=update))
        self.put(told, LOCAL)
        for _ in range(2):
            self.assertEqual([ASKED, told], self.put(register_peer("987654321")))
            self.assertEqual([ASKED, told], self.put(register_peer(), AWAY))
        self.assertEqual([ASKED], self.put(register_peer("987654321", serial=4)))
        self.assertEqual(1, self.asked)

    def test_without_a_key(self) -> None:
        """A heartbeat that cannot be told from others is read each time, and answered."""
        for _ in range(2):
            self.clock.advance(30)
            reading = self.heartbeats.learn(b"", register_peer(), BOB)
            self.assertIs(Reading.KNOWN, reading)
            self.assertTrue(self.is_online())
        self.assertEqual(0, self.heartbeats.recognise([b""], 0))

    def test_nobody(self) -> None:
        """A sender without a port is not heard."""
        nobody = Address(BOB.host, 0)
        self.clock.advance(30)
        for peer_id in (BOB_ID, "987654321"):
            reading = self.heartbeats.learn(b"key", register_peer(peer_id), nobody)
            self.assertIs(Reading.UNREAD, reading)
        self.assertFalse(self.is_online())

    def test_moved(self) -> None:
        """From another port it has to prove itself within 20 s, and may move later."""
        self.put(register_peer())
        self.assertEqual([ASKED], self.put(register_peer(), MOVED))
        self.clock.advance(20)
        self.assertEqual([KNOWN], self.put(register_peer(), MOVED))
        self.assertEqual(((0, 2), 1), (self.short_ways(), self.asked))
        self.assertEqual([ASKED], self.put(register_peer()))
        self.assertEqual([KNOWN], self.put(register_peer(), MOVED))
        self.assertEqual((1, 0), self.short_ways())

    def test_other_host(self) -> None:
        """From another host it is asked for its key, but not from this machine."""
        self.put(register_peer())
        self.assertEqual([ASKED], self.put(register_peer(), AWAY))
        self.assertEqual([KNOWN], self.put(register_peer(), LOCAL))
        self.assertEqual((0, 2), self.short_ways())

    def test_proved_elsewhere(self) -> None:
        """Once it has registered elsewhere, the old address is not its own any more."""
        self.put(register_peer())
        self.assertEqual("OK", self.register(origin=AWAY))
        self.assertEqual([ASKED], self.put(register_peer()))
        self.assertEqual((0, 1), self.short_ways())

    def test_new_key(self) -> None:
        """After a registration with a new key a heartbeat is looked at again."""
        self.put(register_peer())
        self.assertEqual("OK", self.register(pk=OTHER_PK))
        self.assertEqual([KNOWN], self.put(register_peer()))
        self.assertEqual((0, 2), self.short_ways())

    def test_serial(self) -> None:
        """A list with a higher number is sent with the next heartbeat, known or not."""
        self.put(register_peer())
        update = pb.ConfigUpdate(serial=4, rendezvous_servers=[b"one.example"])
        told = pb.encode(Message(configure_update=update))
        self.assertEqual([], self.put(told, LOCAL))
        for _ in range(2):
            self.assertEqual([KNOWN, told], self.put(register_peer()))
        self.assertEqual((0, 1), self.short_ways())
        self.assertEqual([[KNOWN]] * 2, [self.put(register_peer(serial=4)) for _ in "ab"])
        self.assertEqual((1, 1), self.short_ways())

    def test_forgotten(self) -> None:
        """A device that is swept out of memory has no short way any more."""
        self.put(register_peer())
        self.clock.advance(600.1)
        self.sweep()
        self.assertEqual(0, len(self.rooms.presence))
        self.assertEqual([KNOWN], self.put(register_peer()))  # found in the database
        self.assertEqual((0, 1), self.short_ways())
        self.assertTrue(self.is_online())

    def test_one_each(self) -> None:
        """Each device has one short way: the last one."""
        for serial in (3, 4, 3, 3):
            self.put(register_peer(serial=serial))
        self.assertEqual((1, 3), self.short_ways())
        self.assertEqual(1, len(self.rooms.presence._expected))

    def test_table_ends_empty(self) -> None:
        """When all devices are forgotten nothing is left."""
        for number in range(10):
            peer_id = f"20000000{number}"
            origin = Address(f"203.0.113.{number}", 50000)
            self.register(peer_id, origin)
            for port in (50000, 50001):
                self.put(register_peer(peer_id), Address(origin.host, port))
                self.clock.advance(20)
        self.assertEqual(10, len(self.rooms.presence._expected))
        self.clock.advance(700)
        self.sweep()
        self.assertEqual({}, self.rooms.presence._expected)


class Short(ShortWayCase):
    """The server under test."""

    def runTest(self) -> None:  # noqa: N802 - a TestCase must have one to be made
        raise AssertionError


class Twin(ShortWayCase):
    """A server like the one under test that always takes the long way."""

    def runTest(self) -> None:  # noqa: N802 - a TestCase must have one to be made
        raise AssertionError

    put = ShortWayCase.put_the_long_way


class SameTests(SynchronousTestCase):
    def test_nobody_notices(self) -> None:
        """Whatever happens, in any order: the same answers, the same devices online."""
        recognised = asked = 0
        for seed in range(20):
            fast = self.compare(random.Random(seed))
            recognised += fast.recognised
            asked += fast.asked
        self.assertGreater(recognised, 500)
        self.assertGreater(asked, 500)

    def compare(self, rng: random.Random) -> Short:
        fast, plain = Short(), Twin()
        fast.setUp()
        plain.setUp()
        ids = ("111111111", "222222222", "333333333")
        origins = (*[BOB] * 7, MOVED, AWAY, LOCAL)
        for step in range(400):
            datagram, origin = any_datagram(rng, rng.choice(ids)), rng.choice(origins)
            seconds = rng.choice((0, 0, 0, 1, 10, 25, 400 * (step % 50 == 0)))
            answers, online = [], []
            for server in (fast, plain):
                server.clock.advance(seconds)
                if seconds >= 10:
                    server.sweep()
                answers.append(server.put(datagram, origin))
                online.append([server.is_online(peer_id) for peer_id in ids])
            self.assertEqual(answers[0], answers[1], (step, datagram, origin))
            self.assertEqual(online[0], online[1], (step, datagram, origin))
            self.assertEqual(fast.counted(), plain.counted())
        return fast


def any_datagram(rng: random.Random, peer_id: str) -> bytes:
    """Return a heartbeat most of the time, else what may change what one means."""
    kind = rng.random()
    if kind < 0.9:
        return register_peer(peer_id, rng.choice((3, 3, 3, 3, 4, 5)))
    if kind < 0.98:
        pk = rng.choice((PK, PK, OTHER_PK))
        request = pb.RegisterPk(id=peer_id.encode(), uuid=UUID, pk=pk)
        return pb.encode(Message(register_pk=request))
    return pb.encode(Message(configure_update=pb.ConfigUpdate(serial=rng.choice((4, 5)))))
