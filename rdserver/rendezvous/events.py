"""The reasons for which the ID server counts something, and sometimes logs it."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Counter label and log field alike."""

    BAD_MESSAGE = "bad message"
    BAD_KEY = "bad key"
    BAD_ID = "bad id"
    UUID_MISMATCH = "uuid mismatch"
    TOO_FREQUENT = "too frequent"
    FORGED_ANSWER = "answer to nobody waiting"
    RELAY_REFUSED = "relay request refused"
    STORAGE_FAILED = "storage failed"
    UNSENT = "not sent"
    CONNECTION_REFUSED = "connection refused"
    BUG = "bug"
