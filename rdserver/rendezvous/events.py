"""The reasons for which the ID server counts something, and sometimes logs it."""

from __future__ import annotations

from enum import StrEnum

_SHOWN_CHARS = 100


class Event(StrEnum):
    """Counter label and log field alike."""

    BAD_MESSAGE = "bad message"
    BAD_KEY = "bad key"
    BAD_ID = "bad id"
    CLONE = "one id, two machines"
    HANDSHAKE_GIVEN_UP = "key exchange given up"
    APPLICANT = "wants to join"
    NOT_DEPLOYED = "not deployed"
    API_REFUSED = "API request refused"
    API_FAILED = "API failed"
    ACCESS_REFUSED = "access refused"
    UUID_MISMATCH = "uuid mismatch"
    TOO_FREQUENT = "too frequent"
    FORGED_ANSWER = "answer to nobody waiting"
    RELAY_REFUSED = "relay request refused"
    STORAGE_FAILED = "storage failed"
    LOOKUPS_REFUSED = "too many lookups"
    STRANGER = "too many unknown ids"
    IMPOSSIBLE_SOURCE = "from an address that nobody has"
    UNSENT = "not sent"
    CONNECTION_REFUSED = "connection refused"
    FOREIGN = "another protocol"
    PROXY_REFUSED = "proxy refused"
    BUG = "bug"


def shown(peer_id: str) -> str:
    """
    Return an id that a stranger chose as a log line may quote it.

    Without blanks and control characters it is one word, so nobody can put a sentence
    of ours, and with it another's address, before whoever watches the log.
    """
    cut = peer_id[:_SHOWN_CHARS]
    return "".join(c if c.isprintable() and not c.isspace() else "?" for c in cut)
