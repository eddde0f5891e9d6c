"""Ends over real sockets: what only a kernel can lose, it must not lose."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.tickets import Tickets
from rdserver.relay.usage import EndReason, SessionRecord
from rdserver.transports.admission import Admission
from rdserver.transports.relay_connection import RelayConnection
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import DataPath
from rdserver.transports.relay_splice import SplicePath
from rdserver.transports.relay_tcp import RelayFactory
from tests.admin.stepping import own_reactor, read_all, turn
from tests.transports.relay_case import hello

TURNS = 5000


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.records: list[SessionRecord] = []
        self.relay: Relay[RelayConnection] = Relay(
            RelayAuth.OPEN,
            "",
            Tickets(time.monotonic),
            limits=Limits(),
            now=time.monotonic,
            finished=self.records.append,
        )
        reactor = own_reactor()
        path = self.make_path(reactor)
        self.factory = RelayFactory(self.relay, Admission(100, 100), reactor, path)
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.address = ("127.0.0.1", port.getHost().port)
        self.first, self.second = self.connect(), self.connect()
        self.turn_until(lambda: len(list(self.relay.sessions)) == 1)

    def make_path(self, reactor: EPollReactor) -> DataPath:
        pacer = Pacer(self.relay.total, reactor, time.monotonic)
        return CopyPath(pacer, self.relay.finish)

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address)
        self.addCleanup(client.close)
        client.sendall(hello())
        client.setblocking(False)
        return client

    def turn_until(self, done: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if done():
                return
            turn()
        self.fail("it did not happen")

    def send(self, client: socket.socket, data: bytes) -> None:
        """Send everything, giving the server its turns."""
        rest = memoryview(data)
        for _ in range(TURNS):
            try:
                rest = rest[client.send(rest) :]
            except BlockingIOError:
                turn()
            if not rest:
                return
        self.fail("the server does not read")

    def assert_all_gone(self) -> None:
        self.turn_until(lambda: self.factory.connections == 0)
        self.assertEqual(([], 1), (list(self.relay.sessions), len(self.records)))

    def test_one_closes(self) -> None:
        """The other side sees all data and then the end; then both are gone."""
        self.send(self.first, b"x" * 1_000_000)
        self.first.close()
        self.assertEqual(b"x" * 1_000_000, read_all(self.second))
        self.second.close()
        self.assert_all_gone()

    def test_survivor_was_sending(self) -> None:
        """What a survivor has sent and nobody read does not cost it a byte of its own."""
        data = b"x" * 3_000_000
        self.send(self.first, data)
        self.first.shutdown(socket.SHUT_WR)
        self.second.send(b"unread")
        received = read_all(self.second, enough=100_000)
        self.second.send(b"unread too")
        for _ in range(50):
            turn()
        self.second.send(b"and more")
        self.assertEqual(len(data), len(received + read_all(self.second)))
        self.second.close()
        self.assert_all_gone()

    def test_half_close(self) -> None:
        """Who closes only its sending still gets what the other had sent by then."""
        self.second.send(b"answer")
        self.turn_until(lambda: next(self.relay.sessions).received[1] == 6)
        self.first.shutdown(socket.SHUT_WR)
        self.assertEqual(b"answer", read_all(self.first))
        self.assertEqual(b"", read_all(self.second))
        self.second.close()
        self.assert_all_gone()

    def test_reset(self) -> None:
        """A reset of one side ends the other in order."""
        self.send(self.first, b"last words")
        self.turn_until(lambda: next(self.relay.sessions).received[0] == 10)
        linger = struct.pack("ii", 1, 0)
        self.first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.first.close()
        self.assertEqual(b"last words", read_all(self.second))
        self.second.close()
        self.assert_all_gone()

    def test_survivor_never_closes(self) -> None:
        """When the time for an orderly end is over the kernel sends the rest alone."""
        self.send(self.first, b"x" * 50_000)
        self.first.close()
        self.turn_until(lambda: self.factory.connections == 1)
        for _ in range(20):
            turn()
        [connection] = self.factory._connections
        connection.give_up()
        self.assertEqual(0, self.factory.connections)
        self.assertEqual(b"x" * 50_000, read_all(self.second))

    def test_deadline_of_a_stalled_reader(self) -> None:
        """A reader that takes nothing is cut when the time is over."""
        self.send_until_stuck()
        self.first.close()
        next(self.relay.sessions).end(EndReason.STOPPED)
        for connection in list(self.factory._connections):
            connection.give_up()
        self.assert_all_gone()

    def send_until_stuck(self) -> None:
        """Send until neither the server nor the kernel takes more."""
        stuck_turns = 0
        while stuck_turns < 20:
            try:
                self.first.send(b"x" * 65536)
                stuck_turns = 0
            except BlockingIOError:
                turn()
                stuck_turns += 1

    def test_slow_reader(self) -> None:
        """What a reader takes shows before the server can send it anything more."""
        for connection in self.factory._connections:
            size = socket.SO_SNDBUF  # one that is set does not grow
            ours = connection._detached or connection.transport.socket
            ours.setsockopt(socket.SOL_SOCKET, size, 200_000)
        session = next(self.relay.sessions)
        self.assertEqual(0, session.unsent())
        self.send_until_stuck()
        before = session.unsent(), session.received[0]
        self.assertGreater(session.unsent(), 0)
        for _ in range(TURNS):
            self.second.recv(4096)
            turn()
            if session.unsent() != before[0]:
                break
        self.assertLess(session.unsent(), before[0])
        self.assertEqual(before[1], session.received[0])

    def test_stop(self) -> None:
        """A stopping server ends in order with clients that do."""
        self.first.send(b"last words")
        self.turn_until(lambda: next(self.relay.sessions).received[0] == 10)
        closed = self.factory.close_all()
        self.assertEqual(b"last words", read_all(self.second))
        self.assertEqual(b"", read_all(self.first))
        self.first.close()
        self.second.close()
        self.turn_until(lambda: closed.called)
        self.assert_all_gone()


class SpliceTests(SocketTests):
    """The same where the sockets have left Twisted."""

    def make_path(self, reactor: EPollReactor) -> DataPath:
        pacer = Pacer(self.relay.total, reactor, time.monotonic)
        path = SplicePath(reactor, pacer, self.relay.finish, time.monotonic)
        self.addCleanup(path.close)
        return path
