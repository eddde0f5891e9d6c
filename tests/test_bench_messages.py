"""The load by WebSocket: a relay that changes messages, or where they end, must fail."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

from bench.load import Load, LoadError
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.test_bench_load import LOAD_S, LoadCase, Peer

MOST = 1 << 20
COUNT = 200
A_FEW = COUNT // 2
"""The place of a message that is neither the first nor the last one."""

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Send = Callable[[int, bytes], bytes]
"""Takes the number of a message in its direction, and it; returns what goes out for it."""


def frame(payload: bytes, opcode: int = BINARY, *, last: bool = True) -> bytes:
    """Return a WebSocket frame as a server sends it."""
    first = bytes([last << 7 | opcode])
    size = len(payload)
    if size < 126:
        return first + bytes([size]) + payload
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2) + payload
    return first + b"\x7f" + size.to_bytes(8) + payload


def unmasked(data: bytes, mask: bytes) -> bytes:
    """Return what a client has masked."""
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(whole)).to_bytes(len(data))


class Messages:
    """Takes a client's frames apart, each of which has to be a Binary message."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take some bytes; return the messages that are complete."""
        self._data += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> bytes | None:
        data = self._data
        more = {126: 2, 127: 8}.get(data[1] & 127, 0) if len(data) > 1 else 0
        begin = 6 + more
        if len(data) < begin:
            return None
        assert data[0] == 0x80 | BINARY, data[0]
        assert data[1] & 0x80, "not masked"
        size = int.from_bytes(data[2 : 2 + more]) if more else data[1] & 127
        if len(data) < begin + size:
            return None
        self._data = data[begin + size :]
        return unmasked(data[begin : begin + size], data[begin - 4 : begin])


def with_frames(_number: int, message: bytes) -> bytes:
    return encode_frame(message)


def with_messages(_number: int, message: bytes) -> bytes:
    return frame(message)


def at(place: int, usual: Send, other: Callable[[bytes], bytes]) -> Send:
    """Return what sends one message in another way."""

    def send(number: int, message: bytes) -> bytes:
        return other(message) if number == place else usual(number, message)

    return send


def upgraded(peer: Peer, answer: bytes) -> tuple[socket.socket, bytes]:
    """Return the next connection, a WebSocket, and what follows its request."""
    accepted, request = peer.connection(), b""
    while b"\r\n\r\n" not in request:
        request += peer.read(accepted)
    assert request.startswith(b"GET /ws/relay HTTP/1.1\r\n"), request
    accepted.sendall(answer)
    return accepted, request.partition(b"\r\n\r\n")[2]


def gateway(
    to_tcp: Send = with_frames, to_ws: Send = with_messages, answer: bytes = ANSWER
) -> Callable[[Peer], None]:
    """Return a relay for one session of B by TCP, who comes first, and A by WebSocket."""

    def serve(peer: Peer) -> None:
        (b, rest), (a, early) = peer.accept(), upgraded(peer, answer)
        messages, frames = Messages(), FrameDecoder(MOST)
        feeds = {a: messages.feed, b: frames.feed}
        sends = {a: (b, to_tcp), b: (a, to_ws)}
        numbers = {a: -1, b: 0}  # A's first message is for the relay

        def move(source: socket.socket, data: bytes) -> None:
            sink, send = sends[source]
            for message in feeds[source](data):
                number = numbers[source]
                numbers[source] += 1
                if number >= 0:
                    sink.sendall(send(number, message))

        move(b, rest)
        move(a, early)
        while True:
            for source in peer.ready(a, b):
                move(source, peer.read(source))

    return serve


class MessageCase(LoadCase):
    """Messages both ways between A by WebSocket and B by TCP."""

    def messages(self, serve: Callable[[Peer], None], size: int = 1000) -> Load:
        """Run COUNT messages each way; number 0 comes before them, to prove the pairing."""
        what = ("loadgen", "messages")
        options = {"a": "ws", "b": "tcp", "both": 1, "verify": 1, "size": size}
        return self.start(serve, *what, messages=COUNT, seconds=LOAD_S, **options)

    def assert_fails(self, serve: Callable[[Peer], None], size: int = 1000) -> None:
        self.assertRaises(LoadError, self.messages(serve, size).result)


