"""
One direction of a session with a WebSocket in it, in the loop.

What was read goes through a :class:`rdserver.wire.transcode.Transcoder` and out at once;
no message is waited for.  The payload of a long frame of TCP is a WebSocket's just as it
is: where such come one after the other, only their heads are read, and the kernel moves
the rest.
"""

from __future__ import annotations

from socket import SocketType
from typing import Protocol

from rdserver.relay.session import Session
from rdserver.transports.piped_flow import STICKY_BYTES, PipedFlow
from rdserver.transports.splice_owner import Owner
from rdserver.transports.splice_tools import MESSAGE_BUFFER_BYTES, Tools
from rdserver.wire.transcode import Pieces, Transcoder

_MOST_PIECES = 256
"""More are put together first: the system takes 1,024 by one call."""

_SPLICED_BYTES = 128 * 1024
"""For less than this left in a frame, two splices cost more than the copies they save."""

_HEAD_BYTES = 4096
"""What is read to see a frame's head, where its payload will probably be spliced."""

_NOTHING = memoryview(b"")


class MessageOwner(Owner, Protocol):
    """Who decides what the news of a flow of messages mean."""

    def replied(self, flow: MessageFlow, frame: bytes) -> None:
        """A control frame is to go back to the source."""

    def said_goodbye(self, flow: MessageFlow) -> None:
        """The source has said that it closes, or broke a rule."""

    def close_code(self, flow: MessageFlow) -> int:
        """Return with which code the sink is closed, if it is a WebSocket."""


class MessageFlow(PipedFlow):
    """What *source* sends goes to *sink* through *transcoder*."""

    __slots__ = ("_early", "_goodbye", "_messages", "transcoder")

    def __init__(
        self,
        tools: Tools,
        owner: MessageOwner,
        session: Session,
        *,
        side: int,
        source: SocketType,
        sink: SocketType,
        transcoder: Transcoder,
    ) -> None:
        super().__init__(tools, owner, session, side=side, source=source, sink=sink)
        self._messages = owner
        self.transcoder = transcoder
        self._early = _NOTHING
        self._goodbye = False

    def begin(self, early: bytes) -> None:
        """Translate *early* in the first turn, and send it first of all."""
        if early:
            self._early = memoryview(early)
            self.stuck = True
            self._account(len(early))

    def turn(self) -> None:
        """Read at most one buffer, and pass it on."""
        try:
            if self._is_far and not (self._bulk or self.stuck or self.over):
                self._copy(MESSAGE_BUFFER_BYTES)
            else:
                self._turn()
        except Exception:
            self._owner.failed(self)

    def _turn(self) -> None:
        if self.stuck and not self._flush():
            return
        if self.over:
            self._wind_up()
        elif self.readable and not self._held:
            want = MESSAGE_BUFFER_BYTES if self._is_far else self._allowed()
            if self._bulk and not self.closing:
                self._move_on(want)
            else:
                self._copy(want)

    def _move_on(self, want: int) -> None:
        """Splice what is left of a long frame, or read the head of the next one first."""
        if self.transcoder.as_it_is < _SPLICED_BYTES:
            self._copy(min(want, self.transcoder.as_it_is + _HEAD_BYTES))
            if self.stuck or not (self._bulk and self._is_far and self.readable):
                return
        pipe = self._tools.pipes.take()
        if pipe is None:
            self._bulk = False
            self._copy(want)
            return
        want = min(want, self.transcoder.as_it_is)
        self.transcoder.went_by(self._splice(pipe, want))
        if self.transcoder.aside and not self.stuck:
            self._say_aside()

    def _copy(self, want: int) -> None:
        tools = self._tools
        try:
            size = self.source.recv_into(tools.message_buffer, want)
        except OSError as e:
            self._not_received(e)
            return
        if not size:
            self._received_all()
            return
        view = tools.message_view[:size]
        self._send_on(view)
        self._account(size)  # only now, for nobody waits for that
        self.readable = size == want or self.closing
        if self.readable:
            tools.loop.queue(self)
        self._heed(view)
        is_burst = self._bulk or size >= STICKY_BYTES
        self._bulk = is_burst and self.transcoder.as_it_is >= _SPLICED_BYTES

    def _send_on(self, view: memoryview) -> None:
        pieces = self.transcoder.take(view)
        if pieces:
            self._send(pieces)

    def _heed(self, view: memoryview) -> None:
        """Do what else followed from *view*."""
        transcoder = self.transcoder
        if transcoder.reply:
            reply, transcoder.reply = transcoder.reply, b""
            self._messages.replied(self, reply)
        if transcoder.closed:
            self._messages.said_goodbye(self)
        elif transcoder.unread and not self.said_all:
            self._put_off(view[-transcoder.unread :])

    def _put_off(self, rest: memoryview) -> None:
        # The buffer is everybody's; what cannot be written to is our own already.
        self._early = rest if rest.readonly else memoryview(bytes(rest))
        self.stuck = True
        self._tools.loop.queue(self)

    def _send(self, pieces: Pieces) -> None:
        if self.said_all:  # for it broke meanwhile
            return
        if len(pieces) > _MOST_PIECES:
            pieces = [b"".join(pieces)]
        size = sum(map(len, pieces))
        try:
            sent = self.sink.sendmsg(pieces)
        except OSError as e:
            sent = self._not_sent(e, size)
        if sent < size:
            self._left = memoryview(b"".join(pieces))[sent:]
            self.stuck = True

    def say(self, frame: bytes) -> None:
        """Send a control frame of our own as soon as it may stand there."""
        self.transcoder.aside = frame
        if not self.stuck:
            self._say_aside()

    def _say_aside(self) -> None:
        self._send_on(_NOTHING)

    def _flush(self) -> bool:
        if not super()._flush():
            return False
        if self._early:
            early, self._early = self._early, _NOTHING
            self._send_on(early)
            self._heed(early)
        elif self.transcoder.aside:
            self._say_aside()
        return not self.stuck

    def _wind_up(self) -> None:
        if not self._goodbye:
            self._goodbye = True
            frame = self.transcoder.farewell(self._messages.close_code(self))
            if frame and not self.said_all:
                self._send([frame])
            if self.stuck:
                return
        super()._wind_up()

    def drop(self) -> None:
        super().drop()
        self._early = _NOTHING
        self.transcoder.forget()

    def unsent_bytes(self) -> int:
        return len(self._early) + super().unsent_bytes()
