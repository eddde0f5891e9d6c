"""What every Presence must do.  A mixin: trial would run a TestCase wherever imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.interface import Presence, StreamRoute
from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address

_Mixin = SynchronousTestCase if TYPE_CHECKING else object

ALICE = StoredPeer("123456789", bytes(16), b"machine", bytes(32), "192.0.2.1")
HOME = Address("192.0.2.1", 5001)
AWAY = Address("198.51.100.1", 5002)
LINE = StreamRoute("203.0.113.1", 7)


class PresenceContract(_Mixin):
    def make_presence(self, clock: Clock) -> Presence:
        raise NotImplementedError

    def setUp(self) -> None:
        self.clock = Clock()
        self.presence = self.make_presence(self.clock)

    def sweep(self) -> None:
        for _slice in self.presence.sweep():
            pass

    def test_unknown(self) -> None:
        """A device that nobody spoke of is not there."""
        self.assertIsNone(self.presence.get(ALICE.id))
        self.assertEqual(0, len(self.presence))

    def test_remembered(self) -> None:
        """A device taken in from storage is known, offline and nowhere, even at time 0."""
        peer = self.presence.remember(ALICE)
        self.assertIs(peer, self.presence.get(ALICE.id))
        self.assertEqual((ALICE, None), (peer.stored, peer.route))
        self.assertFalse(self.presence.is_online(peer))

    def test_remembered_late(self) -> None:
        """What storage says late does not replace what the device has proved meanwhile."""
        renewed = evolve(ALICE, pk=b"\x01" * 32)
        self.presence.confirm(renewed, HOME)
        peer = self.presence.remember(ALICE)
        self.assertEqual((renewed, HOME), (peer.stored, peer.route))
        self.assertTrue(self.presence.is_online(peer))

    def test_confirmed(self) -> None:
        """A device that proved itself is online where it did; the newest proof counts."""
        self.presence.confirm(ALICE, HOME)
        renewed = evolve(ALICE, pk=b"\x01" * 32)
        peer = self.presence.confirm(renewed, AWAY)
        self.assertEqual((renewed, AWAY), (peer.stored, peer.route))
        self.assertTrue(self.presence.is_online(peer))
        self.assertEqual(1, len(self.presence))

    def test_online_for_30_s(self) -> None:
        """At 29.9 s it is online, at 30.0 s not; a sign of life starts it again."""
        peer = self.presence.confirm(ALICE, HOME)
        self.clock.advance(29.9)
        self.assertTrue(self.presence.is_online(peer))
        self.presence.refresh(peer, AWAY)
        self.assertEqual(AWAY, peer.route)
        self.clock.advance(29.9)
        self.assertTrue(self.presence.is_online(peer))
        self.clock.advance(0.1)
        self.assertFalse(self.presence.is_online(peer))

    def test_connection(self) -> None:
        """A device that holds a connection is online until that ends, then at once not."""
        peer = self.presence.confirm(ALICE, LINE)
        self.assertEqual((LINE, LINE.host), (peer.route, peer.host))
        self.assertIs(peer, self.presence.registered_on(LINE.stream))
        self.clock.advance(100_000)
        self.sweep()
        self.assertTrue(self.presence.is_online(peer))
        self.presence.stream_closed(LINE.stream)
        self.assertFalse(self.presence.is_online(peer))
        self.assertIsNone(peer.route)
        self.assertIsNone(self.presence.registered_on(LINE.stream))
        self.clock.advance(100_000)
        self.sweep()
        self.assertEqual(0, len(self.presence))

    def test_connection_replaced(self) -> None:
        """The newest way counts; the end of an older connection changes nothing."""
        peer = self.presence.confirm(ALICE, LINE)
        newer = evolve(LINE, stream=8, websocket=True)
        self.presence.refresh(peer, newer)
        self.presence.stream_closed(LINE.stream)
        self.assertEqual(newer, peer.route)
        self.presence.refresh(peer, HOME)
        self.presence.stream_closed(newer.stream)
        self.assertEqual((HOME, True), (peer.route, self.presence.is_online(peer)))

    def test_connection_of_another(self) -> None:
        """A connection is one device's: the one that registered on it last."""
        first = self.presence.confirm(ALICE, LINE)
        second = self.presence.confirm(evolve(ALICE, id="987654321"), LINE)
        self.assertFalse(self.presence.is_online(first))
        self.assertIs(second, self.presence.registered_on(LINE.stream))
        self.presence.stream_closed(LINE.stream)
        self.assertFalse(self.presence.is_online(second))

    def test_connection_and_heartbeat(self) -> None:
        """While it holds a connection no heartbeat is expected by its bytes."""
        peer = self.presence.confirm(ALICE, HOME)
        self.presence.expect(peer, b"beat")
        self.presence.refresh(peer, LINE)
        self.assertEqual(0, self.presence.hear([b"beat"], 0))

    def test_dropped(self) -> None:
        """A device that is dropped is wholly forgotten; its connection is told."""
        peer = self.presence.confirm(ALICE, HOME)
        self.presence.expect(peer, b"beat")
        self.assertIsNone(self.presence.drop(ALICE.id))
        self.assertEqual(0, self.presence.hear([b"beat"], 0))
        self.presence.confirm(ALICE, LINE)
        self.assertEqual(LINE, self.presence.drop(ALICE.id))
        self.assertIsNone(self.presence.registered_on(LINE.stream))
        self.assertIsNone(self.presence.drop(ALICE.id))
        self.assertEqual(0, len(self.presence))

    def test_three_tries(self) -> None:
        """Three RegisterPk in quick succession pass, then it takes 7 s of silence."""
        peer = self.presence.confirm(ALICE, HOME)
        self.assertEqual([True] * 3, [self.presence.try_register(peer) for _ in range(3)])
        self.clock.advance(6.9)
        self.assertFalse(self.presence.try_register(peer))
        self.clock.advance(0.1)
        self.assertTrue(self.presence.try_register(peer))

    def test_steady_tries(self) -> None:
        """The silence is what counts: one every 6.9 s is refused from the fourth on."""
        peer = self.presence.confirm(ALICE, HOME)
        passed = []
        for _ in range(4):
            passed.append(self.presence.try_register(peer))
            self.clock.advance(6.9)
        self.assertEqual([True, True, True, False], passed)

    def test_sweep(self) -> None:
        """A device is forgotten ten minutes after its last sign of life, not before."""
        active = self.presence.confirm(ALICE, HOME)
        self.presence.remember(evolve(ALICE, id="stored-only"))
        self.clock.advance(300)
        self.presence.refresh(active, HOME)
        self.clock.advance(300)
        self.sweep()
        self.assertEqual(2, len(self.presence))
        self.clock.advance(0.1)
        self.sweep()
        self.assertIsNone(self.presence.get("stored-only"))
        self.assertIsNotNone(self.presence.get(ALICE.id))
        self.clock.advance(300)
        self.sweep()
        self.assertEqual(0, len(self.presence))

    def test_sweep_spares_who_tries(self) -> None:
        """A RegisterPk keeps a device in memory too, wherever it comes from."""
        peer = self.presence.remember(ALICE)
        self.clock.advance(300)
        self.presence.try_register(peer)
        self.clock.advance(600)
        self.sweep()
        self.assertEqual(1, len(self.presence))
        self.clock.advance(0.1)
        self.sweep()
        self.assertEqual(0, len(self.presence))

    def test_changes_during_sweep(self) -> None:
        """Between its slices devices come and go; whoever is in use stays."""
        for n in range(5000):
            self.presence.remember(evolve(ALICE, id=f"old-{n}"))
        self.clock.advance(600.1)
        slices = 0
        for slices, _slice in enumerate(self.presence.sweep(), 1):
            self.presence.confirm(evolve(ALICE, id=f"new-{slices}"), HOME)
        self.assertGreater(slices, 1)
        self.assertEqual(slices, len(self.presence))
        self.assertTrue(all(self.presence.get(f"new-{n + 1}") for n in range(slices)))

    def test_row_comes_back(self) -> None:
        """Whatever storage holds of a device is given back as it was."""
        rows = (
            StoredPeer("a", b"", b"", b"", ""),
            StoredPeer("b", b"g", b"", b"p" * 300, "2001:db8::1"),
            StoredPeer("c", b"g" * 16, b"u" * 70_000, b"", "192.0.2.1"),
            ALICE,
        )
        for row in rows:
            peer = self.presence.remember(row)
            self.assertEqual((row, row.id), (peer.stored, peer.id))
            self.assertEqual(bool(row.pk), peer.has_key)
            changed = evolve(row, pk=b"another", ip="2001:db8::2")
            self.assertEqual(changed, self.presence.confirm(changed, HOME).stored)
            self.assertTrue(peer.has_key)

    def test_place(self) -> None:
        """A device is where it registered from until it proves to be elsewhere."""
        peer = self.presence.remember(ALICE)
        self.assertEqual((ALICE.ip, 0), (peer.host, peer.port))
        self.presence.refresh(peer, AWAY)
        self.assertEqual((AWAY, ALICE.ip), ((peer.host, peer.port), peer.ip))
        self.presence.refresh(peer, HOME)
        self.assertEqual(HOME, peer.route)

    def test_one_text(self) -> None:
        """However often a device registers where it is, its address is kept once."""
        for host in (ALICE.ip, AWAY.host):
            for _ in range(2):
                # Equal texts, and each an object of its own.
                row = evolve(ALICE, ip="".join(host))
                peer = self.presence.confirm(row, Address("".join(host), 5))
                self.assertEqual((host, host), (peer.ip, peer.host))
                self.assertIs(peer.ip, peer.host)

    def test_expected(self) -> None:
        """An expected heartbeat is a sign of life, until the device moves or is renewed."""
        peer = self.presence.confirm(ALICE, HOME)
        self.presence.expect(peer, b"beat")
        self.clock.advance(29.9)
        self.assertEqual(2, self.presence.hear([b"beat", b"beat"], 0))
        self.clock.advance(29.9)
        self.assertTrue(self.presence.is_online(peer))
        self.presence.refresh(peer, HOME)
        self.assertEqual(1, self.presence.hear([b"beat"], 0))
        for change in (
            lambda: self.presence.refresh(peer, AWAY),
            lambda: self.presence.refresh(peer, Address(AWAY.host, 1)),
            lambda: self.presence.confirm(ALICE, Address(AWAY.host, 1)),
            lambda: self.presence.expect(peer, b"another"),
            self.presence.expect_nothing,
        ):
            self.presence.expect(peer, b"beat")
            change()
            self.assertEqual(0, self.presence.hear([b"beat"], 0))
        self.presence.expect(peer, b"beat")
        self.assertEqual(1, self.presence.hear([b"beat"], 0))

    def test_hear(self) -> None:
        """Heartbeats count from an index on, up to the first that is not expected."""
        beats = [b"0", b"1", b"?", b"3"]
        peers = [self.presence.confirm(evolve(ALICE, id=f"id-{n}"), HOME) for n in range(4)]
        for peer, beat in zip(peers, beats, strict=True):
            if beat != b"?":
                self.presence.expect(peer, beat)
        self.clock.advance(30)
        self.assertEqual(2, self.presence.hear(beats, 1))
        online = [self.presence.is_online(peer) for peer in peers]
        self.assertEqual([False, True, False, False], online)
        self.assertEqual([2, 4, 4], [self.presence.hear(beats, n) for n in (2, 3, 4)])
        self.assertTrue(self.presence.is_online(peers[3]))

    def test_nothing_is_expected_of_the_forgotten(self) -> None:
        """A device that is swept is not heard any more."""
        peer = self.presence.confirm(ALICE, HOME)
        self.presence.expect(peer, b"beat")
        self.clock.advance(600.1)
        self.sweep()
        self.assertEqual(0, self.presence.hear([b"beat"], 0))
        self.assertEqual(0, len(self.presence))
