"""
Messages on their way from one kind of connection to another, without being collected.

Between a TCP connection and a WebSocket each frame of the one becomes one Binary message
of the other; between two WebSockets messages pass one to one.  A frame's head says how
long it is, so the other side's head can leave at once, and the payload as it comes.

Source: protocol.md sections 1.1, 1.4 and 4.5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

from rdserver.errors import ProtocolError
from rdserver.wire.websocket import TOO_BIG, close_frame, message_head

Piece: TypeAlias = bytes | memoryview
Pieces: TypeAlias = list[Piece]

MOST_HEADS = 512
"""
Of one :meth:`Transcoder.take`: the smallest frames cost most, and in the loop others wait.
The plain path, whose reads are smaller, takes part after part.
"""


class MessageError(ProtocolError):
    """
    A side broke the rules of its framing.

    :ivar code: what a WebSocket is told when it is closed for it.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Transcoder(ABC):
    """
    One direction of a session with a WebSocket in it.

    :param to_websocket: whether the sink is one; else it takes frames of TCP.
    :param max_bytes: a longer message ends the session.
    :ivar aside: a whole control frame of our own for the sink, to be sent as soon as it
        would not land inside a message; a new one replaces it.
    :ivar reply: a control frame for the source; whoever takes it makes it empty.
    :ivar closed: the source has said that it closes, or broke a rule; nothing of it is
        read any more.
    :ivar code: with which a source that is a WebSocket is closed; 0 is the usual one.
    :ivar unread: how many bytes at the end of what was taken last are to be taken again.
    """

    def __init__(self, *, to_websocket: bool, max_bytes: int) -> None:
        self._to_websocket = to_websocket
        self._max_bytes = max_bytes
        self._left = 0  # payload of the present frame that has not come yet
        self._passes = True  # and whether it is for the sink
        self._rest = b""  # of a head that was cut
        self._heads_left = 0
        self.aside = b""
        self.reply = b""
        self.closed = False
        self.code = 0
        self.unread = 0

    @property
    def is_between_messages(self) -> bool:
        """Whether the sink has no message, or frame of one, in part."""
        return not (self._left and self._passes)

    def take(self, view: memoryview) -> Pieces:
        """
        Return what the next bytes of the source are for the sink.

        They are not all taken if there are very many frames: see *unread*.

        :param view: bytes that may change afterwards, and with them the pieces.
        """
        out: Pieces = []
        self.unread = 0
        self._heads_left = MOST_HEADS
        at, end = 0, len(view)
        try:
            while at < end and not self.closed:
                if self._left:
                    at = self._pass_on(view, at, out)
                elif self._heads_left:
                    if self.aside:
                        self._say_aside(out)
                    at = self._read_head(view, at, out)
                else:
                    self.unread, at = end - at, end
        except MessageError as e:
            self.closed, self.code = True, e.code
        if self.aside and self.is_between_messages:
            self._say_aside(out)
        return out

    def _say_aside(self, out: Pieces) -> None:
        out.append(self.aside)
        self.aside = b""

    def farewell(self, code: int) -> bytes:
        """Return the Close frame that ends what the sink is sent, where it may have one."""
        may = self._to_websocket and self.is_between_messages
        return close_frame(code) if may else b""

    @property
    def as_it_is(self) -> int:
        """How many of the next bytes are for the sink just as they come."""
        return 0

    def went_by(self, size: int) -> None:
        """Take note that *size* of them went to the sink without being taken."""
        self._left -= size

    @abstractmethod
    def forget(self) -> None:
        """Give back what is held: nothing will be taken any more."""

    @abstractmethod
    def _read_head(self, view: memoryview, at: int, out: Pieces) -> int:
        """
        Take whole messages, or the head of one; return where it ends.

        What it takes counts, unless nothing comes behind it.
        """

    @abstractmethod
    def _pass_on(self, view: memoryview, at: int, out: Pieces) -> int:
        """Take payload of the message under way; return where it ends."""

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise MessageError(f"message of {size} bytes", TOO_BIG)


class FromFrames(Transcoder):
    """From TCP to a WebSocket: empty frames are signs of life and not passed on."""

    @property
    def as_it_is(self) -> int:
        return self._left

    def forget(self) -> None:
        """Nothing is held here."""

    def _read_head(self, view: memoryview, at: int, out: Pieces) -> int:
        if self._rest:
            return self._complete_head(view, at, out)
        end, heads_left = len(view), self._heads_left
        while at < end and heads_left:
            heads_left -= 1
            body = at + (view[at] & 3) + 1
            if body > end:
                self._rest = bytes(view[at:end])
                return end
            size = int.from_bytes(view[at:body], "little") >> 2
            at = body + size
            if at > end:
                self._open(size, out)
                return body
            if size:
                self._check_size(size)
                out += (message_head(size), view[body:at])
        self._heads_left = heads_left
        return at

    def _complete_head(self, view: memoryview, at: int, out: Pieces) -> int:
        body = at + (self._rest[0] & 3) + 1 - len(self._rest)
        self._rest += bytes(view[at:body])
        if body > len(view):
            return len(view)
        size = int.from_bytes(self._rest, "little") >> 2
        self._rest = b""
        if size:
            self._open(size, out)
        return body

    def _open(self, size: int, out: Pieces) -> None:
        self._check_size(size)
        out.append(message_head(size))
        self._left = size

    def _pass_on(self, view: memoryview, at: int, out: Pieces) -> int:
        until = min(at + self._left, len(view))
        out.append(view[at:until])
        self._left -= until - at
        return until
