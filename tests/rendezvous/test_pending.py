"""Tests for :mod:`rdserver.rendezvous.pending`."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.interface import Peer
from rdserver.presence.memory import MemoryPresence
from rdserver.rendezvous.effects import Stream
from rdserver.rendezvous.pending import Kind, Pending, PendingTable
from rdserver.rendezvous.slices import at_once
from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address, decode_address, encode_address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    JUDGED,
    PK,
    SHOWN,
    STRANGER,
    UUID,
)

OTHER_ID = "987654321"
ALICE6 = Address("2001:db8::a", 40000)


class PendingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        rng = random.Random(7)
        self.table = PendingTable(self.clock.seconds, lambda: rng.getrandbits(32))

    def peer(self, peer_id: str = BOB_ID, route: Address = BOB) -> Peer:
        presence = MemoryPresence(self.clock.seconds)
        return presence.confirm(StoredPeer(peer_id, b"", UUID, PK, route.host), route)

    def open(
        self, stream: Stream, peer_id: str = BOB_ID, kind: Kind = Kind.PUNCH
    ) -> Pending | None:
        return self.table.open(stream, self.peer(peer_id), kind, JUDGED, SHOWN)

    def assert_empty(self) -> None:
        self.assertEqual(0, len(self.table))
        self.assertEqual({}, self.table._by_address)


class PendingTableTests(PendingCase):
    def test_disguise(self) -> None:
        """B is shown A's real address, with random bits that differ each time."""
        waiting = [self.open(Stream(n, ALICE)) for n in range(20)]
        disguises = {p.disguise for p in waiting if p}
        self.assertEqual(20, len(disguises))
        self.assertEqual({ALICE}, {decode_address(d) for d in disguises})

    def test_same_request(self) -> None:
        """The same request again keeps its entry."""
        first = self.open(Stream(1, ALICE))
        self.assertIs(first, self.open(Stream(1, ALICE)))
        self.assertEqual(1, len(self.table))

    def test_other_request(self) -> None:
        """A connection waits for one device and one thing: the last it asked for."""
        first = self.open(Stream(1, ALICE))
        second = self.open(Stream(1, ALICE), OTHER_ID)
        third = self.open(Stream(1, ALICE), OTHER_ID, Kind.RELAY)
        assert first and second and third
        self.assertIsNone(self.table.echoed(first.disguise, BOB_TCP))
        self.assertIsNone(self.table.echoed(second.disguise, BOB_TCP))
        self.assertIs(third, self.table.echoed(third.disguise, BOB_TCP))
        self.table.close(1)
        self.assert_empty()

    def test_same_address(self) -> None:
        """Connections that share an address, behind a proxy, do not share an answer."""
        first, second = (self.open(Stream(n, ALICE)) for n in (1, 2))
        assert first and second
        self.assertIs(second, self.table.echoed(second.disguise, BOB_TCP))
        self.table.close(1)
        self.assertIsNone(self.table.echoed(first.disguise, BOB_TCP))
        self.assertIs(second, self.table.echoed(second.disguise, BOB_TCP))
        self.table.close(2)
        self.table.close(2)
        self.assert_empty()

    def test_same_address_other_kind(self) -> None:
        """An answer to a punch passes by one who waits for a relay from there."""
        self.open(Stream(1, ALICE), kind=Kind.RELAY)
        punching = self.open(Stream(2, ALICE))
        again = encode_address(ALICE, 99)
        self.assertIs(punching, self.table.re_encoded(again, BOB_ID, BOB_TCP))

    def test_any_form_of_address(self) -> None:
        """The entry is found by what others read in the disguise, zone or not."""
        for host in ("fe80::1%eth0", "2001:DB8::00:1", "192.0.2.1"):
            pending = self.open(Stream(1, Address(host, 5)))
            assert pending
            self.assertIs(pending, self.table.echoed(pending.disguise, BOB_TCP))
            self.table.close(1)
        self.assert_empty()

    def test_garbage(self) -> None:
        """Whatever B's answer holds, nobody is found and nothing is raised."""
        self.open(Stream(1, ALICE))
        rng = random.Random(8)
        for size in [0, 1, 10, 11, 15, 16, 17, 18, 19, 1000] * 20:
            data = rng.randbytes(size)
            self.assertIsNone(self.table.echoed(data, BOB_TCP))
            self.assertIsNone(self.table.re_encoded(data, BOB_ID, BOB_TCP))

    def test_gone_before_it_waited(self) -> None:
        """An entry that no closing connection will remove is swept."""
        self.open(Stream(1, ALICE))
        self.clock.advance(100)
        self.open(Stream(2, ALICE))
        self.clock.advance(50)
        at_once(self.table.sweep())
        self.assertEqual(2, len(self.table))
        self.clock.advance(0.1)
        at_once(self.table.sweep())
        self.assertEqual(1, len(self.table))
        self.clock.advance(100)
        at_once(self.table.sweep())
        self.assert_empty()


