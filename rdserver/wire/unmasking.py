"""
Messages of a WebSocket on their way to the other side of a session.

A message in one frame passes as it comes.  One in several frames passes frame by frame to
another WebSocket; for TCP it must be collected, for there its length comes first.

Source: RFC 6455 section 5; protocol.md sections 1.4 and 4.5.
"""

from __future__ import annotations

from enum import Enum, auto

from rdserver.wire.framing import frame_header
from rdserver.wire.masking import Unmask
from rdserver.wire.transcode import MessageError, Pieces, Transcoder
from rdserver.wire.websocket import (
    BINARY,
    BROKEN,
    BUSY,
    CLOSE,
    CONTINUATION,
    FIN,
    LONGEST_HEAD_BYTES,
    MASKED,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    RESERVED_BITS,
    TEXT,
    frame_head,
    head_bytes,
    message_head,
    payload_bytes,
    pong_frame,
)

_WHOLE_MESSAGE = FIN | BINARY


class Allowance:
    """How much of messages in several frames all sessions together may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes

    def take(self, size: int) -> bool:
        """Take *size* bytes of it, if they are there."""
        if size > self._left_bytes:
            return False
        self._left_bytes -= size
        return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._left_bytes += size


class _Fate(Enum):
    """What becomes of a frame's payload."""

    PASSED = auto()
    COLLECTED = auto()
    SKIPPED = auto()
    OBEYED = auto()


class FromWebSocket(Transcoder):
    """
    From a WebSocket to TCP or to another WebSocket.

    :param unmask: see :mod:`rdserver.wire.masking`.
    :param allowance: for messages in several frames that go to TCP.
    """

    def __init__(
        self, *, to_websocket: bool, max_bytes: int, unmask: Unmask, allowance: Allowance
    ) -> None:
        super().__init__(to_websocket=to_websocket, max_bytes=max_bytes)
        self._unmask = unmask
        self._allowance = allowance
        self._sink_head = message_head if to_websocket else frame_header
        self._mask = b""
        self._opcode = 0
        self._fate = _Fate.PASSED  # of the present frame
        self._message_fate = _Fate.PASSED
        self._message_bytes = 0
        self._is_in_parts = False  # the message goes on in the next frame
        self._parts = bytearray()
        self._control = b""

    def _read_head(self, view: memoryview, at: int, out: Pieces) -> int:
        if not (self._rest or self._is_in_parts):
            at = self._pass_whole(view, at, out)
            if at == len(view) or not self._heads_left:
                return at
        self._heads_left -= 1
        head, at = self._gather_head(view, at)
        if head:
            self._begin_frame(head, out)
        return at

    def _pass_whole(self, view: memoryview, at: int, out: Pieces) -> int:
        """Pass on the messages that are here whole: where there are many, nearly all."""
        unmask, sink_head, most = self._unmask, self._sink_head, self._max_bytes
        before, end = len(out), len(view)
        until = before + 2 * self._heads_left
        while end - at > 6 and view[at] == _WHOLE_MESSAGE and len(out) < until:
            size = view[at + 1] - MASKED
            body = at + 6
            if size == 126:
                size = view[at + 2] << 8 | view[at + 3]
                body = at + 8
            elif not 0 < size < 126:  # no mask, nothing in it, or a size of 8 bytes
                break
            after = body + size
            if not body < after <= end or size > most:
                break
            out += (sink_head(size), unmask(view[body:after], view[body - 4 : body]))
            at = after
        self._heads_left -= (len(out) - before) // 2
        return at

    def _gather_head(self, view: memoryview, at: int) -> tuple[bytes, int]:
        """Return the next head, which is empty while it is not whole, and its end."""
        before = len(self._rest)
        head = self._rest + bytes(view[at : at + LONGEST_HEAD_BYTES - before])
        size = head_bytes(head[1]) if len(head) > 1 else 2
        if len(head) < size:
            self._rest = head
            return b"", len(view)
        self._rest = b""
        return head[:size], at + size - before

    def _begin_frame(self, head: bytes, out: Pieces) -> None:
        self._opcode, size = head[0] & 0x0F, payload_bytes(head)
        if head[0] & RESERVED_BITS or not head[1] & MASKED:
            raise MessageError("frame with reserved bits, or without a mask", BROKEN)
        self._mask = head[-4:]
        if self._opcode >= CLOSE:
            self._begin_control(head[0], size)
        else:
            self._begin_data(head[0], size, out)
        self._left = size
        self._passes = self._fate is _Fate.PASSED
        if not size:
            self._end_frame(out)

    def _begin_control(self, first: int, size: int) -> None:
        is_one = first in (FIN | CLOSE, FIN | PING, FIN | PONG)
        if not is_one or size > MAX_CONTROL_BYTES:
            raise MessageError("control frame that is none", BROKEN)
        self._fate = _Fate.OBEYED
        self._control = b""

    def _begin_data(self, first: int, size: int, out: Pieces) -> None:
        begins, ends = self._opcode != CONTINUATION, bool(first & FIN)
        if begins == self._is_in_parts or self._opcode > BINARY:
            raise MessageError("frame out of place", BROKEN)
        if begins:
            self._message_fate = self._fate_of_message(ends)
            self._message_bytes = 0
        self._fate = self._message_fate
        self._is_in_parts = not ends
        self._message_bytes += size
        self._check_size(self._message_bytes)
        if self._fate is _Fate.PASSED and not (begins and ends and not size):
            head = frame_head(first, size) if self._to_websocket else frame_header(size)
            out.append(head)

    def _fate_of_message(self, is_one_frame: bool) -> _Fate:
        if self._opcode == TEXT:
            return _Fate.SKIPPED
        passes = is_one_frame or self._to_websocket
        return _Fate.PASSED if passes else _Fate.COLLECTED

    def _pass_on(self, view: memoryview, at: int, out: Pieces) -> int:
        until = min(at + self._left, len(view))
        taken = until - at
        chunk = self._unmask(view[at:until], self._mask)
        turn = taken & 3
        self._mask = self._mask[turn:] + self._mask[:turn]
        self._left -= taken
        if self._fate is _Fate.PASSED:
            out.append(chunk)
        elif self._fate is _Fate.COLLECTED:
            self._collect(chunk)
        elif self._fate is _Fate.OBEYED:
            self._control += chunk
        if not self._left:
            self._end_frame(out)
        return until

    def _collect(self, chunk: bytes) -> None:
        if not self._allowance.take(len(chunk)):
            raise MessageError("too many messages in parts", BUSY)
        self._parts += chunk

    def _end_frame(self, out: Pieces) -> None:
        if self._fate is _Fate.OBEYED:
            self._obey()
        elif self._fate is _Fate.COLLECTED and not self._is_in_parts and self._parts:
            out += (frame_header(self._message_bytes), memoryview(self._parts))
            self.forget()

    def _obey(self) -> None:
        if self._opcode == PING:
            self.reply = pong_frame(self._control)
        elif self._opcode == CLOSE:
            self.closed = True

    def forget(self) -> None:
        """Give back what is held of a message in parts."""
        self._allowance.give_back(len(self._parts))
        self._parts = bytearray()
