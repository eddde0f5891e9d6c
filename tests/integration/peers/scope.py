"""What a client has open, and what it does at the same time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar


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
        self._open: list[_Closable] = []
        self.is_over = threading.Event()

    def keep(self, opened: Kept) -> Kept:
        """Close what was opened when all ends."""
        self._open.append(opened)
        if self.is_over.is_set():
            opened.close()
        return opened

    def start(self, work: Callable[[], None]) -> None:
        """Do something in a thread of its own."""
        threading.Thread(target=self._do, args=(work,), daemon=True).start()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            with suppress(TimeoutError):  # nobody came
                work()
        except Exception as e:  # whatever it is: a test shows it
            if not self.is_over.is_set():
                self.errors.append(e)

    def close(self) -> None:
        """Close everything; the threads end when they notice, at the latest in time."""
        self.is_over.set()
        for opened in self._open:
            if isinstance(opened, socket.socket):
                with suppress(OSError):  # wakes who waits at it
                    opened.shutdown(socket.SHUT_RDWR)
            opened.close()
