"""Tests for the links between test clients: WebSocket, and acknowledged datagrams."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import partial
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.address import Address
from tests.integration.peers import reliable
from tests.integration.peers.line import Line
from tests.integration.peers.session import talk
from tests.integration.peers.websocket import WebSocketLink
from tests.integration.sockets import REPLY_S

LOCAL = ("127.0.0.1", 0)


class Lossy(socket.socket):
    """A UDP socket that loses some of the datagrams it shall send."""

    def __init__(self, part: float) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(LOCAL)
        # Not each fifth: then it could be the same one, sent again, for ever.
        self._part, self._random = part, Random(5)

    def sendto(self, datagram: bytes, remote: Address) -> int:  # type: ignore[override]  # no flags
        is_lost = self._random.random() < self._part
        return len(datagram) if is_lost else super().sendto(datagram, remote)


def together(*works: Callable[[], object]) -> list[object]:
    """Do all at the same time; return what they return, or the errors that they raise."""
    results: list[object] = [None] * len(works)

    def do(number: int, work: Callable[[], object]) -> None:
        try:
            results[number] = work()
        except Exception as e:  # the test compares it
            results[number] = e

    threads = [threading.Thread(target=do, args=one) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


class ReliableTests(SynchronousTestCase):
    def lines(self, part: float) -> list[Line]:
        """Return both ends of a link that loses that part of all datagrams."""
        a_end, b_end, never = Lossy(part), Lossy(part), threading.Event()
        addresses = [Address(*end.getsockname()) for end in (a_end, b_end)]
        links = together(
            lambda: reliable.connect(a_end, addresses[1], REPLY_S, never),
            lambda: reliable.accept(b_end, addresses[0], REPLY_S, never),
        )
        return [self.keep(Line(link)) for link in links]

    def keep(self, line: Line) -> Line:
        self.addCleanup(line.close)
        return line

    def test_losses(self) -> None:
        """All comes, in order, though a fifth of all datagrams is lost."""
        lines = self.lines(0.2)
        results = together(*(partial(talk, line, 30_000) for line in lines))
        self.assertEqual([None, None], results)

    def test_goodbye(self) -> None:
        """What was sent before the goodbye comes, and then the end."""
        a, b = self.lines(0.0)
        a.say(b"last")
        a.close()
        self.assertEqual(b"last", b.hear(REPLY_S))
        self.assertIsNone(b.hear(REPLY_S))

    def test_nobody(self) -> None:
        """Nobody answers: it ends in time, and before it if all is over."""
        silent, end, over = Lossy(0), Lossy(0), threading.Event()
        self.addCleanup(silent.close)
        self.addCleanup(end.close)
        nobody = Address(*silent.getsockname())
        for timeout_s in (0.05, 3600):
            with self.assertRaises(TimeoutError):
                reliable.connect(end, nobody, timeout_s, over)
            over.set()


class WebSocketTests(SynchronousTestCase):
    def connect(self, *said: bytes) -> tuple[WebSocketLink, socket.socket]:
        """Return a client's link to a server that *said* frames, and that one's end."""
        listener = socket.create_server(LOCAL)
        self.addCleanup(listener.close)
        accepted: list[socket.socket] = []

        def serve() -> None:
            end = listener.accept()[0]
            end.recv(4096)
            accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            end.sendall(b"HTTP/1.1 101 Switching\r\n" + accept + b"\r\n" + b"".join(said))
            accepted.append(end)

        thread = threading.Thread(target=serve)
        thread.start()
        link = WebSocketLink(listener.getsockname(), "", REPLY_S)
        thread.join()
        for end in (link, accepted[0]):
            self.addCleanup(end.close)
        return link, accepted[0]

    def test_messages(self) -> None:
        """Text is as good as Binary; a Ping is answered and not shown; Close is the end."""
        long = b"\x82\x7e\x01\x00" + bytes(256)
        link, end = self.connect(b"\x81\x02hi\x89\x01p" + long[:9], long[9:], b"\x88\x00")
        self.assertEqual(b"hi", link.receive_frame(REPLY_S))
        self.assertEqual(bytes(256), link.receive_frame(REPLY_S))
        self.assertIsNone(link.receive_frame(REPLY_S))
        pong = end.recv(100)
        self.assertEqual((0x8A, 0x81), (pong[0], pong[1]))
        self.assertEqual(b"p", bytes([pong[6] ^ pong[2]]))

    def test_masks(self) -> None:
        """What the client sends is Binary, and masked."""
        link, end = self.connect()
        link.send_frames(b"hello world")
        frame = end.recv(100)
        self.assertEqual((0x82, 0x80 | 11), (frame[0], frame[1]))
        mask, data = frame[2:6], frame[6:]
        unmasked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.assertEqual(b"hello world", unmasked)
