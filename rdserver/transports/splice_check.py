"""Whether this system can splice at all."""

from __future__ import annotations

import os
import select
import socket
from contextlib import ExitStack


def can_splice() -> bool:
    """
    Try it: move one byte from a socket through a pipe to a socket.

    Only Linux has the calls, and some sandboxes there do not let them through.
    """
    if not (hasattr(os, "splice") and hasattr(select, "epoll")):
        return False
    try:
        return _moves_a_byte()
    except OSError:
        return False


def _moves_a_byte() -> bool:
    with ExitStack() as opened:
        (sender, source), (sink, receiver) = socket.socketpair(), socket.socketpair()
        for end in (sender, source, sink, receiver):
            opened.callback(end.close)
        pipe = os.pipe()
        for descriptor in pipe:
            opened.callback(os.close, descriptor)
        sender.send(b"x")
        os.splice(source.fileno(), pipe[1], 1)
        os.splice(pipe[0], sink.fileno(), 1)
        return receiver.recv(1) == b"x"
