"""Load generators as objects: started with options, followed by the lines they say."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from contextlib import suppress
from typing import Any, TypeAlias

from bench.build import program
from bench.child import LOAD_CPUS, end, spawn

Figures: TypeAlias = dict[str, float]
"""What one run measured, by name."""

_SPARE_S = 60.0


def heartbeat_words(figures: Figures) -> str:
    """Return what became of heartbeats, in words; after a loss no latency is known."""
    shown = {"p50us": "p50", "p99us": "p99", "p999us": "p99.9", "maxus": "longest"}
    latencies = [
        f"{word} {figures[name]:.0f} us" for name, word in shown.items() if name in figures
    ]
    return (
        f"{figures['answered']:.0f} of {figures['sent']:.0f} heartbeats answered, "
        f"{figures['late']:.0f} late, {figures['lost']:.0f} lost, "
        f"{figures['asked_for_key']:.0f} asked for a key, "
        + (", ".join(latencies) or "latency not known")
    )


class LoadError(RuntimeError):
    """A generator failed, found a wrong byte, or did not end in time."""


class Load:
    """
    One generator at work; a context manager, at whose end it is gone.

    :param limit_s: how long it may run, from now on.
    :param options: for its command line, by name; None leaves one out.
    """

    def __init__(self, name: str, *modes: str, limit_s: float, **options: Any) -> None:
        pairs = [f"{k}={v}" for k, v in options.items() if v is not None]
        self._what = " ".join((name, *modes, *pairs))
        self._until_s = time.monotonic() + limit_s + _SPARE_S
        self._lines: list[str] = []
        self._rest = ""
        self._process = spawn(
            [program(name), *modes, *pairs],
            LOAD_CPUS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def feed(self, lines: list[str], *, last: bool = True) -> None:
        """Write *lines* to its standard input, and end that if they are the *last*."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it says itself what it died of
            self._process.stdin.write("".join(line + "\n" for line in lines))
            self._process.stdin.flush()
            if last:
                self._process.stdin.close()

    def next_line(self) -> str:
        """
        Return the next line it says.

        :raises LoadError: it ended instead, or its time is over.
        """
        while not self._lines and time.monotonic() < self._until_s:
            if not self._read():
                break
        if self._lines:
            return self._lines.pop(0)
        raise LoadError(f"{self._what}: no answer, status {self._process.poll()}")

    def _read(self) -> bool:
        """Read what is there within a second; return False at the end."""
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        ready, _, _ = select.select([out], [], [], 1.0)
        if not ready:
            return True
        data = os.read(out, 1 << 16)
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        self._lines += lines
        return bool(data)

    def wait_for(self, word: str) -> str:
        """Return the next line that begins with *word*."""
        while not (line := self.next_line()).startswith(word):
            pass
        return line

    def finish(self) -> Figures:
        """
        End its measured time now; return what it measured, as :meth:`result` does.

        :raises LoadError: it is over already, or did not end well.
        """
        status = self._process.poll()
        if status is not None:
            raise LoadError(f"{self._what}: over too early, status {status}")
        self._process.terminate()
        return self.result()

    def result(self) -> Figures:
        """
        Return what it measured, once it has ended well.

        :raises LoadError: it did not.
        """
        figures: Figures = json.loads(self.wait_for("{"))
        left_s = max(self._until_s - time.monotonic(), 0.1)
        status = self._process.wait(left_s)
        if status:
            raise LoadError(f"{self._what}: status {status}, {figures}")
        return figures
