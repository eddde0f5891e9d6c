"""Long frames of TCP on their way to a WebSocket: heads are copied, payload is spliced."""

from __future__ import annotations

import errno
import os
import socket
from random import Random

from rdserver.transports import message_flow, piped_flow
from rdserver.transports.message_flow import MessageFlow
from rdserver.transports.piped_flow import STICKY_BYTES
from tests.transports.message_case import (
    BOTH,
    BY_TCP,
    BY_WEBSOCKET,
    MessageCase,
    Speaker,
)
from tests.transports.path_case import Splices
from tests.transports.path_contract import noise
from tests.wire.masked import PING, client_frame

LONG = 600_000


class LongFrames(Splices, MessageCase):
    """
    A session of a client by TCP and one by WebSocket.

    :ivar spliced: how much was read by each splice.
    """

    def setUp(self) -> None:
        super().setUp()
        self.spliced: list[int] = []
        fill = MessageFlow._fill

        def count(flow: MessageFlow, pipe: tuple[int, int], want: int) -> int:
            size = fill(flow, pipe, want)
            self.spliced.append(size)
            return size

        self.patch(MessageFlow, "_fill", count)

    def session_of_two(self) -> tuple[Speaker, Speaker]:
        return self.speakers(BY_TCP)

    def assert_passes(self, first: Speaker, second: Speaker, *payloads: bytes) -> None:
        first.say(*payloads)
        self.until_heard(second, sum(map(len, payloads)))
        self.settle()
        self.assertEqual(list(map(len, payloads)), list(map(len, second.heard)))
        self.assertTrue(second.heard == list(payloads))


class LongFramesTests(LongFrames):
    def test_spliced(self) -> None:
        """Nearly all bytes of long frames that follow each other stay in the kernel."""
        first, second = self.session_of_two()
        self.assert_passes(first, second, *(noise(LONG, seed) for seed in range(20)))
        self.assertGreater(sum(self.spliced), 20 * LONG * 3 // 4)
        self.assertEqual(0, self.pipes_lent())

    def test_copied(self) -> None:
        """Short frames are copied, however many; so is all that is masked."""
        first, second = self.session_of_two()
        self.assert_passes(first, second, *(noise(STICKY_BYTES - 1, n) for n in range(99)))
        for kinds in (BOTH, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            self.assert_passes(first, second, *(noise(LONG, seed) for seed in range(9)))
        self.assertEqual([], self.spliced)

    def test_back_to_short_ones(self) -> None:
        """Behind long frames short ones pass as ever, and long ones again."""
        first, second = self.session_of_two()
        sizes = [LONG] * 5 + [1] * 3000 + [LONG] * 5 + [5000] * 50
        payloads = [noise(size, seed) for seed, size in enumerate(sizes)]
        self.assert_passes(first, second, *payloads)
        self.assertGreater(sum(self.spliced), LONG)

    def test_no_pipes(self) -> None:
        """Without descriptors for pipes everything is copied."""

        def refuse(_flags: int) -> tuple[int, int]:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(os, "pipe2", refuse)
        first, second = self.session_of_two()
        self.assert_passes(first, second, *(noise(LONG, seed) for seed in range(9)))
        self.assertEqual([], self.spliced)

    def test_urgent_byte(self) -> None:
        """A byte out of band is lost, as ever, and holds nothing up."""
        first, second = self.session_of_two()
        payloads = [noise(LONG, seed) for seed in range(9)]
        data = b"".join(map(first.framed, payloads))
        first.client.send(data[:LONG])
        self.until_heard(second, LONG // 2)
        self.until(lambda: not first.client.to_send)
        first.client.socket.send(b"!", socket.MSG_OOB)
        first.client.send(data[LONG:])
        self.until_heard(second, 9 * LONG)
        self.settle()
        self.assertTrue(second.heard == payloads)


class PressureTests(LongFrames):
    small = True

    def test_any_sizes(self) -> None:
        """Frames of any sizes arrive whole at one who reads by fits and starts."""
        for module in (message_flow, piped_flow):
            self.patch(module, "STICKY_BYTES", 1)
        self.patch(message_flow, "_SPLICED_BYTES", 10_000)
        random = Random(7)
        first, second = self.session_of_two()
        sizes = [random.choice((1, 100, 20_000, 70_000, LONG)) for _ in range(40)]
        payloads = [noise(size, seed) for seed, size in enumerate(sizes)]
        first.say(*payloads)
        while len(second.client.received) < sum(sizes):
            second.client.stalled = random.random() < 0.5
            for _ in range(random.randrange(20)):
                self.turn()
        self.settle()
        self.assertTrue(second.heard == payloads)
        self.assertGreater(sum(self.spliced), sum(sizes) // 4)

    def stalled(self) -> tuple[Speaker, Speaker]:
        """Return two, of whom the second does not read what is under way in a pipe."""
        first, second = self.session_of_two()
        first.say(*(noise(LONG, seed) for seed in range(9)))
        self.until(lambda: self.spliced)
        second.client.stalled = True
        self.settle()
        for _ in range(100):
            if self.pipes_lent():
                break
            # It was a head that the buffers had no room for.
            second.client.stalled = False
            second.client.turn(20_000)
            second.client.stalled = True
            self.settle()
        return first, second

    def test_stalled(self) -> None:
        """What waits in a pipe counts as unsent, and arrives later on."""
        _, second = self.stalled()
        self.assertEqual(1, self.pipes_lent())
        self.assertGreater(self.session.carrier.unsent_bytes(), 0)
        second.client.stalled = False
        self.until_heard(second, 9 * LONG)
        self.settle()
        self.assertTrue(second.heard == [noise(LONG, seed) for seed in range(9)])
        self.assertEqual((0, 0), (self.pipes_lent(), self.session.carrier.unsent_bytes()))

    def test_ping(self) -> None:
        """A Ping is answered between two long frames, or behind the last one."""
        for last in (False, True):
            first, second = self.speakers(BY_TCP, f"s{last}")
            payloads = [noise(LONG, seed) for seed in range(5)]
            first.say(*payloads)
            self.until_heard(second, 4 * LONG + LONG // 2 if last else LONG // 2)
            second.client.send(client_frame(PING, b"there?"))
            self.until_heard(second, 5 * LONG + 50 + 8)
            self.settle()
            self.assertEqual([(0x8A, b"there?")], second.control)
            self.assertTrue(second.heard == payloads)

    def test_reset(self) -> None:
        """A pipe with bytes in it is closed with its session."""
        first, second = self.stalled()
        self.assertEqual(1, self.pipes_lent())
        second.client.reset()
        self.until_ended(first.client)
        first.client.close()
        self.until_gone()
        self.assertEqual(0, self.path.pipes)

    def test_ends_inside(self) -> None:
        """Who goes inside a long frame is heard to its last byte, and no Close follows."""
        first, second = self.session_of_two()
        data = b"".join(first.framed(noise(LONG, seed)) for seed in range(3))
        first.client.send(data[:-1000])
        first.client.finish()
        self.until_ended(second.client)
        heads = [b"\x82\x7f" + LONG.to_bytes(8, "big") + noise(LONG, s) for s in range(3)]
        self.assertTrue(second.client.received == b"".join(heads)[:-1000])
        second.client.close()
        self.until_gone()
