"""The fast data path: both sockets leave Twisted, and the kernel moves the bulk."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET, SocketType
from typing import Any

from twisted.python.failure import Failure

from rdserver.relay.session import NO_CARRIER, Session
from rdserver.relay.usage import EndReason
from rdserver.transports.detach import is_detachable
from rdserver.transports.loop_flow import LoopFlow
from rdserver.transports.pipes import Pipes
from rdserver.transports.relay_copy import CopyPath, Finished
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import Farewell, PathEnd
from rdserver.transports.splice_flow import SpliceFlow
from rdserver.transports.splice_loop import SpliceLoop
from rdserver.transports.splice_tools import Tools

_RESET = struct.pack("ii", 1, 0)


class SplicePath:
    """
    Moves bytes between plain TCP connections without the reactor's help.

    What is not plain TCP, or has bytes in Twisted's buffers, goes the plain way.  The
    system must be able to do it: :func:`rdserver.transports.splice_check.can_splice`.

    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param pacer: holds what is over its limit.
    :param finished: told once at the end of each session.
    :param sleep: sleeps so many seconds, less than a thousandth.
    """

    def __init__(
        self,
        reactor: Any,
        pacer: Pacer,
        finished: Finished,
        now: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pipes = Pipes(now)
        self._loop = SpliceLoop(reactor, now, sleep)
        self._tools = Tools(self._loop, self._pipes, pacer, now)
        self._finished = finished
        self._copy = CopyPath(pacer, finished)

    @property
    def pipes(self) -> int:
        """How many pipes there are."""
        return self._pipes.open

    def begin(self, session: Session, first: PathEnd, second: PathEnd) -> None:
        """Take both connections over; see :class:`DataPath`."""
        if is_detachable(first.transport) and is_detachable(second.transport):
            _Pair(session, self._tools, self._finished).start(first, second)
        else:
            self._copy.begin(session, first, second)

    def sweep(self) -> None:
        """Close the pipes that nobody uses."""
        self._pipes.sweep()

    def close(self) -> None:
        """Let go of the reactor, after all sessions have ended."""
        self._loop.close()
        self._pipes.close()


class _Pair:
    """
    The two directions of one session, which end together.

    A connection is the source of one flow and the sink of the other.  In the tables of
    those that are ending the flow *to* it stands for it.
    """

    __slots__ = ("_farewell", "_finished", "_flows", "_is_over", "_session", "_tools")

    _farewell: Farewell

    def __init__(self, session: Session, tools: Tools, finished: Finished) -> None:
        self._session = session
        self._tools = tools
        self._finished = finished
        self._is_over = False
        self._flows: tuple[LoopFlow, ...] = ()

    def start(self, first: PathEnd, second: PathEnd) -> None:
        """Take both connections out of Twisted, and watch them."""
        early = first.take_early(), second.take_early()
        (source, self._farewell), (sink, _) = first.detach(), second.detach()
        self._flows = (
            self._flow(0, source, sink, early[0]),
            self._flow(1, sink, source, early[1]),
        )
        self._session.carrier = self
        try:
            self._watch()
        except OSError as e:  # the system watches no more descriptors
            self._tools.loop.report_full(e)
            self._break_off()

    def _flow(
        self, side: int, source: SocketType, sink: SocketType, early: bytes
    ) -> LoopFlow:
        flow = SpliceFlow(
            self._tools, self, self._session, side=side, source=source, sink=sink
        )
        flow.begin(early)
        return flow

    def _watch(self) -> None:
        for flow in self._flows:
            back = self._flows[1 - flow.side]
            self._tools.loop.watch(flow.source.fileno(), flow, back)
            if flow.stuck:
                self._tools.loop.queue(flow)

    def settle(self) -> None:
        """For the session."""
        for flow in self._flows:
            flow.settle()

    def unsent_bytes(self) -> int:
        """For the session."""
        return sum(flow.unsent_bytes() for flow in self._flows if flow.stuck)

    def source_ended(self, flow: LoopFlow) -> None:
        flow.heard_all = True
        self.end(EndReason.CLOSED)
        self._close_if_done(self._flows[1 - flow.side])

    def source_broke(self, flow: LoopFlow) -> None:
        self.end(EndReason.CLOSED)
        self._close(self._flows[1 - flow.side])

    def sink_broke(self, flow: LoopFlow) -> None:
        """It may have closed in order, and answer with a reset: what it said counts."""
        back = self._flows[1 - flow.side]
        if self._is_over:
            self._close(flow)
            return
        flow.drop()
        flow.over = flow.said_all = True
        back.readable = back.closing = True
        self._tools.loop.queue(back)

    def flushed(self, flow: LoopFlow) -> None:
        if flow.said_all:
            return
        flow.said_all = True
        with suppress(OSError):  # it broke: reading says so too
            flow.sink.shutdown(SHUT_WR)
        self._close_if_done(flow)

    def failed(self, flow: LoopFlow) -> None:
        self._tools.loop.report_bug(Failure())
        self._break_off()

    def end(self, reason: EndReason) -> None:
        """Read no more; what was read still leaves."""
        if self._is_over:
            return
        self._is_over = True
        for flow in self._flows:
            flow.over = True
            flow.settle()
            self._tools.pacer.leave(flow)
            self._tools.loop.queue(flow)
        self._finished(self._session, reason)
        for flow in self._flows:
            self._farewell.linger.start(flow)

    def give_up(self, flow: LoopFlow) -> None:
        """Who did not take everything by now gets a reset."""
        if not flow.said_all:
            flow.sink.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._close(flow)

    def _break_off(self) -> None:
        self.end(EndReason.BROKEN)
        for flow in self._flows:
            self._close(flow)

    def _close_if_done(self, flow: LoopFlow) -> None:
        if flow.said_all and self._flows[1 - flow.side].heard_all:
            self._close(flow)

    def _close(self, flow: LoopFlow) -> None:
        """Close the sink of *flow*."""
        descriptor = flow.sink.fileno()
        if descriptor < 0:
            return
        back = self._flows[1 - flow.side]
        flow.drop()
        flow.said_all = True
        back.readable = False
        self._tools.loop.forget(descriptor)
        flow.sink.close()
        self._farewell.linger.stop(flow)
        if back.sink.fileno() < 0:
            self._session.carrier = NO_CARRIER  # nothing here holds another any more
            self._flows = ()
        self._farewell.gone(flow)
