"""
What the rest of the server may know about a device that was heard of.

A second implementation (several nodes sharing one truth) must fit behind this:
so callers never hold on to a :class:`Peer` over an ``await``.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address

Route: TypeAlias = Address
"""How to reach a registered device: where its datagrams come from."""


class Peer:
    """
    One device in memory.  Only its :class:`Presence` changes it.

    :ivar stored: who it is, as the storage has it.
    :ivar route: where it proved itself last; None before it does.
    :ivar seen_s: monotonic time of its last accepted sign of life.
    :ivar used_s: monotonic time of its last sign of life, or when it was taken in.
    :ivar tries: RegisterPk accepted in a row, each soon after the one before.
    :ivar tried_s: monotonic time of the last of them.
    """

    __slots__ = ("route", "seen_s", "stored", "tried_s", "tries", "used_s")

    def __init__(self, stored: StoredPeer, used_s: float) -> None:
        self.stored = stored
        self.route: Route | None = None
        self.seen_s = float("-inf")
        self.used_s = used_s
        self.tries = 0
        self.tried_s = float("-inf")


class Presence(Protocol):
    """The one truth about who is online."""

    def get(self, peer_id: str) -> Peer | None:
        """Return the device if it is in memory, online or not."""

    def remember(self, stored: StoredPeer) -> Peer:
        """Take in a device that storage knows; it is offline until it shows up."""

    def confirm(self, stored: StoredPeer, route: Route) -> Peer:
        """Record that the device has just proved who it is, at *route*."""

    def refresh(self, peer: Peer, route: Route) -> None:
        """Record a sign of life that needed no new proof."""

    def try_register(self, peer: Peer) -> bool:
        """Count one RegisterPk of this device, unless there were too many lately."""

    def is_online(self, peer: Peer) -> bool:
        """Return whether the device was heard of recently enough."""

    def sweep(self) -> None:
        """Forget devices nobody has used for a while; storage still has them."""

    def __len__(self) -> int:
        """Return how many devices are in memory."""
