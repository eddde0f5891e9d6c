"""Statements 8.5 and 8.6, put to the rooms: exact effects, times and counts."""

from __future__ import annotations

from attrs import evolve

from rdserver.rendezvous.events import Event
from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    OTHER_PK,
    PK,
    STRANGER,
    UUID,
    FakeStore,
    RoomsTests,
    kind,
)

NEW_PORT = Address(BOB.host, 50009)
ELSEWHERE = Address("203.0.113.99", 50000)


class RegisterPeerTests(RoomsTests):
    """8.5."""

    def restart(self) -> None:
        """Forget everything but the database."""
        self.furnish(store=self.store)

    def assert_reached_at(self, address: Address) -> None:
        """Assert that B is pushed to at *address*."""
        [push] = self.punch(self.stream())
        self.assertEqual(address, self.sent(push).to)

    def test_045_unknown(self) -> None:
        """request_pk is true, no peer becomes online, and nothing is stored."""
        self.assertTrue(self.heartbeat())
        self.assertFalse(self.is_online())
        self.assertEqual(0, len(self.rooms.presence))
        self.assertEqual([f"find {BOB_ID}"], self.store.asked)

    def test_046_empty_id(self) -> None:
        """There is no reply, and the database is not asked."""
        self.assertIsNone(self.heartbeat(""))
        self.assertEqual([], self.store.asked)

    def test_047_registered(self) -> None:
        """request_pk is false, and the peer is online for 30 s from then on."""
        self.register()
        self.clock.advance(29)
        self.assertFalse(self.heartbeat())
        self.clock.advance(29.9)
        self.assertTrue(self.is_online())

    def test_048_new_port(self) -> None:
        """A device not heard of for 20 s moves to another port; pushes go there."""
        self.register()
        self.clock.advance(20)
        self.assertFalse(self.heartbeat(origin=NEW_PORT))
        self.assert_reached_at(NEW_PORT)

    def test_048_new_port_too_soon(self) -> None:
        """Heard of less than 20 s ago, it must send RegisterPk before it moves."""
        self.register()
        self.clock.advance(19.9)
        self.assertTrue(self.heartbeat(origin=NEW_PORT))
        self.assert_reached_at(BOB)
        self.assertEqual("OK", self.register(origin=NEW_PORT))
        self.assert_reached_at(NEW_PORT)

    def test_049_other_address(self) -> None:
        """request_pk is true, and the stored address and time are unchanged."""
        self.register()
        self.clock.advance(25)
        self.assertTrue(self.heartbeat(origin=ELSEWHERE))
        self.assert_reached_at(BOB)
        self.clock.advance(5)
        self.assertFalse(self.is_online())

    def test_050_loopback(self) -> None:
        """From any loopback address an IP difference alone does not ask for RegisterPk."""
        self.register()
        for host in ("127.0.0.1", "127.8.8.8", "::1"):
            local = Address(host, 1234)
            self.assertFalse(self.heartbeat(origin=local), host)
            self.assert_reached_at(local)

    def test_051_no_key(self) -> None:
        """A peer entry without pk is asked for it, from its own address too."""
        self.result_of(self.store.save(StoredPeer(BOB_ID, bytes(16), UUID, b"", BOB.host)))
        self.assertTrue(self.heartbeat())
        self.assertFalse(self.is_online())

    def test_053_timeout(self) -> None:
        """29.9 s after the last sign of life the peer is online, at 30.0 s offline."""
        self.register()
        self.clock.advance(29.9)
        self.assertTrue(self.is_online())
        self.clock.advance(0.1)
        self.assertFalse(self.is_online())

    def test_054_restart(self) -> None:
        """From its stored IP, whatever the port, the peer is online at once."""
        self.register()
        self.restart()
        self.assertFalse(self.is_online())
        self.assertFalse(self.heartbeat(origin=NEW_PORT))
        self.assertTrue(self.is_online())
        self.assert_reached_at(NEW_PORT)

    def test_054_restart_from_elsewhere(self) -> None:
        """From another IP it is asked for RegisterPk and stays offline until then."""
        self.register()
        self.restart()
        self.assertTrue(self.heartbeat(origin=ELSEWHERE))
        self.assertFalse(self.is_online())
        self.assertEqual("OK", self.register(origin=ELSEWHERE))
        self.assertTrue(self.is_online())


