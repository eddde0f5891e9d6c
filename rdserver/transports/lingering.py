"""Connections whose session is over: time to get the rest, and then the last resort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from rdserver.transports.relay_deadlines import Deadlines

MOST_PERIODS = 20
"""Ten minutes, at the relay's 30 s: enough for megabytes over the slowest network."""


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

    Not for ever: who takes one byte each time would keep a socket, a pipe and the
    kernel's memory for as long as he likes, without any session.  After
    :data:`MOST_PERIODS` it is given up in any case.

    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self, clock: IReactorTime, now: Callable[[], float], timeout_s: float
    ) -> None:
        self._deadlines: Deadlines[Owed] = Deadlines(clock, now, timeout_s, self._expired)
        self._owed: dict[Owed, tuple[int, int]] = {}  # bytes, and periods that are left

    def start(self, connection: Owed) -> None:
        """Give *connection* its time, from now."""
        self._begin(connection, connection.unsent_bytes(), MOST_PERIODS)

    def stop(self, connection: Owed) -> None:
        """Forget *connection*; nothing happens if it is not here."""
        if self._owed.pop(connection, None) is not None:
            self._deadlines.stop(connection)

    def _begin(self, connection: Owed, owed_bytes: int, periods: int) -> None:
        self._owed[connection] = owed_bytes, periods - 1
        self._deadlines.start(connection)

    def _expired(self, connection: Owed) -> None:
        before_bytes, periods = self._owed.pop(connection)
        now_bytes = connection.unsent_bytes()
        if periods and 0 < now_bytes < before_bytes:
            self._begin(connection, now_bytes, periods)
        else:
            connection.give_up()

    def __iter__(self) -> Iterator[Owed]:
        return iter(self._owed)

    def __len__(self) -> int:
        return len(self._owed)
