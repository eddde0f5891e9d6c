"""How the bytes of a session are framed: not at all, or in messages, by who takes part."""

from __future__ import annotations

from typing import TypeAlias

from rdserver.wire.masking import Unmask, best_unmask
from rdserver.wire.transcode import FromFrames, Transcoder
from rdserver.wire.unmasking import Allowance, FromWebSocket

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A client's WebSocket library takes no longer frames (protocol.md section 4.5)."""

PARTS_BYTES = 64 * 1024 * 1024

Transcoders: TypeAlias = tuple[Transcoder, Transcoder]


class Messages:
    """
    Makes what translates between the two sides of a session.

    :param max_bytes: of one message; a longer one ends its session.
    :param parts_bytes: what all sessions together hold of messages in several frames.
    :param unmask: see :mod:`rdserver.wire.masking`.
    """

    def __init__(
        self,
        max_bytes: int = MAX_MESSAGE_BYTES,
        parts_bytes: int = PARTS_BYTES,
        unmask: Unmask | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._unmask = unmask or best_unmask()[0]
        self._allowance = Allowance(parts_bytes)

    def between(
        self, first_is_websocket: bool, second_is_websocket: bool
    ) -> Transcoders | None:
        """
        Return what translates from the first side and from the second.

        Nothing does between two TCP connections: their bytes pass as they are.

        Source: protocol.md section 4.5.
        """
        if not (first_is_websocket or second_is_websocket):
            return None
        return (
            self._from(first_is_websocket, second_is_websocket),
            self._from(second_is_websocket, first_is_websocket),
        )

    def _from(self, is_websocket: bool, to_websocket: bool) -> Transcoder:
        if not is_websocket:
            return FromFrames(to_websocket=to_websocket, max_bytes=self._max_bytes)
        return FromWebSocket(
            to_websocket=to_websocket,
            max_bytes=self._max_bytes,
            unmask=self._unmask,
            allowance=self._allowance,
        )
