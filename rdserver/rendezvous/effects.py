"""
What a decision asks the edges to do.

The rooms return these and never touch a socket, so one core serves UDP, TCP and
whatever carries messages later.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from rdserver.wire import pb
from rdserver.wire.address import Address

StreamId: TypeAlias = int
"""Names one accepted connection; never an address, since proxies share those."""


@frozen
class Stream:
    """
    Where a frame came from.

    :ivar id: the connection.
    :ivar address: the client's, normalised; not the proxy's.
    :ivar websocket: such a client cannot be punched through to.
    :ivar is_secure: whether frames are encrypted, after a key exchange.
    """

    id: StreamId
    address: Address
    websocket: bool = False
    is_secure: bool = False


@frozen
class Send:
    """Send one datagram from the main UDP port: a reply, or a push to a device."""

    to: Address
    message: pb.RendezvousMessage


@frozen
class Answer:
    """Send one frame on a connection; nothing happens if it is gone."""

    stream: StreamId
    message: pb.RendezvousMessage


@frozen
class Close:
    """Close a connection once everything sent on it is out."""

    stream: StreamId


Effect: TypeAlias = Send | Answer | Close
Effects: TypeAlias = Sequence[Effect]
Outcome: TypeAlias = Effects | Coroutine[Any, Any, Effects]
"""Known at once, or once storage has been asked."""
