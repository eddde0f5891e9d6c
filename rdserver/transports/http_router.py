"""
One port for several things that begin as HTTP: the path says which it is.

It reads the request's first line, and gives the connection away with all that came.
"""
# ruff: noqa: N802 - doStart and doStop are Twisted's names.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import left_s
from rdserver.transports.handover import hand_over
from rdserver.transports.timed import Stage
from rdserver.wire.address import source_host

REQUEST_S = 10.0
"""Time from the connection to the end of the first line."""

MAX_LINE_BYTES = 2048


class HttpRouter(Stage):
    """One connection until its first line is there."""

    def __init__(self, address: Any, host: str, router: HttpRouterFactory) -> None:
        self._address = address
        self._host = host
        self._router = router
        self.clock = router.clock
        self._received = b""

    def connectionMade(self) -> None:
        self._router.undecided.add(self)
        self.setTimeout(left_s(self.transport, self._router.now, REQUEST_S))

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        line, end, _ = self._received.partition(b"\n")
        if end:
            self._become(self._router.choose(_path(line)))
        elif len(line) > MAX_LINE_BYTES:
            self.abort()

    def _become(self, factory: Any) -> None:
        self.setTimeout(None)
        self._leave()
        protocol = factory.buildProtocol(self._address)
        if protocol is None:
            self.abort()
        else:
            hand_over(self.transport, protocol, self._received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._leave()

    def _leave(self) -> None:
        if self in self._router.undecided:
            self._router.undecided.remove(self)
            self._router.admission.leave(self._host)


class HttpRouterFactory(Factory):
    """
    What the connections to one port share.

    :param routes: a factory for each path.
    :param pages: the factory for all others.
    :param now: monotonic clock, in seconds.
    :param admission: how many may be without a line; the others may share it, as a
        connection has left before they are asked.
    :ivar undecided: the connections whose line is not there.
    """

    noisy = False

    def __init__(
        self,
        routes: Mapping[str, Any],
        pages: Any,
        clock: IReactorTime,
        now: Callable[[], float],
        admission: Admission,
    ) -> None:
        self._routes = dict(routes)
        self._pages = pages
        self.clock = clock
        self.now = now
        self.admission = admission
        self.undecided: set[HttpRouter] = set()

    def doStart(self) -> None:
        super().doStart()
        self._pages.doStart()

    def doStop(self) -> None:
        super().doStop()
        self._pages.doStop()

    def stopFactory(self) -> None:
        """Nobody listens any more: who has not said what it wants comes too late."""
        for connection in list(self.undecided):
            connection.abort()

    def buildProtocol(self, addr: Any) -> HttpRouter | None:
        host = source_host(addr.host)
        if host is None or not self.admission.enter(host):
            return None
        return HttpRouter(addr, host, self)

    def choose(self, path: str) -> Any:
        """Return the factory for a path."""
        return self._routes.get(path, self._pages)


def _path(line: bytes) -> str:
    """Return the path that a request's first line names, or nothing."""
    words = line.split()
    target = words[1] if len(words) == 3 else b""
    return target.partition(b"?")[0].decode("ascii", "replace")
