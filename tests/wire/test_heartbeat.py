"""Tests for :mod:`rdserver.wire.heartbeat`: never another opinion than protobuf's."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.wire import pb
from rdserver.wire.heartbeat import read_heartbeat

USUAL = bytes.fromhex("320d0a093132333435363738391003")  # protocol.md section 2.6


def heartbeat(peer_id: str, serial: int) -> bytes:
    """Return a RegisterPeer as protobuf writes it."""
    request = pb.RegisterPeer(id=peer_id.encode(), serial=serial)
    return pb.encode(pb.RendezvousMessage(register_peer=request))


class HeartbeatTests(SynchronousTestCase):
    def assert_same(self, datagram: bytes) -> bool:
        """Assert that what is read is what protobuf reads; return whether it is."""
        read = read_heartbeat(datagram)
        if read is not None:
            message = pb.decode(datagram)
            self.assertEqual("register_peer", message.WhichOneof("union"))
            request = message.register_peer
            self.assertEqual((pb.text(request.id), request.serial), read)
        return read is not None

    def test_usual(self) -> None:
        """What clients send is read: the specification's example, any id, serial 0."""
        self.assertEqual(("123456789", 3), read_heartbeat(USUAL))
        for peer_id in ("1", "1234567890", "a-name_of_my_own", "\u00fc\u4e2d", "x" * 119):
            for serial in (0, 1, 3, 127):
                datagram = heartbeat(peer_id, serial)
                self.assertEqual((peer_id, serial), read_heartbeat(datagram), datagram)

    def test_left_to_protobuf(self) -> None:
        """Other forms of a RegisterPeer, and what is none, are not read."""
        others = (
            *(heartbeat("123456789", serial) for serial in (128, 2**31 - 1, -1)),
            *(heartbeat("", serial) for serial in (0, 3)),
            *(heartbeat("x" * size, 3) for size in (122, 123, 124, 128, 200)),
            USUAL + b"\0",
            USUAL + USUAL,
            USUAL[:-1],
            b"\x32\x0d\x10\x03\x0a\x09123456789",
            b"\x32\x0f\x0a\x09123456789\x10\x03\x10\x03",
            b"\x32\x0d\x0a\x0912345678\xff\x10\x03",
            b"",
            b"\x32",
            b"\x32\x00",
            b"\x32\x02\x0a\x00",
            b"\x32\x04\x0a\x00\x10\x03",
        )
        for datagram in others:
            self.assertIsNone(read_heartbeat(datagram), datagram)

    def test_any_bytes(self) -> None:
        """A heartbeat with a few bytes changed is read as protobuf reads it, or not."""
        rng = random.Random(3)
        read = 0
        for _ in range(20_000):
            changed = bytearray(USUAL)
            for _ in range(rng.randrange(1, 4)):
                changed[rng.randrange(len(changed))] = rng.choice(
                    (rng.randrange(256), rng.randrange(20))
                )
            try:
                read += self.assert_same(bytes(changed[: rng.randrange(1, 30)]))
            except ProtocolError:
                self.fail(f"protobuf refuses {bytes(changed)!r}")
        self.assertGreater(read, 1000)
