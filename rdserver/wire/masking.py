"""
The mask that WebSocket clients put on what they send (RFC 6455 section 5.3).

In Python alone it is a tenth as fast as the rest of the way; so a compiled function of
the ``websockets`` library does it where that is installed.
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
    compiled = _compiled()
    return (apply_mask_slowly, False) if compiled is None else (compiled, True)


def _compiled() -> Unmask | None:
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        return None
    return cast(Unmask, apply_mask)
