"""Length-prefixed frames of RustDesk's TCP streams.  No I/O, no protobuf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from rdserver.errors import ProtocolError

MAX_PAYLOAD_BYTES = 2**30 - 1  # what 30 bits of length can say


@lru_cache(maxsize=4096)
def frame_header(size: int) -> bytes:
    """
    Return the header of a frame with *size* bytes of payload.

    It is 1 to 4 bytes, little-endian.  Its two lowest bits hold the header's size minus
    one; the bits above hold the payload's length in bytes.

    :raises ValueError: *size* is more than :data:`MAX_PAYLOAD_BYTES`.  This is our own
        mistake, never a peer's, hence not a ``ProtocolError``.

    Source: protocol.md section 1.1.
    """
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(f"payload of {size} bytes does not fit a frame")
    extra = 0 if size < 1 << 6 else 1 if size < 1 << 14 else 2 if size < 1 << 22 else 3
    return (size << 2 | extra).to_bytes(extra + 1, "little")


def encode_frame(payload: bytes) -> bytes:
    """
    Prefix *payload* with its length.

    :raises ValueError: see :func:`frame_header`.
    """
    return frame_header(len(payload)) + payload


def sole_frame(data: bytes) -> bytes | None:
    """
    Return the payload if *data* is one whole frame and nothing else, else None.

    Nearly all that clients say fits one frame and comes in one segment.

    :param data: at least one byte.
    """
    head = (data[0] & 3) + 1
    size = int.from_bytes(data[:head], "little") >> 2
    # Where the header itself is not whole, this cannot be equal.
    return data[head:] if len(data) == head + size else None


class FrameDecoder:
    """
    Cuts a byte stream back into frames.

    Headers longer than they need to be are accepted, as the reference does.

    :param max_frame_bytes: refuse any frame announcing a longer payload, as soon
        as its header is read: no peer makes us wait for, or hold, more than this.
    :param may_exceed: asked, at the header and while the rest comes, whether a frame of
        so many bytes may be longer all the same.
    """

    def __init__(
        self,
        max_frame_bytes: int,
        may_exceed: Callable[[int], bool] = lambda _size: False,
    ) -> None:
        self._max = max_frame_bytes
        self._may_exceed = may_exceed
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Buffer *data*, at once; then cut frames off as the result is iterated.

        One may stop at any frame: what follows stays buffered for the next call,
        or for :meth:`take_rest`.

        :raises ProtocolError: while iterating, at a frame longer than allowed, and
            from then on always.
        """
        self._buffer += data
        return self._frames()

    def take_rest(self) -> bytes:
        """Return and forget the bytes after the last frame (the stream turns raw)."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def _frames(self) -> Iterator[bytes]:
        while self._buffer:
            head = (self._buffer[0] & 3) + 1
            if len(self._buffer) < head:
                return
            size = int.from_bytes(self._buffer[:head], "little") >> 2
            if size > self._max and not self._may_exceed(size):
                del self._buffer[head:]  # hold no more; the header refuses what follows
                raise ProtocolError(f"frame of {size} bytes, limit is {self._max}")
            if len(self._buffer) < head + size:
                return
            frame = bytes(self._buffer[head : head + size])
            del self._buffer[: head + size]
            yield frame
