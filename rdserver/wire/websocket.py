"""
Frames of WebSocket (RFC 6455) as a server writes and reads them.  No I/O.

The handshake and everything before a session begins is Autobahn's; this is for the bytes
of a session, which pass through without being collected into messages.
"""

from __future__ import annotations

from functools import lru_cache

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN = 0x80
RESERVED_BITS = 0x70
MASKED = 0x80

MAX_CONTROL_BYTES = 125
LONGEST_HEAD_BYTES = 14
MOST_WATCHED_HEADS = 256

NORMAL, GOING_AWAY, BROKEN, REFUSED, TOO_BIG, BUSY = 1000, 1001, 1002, 1008, 1009, 1013
"""Close codes (RFC 6455 section 7.4.1; the last one is registered with IANA)."""


def frame_head(first: int, size: int) -> bytes:
    """
    Return the head of an unmasked frame.

    :param first: opcode, and :data:`FIN` if the message ends with this frame.
    :param size: bytes of payload.
    """
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


@lru_cache(maxsize=4096)
def message_head(size: int) -> bytes:
    """Return the head of a whole Binary message of *size* bytes."""
    return frame_head(FIN | BINARY, size)


def close_frame(code: int) -> bytes:
    """Return a Close frame."""
    return frame_head(FIN | CLOSE, 2) + code.to_bytes(2, "big")


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a Ping with *payload*, of at most 125 bytes."""
    return frame_head(FIN | PONG, len(payload)) + payload


def head_bytes(second: int) -> int:
    """Return how long a frame's head is whose second byte is *second*."""
    size = second & 0x7F
    return (2 if size < 126 else 4 if size == 126 else 10) + (4 if second & MASKED else 0)


def payload_bytes(head: bytes) -> int:
    """Return how much payload follows a whole masked *head*."""
    size = head[1] & 0x7F
    return size if size < 126 else int.from_bytes(head[2:-4], "big")


class CloseWatch:
    """
    Looks for a Close frame in what a client sends, and at nothing else.

    For bytes that are kept until somebody reads them: who closes is not waited for.  Of
    somebody who sends very many frames meanwhile only the first are looked at.
    """

    def __init__(self) -> None:
        self._heads_left = MOST_WATCHED_HEADS
        self._head = b""
        self._left = 0

    def sees_close(self, data: bytes) -> bool:
        """Return whether a Close frame begins in *data*, which goes on where it ended."""
        at = 0
        while at < len(data) and self._heads_left:
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
                continue
            self._head += data[at : at + 1]
            at += 1
            if self._ends_head() and self._begins_close():
                return True
        return False

    def _ends_head(self) -> bool:
        head = self._head
        return len(head) > 1 and len(head) == head_bytes(head[1])

    def _begins_close(self) -> bool:
        head, self._head = self._head, b""
        self._heads_left -= 1
        if head[1] & MASKED:
            self._left = payload_bytes(head)
        return head[0] & 0x0F == CLOSE
