"""The load generators: what a benchmark counts must have been right, or it fails."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench import load
from bench.build import compile_to
from bench.load import Load, LoadError
from rdserver.wire.framing import FrameDecoder, encode_frame

Change = Callable[[int, bytes], bytes]
"""Takes the place of some bytes in their direction, and them; returns what to send."""

LAST = 400_000
"""The length of a direction, without the 16 bytes that make sure of the pairing."""

HELLO = 16
MORE_THAN_WAITS = 32 << 20
"""More bytes than the system holds of two sessions."""

LOAD_S = 60


def faithful(_place: int, data: bytes) -> bytes:
    return data


def flipped(at: int) -> Change:
    """Return what flips one bit of the byte at this place of each direction."""

    def change(place: int, data: bytes) -> bytes:
        if not place <= at < place + len(data):
            return data
        index = at - place
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]

    return change


class Stopped(Exception):  # noqa: N818 - it is none
    """The server of a test is to end."""


class Peer(threading.Thread):
    """
    A server in a thread, with blocking sockets.

    :param serve: what it does; all that was accepted is closed after it.
    :ivar moved: how many bytes went through a relay.
    """

    def __init__(self, serve: Callable[[Peer], None]) -> None:
        super().__init__(daemon=True)
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._told, self._telling = os.pipe()
        self._accepted: list[socket.socket] = []
        self.moved = 0
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        with contextlib.suppress(Stopped, OSError):  # trial reads a module's "suppress"
            self._serve(self)
        for accepted in self._accepted:
            accepted.close()

    def connection(self) -> socket.socket:
        """Return the next connection."""
        self.ready(self._listener)
        accepted, _address = self._listener.accept()
        self._accepted.append(accepted)
        return accepted

    def accept(self) -> tuple[socket.socket, bytes]:
        """Return the next connection, and what follows its first frame already."""
        accepted = self.connection()
        decoder = FrameDecoder(1000)
        while next(decoder.feed(self.read(accepted)), None) is None:
            pass
        return accepted, decoder.take_rest()

    def read(self, accepted: socket.socket, most: int = 1 << 16) -> bytes:
        """Return what has come, once there is something."""
        self.ready(accepted)
        data = accepted.recv(most)
        if not data:
            raise Stopped
        return data

    def ready(self, *sockets: socket.socket) -> list[Any]:
        """Return which of them can be read, once there is one."""
        readable, _, _ = select([*sockets, self._told], [], [])
        if self._told in readable:
            raise Stopped
        return readable

    def end(self) -> None:
        """Stop, and cut all connections."""
        os.write(self._telling, b"x")
        self.join()

    def close(self) -> None:
        """Close what is left, after the end."""
        for descriptor in (self._told, self._telling):
            os.close(descriptor)
        self._listener.close()


def relay(sessions: int, change: Change = faithful) -> Callable[[Peer], None]:
    """Return a relay that pairs one after the other, and moves bytes as *change* says."""

    def serve(peer: Peer) -> None:
        partners: dict[socket.socket, socket.socket] = {}
        places: dict[socket.socket, int] = {}

        def move(source: socket.socket, data: bytes) -> None:
            place = places.get(source, -HELLO)
            places[source] = place + len(data)
            peer.moved += len(data)
            partners[source].sendall(change(place, data))

        for _ in range(sessions):
            (one, first), (other, second) = peer.accept(), peer.accept()
            partners |= {one: other, other: one}
            move(one, first)
            move(other, second)
            # Before both have heard of each other there is no next session.
            while min(places[one], places[other]) < 0:
                for source in peer.ready(one, other):
                    move(source, peer.read(source, HELLO))
        while True:
            for source in peer.ready(*partners):
                move(source, peer.read(source))

    return serve


class LoadCase(SynchronousTestCase):
    """Programs that are compiled for the tests, and servers for them."""

    def setUp(self) -> None:
        if shutil.which("gcc") is None:
            raise SkipTest("needs gcc")
        folder = Path("load").resolve()  # in trial's own: all tests of a run share it
        folder.mkdir(exist_ok=True)
        self.patch(load, "program", lambda name: compile_to(folder, name))

    def start(self, serve: Callable[[Peer], None], *what: str, **options: Any) -> Load:
        """
        Run a generator against a server of ours; both end with the test.

        Where a side comes by WebSocket, it comes to the same port as the others.
        """
        peer = Peer(serve)
        self.peer = peer
        if "ws" in (options.get("a"), options.get("b")):
            options["wsport"] = peer.port
        begun = Load(*what, limit_s=LOAD_S, port=peer.port, addresses=1, **options)
        peer.start()  # no thread is there when a process is made
        for ending in (peer.close, peer.end, begun.__exit__):  # the last one comes first
            self.addCleanup(ending)
        return begun


class VerifyTests(LoadCase):
    """Bulk of which each byte is checked."""

    def bulk(self, change: Change) -> Load:
        return self.start(
            relay(2, change),
            *("loadgen", "bulk"),
            sessions=2,
            verify=1,
            both=1,
            bytes=LAST,
            seconds=LOAD_S,
        )

    def test_right_bytes(self) -> None:
        """A relay that passes on what it gets passes; all that was sent is counted."""
        figures = self.bulk(faithful).result()
        self.assertEqual((0, 4 * LAST), (figures["bad"], figures["bytes"]))

    def test_wrong_byte(self) -> None:
        """One wrong bit in a direction fails, be it the first or the last byte."""
        for place in (0, 200_000, LAST - 1):
            error = self.assertRaises(LoadError, self.bulk(flipped(place)).result)
            self.assertIn("status 3", str(error))
            self.assertIn("'bad': 4", str(error))


def wait_for_end(begun: Load) -> None:
    """Wait until a generator has ended, without looking at what it said."""
    os.waitid(os.P_PID, begun.pid, os.WEXITED | os.WNOWAIT)


class FinishTests(LoadCase):
    """Bulk as the load beside something that is measured."""

    def bulk(self, **options: Any) -> Load:
        begun = self.start(relay(2), "loadgen", "bulk", sessions=2, **options)
        begun.wait_for("START")
        return begun

    def test_whole(self) -> None:
        """It ends when it is told to, and what it moved by then is counted."""
        begun = self.bulk(seconds=LOAD_S, warm=0.01)
        until = self.peer.moved + MORE_THAN_WAITS
        while self.peer.moved < until:
            time.sleep(0.001)
        figures = begun.finish()
        self.assertLess(figures["seconds"], LOAD_S)
        self.assertGreater(figures["bytes"], 0)

    def test_cut(self) -> None:
        """It fails if sessions were cut meanwhile."""
        begun = self.bulk(seconds=LOAD_S, warm=0.01)
        self.peer.end()
        wait_for_end(begun)
        self.assertIn("too early", str(self.assertRaises(LoadError, begun.finish)))

    def test_over(self) -> None:
        """It fails if its time was over: part of what was measured was without load."""
        begun = self.bulk(seconds=0.01, warm=0.01)
        wait_for_end(begun)
        self.assertIn("too early", str(self.assertRaises(LoadError, begun.finish)))


def answering(frame: bytes) -> Callable[[Peer], None]:
    """Return a server that gives each request the same answer."""

    def serve(peer: Peer) -> None:
        while True:
            accepted, _rest = peer.accept()
            accepted.sendall(frame)
            accepted.close()

    return serve


class OnlineTests(LoadCase):
    """Online queries for ids that nobody has."""

    def ask(self, states: bytes) -> Load:
        # OnlineResponse{states}
        payload = b"\xc2\x01" + bytes([2 + len(states), 0x0A, len(states)]) + states
        serve = answering(encode_frame(payload))
        return self.start(serve, "conngen", what="online", at_once=2, seconds=0.1, warm=0)

    def test_nobody(self) -> None:
        """That nobody is online is right."""
        figures = self.ask(b"\0").result()
        self.assertEqual((0, 0), (figures["wrong"], figures["failed"]))

    def test_somebody(self) -> None:
        """That one of them is online is wrong, and so is an answer of another length."""
        for states in (b"\x80", b"\x40", b"\x01", b"", b"\0\0"):
            self.assertRaises(LoadError, self.ask(states).result)
