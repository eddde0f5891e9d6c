"""A session in the loop: two directions that end together."""

from __future__ import annotations

import struct
from contextlib import suppress
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET, SocketType

from twisted.python.failure import Failure

from rdserver.relay.messages import Transcoders
from rdserver.relay.session import NO_CARRIER, Session
from rdserver.relay.usage import EndReason
from rdserver.transports.loop_flow import LoopFlow
from rdserver.transports.message_flow import MessageFlow
from rdserver.transports.relay_path import Farewell, Finished, PathEnd
from rdserver.transports.splice_flow import SpliceFlow
from rdserver.transports.splice_tools import Tools
from rdserver.wire.websocket import GOING_AWAY, NORMAL

_RESET = struct.pack("ii", 1, 0)


class LoopPair:
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
        self._flows = self._flow(0, source, sink), self._flow(1, sink, source)
        for flow in self._flows:
            flow.begin(early[flow.side])
        self._session.carrier = self
        try:
            self._watch()
        except OSError as e:  # the system watches no more descriptors
            self._tools.loop.report_full(e)
            self._break_off()

    def _flow(self, side: int, source: SocketType, sink: SocketType) -> LoopFlow:
        return SpliceFlow(
            self._tools, self, self._session, side=side, source=source, sink=sink
        )

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


class MessagePair(LoopPair):
    """
    A session with a WebSocket in it.

    :param transcoders: from the first side and from the second.
    """

    __slots__ = ("_code", "_transcoders")

    def __init__(
        self, session: Session, tools: Tools, finished: Finished, transcoders: Transcoders
    ) -> None:
        super().__init__(session, tools, finished)
        self._transcoders = transcoders
        self._code = NORMAL

    def _flow(self, side: int, source: SocketType, sink: SocketType) -> LoopFlow:
        return MessageFlow(
            self._tools,
            self,
            self._session,
            side=side,
            source=source,
            sink=sink,
            transcoder=self._transcoders[side],
        )

    def replied(self, flow: MessageFlow, frame: bytes) -> None:
        if self._is_over:
            return
        back = self._flows[1 - flow.side]
        if isinstance(back, MessageFlow) and not back.over:
            back.say(frame)

    def said_goodbye(self, flow: MessageFlow) -> None:
        # What it says it will not send any more may still come: its end is waited for.
        self.end(EndReason.CLOSED)

    def end(self, reason: EndReason) -> None:
        if reason is EndReason.STOPPED:
            self._code = GOING_AWAY
        super().end(reason)

    def close_code(self, flow: MessageFlow) -> int:
        return self._transcoders[1 - flow.side].code or self._code
