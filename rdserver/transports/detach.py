"""Takes an accepted socket out of Twisted, whole and unharmed."""

from __future__ import annotations

from socket import SocketType, socket

from twisted.internet import tcp


def is_detachable(transport: object) -> bool:
    """Return whether *transport* is plain TCP, still open, and has written everything."""
    return (
        isinstance(transport, tcp.Connection)
        and not getattr(transport, "TLS", False)
        and bool(transport.connected)
        and not transport.disconnecting
        and not (transport.dataBuffer or transport._tempDataBuffer)
    )


def detach(transport: tcp.Server) -> SocketType:
    """
    Return the socket of a detachable *transport*, which is dead afterwards.

    It is non-blocking, and of the plain kind below ``socket.socket``: half as large, and
    nothing for the garbage collector.

    This does what ``Connection.connectionLost`` does, less telling the protocol and less
    closing.  The public way, a duplicate of the descriptor and ``abortConnection``, makes
    the kernel reset the connection that both descriptors share.
    """
    transport.stopReading()
    transport.stopWriting()
    transport.connected = False
    transport.disconnected = True
    old: socket = transport.socket
    del transport.protocol, transport.socket, transport.fileno
    detached = SocketType(old.family, old.type, old.proto, old.detach())
    detached.setblocking(False)
    return detached