class SenderTests(PendingCase):
    """Who may answer: whoever shows the cookie; without one, B's own address, soon."""

    def found(
        self, alice: Address, bob: Address, sender: Address, after_s: float = 0
    ) -> tuple[bool, bool]:
        """Return whether B's answer is believed with A's disguise echoed, re-encoded."""
        stream = Stream(1, alice)
        pending = self.table.open(stream, self.peer(route=bob), Kind.PUNCH, JUDGED, SHOWN)
        assert pending
        self.clock.advance(after_s)
        again = encode_address(alice, 99)
        found = (
            self.table.echoed(pending.disguise, sender) is pending,
            self.table.re_encoded(again, BOB_ID, sender) is pending,
        )
        self.assertIsNone(self.table.re_encoded(again, OTHER_ID, sender))
        self.table.close(1)
        return found

    def test_ipv4(self) -> None:
        """The cookie is enough; where it does not come back it takes B's address."""
        self.assertEqual((True, True), self.found(ALICE, BOB, BOB_TCP))
        self.assertEqual((True, False), self.found(ALICE, BOB, STRANGER))
        self.assertEqual((True, False), self.found(ALICE, BOB, Address("2001:db8::b", 1)))

    def test_ipv6(self) -> None:
        """IPv6 has no cookie: B's address, or for IPv6 one in its /64."""
        home = Address("2001:db8:5:5::1", 50000)
        neighbour = Address("2001:db8:5:5:ffff::2", 1)
        self.assertEqual((True, True), self.found(ALICE6, home, neighbour))
        self.assertEqual(
            (False, False), self.found(ALICE6, home, Address("2001:db8:5:6::1", 1))
        )
        self.assertEqual((True, True), self.found(ALICE6, BOB, BOB_TCP))
        self.assertEqual((False, False), self.found(ALICE6, BOB, STRANGER))

    def test_same_machine(self) -> None:
        """A B beside the server may come by any loopback address."""
        forms = [Address(host, 1) for host in ("127.0.0.1", "127.9.9.9", "::1")]
        for alice in (ALICE, ALICE6, *forms):
            for bob in forms:
                for sender in forms:
                    self.assertEqual((True, True), self.found(alice, bob, sender))
            without_cookie = self.found(alice, BOB, forms[0])
            self.assertEqual((":" not in alice.host, False), without_cookie)

    def test_in_time(self) -> None:
        """Without the cookie the answer must come within 30 s of the last push."""
        self.assertEqual((True, True), self.found(ALICE6, BOB, BOB_TCP, 30))
        self.assertEqual((False, False), self.found(ALICE6, BOB, BOB_TCP, 30.1))
        self.assertEqual((True, False), self.found(ALICE, BOB, BOB_TCP, 30.1))


class PaceTests(PendingCase):
    """How much one connection makes us send to devices."""

    def test_three_a_second(self) -> None:
        """Three requests in a second are passed on, more in the next second."""
        stream = Stream(1, ALICE)
        passed = [self.open(stream) is not None for _ in range(5)]
        self.clock.advance(0.9)
        passed.append(self.open(stream) is not None)
        self.clock.advance(0.1)
        passed.append(self.open(stream) is not None)
        self.assertEqual([True] * 3 + [False] * 3 + [True], passed)

    def test_whomever_it_asks_for(self) -> None:
        """Asking for other devices, or for something else, gives no fresh start."""
        stream, passed = Stream(1, ALICE), 0
        for n in range(30):
            kind = Kind.PUNCH if n % 3 else Kind.RELAY
            passed += self.open(stream, f"device-{n % 2}", kind) is not None
        self.assertEqual(3, passed)

    def test_waits_on(self) -> None:
        """A request that is not passed on leaves the one that waits alone."""
        stream = Stream(1, ALICE)
        waiting = [self.open(stream) for _ in range(3)][-1]
        assert waiting
        self.assertIsNone(self.open(stream, OTHER_ID))
        self.assertIs(waiting, self.table.echoed(waiting.disguise, BOB_TCP))

    def test_other_connections(self) -> None:
        """Two connections of one A, as with UDP punching, do not slow each other."""
        for n in range(2):
            stream = Stream(n, ALICE._replace(port=40000 + n))
            self.assertTrue(all(self.open(stream) for _ in range(3)))
