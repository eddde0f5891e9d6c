"""Connections that are answered one request and closed; nothing but its head is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import left_s
from rdserver.transports.timed import Stage
from rdserver.wire.address import source_host

REQUEST_S = 10.0
"""Time from the connection to the end of the request's head."""

CLOSING_S = 5.0
"""Time for the answer to leave and the client to close."""

MAX_HEAD_BYTES = 8192

MOST_DISCARDED_BYTES = 65_536
"""Behind the head, a body perhaps; for who sends more it is no use to wait."""


class Page(Stage):
    """One connection."""

    def __init__(self, host: str, factory: PageFactory) -> None:
        self._host = host
        self._factory = factory
        self.clock = factory.clock
        self._head = b""
        self._is_answered = False
        self._discarded = 0

    def connectionMade(self) -> None:
        self._factory.connections.add(self)
        self.setTimeout(left_s(self.transport, self._factory.now, REQUEST_S))

    def dataReceived(self, data: bytes) -> None:
        if self._is_answered:
            self._discard(len(data))
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            self.abort()
        elif end:
            self._answer(head)
            self._discard(len(rest))

    def _answer(self, head: bytes) -> None:
        self._is_answered = True
        self._head = b""
        self.wait(CLOSING_S)
        self.transport.write(self._factory.answer(head))
        self.transport.loseConnection()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > MOST_DISCARDED_BYTES:
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._factory.connections.discard(self)
        self._factory.admission.leave(self._host)


class PageFactory(Factory):
    """
    What these connections share.

    :param answer: returns the response to a request's head.
    :param now: monotonic clock, in seconds.
    :ivar connections: those that are there.
    """

    noisy = False

    def __init__(
        self,
        answer: Callable[[bytes], bytes],
        clock: IReactorTime,
        now: Callable[[], float],
        admission: Admission,
    ) -> None:
        self.answer = answer
        self.clock = clock
        self.now = now
        self.admission = admission
        self.connections: set[Page] = set()

    def buildProtocol(self, addr: Any) -> Page | None:
        host = source_host(addr.host)
        if host is None or not self.admission.enter(host):
            return None
        return Page(host, self)

    def stopFactory(self) -> None:
        """Nobody listens any more: what they wait for will not come."""
        for connection in list(self.connections):
            connection.abort()
