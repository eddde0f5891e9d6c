"""Connections whose session is over: time to get the rest, and then the last resort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from rdserver.transports.relay_deadlines import Deadlines


class Owed(Protocol):
    """A connection that may not have everything yet."""

    def __hash__(self) -> int: ...

    def unsent_bytes(self) -> int:
        """Return how much of what is for its client that has not taken yet."""

    def give_up(self) -> None:
        """The time for an orderly end is over."""


class Lingering:
    """
    Gives each connection the same time; who still takes something gets it again.

    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self, clock: IReactorTime, now: Callable[[], float], timeout_s: float
    ) -> None:
        self._deadlines: Deadlines[Owed] = Deadlines(clock, now, timeout_s, self._expired)
        self._owed_bytes: dict[Owed, int] = {}

    def start(self, connection: Owed) -> None:
        """Give *connection* its time, from now."""
        self._owed_bytes[connection] = connection.unsent_bytes()
        self._deadlines.start(connection)

    def stop(self, connection: Owed) -> None:
        """Forget *connection*; nothing happens if it is not here."""
        if self._owed_bytes.pop(connection, None) is not None:
            self._deadlines.stop(connection)

    def _expired(self, connection: Owed) -> None:
        before_bytes = self._owed_bytes.pop(connection)
        now_bytes = connection.unsent_bytes()
        if 0 < now_bytes < before_bytes:
            self._owed_bytes[connection] = now_bytes
            self._deadlines.start(connection)
        else:
            connection.give_up()

    def __iter__(self) -> Iterator[Owed]:
        return iter(self._owed_bytes)

    def __len__(self) -> int:
        return len(self._owed_bytes)
