"""
What one connection to the ID server asks and is answered, whatever carries it.

Messages are decided on one after the other; how long one may take, how many there may
be, and when all ends is the same for TCP and WebSocket.  What a connection is at the
moment, and what holds then, stands in ``rendezvous/stream_state.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol

from attrs import evolve
from twisted.python.failure import Failure

from rdserver.errors import ProtocolError
from rdserver.rendezvous.effects import Stream
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import (
    CLOSING_S,
    FRAME_S,
    LIFE_S,
    Happening,
    StreamState,
)
from rdserver.transports.door import Company
from rdserver.wire import pb
from rdserver.wire.address import Address

MAX_FRAMES = 100
"""
The last that is answered.  No client sends a dozen on one connection (7.16); on one that
stays it is as many from each heartbeat to the next.
"""


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

    def let_pile_up(self) -> None:
        """Bear one long answer, the last, which the client does not take at once."""

    def hold(self) -> None:
        """Wait for nothing any more; let the system see whether the client is there."""


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


class Conversation:
    """
    One connection's messages and answers.

    While storage is asked for one message, nothing more is read.

    :param address: the client's.
    :param websocket: whether the line is one.
    :param has_spoken: whether the client has begun to say something.
    """

    def __init__(
        self,
        line: Line,
        company: Company,
        address: Address,
        *,
        websocket: bool,
        has_spoken: bool = False,
    ) -> None:
        self._line = line
        self._company = company
        self._door = company.door
        self._outlet = company.outlet
        self._until = company.now() + LIFE_S
        self._stream = Stream(self._outlet.add(self), address, websocket)
        self._talk = StreamState(None if websocket else company.door.offer)
        self._is_quiet = not (websocket or has_spoken)
        self._state = _State.OPEN
        self._deciding = False
        self._has_left = False
        self._frames_left = MAX_FRAMES
        self._closing_s = CLOSING_S
        line.wait(company.door.silence_s if self._is_quiet else FRAME_S)

    @property
    def is_open(self) -> bool:
        """Whether messages are still taken."""
        return self._state is _State.OPEN

    def may_be_long(self, size: int) -> bool:
        """Return whether a frame of *size* bytes may come, longer than others may be."""
        places = self._door.long_frames
        if places is None or self._talk.stays or not self._talk.is_secure:
            return False
        return places.admit(self._stream.id, self._stream.address.host, size)

    @property
    def is_listening(self) -> bool:
        """Whether the next message would be decided on at once."""
        return self._state is _State.OPEN and not self._deciding

    def spoke(self) -> None:
        """The client has begun to say something; a line of TCP tells it, once."""
        self._is_quiet = False
        if self._door.offer is not None:
            self._line.wait(FRAME_S)

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
        self._go_on_waiting()
        message = self._talk.read(payload)
        settled = None
        if message is not None:
            settled = self._outlet.settle(self._door.decide(message, self._stream))
        elif self._talk.is_secure and not self._stream.is_secure:
            self._stream = evolve(self._stream, is_secure=True)
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
            self._go_on_waiting()

    def _go_on_waiting(self) -> None:
        if self._talk.stays:
            self._company.kept.heard(self)
        else:
            self._line.wait(FRAME_S)

    def _go_on(self) -> None:
        self._deciding = False
        if self._state is not _State.OPEN:
            self._leave()
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
        if self._state is not _State.OPEN:
            return
        payload = self._talk.seal(pb.encode(message))
        if len(payload) <= self._door.max_frame_bytes or self._may_pile_up():
            self._line.write(payload)
        else:
            self.finish()

    def _may_pile_up(self) -> bool:
        """Return whether a long answer, the last, may wait here for a slow client."""
        places = self._door.long_frames
        if places is None:
            return True  # it is cut if the client does not read
        if not places.hold(self._stream.id, self._stream.address.host):
            return False
        self._closing_s = FRAME_S
        self._line.let_pile_up()
        return True

    def keep(self, happening: Happening) -> None:
        """Live on: no deadline from now on but the one for signs of life."""
        if self._state is _State.OPEN:
            self._talk.keep(happening)
            self._until = math.inf
            self._line.hold()
            self._give_place_free()
            self._company.kept.start(self)

    def beat(self) -> None:
        """Send a heartbeat, which is never encrypted (protocol.md section 7.3)."""
        self._frames_left = MAX_FRAMES
        self._line.write(b"")

    def silent(self) -> None:
        """The client of a connection that stays is gone."""
        self.abort()

    def finish(self) -> None:
        """Close once everything written is out; cut if that takes too long."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._leave()
            self._line.wait(self._closing_s)
            self._line.close()

    def abort(self) -> None:
        """Close now, whatever is not out yet."""
        if self._state is not _State.GONE:
            self._state = _State.CLOSING
            self._leave()
            self._line.cut()

    def late(self) -> None:
        """The time that the line was to wait is over."""
        if self._state is not _State.OPEN:
            self.abort()
        elif not self._offer_keys():
            self.finish()

    def _offer_keys(self) -> bool:
        offer = self._talk.silence() if self._is_quiet else None
        if offer is None:
            return False
        self._line.write(offer)
        self._line.wait(FRAME_S)
        return True

    def lost(self) -> None:
        """The connection is gone."""
        self._state = _State.GONE
        self._outlet.remove(self._stream.id)
        self._give_place_free()
        if self._talk.is_given_up:
            self._company.notices.count(Event.HANDSHAKE_GIVEN_UP)
        self._leave()

    def _give_place_free(self) -> None:
        if self._door.long_frames is not None:
            self._door.long_frames.release(self._stream.id)

    def _leave(self) -> None:
        """Tell that nobody is reached here, or waits, from now on; once."""
        if self._talk.stays:
            self._company.kept.stop(self)
        if self._has_left or self._deciding:  # else it would come before what is decided
            return
        self._has_left = True
        self._door.closed(self._stream.id)
