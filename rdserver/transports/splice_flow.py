"""
One direction of a spliced session: how a chunk gets from one socket to the other.

Two ways, chosen for each turn.  Something small is copied at once: one read into a
buffer that all share, one write.  When that buffer was filled there is more to come, and
from then on the kernel moves it, socket to pipe to socket, and we never see the bytes.
"""

from __future__ import annotations

from rdserver.transports.loop_flow import UNPAID_BYTES
from rdserver.transports.piped_flow import STICKY_BYTES, PipedFlow
from rdserver.transports.splice_tools import BUFFER_BYTES


class SpliceFlow(PipedFlow):
    """The bytes as they are, through a buffer or through a pipe."""

    __slots__ = ()

    def begin(self, early: bytes) -> None:
        """Send *early*, which was read before the socket came here, first of all."""
        if early:
            self._left = early
            self.stuck = True
            self._account(len(early))

    def turn(self) -> None:
        """Move at most one chunk."""
        try:
            if self._is_far and not (self._bulk or self.stuck or self.over):
                self._copy_at_once()
            else:
                self._turn_with_care()
        except Exception:
            self._owner.failed(self)

    def _turn_with_care(self) -> None:
        if self.stuck and not self._flush():
            return
        if self.over:
            self._wind_up()
        elif self.readable and not self._held:
            want = self._allowed()
            if self._bulk:
                self._splice_or_copy(want)
            else:
                self._copy(min(want, BUFFER_BYTES))

    def _copy_at_once(self) -> None:
        """As :meth:`_copy` far from every limit: most chunks, so not a call too many."""
        tools = self._tools
        try:
            size = self.source.recv_into(tools.buffer)
        except OSError as e:
            self._not_received(e)
            return
        if not size:
            self._received_all()
            return
        self._received[self.side] += size
        tools.loop.moved_bytes += size
        self._unpaid += size
        if self.session.meter.take(size) or self._unpaid >= UNPAID_BYTES:
            self.settle()
        self.readable = False
        if size >= STICKY_BYTES or self.closing:
            self._judge_burst(size, BUFFER_BYTES)
        try:
            sent = self.sink.send(tools.view[:size])
        except OSError as e:
            sent = self._not_sent(e, size)
        if sent < size:
            self._left = bytes(tools.view[sent:size])
            self.stuck = True

    def _copy(self, want: int) -> None:
        size = self._receive(want)
        if not size:
            return
        self._account(size)
        self._judge_burst(size, want)
        view = self._tools.view
        sent = self._try_send(view[:size])
        if sent < size:
            self._left = bytes(view[sent:size])
            self.stuck = True

    def _judge_burst(self, size: int, want: int) -> None:
        """Say whether there is more to read, and how to read on."""
        # After a short read the next edge will tell of more, if it has not told all.
        self.readable = size == want or self.closing
        self._bulk = size >= STICKY_BYTES if size < want else size == BUFFER_BYTES
        if self.readable:
            self._tools.loop.queue(self)

    def _splice_or_copy(self, want: int) -> None:
        pipe = self._tools.pipes.take()
        if pipe is None:
            self._copy(min(want, BUFFER_BYTES))
        else:
            self._splice(pipe, want)
