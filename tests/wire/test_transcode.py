"""Tests for :mod:`rdserver.wire.transcode` and :mod:`rdserver.wire.unmasking`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.framing import FrameDecoder, encode_frame
from rdserver.wire.masking import apply_mask_slowly
from rdserver.wire.transcode import MOST_HEADS, FromFrames, Transcoder
from rdserver.wire.unmasking import Allowance, FromWebSocket
from tests.wire.masked import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    server_frames,
)

LIMIT = 1 << 20
SIZES = (1, 2, 63, 64, 125, 126, 127, 1000, 16_383, 16_384, 65_535, 65_536, 70_001)


def noise(size: int) -> bytes:
    """Return *size* bytes that are easily told from others."""
    return Random(size).randbytes(size)


def from_frames(max_bytes: int = LIMIT) -> FromFrames:
    """Return what translates TCP for a WebSocket."""
    return FromFrames(to_websocket=True, max_bytes=max_bytes)


def from_websocket(
    to_websocket: bool = False, max_bytes: int = LIMIT, allowance: int = LIMIT
) -> FromWebSocket:
    """Return what translates a WebSocket for TCP, or for another WebSocket."""
    return FromWebSocket(
        to_websocket=to_websocket,
        max_bytes=max_bytes,
        unmask=apply_mask_slowly,
        allowance=Allowance(allowance),
    )


class TranscoderCase(SynchronousTestCase):
    """Feeds a translator from a buffer that is used again, as the data path does."""

    def feed(self, transcoder: Transcoder, data: bytes, *cuts: int) -> bytes:
        """Return what the sink is sent for *data*, cut at these places."""
        sent = bytearray()
        for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            buffer = bytearray(data[start:end])
            view = memoryview(buffer)
            sent += b"".join(transcoder.take(view))
            while transcoder.unread:
                sent += b"".join(transcoder.take(view[-transcoder.unread :]))
            buffer[:] = bytes(len(buffer))
        return bytes(sent)

    def messages(self, sent: bytes) -> list[bytes]:
        """Return the whole Binary messages that *sent* consists of."""
        frames = list(server_frames(sent))
        self.assertEqual({0x82}, {first for first, _ in frames} or {0x82})
        return [payload for _, payload in frames]

    def frames(self, sent: bytes) -> list[bytes]:
        """Return the frames of TCP that *sent* consists of."""
        decoder = FrameDecoder(LIMIT)
        frames = list(decoder.feed(sent))
        self.assertEqual(b"", decoder.take_rest())
        self.assertEqual(b"".join(map(encode_frame, frames)), sent)
        return frames

    def assert_closed(self, transcoder: Transcoder, code: int) -> None:
        self.assertTrue(transcoder.closed)
        self.assertEqual(code, transcoder.code)


class ManyFramesTests(TranscoderCase):
    """Very many frames are taken in parts, for others wait meanwhile."""

    def assert_in_parts(self, transcoder: Transcoder, frame: bytes) -> None:
        count = 2 * MOST_HEADS + 1
        view = memoryview(frame * count)
        for left in (count - MOST_HEADS, 1, 0):
            transcoder.take(view)
            self.assertEqual(left * len(frame), transcoder.unread)
            self.assertFalse(transcoder.closed)
            view = view[len(view) - transcoder.unread :]

    def test_from_tcp(self) -> None:
        """Frames of TCP, with a byte or with none."""
        for frame in (b"\x04x", b"\x00"):
            self.assert_in_parts(from_frames(), frame)

    def test_from_websocket(self) -> None:
        """Whole messages, such that nobody wants, control frames and parts."""
        frames = [
            *(client_frame(BINARY, b"x" * size) for size in (0, 1, 126)),
            *(client_frame(kind, b"x") for kind in (TEXT, PING, PONG)),
        ]
        for to_websocket in (False, True):
            for frame in frames:
                self.assert_in_parts(from_websocket(to_websocket), frame)
            transcoder = from_websocket(to_websocket)
            self.feed(transcoder, client_frame(BINARY, b"x", fin=False))
            self.assert_in_parts(transcoder, client_frame(CONTINUATION, b"x", fin=False))

    def test_nothing_lost(self) -> None:
        """Later parts continue where the first one ended, and none is taken twice."""
        payloads = [noise(number % 9) for number in range(3 * MOST_HEADS)]
        expected = [payload for payload in payloads if payload]
        data = b"".join(map(encode_frame, payloads))
        self.assertEqual(expected, self.messages(self.feed(from_frames(), data, 1000)))
        data = b"".join(client_frame(BINARY, payload) for payload in payloads)
        self.assertEqual(expected, self.frames(self.feed(from_websocket(), data, 1000)))


class FromFramesTests(TranscoderCase):
    """Each frame of TCP is one Binary message."""

    def test_sizes(self) -> None:
        """The payload is the same, whatever its size."""
        payloads = [noise(size) for size in SIZES]
        sent = self.feed(from_frames(), b"".join(map(encode_frame, payloads)))
        self.assertEqual(payloads, self.messages(sent))

    def test_every_cut(self) -> None:
        """Wherever the network cuts, the same is sent."""
        data = b"".join(encode_frame(noise(size)) for size in (1, 70, 0, 200, 3))
        whole = self.feed(from_frames(), data)
        for at in range(1, len(data)):
            self.assertEqual(whole, self.feed(from_frames(), data, at))
        bytewise = self.feed(from_frames(), data, *range(1, len(data)))
        self.assertEqual(whole, bytewise)

    def test_long_headers(self) -> None:
        """Headers longer than they need be are accepted; the sink's is the shortest."""
        data = bytes.fromhex("17000000") + b"hello" + bytes.fromhex("0100")
        self.assertEqual(b"\x82\x05hello", self.feed(from_frames(), data))
        self.assertEqual(b"\x82\x05hello", self.feed(from_frames(), data, 1, 3, 6, 10))

    def test_empty(self) -> None:
        """An empty frame is no message."""
        self.assertEqual(b"\x82\x01x", self.feed(from_frames(), b"\x00\x00\x04x\x00"))

    def test_head_leaves_at_once(self) -> None:
        """Nothing waits for a message to be whole."""
        data = encode_frame(noise(1000))
        self.assertEqual(4 + 10, len(self.feed(from_frames(), data[:12])))

    def test_too_long(self) -> None:
        """A frame over the limit ends it at its header; what came before is sent."""
        for cuts in ((), (3,), (2, 3, 4)):
            transcoder = from_frames(max_bytes=100)
            data = encode_frame(b"x") + encode_frame(bytes(101))
            self.assertEqual(b"\x82\x01x", self.feed(transcoder, data, *cuts))
            self.assert_closed(transcoder, 1009)
            self.assertEqual(b"", self.feed(transcoder, b"\x04x"))

    def test_longest(self) -> None:
        """A frame of just the limit passes."""
        sent = self.feed(from_frames(max_bytes=100), encode_frame(bytes(100)))
        self.assertEqual([bytes(100)], self.messages(sent))


