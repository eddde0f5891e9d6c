"""The server's key as decisions see it: who may ask, and the proof of B's key."""

from __future__ import annotations

import hmac
from typing import Protocol

from rdserver.presence.interface import Peer


class SigningPair(Protocol):
    """The key pair that only the ID server holds."""

    def sign_id_pk(self, peer_id: str, pk: bytes) -> bytes:
        """Return the signed ``IdPk`` of a device, signature first."""


class Identity:
    """
    What the server asks of clients and proves to them.

    :param required_key: text that clients must present; empty means anybody may ask.
    :param pair: signs; None where the key is a literal text.

    Source: protocol.md sections 2.5, 3.8 step 1 and 6.4.
    """

    def __init__(self, required_key: str, pair: SigningPair | None) -> None:
        self._required = required_key.encode()
        self._pair = pair

    @property
    def checks_keys(self) -> bool:
        """Whether clients must present a key at all."""
        return bool(self._required)

    def accepts(self, licence_key: bytes) -> bool:
        """Return whether a client with this key may ask, in constant time."""
        return not self._required or hmac.compare_digest(self._required, licence_key)

    def prove(self, peer: Peer | None, version: bytes) -> bytes:
        """
        Return the signed ``IdPk`` of B, or nothing where there can be none.

        :param version: what B's answer said; ancient clients say nothing, and A
            must not expect a handshake that they do not know.
        """
        if self._pair is None or peer is None or not version or not peer.has_key:
            return b""
        return self._pair.sign_id_pk(peer.id, peer.stored.pk)
