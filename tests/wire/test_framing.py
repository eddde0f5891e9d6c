"""Tests for :mod:`rdserver.wire.framing`."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.wire.framing import MAX_PAYLOAD_BYTES, FrameDecoder, encode_frame, sole_frame
from tests.vectors import VECTORS

MIB = 1 << 20


def decode(data: bytes, max_frame_bytes: int = 8 * MIB) -> list[bytes]:
    """Return the frames that *data* holds, given to a new decoder at once."""
    return list(FrameDecoder(max_frame_bytes).feed(data))


class PretendedBytes(bytes):
    """Bytes that claim a length without taking the memory."""

    size = 0

    def __len__(self) -> int:
        return self.size

    def __radd__(self, other: bytes) -> bytes:
        return other  # only the header is looked at


class EncodeTests(SynchronousTestCase):
    def test_vectors(self) -> None:
        """The header of every listed payload length has the listed bytes."""
        for vector in VECTORS["frame_headers"]:
            payload = PretendedBytes()
            payload.size = vector["len"]
            self.assertEqual(vector["hex"], encode_frame(payload).hex(), vector)

    def test_short_payloads(self) -> None:
        """F1, F2: the payload follows its header."""
        self.assertEqual(b"\x00", encode_frame(b""))
        self.assertEqual(b"\x04A", encode_frame(b"A"))

    def test_sizes(self) -> None:
        """F3 to F11: a header of one to four bytes, then the payload unchanged."""
        table = {
            63: "fc",
            64: "0101",
            100: "9101",
            255: "fd03",
            256: "0104",
            16383: "fdff",
            16384: "020001",
            65535: "feff03",
            65536: "020004",
            4194303: "feffff",
            4194304: "03000001",
        }
        for size, header in table.items():
            payload = bytes(size)
            self.assertEqual(bytes.fromhex(header) + payload, encode_frame(payload))

    def test_longest(self) -> None:
        """F12, F13: 30 bits of length fit, one byte more is our own mistake."""
        payload = PretendedBytes()
        payload.size = MAX_PAYLOAD_BYTES
        self.assertEqual(b"\xff\xff\xff\xff", encode_frame(payload))
        payload.size += 1
        self.assertRaises(ValueError, encode_frame, payload)


class DecodeTests(SynchronousTestCase):
    def test_table(self) -> None:
        """F14, F15, F18, F19: empty frames, and headers longer than needed."""
        table = {
            "00000441": [b"", b"", b"A"],
            "0ca20100": [b"\xa2\x01\x00"],
            "0100": [b""],
            "020000": [b""],
            "03000000": [b""],
            "1700000068656c6c6f": [b"hello"],
            "16000068656c6c6f": [b"hello"],
        }
        for stream, frames in table.items():
            self.assertEqual(frames, decode(bytes.fromhex(stream)), stream)

    def test_incomplete_header(self) -> None:
        """F16, F17: without its whole header a frame waits, and no byte is lost."""
        for begin, end, size in [("01", "01", 64), ("0300", "0001", 4 * MIB)]:
            decoder = FrameDecoder(4 * MIB)
            self.assertEqual([], list(decoder.feed(bytes.fromhex(begin))))
            frames = list(decoder.feed(bytes.fromhex(end) + bytes(size)))
            self.assertEqual([bytes(size)], frames)

    def test_incomplete_payload(self) -> None:
        """F20: the rest of a payload may come later."""
        decoder = FrameDecoder(100)
        self.assertEqual([], list(decoder.feed(bytes.fromhex("14a20102"))))
        self.assertEqual([bytes.fromhex("a201020803")], list(decoder.feed(b"\x08\x03")))

    def test_foreign_protocols(self) -> None:
        """F21, F22, F25: other protocols announce frames that our limit refuses."""
        for begin in [b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n", b"SSH-2.0-OpenSSH_9.2"]:
            self.assertRaises(ProtocolError, decode, begin, 256 * 1024)

    def test_foreign_protocols_that_look_short(self) -> None:
        """F23, F24: a POST is a frame of 20 bytes, a TLS hello begins a longer one."""
        post = b"POST / HTTP/1.1\r\nHost: x\r\n"
        self.assertEqual(post[1:21], decode(post)[0])
        self.assertEqual([], decode(b"\x16\x03\x01" + bytes(16580)))
        self.assertEqual([bytes(16581)], decode(b"\x16\x03\x01" + bytes(16581)))

    def test_limit(self) -> None:
        """A frame of the limit passes; one byte more is refused on its header."""
        for limit in (0, 63, 4096, 65536):
            self.assertEqual([bytes(limit)], decode(encode_frame(bytes(limit)), limit))
            header = encode_frame(bytes(limit + 1))[: -limit - 1]
            self.assertRaises(ProtocolError, decode, header, limit)

    def test_frames_before_the_one_too_long(self) -> None:
        """What came before a refused frame is still delivered."""
        frames = FrameDecoder(10).feed(encode_frame(b"good") + encode_frame(bytes(11)))
        self.assertEqual(b"good", next(frames))
        self.assertRaises(ProtocolError, next, frames)

    def test_refused_for_good(self) -> None:
        """A stream that was refused yields nothing more, whatever follows."""
        decoder = FrameDecoder(10)
        self.assertRaises(ProtocolError, list, decoder.feed(encode_frame(bytes(11))))
        for _ in range(3):
            self.assertRaises(ProtocolError, list, decoder.feed(encode_frame(b"good")))
        self.assertEqual(1, len(decoder.take_rest()), "only the refused header is held")

    def test_every_split(self) -> None:
        """However TCP cuts a stream in two or three, the same frames come out."""
        payloads = [b"", b"A", b"b" * 63, b"c" * 64, b"", b"d"]
        stream = b"".join(map(encode_frame, payloads))
        for i in range(len(stream) + 1):
            for j in range(i, len(stream) + 1, 7):
                decoder = FrameDecoder(64)
                got = [
                    frame
                    for part in (stream[:i], stream[i:j], stream[j:])
                    for frame in decoder.feed(part)
                ]
                self.assertEqual(payloads, got)

    def test_byte_by_byte(self) -> None:
        """Frames of every header size survive single bytes, and come out once."""
        for size in (0, 1, 63, 64, 16383, 16384, 70000):
            payload = random.Random(size).randbytes(size)
            decoder = FrameDecoder(MIB)
            got = [
                frame
                for byte in encode_frame(payload)
                for frame in decoder.feed(bytes([byte]))
            ]
            self.assertEqual([payload], got)
            self.assertEqual(b"", decoder.take_rest())

    def test_random_streams(self) -> None:
        """Random frames in random pieces come out as they went in."""
        rng = random.Random(20)
        for _ in range(100):
            sizes = [rng.choice((0, 1, 62, 63, 64, 300, 16383, 16384)) for _ in range(8)]
            payloads = [rng.randbytes(size) for size in sizes]
            stream = b"".join(map(encode_frame, payloads))
            decoder = FrameDecoder(16384)
            got: list[bytes] = []
            while stream:
                cut = rng.choice((1, 2, 100, 20000))
                got += decoder.feed(stream[:cut])
                stream = stream[cut:]
            self.assertEqual(payloads, got)

    def test_random_bytes(self) -> None:
        """Garbage gives frames or ProtocolError, never another error or a long frame."""
        rng = random.Random(21)
        for _ in range(2000):
            decoder = FrameDecoder(1000)
            try:
                for _ in range(5):
                    for frame in decoder.feed(rng.randbytes(rng.randrange(200))):
                        self.assertLessEqual(len(frame), 1000)
            except ProtocolError:
                continue
            self.assertLessEqual(len(decoder.take_rest()), 1004)


class BufferTests(SynchronousTestCase):
    def test_truncated_stream(self) -> None:
        """Of a stream that ends inside a frame, nothing of that frame comes out."""
        stream = encode_frame(b"whole") + encode_frame(bytes(300))
        for end in range(6, len(stream)):
            decoder = FrameDecoder(300)
            self.assertEqual([b"whole"], list(decoder.feed(stream[:end])))
            self.assertEqual(stream[6:end], decoder.take_rest())

    def test_buffers_before_it_is_iterated(self) -> None:
        """Bytes are kept even if nobody looks at the frames they came with."""
        decoder = FrameDecoder(100)
        decoder.feed(b"\x08h")
        self.assertEqual([b"hi"], list(decoder.feed(b"i")))

    def test_stops_at_any_frame(self) -> None:
        """Whoever stops after a frame finds the next ones later."""
        decoder = FrameDecoder(100)
        self.assertEqual(b"a", next(decoder.feed(encode_frame(b"a") + encode_frame(b"b"))))
        self.assertEqual([b"b", b"c"], list(decoder.feed(encode_frame(b"c"))))

    def test_take_rest(self) -> None:
        """F26: once a stream is raw, the bytes behind the last frame come out unchanged."""
        decoder = FrameDecoder(100)
        frame = next(decoder.feed(encode_frame(b"hello") + b"\x00\x01\x02"))
        self.assertEqual((b"hello", b"\x00\x01\x02"), (frame, decoder.take_rest()))
        self.assertEqual(b"", decoder.take_rest())

    def test_take_rest_holds_even_complete_frames(self) -> None:
        """Bytes that look like a frame are raw once the stream is."""
        decoder = FrameDecoder(100)
        frames = decoder.feed(encode_frame(b"first") + encode_frame(b"raw"))
        next(frames)
        self.assertEqual(encode_frame(b"raw"), decoder.take_rest())
        self.assertEqual([], list(frames))

    def test_reserves_nothing(self) -> None:
        """A header alone makes the decoder hold its own bytes only."""
        decoder = FrameDecoder(MAX_PAYLOAD_BYTES)
        self.assertEqual([], list(decoder.feed(b"\xff\xff\xff\xff")))
        self.assertEqual(b"\xff\xff\xff\xff", decoder.take_rest())


class SoleFrameTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """One whole frame is its payload, whatever the size of its header."""
        for size in (0, 1, 63, 64, 16383, 16384, 4194304):
            payload = bytes(size)
            self.assertEqual(payload, sole_frame(encode_frame(payload)))
        self.assertEqual(b"hello", sole_frame(bytes.fromhex("1700000068656c6c6f")))

    def test_not_one(self) -> None:
        """A part of a frame is not one, nor is more than one."""
        for size in (1, 64, 16384, 4194304):
            frame = encode_frame(bytes(size))
            for end in (1, 2, 3, 4, len(frame) - 1):
                if end < len(frame):
                    self.assertIsNone(sole_frame(frame[:end]), (size, end))
            self.assertIsNone(sole_frame(frame + b"\0"))
        for header in ("01", "02", "03", "0300", "030000", "ffffffff"):
            self.assertIsNone(sole_frame(bytes.fromhex(header)))
