"""What all spliced flows share."""

from __future__ import annotations

from collections.abc import Callable

from rdserver.transports.pipes import Pipes
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.splice_loop import SpliceLoop

BUFFER_BYTES = 64 * 1024

MESSAGE_BUFFER_BYTES = 256 * 1024
"""For messages, which the kernel cannot splice: a third cheaper than with the above."""


class Tools:
    """
    The loop, the pipes, the limits and a buffer, with a larger one for messages.

    :param now: monotonic clock, in seconds.
    :ivar buffer: for whoever has its turn, and not beyond it; *view* shows the same bytes.
    :ivar message_buffer: the same, with *message_view*.
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
        self.message_buffer = bytearray(MESSAGE_BUFFER_BYTES)
        self.message_view = memoryview(self.message_buffer)
