"""Kernel pipes for splicing, lent to whoever has bytes on their way, and taken back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import TypeAlias

Pipe: TypeAlias = tuple[int, int]
"""Descriptors to read from and to write to."""

SIZE_BYTES = 256 * 1024
LEAST_BYTES = 64 * 1024
"""A smaller pipe is slower than copying."""

MAX_IDLE = 64
MAX_OPEN = 1024
"""Readers that stall keep pipes; they must not take the descriptors of connections."""

REFUSED_S = 1.0
"""How long none is asked for after one was refused: copying goes on meanwhile."""


class Pipes:
    """
    A pool.  Only empty pipes may come back.

    Unprivileged users have a budget of pipe memory, and every process one of
    descriptors: with neither left, :meth:`take` says so and the caller copies instead.

    :param now: monotonic clock, in seconds.
    :ivar open: pipes that exist, lent or idle.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._idle: list[Pipe] = []
        self._unused = 0
        self._keeps = MAX_IDLE
        self._refused_until_s = float("-inf")
        self.open = 0

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None where there are no more."""
        if self._idle:
            pipe = self._idle.pop()
            self._unused = min(self._unused, len(self._idle))
            return pipe
        if self.open >= MAX_OPEN or self._now() < self._refused_until_s:
            return None
        made = self._make()
        if made is None:
            self._refused_until_s = self._now() + REFUSED_S
        return made

    def give_back(self, pipe: Pipe) -> None:
        """Take an empty pipe back."""
        if len(self._idle) < self._keeps:
            self._idle.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe; for one that still holds bytes the only way."""
        self.open -= 1
        for descriptor in pipe:
            os.close(descriptor)

    def sweep(self) -> None:
        """Close those that nobody has used since the last time."""
        for pipe in self._idle[: self._unused]:
            self.discard(pipe)
        del self._idle[: self._unused]
        self._unused = len(self._idle)

    def close(self) -> None:
        """Close the idle ones now, and what still comes back then."""
        self._keeps = 0
        while self._idle:
            self.discard(self._idle.pop())

    def _make(self) -> Pipe | None:
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        self.open += 1
        if _grow(pipe[0]) < LEAST_BYTES:
            self.discard(pipe)
            return None
        return pipe


def _grow(descriptor: int) -> int:
    """Ask for the full size; return what the pipe has then, in bytes."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, SIZE_BYTES)
    except OSError:  # over the user's budget: new pipes have one page or two then
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
