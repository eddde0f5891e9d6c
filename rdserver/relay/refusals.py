"""Why the relay does not serve a connection: for counters, log lines and callers."""

from __future__ import annotations

from enum import StrEnum

from rdserver.errors import ProtocolError


class Refusal(StrEnum):
    """A reason; its text is for log lines and counters."""

    IMPOSSIBLE_SOURCE = "from an address that nobody has"
    BLOCKED = "blocklist"
    TOO_MANY_CONNECTIONS = "too many connections"
    FOREIGN = "another protocol"
    PROXY_REFUSED = "proxy refused"
    NO_FIRST_FRAME = "no first frame in time"
    FRAME_TOO_LONG = "first frame too long"
    NOT_A_REQUEST = "not a RequestRelay"
    BAD_KEY = "invalid key"
    PENALISED = "too many invalid keys before"
    NO_UUID = "no uuid"
    NO_TICKET = "not announced by the ID server"
    WAITING_PER_ADDRESS = "too many of this address wait"
    WAITING_TOTAL = "too many wait"
    NO_PARTNER = "no partner in time"


QUIET = frozenset({Refusal.NO_FIRST_FRAME, Refusal.NO_PARTNER, Refusal.PENALISED})
"""
Counted and never logged: nothing was asked for, or nothing was wrong with it, or the log
has a line about it already.
"""


class RefusedError(ProtocolError):
    """The connection is to be closed without a byte; *reason* is already counted."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(str(reason))
        self.reason = reason
