"""What the ID server asks of whatever keeps devices over a restart.  No SQL here."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from attrs import frozen


@frozen
class StoredPeer:
    """
    One registered device, as a row of the reference's table ``peer``.

    :ivar id: the device's id.
    :ivar guid: 16 random bytes, the row's identity; survives a change of id.
    :ivar uuid: the machine identity, proof of who owns *id*; set once.  Empty: the first
        machine that asks for the id gets it.
    :ivar pk: Ed25519 public key, 32 bytes from every real client.
    :ivar ip: text of the address it last registered from, IPv4 as plain IPv4;
        empty when not known.

    Source: protocol.md section 3.15.
    """

    id: str
    guid: bytes
    uuid: bytes
    pk: bytes
    ip: str


class PeerStore(Protocol):
    """
    Every awaitable may raise :class:`rdserver.errors.StorageError`.

    Requests that arrive while others are being served are gathered: many
    :meth:`find` become one query, many :meth:`save` one transaction.
    """

    def find(self, peer_id: str) -> Awaitable[StoredPeer | None]:
        """Return the device with this id, or None if it never registered."""

    def save(self, peer: StoredPeer) -> Awaitable[None]:
        """
        Insert the device, or update id, pk and ip of the row with its guid.

        The uuid of a row changes from and to an empty one only.

        Done when the row would survive the machine losing power.
        """

    def page(self, after: str, count: int) -> Awaitable[Sequence[StoredPeer]]:
        """Return up to *count* devices whose ids follow *after*, in the ids' order."""

    def bans(self) -> Awaitable[Sequence[str]]:
        """Return the ids that are banned, whether a device has them or not."""

    def ban(self, peer_id: str) -> Awaitable[None]:
        """Ban an id; again is as good as once."""

    def unban(self, peer_id: str) -> Awaitable[None]:
        """Ban an id no more; nothing happens if it was not banned."""
