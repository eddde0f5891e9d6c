"""
One direction of a session that can let the kernel move its bytes, through a pipe.

A pipe is held only while it has bytes that the sink would not take.  EAGAIN from a splice
means "nothing to read" only while the pipe is empty; so nothing is read before it is.
"""

from __future__ import annotations

import os
from socket import SocketType

from rdserver.relay.session import Session
from rdserver.transports.loop_flow import LoopFlow
from rdserver.transports.pipes import Pipe
from rdserver.transports.splice_owner import Owner
from rdserver.transports.splice_tools import Tools
from rdserver.transports.unsent import unsent_bytes

STICKY_BYTES = 32 * 1024
"""After a burst of this size the next one is spliced from its start."""

_MODE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class PipedFlow(LoopFlow):
    """
    What the kinds of flows that splice have in common; *_bulk* says that one does.

    What the sink did not take is in *_left*, if it was copied, or else in the pipe.
    """

    __slots__ = ("_bulk", "_burst_bytes", "_in_pipe", "_left", "_pipe")

    def __init__(
        self,
        tools: Tools,
        owner: Owner,
        session: Session,
        *,
        side: int,
        source: SocketType,
        sink: SocketType,
    ) -> None:
        super().__init__(tools, owner, session, side=side, source=source, sink=sink)
        self._left: bytes | memoryview = b""
        self._pipe: Pipe | None = None
        self._in_pipe = 0
        self._bulk = False
        self._burst_bytes = 0

    def _splice(self, pipe: Pipe, want: int) -> int:
        """Move at most *want* bytes through *pipe*; return how many were read."""
        size = self._fill(pipe, want)
        if size:
            self._account(size)
            self._burst_bytes += size
            self._pipe, self._in_pipe, self.stuck = pipe, size, True
            self._tools.loop.queue(self)
            self._empty_pipe()
        return size

    def _fill(self, pipe: Pipe, want: int) -> int:
        """Splice from the source; with 0 the pipe has been given back."""
        size = -1
        try:
            size = os.splice(self.source.fileno(), pipe[1], want, flags=_MODE)
        except BlockingIOError:
            self._drained()
        except OSError:
            self._owner.source_broke(self)
        if size > 0:
            return size
        self._tools.pipes.give_back(pipe)
        if size == 0:
            self._received_all()
        return 0

    def _drained(self) -> None:
        self._bulk = self._burst_bytes >= STICKY_BYTES and not self.closing
        self._burst_bytes = 0
        # Of one that has closed there is something: at an urgent mark the kernel splices
        # nothing, and copying goes past it.
        self.readable = self.closing
        if self.closing:
            self._tools.loop.queue(self)

    def _empty_pipe(self) -> bool:
        """Move on what the pipe has; return whether it is empty, and given back."""
        pipe = self._pipe
        assert pipe is not None
        try:
            self._in_pipe -= os.splice(
                pipe[0], self.sink.fileno(), self._in_pipe, flags=_MODE
            )
        except BlockingIOError:
            return False
        except OSError:
            self._owner.sink_broke(self)
            return not self.stuck
        if self._in_pipe:
            self._tools.loop.queue(self)  # not full for sure: only EAGAIN arms the edge
            return False
        self._tools.pipes.give_back(pipe)
        self._pipe = None
        self.stuck = False
        return True

    def _try_send(self, data: bytes | memoryview) -> int:
        """Return how much of *data* counts as sent."""
        try:
            return self.sink.send(data)
        except OSError as e:
            return self._not_sent(e, len(data))

    def _flush(self) -> bool:
        """Send on what the sink did not take before; return whether it took all."""
        if self._left:
            self._left = self._left[self._try_send(self._left) :]
            if self._left:
                return False
        if self._pipe is not None:
            return self._empty_pipe()
        self.stuck = False
        return True

    def drop(self) -> None:
        """Forget what the sink did not take: it is gone."""
        if self._pipe is not None:
            self._tools.pipes.discard(self._pipe)
            self._pipe = None
        self._in_pipe = 0
        self._left = b""
        self.stuck = False

    def unsent_bytes(self) -> int:
        """Return how much of what was read the sink's client has not taken yet."""
        return len(self._left) + self._in_pipe + unsent_bytes(self.sink.fileno())
