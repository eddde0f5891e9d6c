"""What a client has open, and what it does at the same time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from tests.integration.peers.line import Line

_JOIN_S = 5.0


class _Closable(Protocol):
    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=_Closable)


class Scope:
    """
    Sockets and threads that end together.

    :ivar errors: of threads, but not those of waiting for nothing until the end.
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.is_over = threading.Event()
        self._open: list[_Closable] = []
        self._threads: list[threading.Thread] = []

    def keep(self, opened: Kept) -> Kept:
        """Close what was opened when all ends."""
        self._open.append(opened)
        if self.is_over.is_set():
            opened.close()
        return opened

    def start(self, work: Callable[[], None]) -> None:
        """Do something in a thread of its own."""
        thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            with suppress(TimeoutError):  # nobody came
                work()
        except Exception as e:  # whatever it is: a test shows it
            if not self.is_over.is_set():
                self.errors.append(e)

    def close(self) -> None:
        """Wake who waits, wait until the threads have ended, then close everything."""
        self.is_over.set()
        for opened in list(self._open):
            _shut_down(opened)
        deadline = time.monotonic() + _JOIN_S
        for thread in list(self._threads):
            thread.join(max(deadline - time.monotonic(), 0))
        # Not before: a thread could begin to wait at a number that another file has then.
        for opened in list(self._open):
            opened.close()


def _shut_down(opened: _Closable) -> None:
    # Who waits at a UDP socket does so for moments, and looks whether all is over.
    below = opened.socket if isinstance(opened, Line) else opened
    if isinstance(below, socket.socket) and below.type == socket.SOCK_STREAM:
        with suppress(OSError):  # says so even if it has woken somebody, or is closed
            below.shutdown(socket.SHUT_RDWR)
