"""
One direction of a spliced session: how a chunk gets from one socket to the other.

Two ways, chosen for each turn.  Something small is copied at once: one read into a
buffer that all share, one write.  When that buffer was filled there is more to come, and
from then on the kernel moves it, socket to pipe to socket, and we never see the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import socket
from typing import Protocol

from rdserver.relay.limiter import Meter
from rdserver.relay.session import Session
from rdserver.transports.pipes import Pipe, Pipes
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.splice_loop import SpliceLoop

CHUNK_BYTES = 128 * 1024
"""Most that one turn moves: some ten microseconds, which is how long others wait."""

BUFFER_BYTES = 64 * 1024
STICKY_BYTES = 8192
"""After a burst of this size the next one is spliced from its start."""

_MODE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Tools:
    """What all flows share: the loop, the pipes, the limits and one buffer."""

    def __init__(
        self, loop: SpliceLoop, pipes: Pipes, pacer: Pacer, now: Callable[[], float]
    ) -> None:
        self.loop = loop
        self.pipes = pipes
        self.pacer = pacer
        self.now = now
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)


class Owner(Protocol):
    """Who decides what the news of a flow mean."""

    def source_ended(self, flow: SpliceFlow) -> None:
        """The source has closed its side, and everything from it was read."""

    def source_broke(self, flow: SpliceFlow) -> None:
        """The source cannot be read any more."""

    def sink_broke(self, flow: SpliceFlow) -> None:
        """The sink takes nothing any more."""

    def flushed(self, flow: SpliceFlow) -> None:
        """After :attr:`SpliceFlow.over`: the sink has got everything."""


class SpliceFlow:
    """
    What *source* sends goes to *sink*.

    A pipe is held only while it has bytes that the sink would not take.  EAGAIN from a
    splice means "nothing to read" only while the pipe is empty; so nothing is read before
    it is.

    :param side: whose bytes these are in the session's books, 0 or 1.
    :param early: bytes that were read before the socket came here; they go first.
    :ivar closing, queued, readable, stuck: see :class:`rdserver.transports.splice_loop.Flow`.
    :ivar over: the session has ended: what was read is still flushed, what comes is not
        wanted any more.
    """

    __slots__ = (
        "_bulk",
        "_burst_bytes",
        "_from",
        "_held",
        "_in_pipe",
        "_left",
        "_owner",
        "_pipe",
        "_recv_into",
        "_send",
        "_to",
        "_tools",
        "closing",
        "over",
        "queued",
        "readable",
        "session",
        "side",
        "stuck",
    )

    def __init__(
        self,
        tools: Tools,
        owner: Owner,
        session: Session,
        *,
        side: int,
        source: socket,
        sink: socket,
        early: bytes,
    ) -> None:
        self._tools = tools
        self._owner = owner
        self.side = side
        self._from, self._recv_into = source.fileno(), source.recv_into
        self._to, self._send = sink.fileno(), sink.send
        self._left = early
        self._pipe: Pipe | None = None
        self._in_pipe = 0
        self._bulk = False
        self._burst_bytes = 0
        self._held = False
        self.session = session
        self.stuck = bool(early)
        self.queued = False
        self.readable = True
        self.closing = False
        self.over = False
        if early:
            self._account(len(early))

    @property
    def meter(self) -> Meter:
        """For the pacer."""
        return self.session.meter

    def hold(self) -> None:
        """Read nothing until :meth:`release`: a limit is reached."""
        self._held = True
        self.session.held += 1

    def release(self) -> None:
        """Go on reading."""
        self._held = False
        self.session.held -= 1
        self._tools.loop.queue(self)

    def turn(self) -> None:
        """Move at most one chunk."""
        if self.stuck and not self._flush():
            return
        if self.over:
            self._wind_up()
        elif self.readable and not self._held:
            want = self._allowed() if self.session.meter.limited else CHUNK_BYTES
            if self._bulk:
                self._splice(want)
            elif want:
                self._copy(want)

    def _allowed(self) -> int:
        """Return how much may be read now; with 0 the pacer will call again."""
        want = self.session.meter.want(CHUNK_BYTES, self._tools.now())
        if not want:
            self._tools.pacer.moved(self, 0)
        return want

    def _copy(self, want: int) -> None:
        tools = self._tools
        size = self._receive(min(want, BUFFER_BYTES))
        if size is None:
            return
        self._account(size)
        if size < BUFFER_BYTES and size < want and not self.closing:
            self.readable = False  # a short read: the next edge will tell of more
            self._bulk = size >= STICKY_BYTES
        else:
            self._bulk = size == BUFFER_BYTES
            tools.loop.queue(self)
        sent = self._try_send(tools.view[:size])
        if sent < size:
            self._left = bytes(tools.view[sent:size])
            self.stuck = True

    def _receive(self, size: int) -> int | None:
        """Return how much was read into the shared buffer; None if it was nothing."""
        try:
            received = self._recv_into(self._tools.buffer, size)
        except BlockingIOError:
            self.readable = False
            return None
        except OSError:
            self._owner.source_broke(self)
            return None
        if received:
            return received
        self.readable = False
        self._owner.source_ended(self)
        return None

    def _try_send(self, data: memoryview | bytes) -> int:
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._owner.sink_broke(self)
            return len(data)

    def _splice(self, want: int) -> None:
        if not want:
            return
        pipe = self._tools.pipes.take()
        if pipe is None:
            self._copy(want)
            return
        size = self._fill(pipe, want)
        if not size:
            return
        self._account(size)
        self._burst_bytes += size
        self._pipe, self._in_pipe, self.stuck = pipe, size, True
        self._tools.loop.queue(self)
        self._empty_pipe()

    def _fill(self, pipe: Pipe, want: int) -> int:
        """Splice from the source; with 0 the pipe has been given back."""
        size = -1
        try:
            size = os.splice(self._from, pipe[1], want, flags=_MODE)
        except BlockingIOError:
            self.readable = False
            self._bulk = self._burst_bytes >= STICKY_BYTES
            self._burst_bytes = size = 0
        except OSError:
            self._owner.source_broke(self)
        if size > 0:
            return size
        self._tools.pipes.give_back(pipe)
        if size == 0 and self.readable:
            self.readable = False
            self._owner.source_ended(self)
        return 0

    def _flush(self) -> bool:
        """Send on what the sink did not take before; return whether it took all."""
        if self._left:
            sent = self._try_send(self._left)
            self._left = self._left[sent:]
            if self._left:
                return False
        if self._in_pipe:
            return self._empty_pipe()
        self.stuck = False
        return True

    def _empty_pipe(self) -> bool:
        pipe = self._pipe
        if pipe is None:
            return True
        try:
            self._in_pipe -= os.splice(pipe[0], self._to, self._in_pipe, flags=_MODE)
        except BlockingIOError:
            return False
        except OSError:
            self._owner.sink_broke(self)
            return False
        if self._in_pipe:
            self._tools.loop.queue(self)  # not full for sure: only EAGAIN arms the edge
            return False
        self._tools.pipes.give_back(pipe)
        self._pipe = None
        self.stuck = False
        return True

    def _wind_up(self) -> None:
        self._owner.flushed(self)
        if self.readable and self._receive(BUFFER_BYTES):
            self._tools.loop.queue(self)

    def drop(self) -> None:
        """Forget what the sink did not take: it is gone."""
        if self._pipe is not None:
            self._tools.pipes.discard(self._pipe)
            self._pipe = None
        self._in_pipe = 0
        self._left = b""
        self.stuck = False

    def _account(self, size: int) -> None:
        session = self.session
        session.received[self.side] += size
        if session.meter.limited:
            self._tools.pacer.moved(self, size)
