"""The connections that stay: heartbeats to all of them, and an end for who is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from rdserver.rendezvous.stream_state import HEARTBEAT_S, SILENCE_S
from rdserver.transports.relay_deadlines import Deadlines


class KeptLine(Protocol):
    """A connection that stays."""

    def __hash__(self) -> int: ...

    def beat(self) -> None:
        """It is time for a heartbeat."""

    def silent(self) -> None:
        """Nothing came back for too long."""


class Kept:
    """
    Keeps the time of all connections of a port that stay: there may be 100,000.

    :param now: monotonic clock, in seconds.
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._beats: Deadlines[KeptLine] = Deadlines(clock, now, HEARTBEAT_S, self._beat)
        self._silences: Deadlines[KeptLine] = Deadlines(
            clock, now, SILENCE_S, lambda line: line.silent()
        )

    def start(self, line: KeptLine) -> None:
        """Keep *line*, from now; again is as good as once."""
        self._beats.start(line)
        self._silences.start(line)

    def heard(self, line: KeptLine) -> None:
        """Note that *line*, which is kept, has said something."""
        self._silences.start(line)

    def stop(self, line: KeptLine) -> None:
        """Keep *line* no more; nothing happens if it was not kept."""
        self._beats.stop(line)
        self._silences.stop(line)

    def _beat(self, line: KeptLine) -> None:
        self._beats.start(line)
        line.beat()

    def __len__(self) -> int:
        return len(self._beats)
