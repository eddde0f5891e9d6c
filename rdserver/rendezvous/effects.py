"""
What a decision asks the edges to do.

The rooms return these and never touch a socket, so one core serves UDP, TCP and
whatever carries messages later.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from rdserver.presence.interface import Route, StreamId, StreamRoute
from rdserver.rendezvous.stream_state import Happening
from rdserver.wire import pb
from rdserver.wire.address import Address


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


@frozen
class Keep:
    """
    Let a connection live on, with heartbeats.

    :ivar happening: why: REGISTRATION or CONTROL.
    """

    stream: StreamId
    happening: Happening


Effect: TypeAlias = Send | Answer | Close | Keep
Effects: TypeAlias = Sequence[Effect]
Outcome: TypeAlias = Effects | Coroutine[Any, Any, Effects]
"""Known at once, or once storage has been asked."""


def last_word(stream: Stream, message: pb.RendezvousMessage) -> Effects:
    """Return what answers the only request of a connection."""
    return (Answer(stream.id, message), Close(stream.id))


def push(route: Route, message: pb.RendezvousMessage) -> Effect:
    """Return what brings *message* to a device that is reached by *route*."""
    if isinstance(route, StreamRoute):
        return Answer(route.stream, message)
    return Send(route, message)