class FromWebSocketTests(TranscoderCase):
    """Each Binary message is one frame of TCP, with the shortest header."""

    def test_sizes(self) -> None:
        """The payload is the same, whatever its size."""
        payloads = [noise(size) for size in SIZES]
        data = b"".join(client_frame(BINARY, payload) for payload in payloads)
        self.assertEqual(payloads, self.frames(self.feed(from_websocket(), data)))

    def test_every_cut(self) -> None:
        """Wherever the network cuts, also inside mask and length, the same is sent."""
        data = b"".join(client_frame(BINARY, noise(size)) for size in (1, 130, 0, 7))
        whole = self.feed(from_websocket(), data)
        self.assertEqual([noise(1), noise(130), noise(7)], self.frames(whole))
        for at in range(1, len(data)):
            self.assertEqual(whole, self.feed(from_websocket(), data, at))
        bytewise = self.feed(from_websocket(), data, *range(1, len(data)))
        self.assertEqual(whole, bytewise)

    def test_long_lengths(self) -> None:
        """Lengths written longer than they need be are accepted."""
        data = b"\x82\xfe\x00\x02" + bytes(4) + b"hi"
        data += b"\x82\xff" + (2).to_bytes(8, "big") + bytes(4) + b"ho"
        data += b"\x82\xfe\x00\x00" + bytes(4) + client_frame(BINARY, b"x")
        sent = self.feed(from_websocket(), data)
        self.assertEqual([b"hi", b"ho", b"x"], self.frames(sent))

    def test_no_message(self) -> None:
        """Empty messages, Text and Pong are not passed on, whole or in parts."""
        data = b"".join(
            (
                client_frame(BINARY),
                client_frame(TEXT, b"hello"),
                client_frame(PONG, b"x"),
                client_frame(TEXT, b"hel", fin=False),
                client_frame(PONG),
                client_frame(CONTINUATION, b"lo"),
                client_frame(BINARY, fin=False),
                client_frame(CONTINUATION),
                client_frame(BINARY, b"message"),
            )
        )
        for cuts in ((), range(1, len(data))):
            transcoder = from_websocket()
            self.assertEqual([b"message"], self.frames(self.feed(transcoder, data, *cuts)))
            self.assertFalse(transcoder.closed or transcoder.reply)

    def test_head_leaves_at_once(self) -> None:
        """Nothing waits for a message to be whole."""
        data = client_frame(BINARY, noise(1000))
        self.assertEqual(2 + 10, len(self.feed(from_websocket(), data[:18])))

    def test_ping(self) -> None:
        """A Ping is answered with what it says, and passed on to nobody."""
        transcoder = from_websocket()
        self.assertEqual(b"", self.feed(transcoder, client_frame(PING, b"are you?"), 3, 9))
        self.assertEqual([(0x8A, b"are you?")], list(server_frames(transcoder.reply)))

    def test_close(self) -> None:
        """A Close ends it: what comes behind is not read."""
        transcoder = from_websocket()
        data = client_frame(BINARY, b"x") + client_frame(CLOSE, b"\x03\xe8bye")
        sent = self.feed(transcoder, data + client_frame(BINARY, b"late"))
        self.assertEqual([b"x"], self.frames(sent))
        self.assert_closed(transcoder, 0)

    def test_in_parts(self) -> None:
        """A message in parts is one frame, which Pings between them do not disturb."""
        data = b"".join(
            (
                client_frame(BINARY, noise(300), fin=False),
                client_frame(PING, b"1"),
                client_frame(CONTINUATION, b"", fin=False),
                client_frame(CONTINUATION, noise(70_000), fin=False),
                client_frame(CONTINUATION, b"end"),
                client_frame(BINARY, b"next"),
            )
        )
        expected = [noise(300) + noise(70_000) + b"end", b"next"]
        for cuts in ((), (1, 5, 310, 330), range(200, 400)):
            transcoder = from_websocket()
            self.assertEqual(expected, self.frames(self.feed(transcoder, data, *cuts)))
            self.assertTrue(transcoder.reply)

    def test_parts_too_long(self) -> None:
        """Parts that together are over the limit end it, however small each is."""
        transcoder = from_websocket(max_bytes=100)
        data = client_frame(BINARY, bytes(60), fin=False)
        self.feed(transcoder, data + client_frame(CONTINUATION, bytes(41), fin=False))
        self.assert_closed(transcoder, 1009)

    def test_allowance(self) -> None:
        """All sessions together hold so much of messages in parts, and no more."""
        allowance = Allowance(100)
        first, second = (
            FromWebSocket(
                to_websocket=False,
                max_bytes=LIMIT,
                unmask=apply_mask_slowly,
                allowance=allowance,
            )
            for _ in range(2)
        )
        self.feed(first, client_frame(BINARY, bytes(60), fin=False))
        self.feed(second, client_frame(BINARY, bytes(41), fin=False))
        self.assert_closed(second, 1013)
        self.assertEqual([bytes(61)], self.frames(self.feed(first, client_frame(0, b"\0"))))
        self.assertTrue(allowance.take(100))

    def test_forget(self) -> None:
        """What is held is given back when nobody wants it any more, once."""
        allowance = Allowance(100)
        transcoder = FromWebSocket(
            to_websocket=False,
            max_bytes=LIMIT,
            unmask=apply_mask_slowly,
            allowance=allowance,
        )
        self.feed(transcoder, client_frame(BINARY, bytes(60), fin=False))
        transcoder.forget()
        transcoder.forget()
        self.assertTrue(allowance.take(100))
        self.assertFalse(allowance.take(1))

    def test_wrong(self) -> None:
        """What RFC 6455 forbids ends it, after what came before was sent."""
        wrong = {
            "no mask": b"\x82\x01x\0\0\0\0",
            "no mask, nothing in it": b"\x82\x00",
            "reserved bit": b"\xc2" + client_frame(BINARY, b"x")[1:],
            "reserved opcode": client_frame(3, b"x"),
            "reserved control": client_frame(11, b"x"),
            "long control": client_frame(PING, bytes(126)),
            "control in parts": client_frame(PING, b"x", fin=False),
            "nothing to go on with": client_frame(CONTINUATION, b"x"),
            "message in a message": client_frame(BINARY, b"x", fin=False)
            + client_frame(BINARY, b"y"),
        }
        for name, data in wrong.items():
            for cuts in ((), tuple(range(1, len(data) + 7))):
                transcoder = from_websocket()
                sent = self.feed(transcoder, client_frame(BINARY, b"x") + data, *cuts)
                self.assertEqual(b"\x04x", sent, name)
                self.assert_closed(transcoder, 1002)

    def test_too_long(self) -> None:
        """A message over the limit ends it at its head."""
        for size in (101, 70_000, 1 << 63):
            transcoder = from_websocket(max_bytes=100)
            head = b"\x82\xff" + size.to_bytes(8, "big") + bytes(4)
            self.assertEqual(b"", self.feed(transcoder, head))
            self.assert_closed(transcoder, 1009)


