"""A TCP port and clients for tests: real sockets, and a clock that is set by hand."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import SkipTest

from twisted.internet.epollreactor import EPollReactor

from rdserver.rendezvous.effects import Answer, Close, Effects, Outcome
from rdserver.transports import quick_port
from rdserver.transports.admission import Admission
from rdserver.transports.door import Door
from rdserver.transports.listeners import Listeners, Wanted
from rdserver.transports.quick_port import READ_BYTES, QuickPort
from rdserver.transports.tcp import RendezvousFactory
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.transports.edge import EdgeCase, Message, answer_to
from tests.transports.sockets import free_ports, has_ipv6, open_sockets

MAX_FRAME_BYTES = 2 * READ_BYTES
PER_ADDRESS = 3
TOTAL = 4
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing cuts


def online(*ids: bytes) -> bytes:
    """Return a question which of *ids* are online, as it comes over TCP."""
    return encode_frame(pb.encode(Message(online_request=pb.OnlineRequest(peers=ids))))


def punch(number: int = 0) -> bytes:
    """Return a request that is not answered at once by rule, as it comes over TCP."""
    request = pb.PunchHoleRequest(id=b"%d" % number)
    return encode_frame(pb.encode(Message(punch_hole_request=request)))


class Client:
    """A client on this machine, at any of its addresses; it never waits."""

    def __init__(self, port: int, host: str) -> None:
        server = "::1" if ":" in host else "127.0.0.1"
        self.socket = socket.create_connection((server, port), 5, (host, 0))
        self.socket.setblocking(False)
        self.address = Address(*self.socket.getsockname()[:2])
        self.received = b""
        self.is_open = True

    def say(self, data: bytes, *, last: bool = False) -> Client:
        """Send *data*, and perhaps that nothing will follow."""
        self.socket.sendall(data)
        if last:
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Cut the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def hear(self) -> bool:
        """Take what has come; return whether that changed anything."""
        try:
            data = self.socket.recv(2**16)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.is_open = bool(data)
        self.received += data
        return True

    def answers(self) -> list[int]:
        """Return the numbers of the answers that came."""
        frames = FrameDecoder(2**20).feed(self.received)
        return [pb.decode(one).test_nat_response.port for one in frames]


class PortCase(EdgeCase):
    """
    A port of a server, and clients of it.

    :ivar adopted: how many connections were handed to the reactor.
    """

    def setUp(self) -> None:
        if not has_ipv6():
            raise SkipTest("needs IPv6")
        super().setUp()
        self.core.decide = self.decide
        self.streams: list[Any] = []
        self.clients: list[Client] = []
        self.before = open_sockets()
        self.reactor = self.make_reactor()
        self.adopted = 0
        self.open_port(Admission(TOTAL, PER_ADDRESS))

    def make_reactor(self) -> Any:
        """Return Twisted's own reactor, which does not know what time it is."""
        reactor: Any = EPollReactor()
        reactor.seconds = self.clock.seconds
        adopt = reactor.adoptStreamConnection

        def count(*arguments: Any) -> Any:
            self.adopted += 1
            return adopt(*arguments)

        reactor.adoptStreamConnection = count
        return reactor

    def open_port(self, admission: Admission, host: str = "", **more: Any) -> None:
        """
        Listen, on all addresses of both families if none is given.

        :param more: further attributes of what stands behind it.
        """
        self.admission = admission
        door = Door(self.core, self.core.closed.append, MAX_FRAME_BYTES, **more)
        shared: dict[str, Any] = {"door": door, "admission": admission}
        shared |= {"now": self.clock.seconds, "notices": self.notices}
        factory = RendezvousFactory(outlet=self.outlet, clock=self.reactor, **shared)
        self.number = free_ports(1)
        wanted = Wanted(self.number, socket.SOCK_STREAM, "ID server")
        self.listeners = Listeners(host, [wanted], self.reactor)
        self.listeners.bind_all()
        self.listen(factory, partial(QuickPort, reactor=self.reactor, **shared))

    def listen(self, factory: RendezvousFactory, quick: Callable[..., QuickPort]) -> None:
        """Open the port as the server does where the system has what it takes."""

        def adopt(bound: socket.socket) -> QuickPort:
            self.port = quick(bound, factory=factory)
            return self.port

        self.listeners.open_tcp_by(adopt, self.number)

    def reopen(self, admission: Admission, host: str = "", **more: Any) -> None:
        """Listen on another port, with other limits."""
        self.listeners.close()
        self.reactor.iterate(0)
        self.open_port(admission, host, **more)

    def tearDown(self) -> None:
        """Whatever happened, nothing is left once clients and port are gone."""
        for client in self.clients:
            client.socket.close()
        self.turn(lambda: not len(self.admission))
        self.listeners.close()
        self.reactor.iterate(0)
        self.reactor._poller.close()
        self.reactor.waker.connectionLost(None)
        self.assertEqual([], self.outlet.open_streams())
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual(self.before, open_sockets())
        self.assertEqual(len(set(self.core.closed)), len(self.core.closed))

    def decide(self, message: Message, stream: Any) -> Outcome:
        """Answer with the number that was asked; close as the real decisions do."""
        self.streams.append(stream)
        effects: Effects = (Answer(stream.id, answer_to(message)),)
        is_last = message.WhichOneof("union") in quick_port.QUICK
        return (*effects, Close(stream.id)) if is_last else effects

    def connect(self, host: str = "127.0.0.1") -> Client:
        """Return a new client."""
        self.clients.append(Client(self.number, host))
        return self.clients[-1]

    def turn(self, until: Callable[[], object]) -> None:
        """Run the reactor until something is so."""
        for _ in range(2500):
            if until():
                return
            self.reactor.iterate(0.002)
        raise AssertionError("it did not come about")

    def settle(self) -> None:
        """Let happen what would happen now."""
        for _ in range(5):
            self.reactor.iterate(0.001)

    def ended(self, client: Client) -> Client:
        """Run until the server has closed the connection."""
        self.turn(lambda: client.hear() and not client.is_open)
        return client

    def answered(self, client: Client, *numbers: int) -> None:
        """Run until so many answers have come, and assert that they are these."""
        self.turn(lambda: client.hear() and len(client.answers()) >= len(numbers))
        self.assertEqual(list(numbers), client.answers())

    def let_in(self, count: int) -> None:
        """Run until so many connections are open."""
        self.turn(lambda: len(self.admission) == count)

    def assert_open(self, *clients: Client) -> None:
        """Assert that these are neither closed nor answered."""
        self.settle()
        for client in clients:
            self.assertFalse(client.hear())
