"""One session of the soak: two sockets that follow a plan and check every byte."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable

from bench.soak_plan import MOST_AT_ONCE, Ending, Plan, SidePlan, fits, piece
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame

RECEIVE_BYTES = 1 << 18
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
assert RECEIVE_BYTES < MOST_AT_ONCE


class Loop:
    """Who calls the sides when something happens; see soak_worker.py."""

    def watch(self, side: Side, events: int) -> None:
        """Call *side* on these events from now on."""
        raise NotImplementedError

    def forget(self, side: Side) -> None:
        """Stop watching *side*; before its socket is closed."""
        raise NotImplementedError

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call *call* once after *delay_s*."""
        raise NotImplementedError

    def finished(self, session: Session, fault: str) -> None:
        """*session* is over; *fault* is empty if all was well."""
        raise NotImplementedError


class Side:
    """
    One end of a session.

    :ivar received: good bytes of the other side's stream so far.
    :ivar ended: it saw the end of the stream.
    """

    def __init__(self, session: Session, number: int, plan: SidePlan) -> None:
        self.session = session
        self.number = number
        self.plan = plan
        self.socket: socket.socket | None = None
        self.sent = self.received = 0
        self.ended = False
        self._stalled = False
        self._has_stalled = plan.stall_at < 0
        self._paused = self._has_paused = False
        self.shut = False

    @property
    def expected(self) -> SidePlan:
        """What the other side sends."""
        return self.session.sides[not self.number].plan

    def open(self, to: tuple[str, int], host: str, name: str, key: str) -> None:
        """Connect and present the first frame, blocking for a moment."""
        request = pb.RequestRelay(uuid=name.encode(), licence_key=key.encode())
        message = pb.RendezvousMessage(request_relay=request)
        stream = socket.socket()
        stream.settimeout(10)
        stream.bind((host, 0))
        stream.connect(to)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(encode_frame(pb.encode(message)))
        stream.setblocking(False)
        self.socket = stream
        self.watch()

    def watch(self) -> None:
        """Tell the loop what we are waiting for."""
        if self.socket is not None:
            reads = 0 if self._stalled or self.ended else select.EPOLLIN
            writes = select.EPOLLOUT if self._has_more() else 0
            self.session.loop.watch(self, reads | writes)

    def _has_more(self) -> bool:
        return self.sent < self.plan.size and not self.shut and not self._paused

    def on_event(self, events: int) -> None:
        """Do what the socket is ready for."""
        try:
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read()
            if self.socket is not None and events & select.EPOLLOUT and self._has_more():
                self._write()
        except BlockingIOError:
            return
        except ConnectionError as e:
            self.session.broken(self, e)

    def _read(self) -> None:
        if self.socket is None or self.ended:
            return
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            self.ended = True
            self.watch()
            self.session.saw_end(self)
            return
        if not fits(data, self.expected.base, self.received):
            self.session.fail(f"wrong bytes after {self.received}")
            return
        self.received += len(data)
        self._stall_if_due()
        self.session.moved(self, len(data))

    def _stall_if_due(self) -> None:
        if self._has_stalled or self.received < self.plan.stall_at:
            return
        self._has_stalled = self._stalled = True
        self.watch()
        self.session.loop.later(self.plan.stall_s, self._go_on)

    def _go_on(self) -> None:
        self._stalled = False
        self.watch()

    def _write(self) -> None:
        assert self.socket is not None
        size = min(self.plan.chunk, self.plan.size - self.sent)
        self.sent += self.socket.send(piece(self.plan.base, self.sent, size))
        self._pause_if_due()
        if self.sent == self.plan.size:
            self.watch()
        self.session.sent(self)

    def _pause_if_due(self) -> None:
        if self._has_paused or self.sent < self.plan.pause_at:
            return
        self._has_paused = self._paused = True
        self.watch()
        self.session.loop.later(self.plan.pause_s, self._say_more)

    def _say_more(self) -> None:
        self._paused = False
        self.watch()

    def shut_down(self) -> None:
        """Say that nothing more will come."""
        if self.socket is not None and not self.shut:
            self.shut = True
            self.socket.shutdown(socket.SHUT_WR)
            self.watch()

    def close(self, *, reset: bool = False) -> None:
        """Close, by a reset if wanted."""
        stream = self.socket
        if stream is None:
            return
        self.session.loop.forget(self)
        self.socket = None
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        stream.close()


class Session:
    """
    Two sides and their plan.

    :ivar bytes: how many good bytes both sides received.
    """

    def __init__(self, loop: Loop, plan: Plan) -> None:
        self.loop = loop
        self.plan = plan
        self.bytes = 0
        self.began_s = time.monotonic()
        self.sides = (Side(self, 0, plan.sides[0]), Side(self, 1, plan.sides[1]))
        self.over = False

    @property
    def closer(self) -> Side:
        return self.sides[self.plan.closer]

    @property
    def other(self) -> Side:
        return self.sides[not self.plan.closer]

    def moved(self, side: Side, size: int) -> None:
        """*side* received *size* good bytes."""
        self.bytes += size
        if side.received > side.expected.size:
            self.fail("more bytes than were sent")
        self.sent(self.closer)  # it may have been due, and waited for a sign of pairing
        self._close_if_complete()

    def _close_if_complete(self) -> None:
        complete = all(side.received == side.expected.size for side in self.sides)
        if complete and self.plan.ending is Ending.ORDERLY:
            self.closer.shut_down()

    def sent(self, side: Side) -> None:
        """
        *side* has sent some more: the closer may be due.

        Not before a byte came through: a relay need not keep one side's bytes when that
        side goes before the other has come.
        """
        came_through = any(s.received for s in self.sides)
        if side is not self.closer or side.socket is None or not came_through:
            return
        ending = self.plan.ending
        if ending is Ending.HALF_CLOSE and side.sent == side.plan.size:
            side.shut_down()
        cuts = ending in (Ending.RESET, Ending.DROP)
        if cuts and side.sent >= self.plan.cut_at:
            side.close(reset=ending is Ending.RESET)

    def saw_end(self, side: Side) -> None:
        """*side* received all that will ever come."""
        if self._is_truncated(side):
            missing = side.expected.size - side.received
            self.fail(f"{missing} bytes of {side.expected.size} were missing at the end")
            return
        if side is self.other:
            side.close()
        if self.other.socket is None and (self.closer.socket is None or self.closer.ended):
            self._finish("")

    def _is_truncated(self, side: Side) -> bool:
        if self.plan.ending is Ending.ORDERLY or (
            self.plan.ending is Ending.HALF_CLOSE and side is self.other
        ):
            return side.received < side.expected.size or not self.closer.shut
        return False

    def broken(self, side: Side, error: ConnectionError) -> None:
        """The connection of *side* was reset, or takes nothing any more."""
        was_cut = self.closer.socket is None
        if was_cut or (side is self.closer and self.other.socket is None):
            side.close()
            self._finish("")
            return
        self.fail(f"{side.number}: {error!r}")

    def fail(self, why: str) -> None:
        """Something went wrong."""
        age_s = time.monotonic() - self.began_s
        self._finish(f"{self.plan.ending}, {age_s:.1f} s old: {why}; {self.plan}")

    def _finish(self, fault: str) -> None:
        if self.over:
            return
        self.over = True
        for side in self.sides:
            side.close()
        self.loop.finished(self, fault)
