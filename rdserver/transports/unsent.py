"""How much of what was written to a TCP connection its client has not taken yet."""

from __future__ import annotations

import fcntl
import sys
import termios

_COUNTER_BYTES = 4


def unsent_bytes(descriptor: int) -> int:
    """
    Return how many bytes the kernel still holds, sent or not, that are not acknowledged.

    It is the only sign of life of a client that reads slowly and says nothing: the
    kernel takes new bytes only when a third of its buffer, often a megabyte, is free.

    :param descriptor: a connected socket's; 0 is returned for anything else.
    """
    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(_COUNTER_BYTES))
    except (OSError, ValueError):  # closed meanwhile, or -1
        return 0
    return int.from_bytes(answer, sys.byteorder)
