"""The server's keys as decisions see them: who may ask, and the proof of B's key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import frozen

from rdserver.old_keys import key_name, match
from rdserver.presence.interface import Peer


class SigningPair(Protocol):
    """A key pair that only the ID server holds."""

    def sign_id_pk(self, peer_id: str, pk: bytes) -> bytes:
        """Return the signed ``IdPk`` of a device, signature first."""


class OldPair(SigningPair, Protocol):
    """A pair whose public half some clients still have as their key."""

    @property
    def public_text(self) -> str:
        """The public key as clients were given it."""


@frozen(eq=False)
class Credential:
    """
    What a client has shown that it knows: one of the server's keys.

    :ivar pair: signs what this client is told, for no other key does it believe; None
        where the key is a literal text.
    :ivar old_name: how an old key is called; empty: it is the one in force.
    """

    pair: SigningPair | None
    old_name: str = ""

    def prove(self, peer: Peer | None, version: bytes) -> bytes:
        """
        Return the signed ``IdPk`` of B, or nothing where there can be none.

        :param version: what B's answer said; ancient clients say nothing, and A
            must not expect a handshake that they do not know.
        """
        if self.pair is None or peer is None or not version or not peer.has_key:
            return b""
        return self.pair.sign_id_pk(peer.id, peer.stored.pk)


class Identity:
    """
    What the server asks of clients, and with which of its keys it signs for them.

    :param required_key: text that clients must present; empty means anybody may ask.
    :param pair: signs; None where the key is a literal text.
    :param old: pairs of former times; their public keys are as good as *required_key*.
    :ivar current: of whoever has shown nothing, and need not.
    :ivar old_keys: the public texts of *old*.

    Source: protocol.md sections 2.5, 3.8 step 1 and 6.4.
    """

    def __init__(
        self, required_key: str, pair: SigningPair | None, old: Iterable[OldPair] = ()
    ) -> None:
        self.current = Credential(pair)
        old = tuple(old)
        self.old_keys = tuple(one.public_text for one in old)
        self._required = required_key.encode()
        self._known = {
            one.public_text.encode(): Credential(one, key_name(one.public_text))
            for one in old
        }
        if required_key:
            self._known[self._required] = self.current

    @property
    def checks_keys(self) -> bool:
        """Whether clients must present a key at all."""
        return bool(self._required)

    def recognise(self, licence_key: bytes) -> Credential | None:
        """Return what a client with this key has shown; None: it may not ask."""
        found = match(self._known, licence_key)
        return self.current if found is None and not self._required else found
