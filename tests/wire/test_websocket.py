"""Tests for :mod:`rdserver.wire.websocket` and :mod:`rdserver.wire.masking`."""

from __future__ import annotations

import sys
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import masking
from rdserver.wire.websocket import (
    MOST_WATCHED_HEADS,
    CloseWatch,
    close_frame,
    frame_head,
    head_bytes,
    message_head,
    payload_bytes,
    pong_frame,
)
from tests.wire.masked import BINARY, CLOSE, MASK, PING, TEXT, client_frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 33)


class HeadTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """Sizes are written as RFC 6455 section 5.2 has them, as short as they can be."""
        heads = {
            0: "8200",
            125: "827d",
            126: "827e007e",
            65535: "827effff",
            65536: "827f0000000000010000",
        }
        for size, head in heads.items():
            self.assertEqual(bytes.fromhex(head), message_head(size))

    def test_first_byte(self) -> None:
        """Opcode and end of a message are as they are given."""
        self.assertEqual(b"\x02\x05", frame_head(0x02, 5))
        self.assertEqual(b"\x80\x05", frame_head(0x80, 5))

    def test_control_frames(self) -> None:
        """Close has its code, Pong the Ping's payload."""
        self.assertEqual(bytes.fromhex("880203e8"), close_frame(1000))
        self.assertEqual(b"\x8a\x02hi", pong_frame(b"hi"))

    def test_read(self) -> None:
        """What a client's head says is read back, with and without a mask."""
        for size in SIZES:
            plain = message_head(size)
            masked = plain[:1] + bytes([plain[1] | 0x80]) + plain[2:] + MASK
            self.assertEqual(len(plain), head_bytes(plain[1]))
            self.assertEqual(len(masked), head_bytes(masked[1]))
            self.assertEqual(size, payload_bytes(masked))


class CloseWatchTests(SynchronousTestCase):
    def watch(self, *chunks: bytes) -> list[bool]:
        watch = CloseWatch()
        return [watch.sees_close(chunk) for chunk in chunks]

    def test_sees(self) -> None:
        """A Close is seen behind messages of all sizes, wherever the network cuts."""
        for size in (0, 5, 126, 70_000):
            data = client_frame(BINARY, bytes(size)) + client_frame(PING, b"x")
            whole = data + client_frame(CLOSE, b"\x03\xe8")
            self.assertEqual([True], self.watch(whole))
            for at in range(len(data) - 3, len(whole) - 2):
                self.assertIn(True, self.watch(whole[:at], whole[at:]))

    def test_byte_by_byte(self) -> None:
        """It is told once its head is there, not before."""
        data = client_frame(TEXT, b"hello") + client_frame(CLOSE)
        seen = self.watch(*(data[i : i + 1] for i in range(len(data))))
        self.assertEqual([len(data) - 1], [i for i, sees in enumerate(seen) if sees])

    def test_not_in_payload(self) -> None:
        """What looks like a Close inside a message is none."""
        payload = client_frame(CLOSE) * 50
        data = client_frame(BINARY, payload, mask=bytes(4))
        self.assertEqual([False], self.watch(data))

    def test_very_many(self) -> None:
        """Behind very many frames nothing is looked at."""
        most = client_frame(PING) * (MOST_WATCHED_HEADS - 1)
        self.assertEqual([True], self.watch(most + client_frame(CLOSE)))
        more = most + client_frame(PING)
        self.assertEqual([False, False], self.watch(more, client_frame(CLOSE)))

    def test_unmasked_close(self) -> None:
        """Even a client that forgets the mask is believed that it goes."""
        self.assertEqual([True], self.watch(close_frame(1000)))


class MaskingTests(SynchronousTestCase):
    def test_slow_is_right(self) -> None:
        """Without a compiled function the mask is taken off all the same."""
        for size in (0, 1, 3, 4, 5, 1000, 65537):
            data = Random(size).randbytes(size)
            expected = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(data))
            view = memoryview(data)
            self.assertEqual(expected, masking.apply_mask_slowly(view, MASK))

    def test_best_is_right(self) -> None:
        """Whichever function is there does the same, with views of memory too."""
        data = Random(1).randbytes(1001)
        expected = masking.apply_mask_slowly(data, MASK)
        for find in (masking._of_websockets, masking._of_tornado):
            try:
                unmask = find()
            except ImportError:
                unmask = masking.best_unmask()[0]
            view = memoryview(bytearray(data) + MASK)
            self.assertEqual(expected, unmask(view[:-4], view[-4:]))

    def test_without_library(self) -> None:
        """Where no library is there that is told."""
        for name in ("websockets.speedups", "tornado.speedups"):
            self.patch_module(name)
        self.assertEqual((masking.apply_mask_slowly, False), masking.best_unmask())

    def patch_module(self, name: str) -> None:
        """Let an import of *name* fail."""
        missing = object()
        before = sys.modules.get(name, missing)
        sys.modules[name] = None  # type: ignore[assignment]
        if before is missing:
            self.addCleanup(sys.modules.pop, name)
        else:
            self.addCleanup(sys.modules.__setitem__, name, before)
