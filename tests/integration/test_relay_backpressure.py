"""One reader stops in the middle of a large transfer, over real sockets."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.tickets import Tickets
from rdserver.transports.admission import Admission
from rdserver.transports.relay_connection import RelayConnection
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import DataPath
from rdserver.transports.relay_splice import SplicePath
from rdserver.transports.relay_tcp import RelayFactory
from tests.transports.relay_case import hello

CHUNK = bytes(range(256)) * 256
CHUNKS = 1600  # 100 MiB: more than all buffers of kernel and server can hold
OTHER_WAY = b"y" * 5_000_000


def resident_bytes() -> int:
    """Return how much memory this process, server and clients, uses now."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Client(Protocol):
    """Counts what it gets, and tells when it got so much or was closed."""

    def __init__(self) -> None:
        self.received = 0
        self.closed: Deferred[None] = Deferred()
        self._enough: tuple[int, Deferred[None]] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self._enough is not None and self.received >= self._enough[0]:
            self._enough[1].callback(None)
            self._enough = None

    def until(self, size: int) -> Deferred[None]:
        """Fire when *size* bytes have come."""
        self._enough = (size, Deferred())
        return self._enough[1]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


class Source:
    """Sends chunks as fast as its transport takes them, then closes."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.left = CHUNKS
        self.paused = False

    def start(self) -> None:
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(CHUNK)
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.left = 0


class BackPressureTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.relay: Relay[RelayConnection] = Relay(
            RelayAuth.OPEN,
            "",
            Tickets(reactor.seconds),
            limits=Limits(),
            now=reactor.seconds,
            finished=lambda record: None,
        )
        pacer = Pacer(self.relay.total, reactor, reactor.seconds)
        self.path = self.make_path(pacer)
        self.factory = RelayFactory(self.relay, Admission(10, 10), reactor, self.path)
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")

    @inlineCallbacks
    def tearDown(self) -> Generator[Any, Any, None]:
        yield self.port.stopListening()
        yield self.factory.close_all()
        self.path.close()

    def make_path(self, pacer: Pacer) -> DataPath:
        return CopyPath(pacer, self.relay.finish)

    @inlineCallbacks
    def connect(self) -> Generator[Any, Any, Client]:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        client = yield connectProtocol(endpoint, Client())
        client.transport.write(hello())
        return client

    @inlineCallbacks
    def stall(self) -> Generator[Any, Any, tuple[Client, Client, Source]]:
        """Let a reader stop, its partner send, until nothing moves any more."""
        sender, reader = (yield self.connect()), (yield self.connect())
        yield self.until(lambda: any(self.relay.sessions))
        reader.transport.pauseProducing()
        source = Source(sender.transport)
        source.start()
        left = -1
        while left != source.left:
            left = source.left
            yield deferLater(reactor, 0.2)
        return sender, reader, source

    @inlineCallbacks
    def until(self, done: Any) -> Generator[Any, Any, None]:
        while not done():
            yield deferLater(reactor, 0.01)

    @inlineCallbacks
    def test_stalled_reader(self) -> Generator[Any, Any, None]:
        """
        The other direction flows, memory is bounded, and when the reader goes on it gets
        every byte and the end.
        """
        before_bytes = resident_bytes()
        sender, reader, source = yield self.stall()
        self.assertGreater(source.left, 0)
        got_all = sender.until(len(OTHER_WAY))
        reader.transport.write(OTHER_WAY)
        yield got_all
        self.assertLess(resident_bytes() - before_bytes, 25 * 1024 * 1024)
        reader.transport.resumeProducing()
        yield reader.closed
        self.assertEqual(CHUNKS * len(CHUNK), reader.received)
        yield sender.closed
        yield self.until(lambda: self.factory.connections == 0)

    @inlineCallbacks
    def test_ended_while_paused(self) -> Generator[Any, Any, None]:
        """A session that ends while a source is paused still closes both sides."""
        sender, reader, _ = yield self.stall()
        sender.transport.abortConnection()
        reader.transport.resumeProducing()
        yield reader.closed
        yield self.until(lambda: self.factory.connections == 0)
        self.assertEqual([], list(self.relay.sessions))


class SpliceBackPressureTests(BackPressureTests):
    """The same where the sockets have left Twisted."""

    def make_path(self, pacer: Pacer) -> DataPath:
        return SplicePath(reactor, pacer, self.relay.finish, reactor.seconds)
