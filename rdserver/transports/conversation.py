"""
What one connection to the ID server asks and is answered, whatever carries it.

Messages are decided on one after the other; how long one may take, how many there may
be, and when all ends is the same for TCP and WebSocket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Protocol

from attrs import frozen
from twisted.python.failure import Failure

from rdserver.errors import ProtocolError
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Outcome, Stream, StreamId
from rdserver.rendezvous.events import Event
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.address import Address

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


class Line(Protocol):
    """What carries a conversation."""

    def write(self, payload: bytes) -> None:
        """Send one message."""

    def close(self) -> None:
        """Close once everything written is out."""

    def cut(self) -> None:
        """Close now, whatever is not out yet."""

    def wait(self, seconds: float) -> None:
        """Call :meth:`Conversation.late` after so long, and not before."""

    def pause(self) -> None:
        """Read nothing more until :meth:`go_on`."""

    def go_on(self) -> None:
        """Read on, and give the conversation what was read before."""


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


@frozen(kw_only=True)
class Company:
    """
    What all conversations through one port share.

    :ivar now: monotonic clock, in seconds, for a connection's age.
    """

    door: Door
    outlet: Outlet
    now: Callable[[], float]
    notices: Notices[Event]


class Conversation:
    """
    One connection's messages and answers.

    While storage is asked for one message, nothing more is read.

    :param address: the client's.
    :param websocket: whether the line is one.
    """

    def __init__(
        self, line: Line, company: Company, address: Address, *, websocket: bool
    ) -> None:
        self._line = line
        self._company = company
        self._door = company.door
        self._outlet = company.outlet
        self._until = company.now() + LIFE_S
        self._stream = Stream(self._outlet.add(self), address, websocket)
        self._state = _State.OPEN
        self._deciding = False
        self._frames_left = MAX_FRAMES
        line.wait(FRAME_S)

    @property
    def is_open(self) -> bool:
        """Whether messages are still taken."""
        return self._state is _State.OPEN

    @property
    def is_listening(self) -> bool:
        """Whether the next message would be decided on at once."""
        return self._state is _State.OPEN and not self._deciding

    def take(self, payloads: Iterator[bytes]) -> None:
        """
        Decide on messages, as long as it listens.

        :param payloads: may raise ``ProtocolError`` at one that is none.
        """
        try:
            for payload in payloads:
                self._take(payload)
                if not self.is_listening:
                    return
        except ProtocolError:
            self._company.notices.count(Event.BAD_MESSAGE)
            self.finish()
        except Exception:
            self._bug(Failure())

    def _take(self, payload: bytes) -> None:
        self._line.wait(FRAME_S)
        message = pb.decode(payload)
        settled = self._outlet.settle(self._door.decide(message, self._stream))
        if settled is not None:
            settled.addErrback(self._bug)
            if not settled.called:
                self._deciding = True
                self._line.pause()
                settled.addCallback(lambda _: self._go_on())
                return
        self._end_if_old()

    def heard(self) -> None:
        """There was a sign of life that is no message."""
        if self._company.now() >= self._until:
            self.finish()
        else:
            self._line.wait(FRAME_S)

    def _go_on(self) -> None:
        self._deciding = False
        if self._state is _State.GONE:
            self._door.closed(self._stream.id)
        self._end_if_old()
        if self._state is _State.OPEN:
            self._line.go_on()

    def _end_if_old(self) -> None:
        self._frames_left -= 1
        if self._frames_left <= 0 or self._company.now() >= self._until:
            self.finish()

    def _bug(self, failure: Failure) -> None:
        self._outlet.report_bug(failure)
        self.finish()

    def send(self, message: pb.RendezvousMessage) -> None:
        """Send one message."""
        if self._state is _State.OPEN:
            self._line.write(pb.encode(message))

    def finish(self) -> None:
        """Close once everything written is out; cut if that takes too long."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._line.wait(CLOSING_S)
            self._line.close()

    def abort(self) -> None:
        """Close now, whatever is not out yet."""
        if self._state is not _State.GONE:
            self._state = _State.CLOSING
            self._line.cut()

    def late(self) -> None:
        """The time that the line was to wait is over."""
        if self._state is _State.OPEN:
            self.finish()
        else:
            self.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._state = _State.GONE
        self._outlet.remove(self._stream.id)
        if not self._deciding:  # else what is being decided would be noted after it
            self._door.closed(self._stream.id)
