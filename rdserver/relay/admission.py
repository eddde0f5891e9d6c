"""Whom the relay serves: key and ticket."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from rdserver.old_keys import key_name, match


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
    Compares what clients present with the relay's keys.

    :param key: empty for none.
    :param old: public keys of former times, as good as *key* where that is not empty.
    :ivar old_keys: the old keys that are compared with.
    :raises ValueError: *auth* rests on a key and there is none.  The settings refuse
        that with a sentence; here it only must never mean "everybody".

    Source: protocol.md section 4.4 no. 2.
    """

    def __init__(self, auth: RelayAuth, key: str, old: Iterable[str] = ()) -> None:
        if auth is RelayAuth.KEY and not key:
            raise ValueError("relay-auth key without a key")
        self._names: dict[bytes, str] = {}
        self.old_keys: tuple[str, ...] = ()
        if key and auth is not RelayAuth.OPEN:
            self.old_keys = tuple(old)
            self._names = {text.encode(): key_name(text) for text in self.old_keys}
            self._names[key.encode()] = ""
        self._may_be_missing = auth is RelayAuth.TICKET

    def asks(self, licence_key: bytes) -> bool:
        """Return whether *licence_key* must be one of the keys."""
        return bool(self._names) and not (self._may_be_missing and not licence_key)

    def find(self, licence_key: bytes) -> str | None:
        """Return an old key's name, or nothing for the key in force; None: it is wrong."""
        return match(self._names, licence_key)
