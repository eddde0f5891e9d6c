"""Whoever has connected to a quick port, and what becomes of him beyond it."""

from __future__ import annotations

import socket
from typing import Any

from rdserver.transports.tcp import RendezvousFactory, RendezvousStream
from rdserver.wire.address import Address


class Caller:
    """
    A connection that nobody has answered yet.

    :ivar since_s: when we began to wait for what it says, if we had to.
    """

    __slots__ = ("address", "since_s", "socket")

    def __init__(self, accepted: socket.socket, address: Address) -> None:
        self.socket = accepted
        self.address = address
        self.since_s: float | None = None


class Handover:
    """Lets the reactor make a transport, and remembers the protocol on it."""

    def __init__(self, factory: RendezvousFactory, has_spoken: bool) -> None:
        self._factory = factory
        self._has_spoken = has_spoken
        self.protocol: RendezvousStream | None = None

    def buildProtocol(self, addr: Any) -> RendezvousStream | None:
        self.protocol = self._factory.buildProtocol(addr)
        if self.protocol is not None:
            self.protocol.has_spoken = self._has_spoken
        return self.protocol