class SerialTests(RoomsTests):
    def test_052_serial(self) -> None:
        """A lower serial gets a second datagram, an equal or higher one none."""
        self.furnish(serial=5, rendezvous_servers=("one.example", "two.example"))
        told = {serial: self.updates(serial) for serial in (3, 4, 5, 6)}
        servers = [b"one.example", b"two.example"]
        self.assertEqual({3: servers, 4: servers, 5: None, 6: None}, told)

    def updates(self, serial: int) -> list[bytes] | None:
        fields = {"id": BOB_ID.encode(), "serial": serial}
        reply, *more = self.effects(self.datagram("register_peer", fields, BOB))
        self.assertEqual("register_peer_response", kind(reply))
        if not more:
            return None
        [update] = more
        self.assertEqual((BOB, "configure_update"), (self.sent(update).to, kind(update)))
        self.assertEqual(5, update.message.configure_update.serial)
        return list(update.message.configure_update.rendezvous_servers)


class RegisterPkTests(RoomsTests):
    """8.6 apart from the limits."""

    def test_055_empty_uuid_or_pk(self) -> None:
        """There is no reply and no state."""
        self.assertIsNone(self.register(uuid=b""))
        self.assertIsNone(self.register(pk=b""))
        self.assertEqual([], self.store.asked)

    def test_056_short_id(self) -> None:
        """Five bytes are refused without state, six are enough."""
        self.assertEqual("INVALID_ID_FORMAT", self.register("12345"))
        self.assertEqual([], self.store.asked)
        self.assertEqual("OK", self.register("123456"))

    def test_057_new_id(self) -> None:
        """OK; stored with guid, uuid, pk and ip; online at the sender's address."""
        self.assertEqual("OK", self.register())
        stored = self.stored()
        assert stored is not None
        self.assertEqual(16, len(stored.guid))
        self.assertEqual(StoredPeer(BOB_ID, stored.guid, UUID, PK, BOB.host), stored)
        self.assertTrue(self.is_online())
        self.assertEqual(BOB, self.rooms.presence.get(BOB_ID).route)

    def test_058_other_uuid(self) -> None:
        """UUID_MISMATCH and nothing changes, though address or key may be right."""
        self.register()
        before = self.stored()
        self.clock.advance(29)
        for origin in (BOB, ELSEWHERE):
            for pk in (PK, OTHER_PK):
                result = self.register(origin=origin, uuid=b"another", pk=pk)
                self.assertEqual("UUID_MISMATCH", result)
        self.assertEqual(before, self.stored())
        self.assertEqual(BOB, self.rooms.presence.get(BOB_ID).route)
        self.clock.advance(1)
        self.assertFalse(self.is_online())

    def test_059_other_address(self) -> None:
        """OK; address and stored ip are updated, and the change is recorded."""
        self.register()
        self.assertEqual("OK", self.register(origin=ELSEWHERE))
        self.assertEqual(ELSEWHERE.host, self.stored().ip)
        self.assertEqual(ELSEWHERE, self.rooms.presence.get(BOB_ID).route)
        self.assertEqual("OK", self.register(origin=ALICE))
        expected = f'1\n0s {{"{ELSEWHERE.host}": 1, "{ALICE.host}": 1}}\n'
        self.assertEqual(expected, self.console(f"ic {BOB_ID}"))

    def test_060_other_key(self) -> None:
        """OK, and the pk is replaced in memory and database; nothing else is."""
        self.register()
        before = self.stored()
        self.assertEqual("OK", self.register(pk=OTHER_PK))
        self.assertEqual(evolve(before, pk=OTHER_PK), self.stored())
        self.assertEqual(self.stored(), self.rooms.presence.get(BOB_ID).stored)

    def test_061_other_key_and_address(self) -> None:
        """UUID_MISMATCH, and nothing changes."""
        self.register()
        before = self.stored()
        self.assertEqual("UUID_MISMATCH", self.register(origin=ELSEWHERE, pk=OTHER_PK))
        self.assertEqual(before, self.stored())
        self.assertEqual(BOB, self.rooms.presence.get(BOB_ID).route)
        self.assertEqual("0\n", self.console("ic"))

    def test_065_unchanged(self) -> None:
        """OK; the peer is online at the sender's address; the database is not asked."""
        self.register()
        self.clock.advance(60)
        self.store.asked.clear()
        self.assertEqual("OK", self.register(origin=NEW_PORT))
        self.assertTrue(self.is_online())
        self.assertEqual(NEW_PORT, self.rooms.presence.get(BOB_ID).route)
        self.assertEqual([], self.store.asked)

    def test_066_new_device_cannot_be_stored(self) -> None:
        """SERVER_ERROR and no device; why is for the store to log, once for all of us."""
        self.store.failing = {"save"}
        self.assertEqual("SERVER_ERROR", self.register())
        self.assertEqual(0, len(self.rooms.presence))
        self.assertEqual([], self.lines())
        self.assertEqual(1, self.notices.counts[Event.STORAGE_FAILED])
        self.store.failing.clear()
        self.assertEqual("OK", self.register())

    def test_066_known_device_cannot_be_stored(self) -> None:
        """SERVER_ERROR; memory and console say what they said before."""
        self.register()
        self.store.failing = {"save"}
        for fields in ({"pk": OTHER_PK}, {"origin": ELSEWHERE}):
            self.assertEqual("SERVER_ERROR", self.register(**fields))
        self.assertEqual(self.stored(), self.rooms.presence.get(BOB_ID).stored)
        self.assertEqual(BOB, self.rooms.presence.get(BOB_ID).route)
        self.assertEqual("0\n", self.console(f"ic {BOB_ID}"))

    def test_066_database_cannot_be_read(self) -> None:
        """SERVER_ERROR, and the limits are not touched."""
        self.store.failing = {"find"}
        self.assertEqual("SERVER_ERROR", self.register())
        self.assertEqual("0\n", self.console("ib"))

    def test_068_odd_ids(self) -> None:
        """They are refused without creating state; 100 printable bytes are fine."""
        for peer_id in (
            "x" * 101,
            "é" * 51,
            "12345\n78",
            "12345\0",
            "12345\x7f",
            "1234\u20286",
        ):
            self.assertEqual("INVALID_ID_FORMAT", self.register(peer_id), repr(peer_id))
        self.assertEqual([], self.store.asked)
        self.assertEqual("0\n", self.console("ib"))
        self.assertEqual("OK", self.register("x" * 100))


