"""The fast data path: both sockets leave Twisted, and the kernel moves the bulk."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rdserver.relay.messages import Messages
from rdserver.relay.session import Session
from rdserver.transports.detach import is_detachable
from rdserver.transports.loop_pair import LoopPair, MessagePair
from rdserver.transports.pipes import Pipes
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import Finished, PathEnd
from rdserver.transports.splice_loop import SpliceLoop
from rdserver.transports.splice_tools import Tools


class SplicePath:
    """
    Moves bytes between plain TCP connections without the reactor's help.

    What is not plain TCP, or has bytes in Twisted's buffers, goes the plain way.  The
    system must be able to do it: :func:`rdserver.transports.splice_check.can_splice`.

    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param pacer: holds what is over its limit.
    :param finished: told once at the end of each session.
    :param sleep: sleeps so many seconds, less than a thousandth.
    :param messages: translates where a side is a WebSocket.
    """

    def __init__(
        self,
        reactor: Any,
        pacer: Pacer,
        finished: Finished,
        now: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        *,
        messages: Messages | None = None,
    ) -> None:
        self._messages = messages or Messages()
        self._pipes = Pipes(now)
        self._loop = SpliceLoop(reactor, now, sleep)
        self._tools = Tools(self._loop, self._pipes, pacer, now)
        self._finished = finished
        self._copy = CopyPath(pacer, finished, self._messages)

    @property
    def pipes(self) -> int:
        """How many pipes there are."""
        return self._pipes.open

    def begin(self, session: Session, first: PathEnd, second: PathEnd) -> None:
        """Take both connections over; see :class:`DataPath`."""
        if is_detachable(first.transport) and is_detachable(second.transport):
            self._pair(session, first, second).start(first, second)
        else:
            self._copy.begin(session, first, second)

    def _pair(self, session: Session, first: PathEnd, second: PathEnd) -> LoopPair:
        between = self._messages.between(first.is_websocket, second.is_websocket)
        if between is None:
            return LoopPair(session, self._tools, self._finished)
        return MessagePair(session, self._tools, self._finished, between)

    def sweep(self) -> None:
        """Close the pipes that nobody uses."""
        self._pipes.sweep()

    def close(self) -> None:
        """Let go of the reactor, after all sessions have ended."""
        self._loop.close()
        self._pipes.close()