class BetweenWebSocketsTests(TranscoderCase):
    """Messages pass one to one."""

    def test_whole(self) -> None:
        """A message in one frame stays one."""
        payloads = [noise(size) for size in SIZES]
        data = b"".join(client_frame(BINARY, payload) for payload in payloads)
        sent = self.feed(from_websocket(to_websocket=True), data)
        self.assertEqual(payloads, self.messages(sent))

    def test_in_parts(self) -> None:
        """A message in parts passes part by part, and nothing is held."""
        data = b"".join(
            (
                client_frame(BINARY, b"one", fin=False),
                client_frame(PING),
                client_frame(CONTINUATION, b"two", fin=False),
                client_frame(CONTINUATION),
                client_frame(BINARY),
            )
        )
        expected = [(0x02, b"one"), (0x00, b"two"), (0x80, b"")]
        for cuts in ((), range(1, len(data))):
            transcoder = from_websocket(to_websocket=True, allowance=0)
            sent = self.feed(transcoder, data, *cuts)
            self.assertEqual(expected, list(server_frames(sent)))


class AsideTests(TranscoderCase):
    """Control frames of our own stand between messages, never inside one."""

    PONG = b"\x8a\x01x"

    def test_between_messages(self) -> None:
        """With nothing under way it leaves at once."""
        transcoder = from_frames()
        transcoder.aside = self.PONG
        self.assertEqual(self.PONG, self.feed(transcoder, b""))
        self.assertEqual(b"", self.feed(transcoder, b""))

    def test_inside_a_message(self) -> None:
        """It waits for the end of the message, and no longer."""
        transcoder = from_frames()
        data = encode_frame(noise(1000)) * 3
        start = self.feed(transcoder, data[:500])
        transcoder.aside = self.PONG
        self.assertEqual(b"", transcoder.farewell(1000))
        rest = self.feed(transcoder, data[500:2500])
        sent = start + rest + self.feed(transcoder, data[2500:])
        firsts = [first for first, _ in server_frames(sent)]
        self.assertEqual([0x82, 0x8A, 0x82, 0x82], firsts)

    def test_newest_only(self) -> None:
        """Of several only the newest is sent: nothing piles up."""
        transcoder = from_frames()
        self.feed(transcoder, encode_frame(b"xy")[:-1])
        for frame in (b"\x8a\x00", self.PONG):
            transcoder.aside = frame
        self.assertEqual(b"y" + self.PONG, self.feed(transcoder, b"y"))

    def test_farewell(self) -> None:
        """A WebSocket is told goodbye between messages; TCP has no word for it."""
        self.assertEqual(b"\x88\x02\x03\xe9", from_frames().farewell(1001))
        self.assertEqual(b"", from_websocket().farewell(1001))
        skipping = from_websocket(to_websocket=True)
        self.feed(skipping, client_frame(TEXT, b"hello")[:-2])
        self.assertEqual(b"\x88\x02\x03\xe8", skipping.farewell(1000))


class RandomTests(TranscoderCase):
    """Whatever comes, cuts change nothing and nothing raises."""

    def test_noise(self) -> None:
        """Random bytes end it or are skipped, but never raise."""
        for seed in range(300):
            data = Random(seed).randbytes(400)
            for transcoder in (from_frames(), from_websocket(), from_websocket(True)):
                self.feed(transcoder, data, *sorted(Random(seed).sample(range(400), 5)))

    def test_mixed_frames(self) -> None:
        """A random stream of frames is translated the same in any pieces."""
        for seed in range(100):
            random = Random(seed)
            data = b"".join(
                client_frame(
                    random.choice((BINARY, BINARY, TEXT, PING, PONG)),
                    random.randbytes(random.choice((0, 1, 20, 125))),
                    mask=random.randbytes(4),
                )
                for _ in range(20)
            )
            cuts = sorted(random.sample(range(1, len(data)), 10))
            for to_websocket in (False, True):
                whole, cut = from_websocket(to_websocket), from_websocket(to_websocket)
                self.assertEqual(self.feed(whole, data), self.feed(cut, data, *cuts))
                self.assertEqual((whole.closed, whole.reply), (cut.closed, cut.reply))
