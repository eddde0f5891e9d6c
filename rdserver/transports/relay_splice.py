"""The fast data path: both sockets leave Twisted, and the kernel moves the bulk."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from rdserver.relay.session import Session
from rdserver.relay.usage import EndReason
from rdserver.transports.detach import is_detachable
from rdserver.transports.pipes import Pipes
from rdserver.transports.relay_copy import CopyPath, Finished
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import PathEnd
from rdserver.transports.splice_flow import SpliceFlow, Tools
from rdserver.transports.splice_loop import SpliceLoop

AVAILABLE = hasattr(os, "splice") and hasattr(select, "epoll")
"""Whether this system can splice at all; Linux can."""

_RESET = struct.pack("ii", 1, 0)


class SplicePath:
    """
    Moves bytes between plain TCP connections without the reactor's help.

    What is not plain TCP, or has bytes in Twisted's buffers, goes the plain way.

    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param pacer: holds what is over its limit.
    :param finished: told once at the end of each session.
    """

    def __init__(
        self, reactor: Any, pacer: Pacer, finished: Finished, now: Callable[[], float]
    ) -> None:
        self._pipes = Pipes(now)
        self._loop = SpliceLoop(reactor, now)
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
            _Pair(session, first, second, self._tools, self._finished).start()
        else:
            self._copy.begin(session, first, second)

    def close(self) -> None:
        """Let go of the reactor, after all sessions have ended."""
        self._loop.close()
        self._pipes.close()


class _End:
    """
    One of the two connections, out of Twisted.

    :ivar heard_all: it has closed its side, or broke.
    :ivar said_all: our side is closed: everything for it is with the kernel.
    :ivar closed: its socket is gone.
    """

    __slots__ = ("closed", "connection", "heard_all", "said_all", "socket")

    def __init__(self, connection: PathEnd, detached: socket.socket) -> None:
        self.connection = connection
        self.socket = detached
        self.heard_all = self.said_all = self.closed = False


class _Pair:
    """The two directions of one session, which end together."""

    __slots__ = ("_ends", "_finished", "_flows", "_over", "_session", "_tools")

    def __init__(
        self,
        session: Session,
        first: PathEnd,
        second: PathEnd,
        tools: Tools,
        finished: Finished,
    ) -> None:
        self._session = session
        self._tools = tools
        self._finished = finished
        self._over = False
        early = first.take_early(), second.take_early()
        self._ends = self._take_end(0, first), self._take_end(1, second)
        self._flows = self._flow(0, early[0]), self._flow(1, early[1])

    def _take_end(self, side: int, connection: PathEnd) -> _End:
        return _End(connection, connection.detach(partial(self._give_up, side)))

    def _flow(self, side: int, early: bytes) -> SpliceFlow:
        return SpliceFlow(
            self._tools,
            self,
            self._session,
            side=side,
            source=self._ends[side].socket,
            sink=self._ends[1 - side].socket,
            early=early,
        )

    def start(self) -> None:
        self._session.end = self._end
        self._session.unsent = self._unsent
        for side, end in enumerate(self._ends):
            flows = self._flows[side], self._flows[1 - side]
            self._tools.loop.watch(end.socket.fileno(), *flows)
        for flow in self._flows:
            self._tools.loop.queue(flow)

    def _unsent(self) -> int:
        sinks = (self._ends[1 - flow.side] for flow in self._flows if flow.stuck)
        return sum(sink.connection.unsent_bytes() for sink in sinks)

    def source_ended(self, flow: SpliceFlow) -> None:
        end = self._ends[flow.side]
        end.heard_all = True
        self._end(EndReason.CLOSED)
        self._close_if_done(end)

    def source_broke(self, flow: SpliceFlow) -> None:
        self._end(EndReason.CLOSED)
        self._close(flow.side)

    def sink_broke(self, flow: SpliceFlow) -> None:
        self._end(EndReason.CLOSED)
        self._close(1 - flow.side)

    def flushed(self, flow: SpliceFlow) -> None:
        end = self._ends[1 - flow.side]
        if end.said_all or end.closed:
            return
        end.said_all = True
        with suppress(OSError):  # it broke: reading says so too
            end.socket.shutdown(socket.SHUT_WR)
        self._close_if_done(end)

    def _end(self, reason: EndReason) -> None:
        if self._over:
            return
        self._over = True
        for flow in self._flows:
            flow.over = True
            self._tools.pacer.leave(flow)
            self._tools.loop.queue(flow)
        self._finished(self._session, reason)
        for end in self._ends:
            end.connection.linger()

    def _close_if_done(self, end: _End) -> None:
        if end.heard_all and end.said_all:
            self._close(self._ends.index(end))

    def _give_up(self, side: int) -> None:
        """The last resort: whoever did not take everything by now gets a reset."""
        end = self._ends[side]
        if not end.closed and not end.said_all:
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._end(EndReason.STOPPED)
        self._close(side)

    def _close(self, side: int) -> None:
        end = self._ends[side]
        if end.closed:
            return
        end.closed = True
        self._flows[1 - side].drop()
        self._flows[side].readable = False
        self._tools.loop.forget(end.socket.fileno())
        end.socket.close()
        end.connection.lost()
