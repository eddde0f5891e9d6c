"""Fakes that several test files share.  Each fakes one thing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

READ_BYTES = 64 * 1024
BUFFER_BYTES = 64 * 1024


class TurnClock(Clock):
    """A clock that keeps what a reactor keeps: a new call waits for the next turn."""

    def advance(self, amount: float) -> None:
        """Run the calls that are due by then and are there already."""
        self.rightNow += amount
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.rightNow]
        for call in sorted(due, key=lambda call: call.getTime()):
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    def is_due(self) -> bool:
        """Return whether the next turn has a call to run, without time passing."""
        return any(call.getTime() <= self.rightNow for call in self.getDelayedCalls())


class FakeTCP:
    """
    A TCP connection with a client at the other end, without a network.

    It keeps what Twisted's own keeps: it pauses a streaming producer whose data it
    cannot send, reads nothing while it is paused itself, and does not close while a
    paused producer is registered.  Nothing happens by itself but in :meth:`turn`.

    :param window_bytes: how much the client takes before it reads.
    """

    def __init__(
        self, host: str = "192.0.2.1", port: int = 5001, window_bytes: int = 2**40
    ) -> None:
        kind = IPv6Address if ":" in host else IPv4Address
        self.peer = kind("TCP", host, port)
        self.window_bytes = window_bytes
        self.protocol: Any = None
        self.options: set[str] = set()
        self.connected = True
        self.disconnecting = False
        self.aborted = False
        self.reading = True
        self.producer: Any = None
        self._producer_paused = False
        self._buffer = bytearray()
        self._sent = bytearray()
        self._received = bytearray()
        self._client_closed = False

    # What the client does.

    def send(self, data: bytes) -> None:
        """Send *data* to the server."""
        self._sent += data

    def close(self) -> None:
        """Close, behind what has been sent."""
        self._client_closed = True

    def read(self, size: int = 2**40) -> bytes:
        """Take what has arrived, *size* bytes at most."""
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    # What a reactor does.

    def turn(self) -> bool:
        """Read once and write once; return whether there was anything to do."""
        has_read = self._do_read()
        return self._do_write() or has_read

    def _do_read(self) -> bool:
        if not (self.connected and self.reading and not self.disconnecting):
            return False
        if self._sent:
            data = bytes(self._sent[:READ_BYTES])
            del self._sent[:READ_BYTES]
            self.protocol.dataReceived(data)
            return True
        if self._client_closed:
            self.lose(ConnectionDone())
        return self._client_closed

    def _do_write(self) -> bool:
        if not self.connected:
            return False
        size = min(len(self._buffer), self.window_bytes - len(self._received))
        self._received += self._buffer[:size]
        del self._buffer[:size]
        if self._buffer:
            return size > 0
        if self._producer_paused:
            self._producer_paused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self.lose(ConnectionDone())
        else:
            return size > 0
        return True

    def lose(self, error: Exception) -> None:
        """Lose the connection."""
        self.connected = False
        if self.producer is not None:
            self.producer.stopProducing()
        self.protocol.connectionLost(Failure(error))

    # What the protocol calls.

    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def getPeer(self) -> Any:  # noqa: N802
        return self.peer

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options.add("nodelay")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options.add("keepalive")

    def write(self, data: bytes) -> None:
        if not self.connected:
            return
        self._buffer += data
        if self.producer is not None and len(self._buffer) > BUFFER_BYTES:
            self._producer_paused = True
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        if self.producer is not None or not streaming:
            raise RuntimeError("one streaming producer at a time")
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        self.producer = None
        self._producer_paused = False

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseConnection(self) -> None:  # noqa: N802
        self.disconnecting = True

    def abortConnection(self) -> None:  # noqa: N802
        if self.connected:
            self.aborted = True
            self._buffer.clear()
            self.lose(ConnectionAborted())


def settle(*connections: FakeTCP) -> None:
    """Let everything happen that happens without the clock and the clients."""
    busy = True
    while busy:
        busy = sum(connection.turn() for connection in connections) > 0


class FakeReactor(MemoryReactorClock):
    """
    Twisted's reactor without a network, with UDP ports and calls from threads.

    Sockets that it is given stay open until their port is closed; nobody reads them.

    :ivar ports: the ports that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[FakePort] = []
        self._from_threads: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> FakePort:
        return self._listening(FakePort(self, protocol, interface))

    def adoptStreamPort(  # noqa: N802
        self, fileno: int, family: Any, factory: Any
    ) -> FakePort:
        kept = socket.fromfd(fileno, family, socket.SOCK_STREAM)
        return self._open(FakePort(self, factory, kept=kept))

    def adoptDatagramPort(  # noqa: N802
        self, fileno: int, family: Any, protocol: Any, size: int = 8192
    ) -> FakePort:
        kept = socket.fromfd(fileno, family, socket.SOCK_DGRAM)
        return self._listening(FakePort(self, protocol, kept=kept))

    def _listening(self, port: FakePort) -> FakePort:
        port.served.makeConnection(port)
        return self._open(port)

    def _open(self, port: FakePort) -> FakePort:
        self.ports.append(port)
        return port

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        self._from_threads.put(partial(call, *args))

    def run_until(self, condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Make the calls that threads asked for, until *condition* is true."""
        while not condition():
            self._from_threads.get(timeout=timeout_s)()


class FakePort:
    """
    An open port of :class:`FakeReactor`.

    :ivar served: the factory, or the protocol of a UDP port.
    :ivar sent: the datagrams that were sent, and to whom.
    :ivar error: what sending raises.
    """

    def __init__(
        self,
        reactor: FakeReactor,
        served: Any,
        interface: str = "",
        kept: socket.socket | None = None,
    ) -> None:
        self._reactor = reactor
        self._kept = kept
        self.served = served
        self.interface = interface
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.error: Exception | None = None

    def write(self, data: bytes, to: tuple[str, int]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((data, to))

    def stopListening(self) -> Deferred[None]:
        self._reactor.ports.remove(self)
        if self._kept is not None:
            self._kept.close()
        if self.served.__dict__.get("transport") is self:
            self.served.doStop()
        return succeed(None)
