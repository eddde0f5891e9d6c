"""Twisted's own reactor and transports, turn by turn, on a clock that only tests move."""

from __future__ import annotations

import socket
import struct
from functools import cache

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port

_RESET = struct.pack("ii", 1, 0)
_WAIT_S = 0.001


class SteppedReactor(EPollReactor):
    """
    A reactor that does nothing by itself.

    :ivar now_s: its clock.
    """

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__()

    def seconds(self) -> float:
        return self.now_s

    def turn(self, wait_s: float = 0.0) -> None:
        """Make the calls that are due, then serve the sockets that are ready."""
        self.runUntilCurrent()
        self.doIteration(wait_s)


def unpaced(sock: socket.socket) -> None:
    """
    Let the kernel send at once what it may send; what *sock* accepts inherits that.

    BBR, the default of many machines, paces even what goes from here to here.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    except OSError:
        return  # not on this system: the tests are slower then


@cache
def stepped_reactor() -> SteppedReactor:
    """Return the one of this process; it is never torn down."""
    reactor = SteppedReactor()
    # The first port of a process opens a descriptor that Twisted keeps in reserve.
    port = Port(0, Factory(), 50, "127.0.0.1", reactor)
    port.startListening()
    stopped = port.stopListening()
    while not stopped.called:
        reactor.turn()
    return reactor


class Client:
    """
    A client with a real socket, which moves bytes only in :meth:`turn`.

    :param buffer_bytes: what the kernel holds for it; 0 leaves that to the kernel.
    :ivar to_send: what it has to say.
    :ivar received: what it was told.
    :ivar stalled: it does not read.
    :ivar ended: the server has closed its side.
    :ivar was_reset: the server has reset the connection.
    """

    def __init__(self, port: int, buffer_bytes: int = 0, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket()
        unpaced(self.socket)
        if buffer_bytes:  # before the connection is made: its window depends on it
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.socket.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((host, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.to_send = bytearray()
        self.received = bytearray()
        self.stalled = self.ended = self.was_reset = False
        self._closes = False

    def send(self, data: bytes) -> None:
        """Say *data*, as soon as it can."""
        self.to_send += data
        self._write()

    def finish(self) -> None:
        """Close its own side, behind what it has to say."""
        self._closes = True
        self._write()

    def close(self) -> None:
        """Close at once; what was sent still leaves, if it has read everything."""
        self.socket.close()

    def reset(self) -> None:
        """Break the connection off."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()

    def turn(self, size: int = 1 << 18) -> bool:
        """Send and read what can be; return whether there was anything."""
        if self.socket.fileno() < 0:
            return False
        has_written = self._write()
        return self._read(size) or has_written

    def _write(self) -> bool:
        sent = 0
        try:
            if self.to_send:
                sent = self.socket.send(self.to_send)
            del self.to_send[:sent]
            if self._closes and not self.to_send:
                self._closes = False
                self.socket.shutdown(socket.SHUT_WR)
                return True
        except BlockingIOError:
            return False
        except OSError:
            self.to_send.clear()
            self._closes = False
        return sent > 0

    def _read(self, size: int) -> bool:
        if self.stalled or self.ended or self.was_reset:
            return False
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return False
        except OSError:
            self.was_reset = True
            return True
        self.received += data
        self.ended = not data
        return True
