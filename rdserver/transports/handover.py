"""Gives a connection from the protocol that looked at its first bytes to the next one."""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper


def hand_over(transport: Any, protocol: Any, data: bytes) -> None:
    """
    Make *protocol* the protocol of *transport*, and the whole of it, from now on.

    It is told of the connection, and then given *data* unless it closes at once.  Who
    called is out of the way, and is not told of the end.

    :param transport: a connection of the reactor's, or what lies over one as TLS does.
    :param data: what has been received so far and is for *protocol*; may be empty.
    """
    # Both ask for their protocol each time they have something for it.
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if data and not transport.disconnecting:
        protocol.dataReceived(data)
