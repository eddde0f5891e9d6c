"""What only a real reactor shows of the ID server's edges: buffers of the system."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from rdserver.id_service import IdServer
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Answer, Close, Effects, Stream
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.routing import Relays
from rdserver.rendezvous.stream_state import CLOSING_S
from rdserver.settings.config import Config
from rdserver.transports.admission import Admission
from rdserver.transports.door import Door
from rdserver.transports.outlet import Outlet
from rdserver.transports.relay_health import RelayHealth
from rdserver.transports.tcp import RendezvousFactory
from tests.transports.edge import Message, answer_to, frame

REACTOR: Any = reactor
LONG_BYTES = 60_000
FEW_BYTES = 4096


def awaited(method: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], object]:
    """Let trial wait for a coroutine: that of Twisted 22.4 takes it for passed."""

    @wraps(method)
    def run(self: Any) -> object:
        return Deferred.fromCoroutine(method(self))

    return run


class SilentClientTests(TestCase):
    """A client on this machine that does not read, with small buffers in between."""

    timeout = 20

    def setUp(self) -> None:
        self.clock = Clock()
        self.outlet = Outlet(Notices(Logger(), Event, self.clock.seconds))
        self.admission = Admission(10, 10)
        self.asked = 0
        self.port = self.listen()
        self.client = socket.socket()
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
        self.client.connect(("127.0.0.1", self.port.getHost().port))

    def listen(self) -> IListeningPort:
        """Return the port; the deadlines are the test's, the bytes are real."""
        factory = RendezvousFactory(
            door=Door(self.decide, lambda _stream: None, 1000),
            outlet=self.outlet,
            admission=self.admission,
            clock=self.clock,
            now=self.clock.seconds,
            notices=Notices(Logger(), Event, self.clock.seconds),
        )
        build = factory.buildProtocol

        def build_small(addr: Any) -> Any:
            protocol = build(addr)
            made = protocol.connectionMade

            def connection_made() -> None:
                handle = protocol.transport.getHandle()
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FEW_BYTES)
                made()

            protocol.connectionMade = connection_made
            return protocol

        factory.buildProtocol = build_small
        port: IListeningPort = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
        return port

    @awaited
    async def tearDown(self) -> None:
        """Nothing of the connection is left."""
        self.client.close()
        await self.port.stopListening()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(([], 0), (self.outlet.open_streams(), len(self.admission)))

    def decide(self, message: Message, stream: Stream) -> Effects:
        self.asked += 1
        answer = Answer(stream.id, answer_to(message, LONG_BYTES))
        is_last = message.test_nat_request.serial == 0
        return (answer, Close(stream.id)) if is_last else (answer,)

    async def until_asked(self, times: int) -> None:
        """Wait until so many frames were decided on."""
        while self.asked < times:
            await deferLater(REACTOR, 0.01, lambda: None)

    async def until_gone(self) -> None:
        """Wait until the connection has ended."""
        while self.outlet.open_streams():
            await deferLater(REACTOR, 0.01, lambda: None)

    async def read_all(self) -> int:
        """Return how many bytes come before an orderly end; -1 for a reset."""
        self.client.setblocking(False)
        size = 0
        while True:
            try:
                data = self.client.recv(2**16)
            except BlockingIOError:
                await deferLater(REACTOR, 0.01, lambda: None)
                continue
            except ConnectionResetError:
                return -1
            if not data:
                return size
            size += len(data)

    @awaited
    async def test_answers_pile_up(self) -> None:
        """It is cut as soon as a few answers wait for it."""
        self.client.sendall(b"".join(frame(number) for number in range(1, 50)))
        await self.until_asked(1)
        await self.until_gone()
        self.assertLess(self.asked, 10)
        self.assertEqual(-1, await self.read_all())

    @awaited
    async def test_last_answer(self) -> None:
        """The last answer is waited for, and cut off when its time is over."""
        self.client.sendall(frame(0))
        await self.until_asked(1)
        await deferLater(REACTOR, 0.1, lambda: None)
        self.assertEqual(1, len(self.outlet.open_streams()))
        self.clock.advance(CLOSING_S)
        await self.until_gone()
        self.assertEqual(-1, await self.read_all())

    @awaited
    async def test_last_answer_read(self) -> None:
        """Read in time, it comes whole, and the end is an orderly one."""
        self.client.sendall(frame(0))
        self.assertLess(LONG_BYTES, await self.read_all())
        await self.until_gone()


class RelayCheckTests(TestCase):
    """The ID server's check of relays, on sockets of this machine."""

    timeout = 20

    @awaited
    async def test_alive_and_dead(self) -> None:
        """A relay that accepts is alive, one that refuses is dead; nothing stays open."""
        accepted: list[Protocol] = []
        gone: Deferred[None] = Deferred()

        class Greeted(Protocol):
            def connectionMade(self) -> None:
                accepted.append(self)

            def connectionLost(self, reason: Any = None) -> None:
                gone.callback(None)

        alive = REACTOR.listenTCP(0, Factory.forProtocol(Greeted), interface="127.0.0.1")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            relays = Relays([f"127.0.0.1:{probe.getsockname()[1]}", shown(alive)])
            config = Config(role="id", port=5000)
            id_server = IdServer(config, REACTOR, lambda _uuid: None)
            health = RelayHealth(relays, id_server._connect, REACTOR)
            health.startService()
            await gone
            while len(relays.usable) > 1:
                await deferLater(REACTOR, 0.01, lambda: None)
            await health.stopService()
        self.assertEqual(((shown(alive),), 1), (relays.usable, len(accepted)))
        await alive.stopListening()


def shown(port: IListeningPort) -> str:
    """Return the port as an operator names a relay."""
    return f"127.0.0.1:{port.getHost().port}"
