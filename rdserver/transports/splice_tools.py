"""What all spliced flows share."""

from __future__ import annotations

from collections.abc import Callable

from rdserver.transports.pipes import Pipes
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.splice_loop import SpliceLoop

BUFFER_BYTES = 64 * 1024


class Tools:
    """
    The loop, the pipes, the limits and one buffer.

    :param now: monotonic clock, in seconds.
    :ivar buffer: for whoever has its turn, and not beyond it; *view* shows the same bytes.
    """

    def __init__(
        self, loop: SpliceLoop, pipes: Pipes, pacer: Pacer, now: Callable[[], float]
    ) -> None:
        self.loop = loop
        self.pipes = pipes
        self.pacer = pacer
        self.now = now
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
