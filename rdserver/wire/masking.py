"""
The mask that WebSocket clients put on what they send (RFC 6455 section 5.3).

In Python alone it takes ten times as long as the rest of the way.  So a compiled function
of another library does it, where one is installed: that of ``websockets``, the fastest, or
that of ``tornado``, for Debian 12 ships the former without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

Unmask: TypeAlias = Callable[[bytes | memoryview, bytes | memoryview], bytes]


def apply_mask_slowly(data: bytes | memoryview, mask: bytes | memoryview) -> bytes:
    """Return *data* with every byte combined with its byte of the 4 bytes *mask*."""
    size = len(data)
    repeated = (bytes(mask) * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return mixed.to_bytes(size, "little")


def best_unmask() -> tuple[Unmask, bool]:
    """Return the fastest function that is installed, and whether it is a compiled one."""
    for find in (_of_websockets, _of_tornado):
        try:
            return find(), True
        except ImportError:
            continue
    return apply_mask_slowly, False


def _of_websockets() -> Unmask:
    from websockets.speedups import apply_mask

    return cast(Unmask, apply_mask)


def _of_tornado() -> Unmask:
    from tornado.speedups import websocket_mask

    def apply_mask(data: bytes | memoryview, mask: bytes | memoryview) -> bytes:
        return cast(bytes, websocket_mask(bytes(mask), bytes(data)))

    return apply_mask
