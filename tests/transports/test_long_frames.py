"""Tests for :mod:`rdserver.transports.long_frames`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.long_frames import LongFrames
from rdserver.wire.framing import FrameDecoder, encode_frame


class LongFramesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.places = LongFrames(3, 2, 1000)

    def test_places(self) -> None:
        """There are so many places, of one address fewer, and each is given back once."""
        admit = self.places.admit
        self.assertTrue(admit(1, "192.0.2.1", 1000) and admit(2, "192.0.2.1", 5))
        self.assertTrue(admit(1, "192.0.2.1", 7))  # it has its place
        self.assertFalse(admit(3, "192.0.2.1", 5))
        self.assertTrue(admit(3, "192.0.2.2", 5))
        self.assertFalse(admit(4, "192.0.2.3", 5))
        for connection in (1, 1, 99):
            self.places.release(connection)
        self.assertTrue(admit(4, "192.0.2.3", 5))
        for connection in (2, 3, 4):
            self.places.release(connection)
        self.assertEqual((0, {}), (len(self.places), dict(self.places._per_bucket)))

    def test_hold(self) -> None:
        """A place may be held whatever is to come; it is the same place."""
        self.assertTrue(self.places.hold(1, "192.0.2.1"))
        self.assertTrue(self.places.admit(1, "192.0.2.1", 5))
        self.assertTrue(self.places.hold(2, "192.0.2.1"))
        self.assertFalse(self.places.hold(3, "192.0.2.1"))

    def test_too_long(self) -> None:
        """A frame longer than the longest has no place."""
        self.assertFalse(self.places.admit(1, "192.0.2.1", 1001))
        self.assertEqual(0, len(self.places))

    def test_decoder(self) -> None:
        """A decoder takes a long frame if it may, however it comes."""
        decoder = FrameDecoder(10, lambda size: self.places.admit(1, "192.0.2.1", size))
        frame = encode_frame(bytes(900))
        found = [list(decoder.feed(frame[n : n + 100])) for n in range(0, len(frame), 100)]
        self.assertEqual([[]] * 9 + [[bytes(900)]], found)
