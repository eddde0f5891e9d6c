"""What a WebSocket client sends and understands, without any of the server's code."""

from __future__ import annotations

import struct
from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = MASK
) -> bytes:
    """Return a frame as a client must send it."""
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = b"\xfe" + struct.pack("!H", size)
    else:
        length = b"\xff" + struct.pack("!Q", size)
    return bytes([(0x80 if fin else 0) | opcode]) + length + mask + masked


def server_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield first byte and payload of each frame; there must be nothing in part."""
    at = 0
    while at < len(data):
        first, size = data[at], data[at + 1]
        at += 2
        if size == 126:
            [size] = struct.unpack_from("!H", data, at)
            at += 2
        elif size == 127:
            [size] = struct.unpack_from("!Q", data, at)
            at += 8
        assert at + size <= len(data), "a frame in part"
        yield first, bytes(data[at : at + size])
        at += size
