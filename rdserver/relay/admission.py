"""Whom the relay serves: key and ticket."""

from __future__ import annotations

import hmac
from enum import StrEnum


class RelayAuth(StrEnum):
    """The three ways to choose, by the names of the setting."""

    TICKET = "ticket"
    """Sessions that the ID server announced."""
    KEY = "key"
    """Whoever presents the key."""
    OPEN = "open"
    """Everybody; no key is asked for."""


class KeyCheck:
    """
    Compares what clients present with the relay's key.

    :param key: empty for none.
    :raises ValueError: *auth* rests on a key and there is none.  The settings refuse
        that with a sentence; here it only must never mean "everybody".

    Source: protocol.md section 4.4 no. 2.
    """

    def __init__(self, auth: RelayAuth, key: str) -> None:
        if auth is RelayAuth.KEY and not key:
            raise ValueError("relay-auth key without a key")
        self._key = b"" if auth is RelayAuth.OPEN else key.encode()
        self._may_be_missing = auth is RelayAuth.TICKET

    def fits(self, licence_key: bytes) -> bool:
        """Return whether a client that presents *licence_key* is let in."""
        if not self._key or (self._may_be_missing and not licence_key):
            return True
        return hmac.compare_digest(licence_key, self._key)
