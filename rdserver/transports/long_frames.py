"""Frames longer than others may be, for a few connections at the same time."""

from __future__ import annotations

from rdserver.presence.interface import StreamId
from rdserver.rendezvous.places import Places


class LongFrames(Places):
    """
    Lets so many connections bring a long frame; each keeps its place until it ends.

    Anybody can complete a key exchange, so behind one memory needs a bound too.

    :param max_bytes: of one frame.
    """

    def __init__(self, most: int, per_address: int, max_bytes: int) -> None:
        super().__init__(most, per_address)
        self._max_bytes = max_bytes

    def admit(self, stream: StreamId, host: str, size: int) -> bool:
        """Return whether *stream*, from *host*, may bring a frame of *size* bytes."""
        return size <= self._max_bytes and self.hold(stream, host)
