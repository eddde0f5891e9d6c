"""
What the rest of the server may know about a device that was heard of.

A second implementation (several nodes sharing one truth) must fit behind this:
so callers never hold on to a :class:`Peer` over an ``await``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from attrs import frozen

from rdserver.storage.interface import StoredPeer
from rdserver.wire.address import Address

StreamId: TypeAlias = int
"""Names one accepted connection; never an address, since proxies share those."""


@frozen
class StreamRoute:
    """
    A connection that a device registered on.

    :ivar host: the device's address, normalised; not the proxy's.
    :ivar websocket: whether it is one: such a device cannot be punched through to.
    """

    host: str
    stream: StreamId
    websocket: bool = False


Route: TypeAlias = Address | StreamRoute
"""How to reach a registered device: where its datagrams come from, or its connection."""

NEVER_S = float("-inf")
"""The time of what did not happen."""

_LENGTHS = struct.Struct("=II")


class Peer:
    """
    One device in memory.  Only its :class:`Presence` changes it.

    There may be a million of them, so it is flat: every object that it holds counts
    its own header, and is one more for the garbage collector to look at.

    :ivar id: its id.
    :ivar ip: text of the address it last registered from, empty when not known.
    :ivar host: where it proved itself last; *ip* before it does.
    :ivar port: the port there; 0 before it does, and while it holds a connection.
    :ivar held: the connection that it registered on, while that is open.
    :ivar heartbeat: what is expected from there; empty if nothing is.
    :ivar seen_s: monotonic time of its last accepted sign of life.
    :ivar tries: RegisterPk accepted in a row, each soon after the one before.
    :ivar tried_s: monotonic time of the last of them; before the first, when it was
        taken in, until it is heard of.
    """

    __slots__ = (
        *("_row", "heartbeat", "held", "host", "id", "ip", "port", "seen_s", "tried_s"),
        "tries",
    )

    def __init__(self, stored: StoredPeer, now_s: float) -> None:
        self.id = stored.id
        self.host = stored.ip
        self.port = 0
        self.held: StreamRoute | None = None
        self.heartbeat = b""
        self.seen_s = NEVER_S
        self.tries = 0
        self.tried_s = now_s
        self.stored = stored

    @property
    def stored(self) -> StoredPeer:
        """Who it is, as the storage has it.  Made anew for each caller."""
        guid_bytes, pk_bytes = _LENGTHS.unpack_from(self._row)
        pk_at = _LENGTHS.size + guid_bytes
        uuid_at = pk_at + pk_bytes
        row = self._row
        guid = row[_LENGTHS.size : pk_at]
        return StoredPeer(self.id, guid, row[uuid_at:], row[pk_at:uuid_at], self.ip)

    @stored.setter
    def stored(self, stored: StoredPeer) -> None:
        # Three values in one object: headers would take more than what they hold.
        lengths = _LENGTHS.pack(len(stored.guid), len(stored.pk))
        self._row = b"".join((lengths, stored.guid, stored.pk, stored.uuid))
        # It nearly always is where it was heard of, or comes back to: one text for both.
        self.ip = self.host if self.host == stored.ip else stored.ip

    @property
    def has_key(self) -> bool:
        """Whether storage knows a public key of it."""
        return bool(_LENGTHS.unpack_from(self._row)[1])

    @property
    def route(self) -> Route | None:
        """How to reach it; None before it proved itself.  An address is made each time."""
        return self.held or (Address(self.host, self.port) if self.port else None)


class Presence(Protocol):
    """The one truth about who is online."""

    def get(self, peer_id: str) -> Peer | None:
        """Return the device if it is in memory, online or not."""

    def remember(self, stored: StoredPeer) -> Peer:
        """Take in a device that storage knows; it is offline until it shows up."""

    def confirm(self, stored: StoredPeer, route: Route) -> Peer:
        """Record that the device has just proved who it is, at *route*."""

    def refresh(self, peer: Peer, route: Route) -> None:
        """Record a sign of life that needed no new proof; *route* replaces another one."""

    def registered_on(self, stream: StreamId) -> Peer | None:
        """Return the device that holds this connection."""

    def drop(self, peer_id: str) -> StreamRoute | None:
        """Forget a device wholly; return the connection that it held, still open."""

    def stream_closed(self, stream: StreamId) -> None:
        """Record that a connection is gone; whoever held it is offline at once."""

    def expect(self, peer: Peer, heartbeat: bytes) -> None:
        """
        Take *heartbeat*, whenever it is heard, as a sign of life from the same route.

        Only the last one of each device counts, and none after the device moved, proved
        itself anew or was forgotten.
        """

    def expect_nothing(self) -> None:
        """Forget what :meth:`expect` was told, of all devices."""

    def hear(self, heartbeats: Sequence[bytes], first: int) -> int:
        """
        Record the signs of life from index *first* on, up to one that is not expected.

        :returns: the index of that one, or how many there are.
        """

    def try_register(self, peer: Peer) -> bool:
        """Count one RegisterPk of this device, unless there were too many lately."""

    def is_online(self, peer: Peer) -> bool:
        """Return whether it holds a connection, or was heard of recently enough."""

    def sweep(self) -> Iterator[None]:
        """
        Forget devices nobody has used for a while; storage still has them.

        The work is done as the result is iterated, a short slice each time; anything
        may be called between two.
        """

    def __len__(self) -> int:
        """Return how many devices are in memory."""
