"""Frames in, frames out, on the ID server's TCP ports; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ProtocolError
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Outcome, Stream, StreamId
from rdserver.rendezvous.events import Event
from rdserver.transports.admission import Admission
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.address import Address, source_host, v4_normalise
from rdserver.wire.framing import FrameDecoder, encode_frame

if TYPE_CHECKING:
    from twisted.internet.tcp import Server

FRAME_S = 30.0
"""Time for one complete frame to come; each frame starts it again.  protocol.md 3.6."""

LIFE_S = 120.0
"""From then on the next frame is the last.  No client asks for that long (7.16)."""

MAX_FRAMES = 100
"""The last that is answered.  No client sends a dozen on one connection (7.16)."""

CLOSING_S = 5.0
"""Time for the last answer to leave (7.16)."""


@frozen
class Door:
    """
    What stands behind one listening port.

    :ivar decide: takes a message and its stream, returns what to do.
    :ivar closed: called with each connection's id when it is gone.
    :ivar max_frame_bytes: longer frames close the connection at their header.
    """

    decide: Callable[[pb.RendezvousMessage, Stream], Outcome]
    closed: Callable[[StreamId], None]
    max_frame_bytes: int


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


@implementer(IPushProducer)
class RendezvousStream(Protocol, TimeoutMixin):
    """
    One connection to the ID server.

    Frames are decided on one after the other: while storage is asked for one, nothing
    more is read.  It is registered as its own transport's producer, and so learns when
    a client lets its answers pile up: such a connection is cut.

    :param clock: for the deadlines.
    :param now: monotonic clock, in seconds, for the connection's age.
    """

    transport: Server

    def __init__(
        self,
        door: Door,
        outlet: Outlet,
        clock: IReactorTime,
        now: Callable[[], float],
        notices: Notices[Event],
    ) -> None:
        self._door = door
        self._outlet = outlet
        self._clock = clock
        self._now = now
        self._notices = notices
        self._decoder = FrameDecoder(door.max_frame_bytes)
        self._state = _State.OPEN
        self._deciding = False
        self._frames_left = MAX_FRAMES

    def connectionMade(self) -> None:
        peer = self.transport.getPeer()
        self._until = self._now() + LIFE_S
        address = Address(v4_normalise(peer.host), peer.port)
        self._stream = Stream(self._outlet.add(self), address)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.setTimeout(FRAME_S)

    def take_over(self, data: bytes, waited_s: float) -> None:
        """Go on with a connection that has said *data* in its first *waited_s* seconds."""
        if waited_s:
            self.setTimeout(None)  # see finish()
            self.setTimeout(max(FRAME_S - waited_s, 0.0))
        self.dataReceived(data)

    def dataReceived(self, data: bytes) -> None:
        if self._state is _State.OPEN:
            frames = self._decoder.feed(data)
            if not self._deciding:
                self._work(frames)

    def _work(self, frames: Iterator[bytes]) -> None:
        try:
            for frame in frames:
                self._take(frame)
                if self._deciding or self._state is not _State.OPEN:
                    return
        except ProtocolError:
            self._notices.count(Event.BAD_MESSAGE)
            self.finish()
        except Exception:
            self._bug(Failure())

    def _take(self, frame: bytes) -> None:
        self.setTimeout(FRAME_S)
        message = pb.decode(frame)
        settled = self._outlet.settle(self._door.decide(message, self._stream))
        if settled is not None:
            settled.addErrback(self._bug)
            if not settled.called:
                self._deciding = True
                self.transport.pauseProducing()
                settled.addCallback(lambda _: self._go_on())
                return
        self._end_if_old()

    def _go_on(self) -> None:
        self._deciding = False
        if self._state is _State.GONE:
            self._door.closed(self._stream.id)
        self._end_if_old()
        if self._state is _State.OPEN:
            self.transport.resumeProducing()
            self._work(self._decoder.feed(b""))

    def _end_if_old(self) -> None:
        self._frames_left -= 1
        if self._frames_left <= 0 or self._now() >= self._until:
            self.finish()

    def _bug(self, failure: Failure) -> None:
        self._outlet.report_bug(failure)
        self.finish()

    def send(self, message: pb.RendezvousMessage) -> None:
        """Write one frame."""
        if self._state is _State.OPEN:
            self.transport.write(encode_frame(pb.encode(message)))

    def finish(self) -> None:
        """Close once everything written is out; cut if that takes too long."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        # Not reset to an earlier time: the reactor would search all its timers for it.
        self.setTimeout(None)
        self.setTimeout(CLOSING_S)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close now, whatever is not out yet."""
        if self._state is not _State.GONE:
            self._state = _State.CLOSING
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = _State.GONE
        self.setTimeout(None)
        self._outlet.remove(self._stream.id)
        self.factory.left(self._stream.address.host)
        if not self._deciding:  # else what is being decided would be noted after it
            self._door.closed(self._stream.id)

    def timeoutConnection(self) -> None:
        if self._state is _State.OPEN:
            self.finish()
        else:
            self.abort()

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """TimeoutMixin would take the global reactor; use the clock we were given."""
        return self._clock.callLater(period, func)

    def pauseProducing(self) -> None:
        """Called when answers pile up because the client does not read them."""
        self.abort()

    def resumeProducing(self) -> None:
        """Called when the transport has room again: nothing to do."""

    def stopProducing(self) -> None:
        """Called when the connection ends while we are registered: nothing to do."""


class RendezvousFactory(Factory):
    """What the connections to one port share."""

    noisy = False

    def __init__(
        self,
        *,
        door: Door,
        outlet: Outlet,
        admission: Admission,
        clock: IReactorTime,
        now: Callable[[], float],
        notices: Notices[Event],
    ) -> None:
        self._door = door
        self._outlet = outlet
        self._admission = admission
        self._clock = clock
        self._now = now
        self._notices = notices

    def buildProtocol(self, addr: IAddress | None) -> RendezvousStream | None:
        """Return None, which makes Twisted close, where one is not admitted."""
        if self.admit(getattr(addr, "host", "")) is None:
            return None
        stream = RendezvousStream(
            self._door, self._outlet, self._clock, self._now, self._notices
        )
        stream.factory = self
        return stream

    def admit(self, host: str) -> str | None:
        """Count a connection from *host* in; return that normalised, None to close it."""
        plain = source_host(host)
        if plain is None:
            self._notices.count(Event.IMPOSSIBLE_SOURCE)
            return None
        if not self._admission.enter(plain):
            self._notices.warn(
                Event.CONNECTION_REFUSED, "too many connections from {remote}", remote=plain
            )
            return None
        return plain

    def left(self, host: str) -> None:
        """Note that a connection from *host* is gone."""
        self._admission.leave(host)
