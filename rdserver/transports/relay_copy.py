"""The plain data path: Twisted reads, Twisted writes.  For every kind of transport."""

from __future__ import annotations

from rdserver.relay.messages import Messages
from rdserver.relay.session import Session
from rdserver.transports.copy_messages import MessageCopyPair
from rdserver.transports.copy_pair import CopyPair
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import Finished, PathEnd


class CopyPath:
    """
    Copies between two transports, each direction on its own.

    A direction is read only while its sink takes data and its limits allow it: nothing
    is stored here, and at most the transports' 64 KiB and one read on each side.

    :param pacer: holds what is over its limit.
    :param finished: told once at the end of each session.
    :param messages: translates where a side is a WebSocket.
    """

    def __init__(
        self, pacer: Pacer, finished: Finished, messages: Messages | None = None
    ) -> None:
        self._pacer = pacer
        self._finished = finished
        self._messages = messages or Messages()

    def begin(self, session: Session, first: PathEnd, second: PathEnd) -> None:
        """Take both connections over; see :class:`DataPath`."""
        self._pair(session, first, second).start(first, second)

    def _pair(self, session: Session, first: PathEnd, second: PathEnd) -> CopyPair:
        between = self._messages.between(first.is_websocket, second.is_websocket)
        if between is None:
            return CopyPair(session, self._pacer, self._finished)
        return MessageCopyPair(session, self._pacer, self._finished, between)

    def sweep(self) -> None:
        """Nothing is kept here."""

    def close(self) -> None:
        """Nothing is held here."""
