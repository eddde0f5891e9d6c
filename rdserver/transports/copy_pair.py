"""A session on the plain data path: two directions that end together."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from rdserver.relay.limiter import Meter
from rdserver.relay.session import NO_CARRIER, Session
from rdserver.relay.usage import EndReason
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import Finished, PathEnd


class CopyPair:
    """The two directions of one session, which end together."""

    def __init__(self, session: Session, pacer: Pacer, finished: Finished) -> None:
        self._session = session
        self._pacer = pacer
        self._finished = finished
        self._ends: tuple[PathEnd, ...] = ()
        self._flows: tuple[CopyFlow, ...] = ()
        self._over = False

    def start(self, first: PathEnd, second: PathEnd) -> None:
        """Take both connections over."""
        self._ends = first, second
        self._flows = self._flow(0, first, second), self._flow(1, second, first)
        self._session.carrier = self
        for flow in self._flows:
            flow.connect(self._one_ended)
        for flow in self._flows:
            flow.begin()

    def _flow(self, side: int, source: PathEnd, sink: PathEnd) -> CopyFlow:
        return CopyFlow(self._session, side, source, sink, self._pacer)

    def settle(self) -> None:
        """Each chunk is paid for at once."""

    def unsent_bytes(self) -> int:
        return sum(flow.unsent_bytes() for flow in self._flows)

    def _one_ended(self) -> None:
        self.end(EndReason.CLOSED)

    def end(self, reason: EndReason) -> None:
        if self._over:
            return
        self._over = True
        for flow in self._flows:
            self._pacer.leave(flow)
        self._finished(self._session, reason)
        self._finish(reason)
        self._session.carrier = NO_CARRIER  # else the two would hold each other

    def _finish(self, reason: EndReason) -> None:
        for end in self._ends:
            end.finish()


@implementer(IPushProducer)
class CopyFlow:
    """
    One direction: what *source* sends goes to *sink*.

    It stands as the producer behind the sink's transport, in place of the source's own:
    a full sink and a limit can both stop the source, and each may only take back its own
    stop.
    """

    def __init__(
        self, session: Session, side: int, source: PathEnd, sink: PathEnd, pacer: Pacer
    ) -> None:
        self._session = session
        self._received = session.received
        self._side = side
        self._source = source
        self._sink = sink
        self._pacer = pacer
        self._full = False
        self._held = False

    @property
    def meter(self) -> Meter:
        return self._session.meter

    def connect(self, ended: Callable[[], None]) -> None:
        self._source.divert(self._take, ended)
        self._sink.transport.registerProducer(self, True)

    def begin(self) -> None:
        early = self._source.take_early()
        if early:
            self._take(early)
        self._read_on()

    def _take(self, data: bytes) -> None:
        self._received[self._side] += len(data)
        if self._session.meter.limited:
            self._pacer.moved(self, len(data))
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self._sink.transport.write(data)

    def unsent_bytes(self) -> int:
        return self._sink.unsent_bytes() if self._full else 0

    def _read_on(self) -> None:
        if not self._full and not self._held:
            self._source.transport.resumeProducing()

    def hold(self) -> None:
        self._held = True
        self._session.held += 1
        self._source.transport.pauseProducing()

    def release(self) -> None:
        self._held = False
        self._session.held -= 1
        self._read_on()

    def pauseProducing(self) -> None:
        self._full = True
        self._source.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._full = False
        self._read_on()

    def stopProducing(self) -> None:
        """The sink is gone: its own end says so, and ends the session."""