class WholeMessageTests(MessageCase):
    """Where messages begin and end."""

    def test_right(self) -> None:
        """A relay that passes on what it gets passes, whatever kind of head there is."""
        for size in (1, 63, 64, 125, 126, 16383, 16384, 65535, 65536):
            figures = self.messages(gateway(), size).result()
            self.assertEqual(0, figures["bad"])
            self.assertEqual(2 * COUNT, figures["messages"])
            self.assertEqual(2 * COUNT * size, figures["bytes"])

    def test_wrong_byte(self) -> None:
        """One wrong bit fails, in either direction, in any message."""
        for place in (1, A_FEW, COUNT):
            for begin, end in ((0, 1), (999, 1000)):

                def wrong(message: bytes, begin: int = begin, end: int = end) -> bytes:
                    byte = bytes([message[begin] ^ 1])
                    return message[:begin] + byte + message[end:]

                to_tcp = at(place, with_frames, lambda m, w=wrong: encode_frame(w(m)))
                to_ws = at(place, with_messages, lambda m, w=wrong: frame(w(m)))
                for serve in (gateway(to_tcp=to_tcp), gateway(to_ws=to_ws)):
                    error = self.assertRaises(LoadError, self.messages(serve).result)
                    self.assertIn("'bad': 1", str(error))

    def test_cut(self) -> None:
        """A message without its last byte fails."""
        to_tcp = at(A_FEW, with_frames, lambda m: encode_frame(m[:-1]))
        to_ws = at(A_FEW, with_messages, lambda m: frame(m[:-1]))
        self.assert_fails(gateway(to_tcp=to_tcp))
        self.assert_fails(gateway(to_ws=to_ws))

    def test_in_two(self) -> None:
        """The same bytes as two messages fail."""
        to_tcp = at(
            A_FEW, with_frames, lambda m: encode_frame(m[:500]) + encode_frame(m[500:])
        )
        to_ws = at(A_FEW, with_messages, lambda m: frame(m[:500]) + frame(m[500:]))
        self.assert_fails(gateway(to_tcp=to_tcp))
        self.assert_fails(gateway(to_ws=to_ws))

    def test_lengths_alone(self) -> None:
        """Without a look at the bytes a wrong length fails just the same."""
        for size in (1000, 100_000):
            to_ws = at(A_FEW, with_messages, lambda m: frame(m + b"?"))
            for serve, good in ((gateway(), True), (gateway(to_ws=to_ws), False)):
                begun = self.start(
                    serve,
                    *("loadgen", "messages"),
                    a="ws",
                    b="tcp",
                    both=1,
                    size=size,
                    messages=COUNT,
                    seconds=LOAD_S,
                )
                if good:
                    self.assertEqual(2 * COUNT, begun.result()["messages"])
                else:
                    self.assertRaises(LoadError, begun.result)


class FrameTests(MessageCase):
    """What else a WebSocket server may send, and what it may not."""

    def test_fragments(self) -> None:
        """A message in several frames, with a Ping in between, is one message."""

        def fragments(message: bytes) -> bytes:
            parts = frame(message[:400], last=False), frame(b"?", PING), frame(b"", PONG)
            return b"".join(parts) + frame(message[400:], 0)

        serve = gateway(to_ws=at(A_FEW, with_messages, fragments))
        figures = self.messages(serve).result()
        self.assertEqual((0, 2 * COUNT), (figures["bad"], figures["messages"]))

    def test_not_allowed(self) -> None:
        """Text, a Close, a reserved bit and a mask fail."""
        for wrong in (
            lambda m: frame(m, TEXT),
            lambda m: frame(b"\x03\xe8", CLOSE) + frame(m),
            lambda m: bytes([frame(m)[0] | 0x40]) + frame(m)[1:],
            lambda m: b"\x82\xfe" + frame(m)[2:4] + bytes(4) + m,
        ):
            self.assert_fails(gateway(to_ws=at(A_FEW, with_messages, wrong)))


class UpgradeTests(MessageCase):
    """The answer to the request for WebSocket."""

    def test_refused(self) -> None:
        """Another status, a wrong proof or none, and no HTTP at all fail."""
        for answer in (
            ANSWER.replace(b"101", b"404"),
            ANSWER.replace(b"s3pP", b"S3pP"),
            ANSWER.replace(b"sec-websocket-accept", b"x-accept"),
            b"\x40\r\n\r\n",
        ):
            self.assert_fails(gateway(answer=answer))


class PingTests(LoadCase):
    """Small messages to and fro."""

    def ping(self, serve: Callable[[Peer], None]) -> Load:
        what = ("loadgen", "pingpong")
        return self.start(serve, *what, a="ws", b="tcp", seconds=0.1, warm=0.01)

    def test_right(self) -> None:
        """Each way has its own framing, and the round trips are counted."""
        figures = self.ping(gateway()).result()
        self.assertGreater(figures["round_trips"], 0)
        self.assertGreater(figures["p50us"], 0)

    def test_wrong(self) -> None:
        """A wrong byte on the way there fails, and so does one on the way back."""
        to_tcp = at(3, with_frames, lambda m: encode_frame(m[:-1] + b"?"))
        to_ws = at(3, with_messages, lambda m: frame(m[:-1] + b"?"))
        for serve in (gateway(to_tcp=to_tcp), gateway(to_ws=to_ws)):
            self.assertRaises(LoadError, self.ping(serve).result)


class RefusedOptionTests(LoadCase):
    """What cannot be measured by WebSocket is not measured by something else."""

    def test_bytes(self) -> None:
        """Bulk has no messages, and beats are bytes."""
        for mode, options in (("bulk", {}), ("idle", {"beat": 1})):
            begun = self.start(gateway(), "loadgen", mode, a="ws", **options)
            self.assertRaises(LoadError, begun.result)
