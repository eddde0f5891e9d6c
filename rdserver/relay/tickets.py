"""Which sessions the ID server announced.  In one process a table, later a message."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

TTL_S = 120.0
"""From the announcement to the pairing: clients try for 3 times 18 seconds (section 7)."""

MAX_ENTRIES = 100_000
MAX_UUID_CHARS = 256
"""No client makes longer ones than 36; a stranger could, to fill the table's memory."""

Knock = Callable[[], None]


class Tickets:
    """
    Sessions that were announced and have not been paired yet, by uuid.

    :param now: monotonic clock, in seconds.
    :param ttl_s: how long an announcement is good for.
    :param max_entries: with more, the oldest are forgotten.
    """

    _log = Logger()

    def __init__(
        self,
        now: Callable[[], float],
        ttl_s: float = TTL_S,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._now = now
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._expiry_s: dict[str, float] = {}  # the oldest first, all have one lifetime
        self._waiting: dict[str, dict[Knock, None]] = {}

    def announce(self, uuid: str) -> None:
        """Let *uuid* be paired, once; whoever waits for it already is told now."""
        if not 0 < len(uuid) <= MAX_UUID_CHARS:
            return
        self._expiry_s.pop(uuid, None)
        self._expiry_s[uuid] = self._now() + self._ttl_s
        if len(self._expiry_s) > self._max_entries:
            del self._expiry_s[next(iter(self._expiry_s))]
        for knock in self._waiting.pop(uuid, ()):
            self._tell(knock)

    def _tell(self, knock: Knock) -> None:
        # The caller is the ID server: its answers must not depend on the relay's bugs.
        try:
            knock()
        except Exception:
            self._log.failure("a connection that waited for its ticket was lost")

    def is_announced(self, uuid: str) -> bool:
        """Return whether a session *uuid* is expected."""
        return self._expiry_s.get(uuid, 0.0) > self._now()

    def consume(self, uuid: str) -> None:
        """Forget *uuid*: its two sides have met."""
        self._expiry_s.pop(uuid, None)

    def wait_for(self, uuid: str, knock: Knock) -> None:
        """
        Call *knock* when *uuid* is announced, unless :meth:`stop_waiting` comes first.

        There is no deadline and no bound here: the caller has both.
        """
        self._waiting.setdefault(uuid, {})[knock] = None

    def stop_waiting(self, uuid: str, knock: Knock) -> None:
        """Take back :meth:`wait_for`; without effect if it has been called or never was."""
        knocks = self._waiting.get(uuid)
        if knocks is None:
            return
        knocks.pop(knock, None)
        if not knocks:
            del self._waiting[uuid]

    def sweep(self) -> None:
        """Forget what is too old."""
        now = self._now()
        while self._expiry_s:
            uuid, expiry_s = next(iter(self._expiry_s.items()))
            if expiry_s > now:
                return
            del self._expiry_s[uuid]

    @property
    def waiting(self) -> int:
        """How many uuids are being waited for."""
        return len(self._waiting)

    def __len__(self) -> int:
        return len(self._expiry_s)