class LimitTests(RoomsTests):
    """8.6, how often and under how many ids."""

    def fresh(self, number: int, host: str = STRANGER.host) -> str | None:
        """Register one more device from *host*."""
        return self.register(f"device-{number}", Address(host, 1000 + number % 60_000))

    def test_062_one_id(self) -> None:
        """Three pass within 6 s; the fourth only 7 s after the last accepted one."""
        self.assertEqual("OK", self.register())
        self.clock.advance(3)
        self.assertEqual(["OK", "OK"], [self.register(), self.register()])
        self.assertEqual("TOO_FREQUENT", self.register())
        self.clock.advance(6.9)
        self.assertEqual("TOO_FREQUENT", self.register())
        self.clock.advance(0.1)
        self.assertEqual(["OK"] * 3, [self.register() for _ in range(3)])
        self.assertEqual("TOO_FREQUENT", self.register())

    def test_062_changes_count_too(self) -> None:
        """A new key or address counts as one of the three; a refused one stores nothing."""
        self.register()
        self.assertEqual("OK", self.register(pk=OTHER_PK))
        self.assertEqual("OK", self.register(origin=ELSEWHERE, pk=OTHER_PK))
        before = self.stored()
        self.assertEqual("TOO_FREQUENT", self.register(origin=BOB, pk=OTHER_PK))
        self.assertEqual(before, self.stored())

    def test_063_burst(self) -> None:
        """32 ids pass; the 33rd is refused until 61 s after the last accepted one."""
        self.assertEqual(["OK"] * 32, [self.fresh(n) for n in range(32)])
        self.assertEqual("TOO_FREQUENT", self.fresh(32))
        self.assertIsNone(self.stored("device-32"))
        self.clock.advance(60.9)
        self.assertEqual("TOO_FREQUENT", self.fresh(33))
        self.clock.advance(0.1)
        self.assertEqual(["OK"] * 31, [self.fresh(n) for n in range(34, 65)])
        self.assertEqual("TOO_FREQUENT", self.fresh(65))

    def test_063_other_addresses(self) -> None:
        """Another IPv4 address has a budget of its own; of IPv6 a whole /64 has one."""
        for n in range(33):
            self.fresh(n)
            self.fresh(100 + n, f"2001:db8:1:2::{n:x}")
        self.assertEqual("TOO_FREQUENT", self.fresh(40))
        self.assertEqual("OK", self.fresh(41, "192.0.2.67"))
        self.assertEqual("TOO_FREQUENT", self.fresh(140, "2001:db8:1:2:ffff::"))
        self.assertEqual("OK", self.fresh(141, "2001:db8:1:3::"))

    def record_ids(self) -> None:
        """Register 302 devices: the first is not recorded, of the others all are."""
        for n in range(302):
            if n % 31 == 0:
                self.clock.advance(61)
            self.assertEqual("OK", self.fresh(n))
        self.clock.advance(61)

    def test_064_many_ids(self) -> None:
        """With 301 ids recorded, new ids get TOO_FREQUENT and recorded ones pass."""
        self.record_ids()
        self.assertEqual("TOO_FREQUENT", self.fresh(302))
        recorded = {"peer_id": "device-301", "origin": STRANGER, "uuid": b"another"}
        self.assertEqual("UUID_MISMATCH", self.register(**recorded))
        self.assertEqual("TOO_FREQUENT", self.register("device-0", STRANGER, b"another"))

    def test_064_next_day(self) -> None:
        """A day after the last recorded id new ones pass again."""
        self.record_ids()
        self.clock.advance(86_400 - 61)
        self.assertEqual("TOO_FREQUENT", self.fresh(302))
        self.clock.advance(1)
        self.assertEqual("OK", self.fresh(302))

    def test_067_known_devices(self) -> None:
        """RegisterPk matching stored uuid and pk is not counted by the per-IP limiter."""
        for n in range(33):
            self.fresh(n)
        before = self.console("ib")
        self.clock.advance(7)
        self.assertEqual(["OK"] * 3, [self.fresh(1) for _ in range(3)])
        self.assertEqual(before.replace("0s", "7s"), self.console("ib"))

    def test_067_known_to_the_database_alone(self) -> None:
        """After a restart 500 devices behind one address are let in, from a new one too."""
        store = FakeStore()
        for n in range(500):
            self.result_of(
                store.save(
                    StoredPeer(f"device-{n}", n.to_bytes(16, "big"), UUID, PK, "::9")
                )
            )
        self.furnish(store=store)
        self.assertEqual(["OK"] * 500, [self.fresh(n) for n in range(500)])
        self.assertEqual("0\n", self.console("ib"))

    def test_067_thief(self) -> None:
        """Who does not match the stored uuid and pk is counted."""
        self.register()
        origin = {"origin": STRANGER, "uuid": b"another"}
        results = [self.register(**origin) for _ in range(33)]
        self.assertEqual(["UUID_MISMATCH"] * 32 + ["TOO_FREQUENT"], results)

    def test_069_purge(self) -> None:
        """Entries older than their window go without anybody asking the console."""
        self.fresh(1)
        self.clock.advance(86_400)
        self.sweep()
        self.assertEqual(1, len(self.rooms._limit))
        self.clock.advance(1)
        self.sweep()
        self.assertEqual(0, len(self.rooms._limit))
