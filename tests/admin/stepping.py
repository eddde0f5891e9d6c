"""Real sockets without the global reactor: one of our own, run turn by turn."""

from __future__ import annotations

import socket
from functools import cache

from twisted.internet.epollreactor import EPollReactor

TURNS = 10_000  # until a test gives up


@cache
def own_reactor() -> EPollReactor:
    """Return a reactor that runs only when it is told to; it is never torn down."""
    return EPollReactor()


def turn() -> None:
    """Let the reactor do what there is to do; if there is nothing, wait a moment."""
    own_reactor().runUntilCurrent()
    own_reactor().doIteration(0.001)


def read_all(client: socket.socket, size: int = 65536, enough: int | None = None) -> bytes:
    """
    Read from a non-blocking socket, *size* bytes at a time, until the server closes.

    :param enough: stop when so many bytes have come.
    """
    received = bytearray()
    for _ in range(TURNS):
        try:
            data = client.recv(size)
        except BlockingIOError:
            turn()
            continue
        received += data
        if not data or len(received) == enough:
            return bytes(received)
    raise AssertionError(f"no end after {len(received)} bytes")
