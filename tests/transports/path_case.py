"""A relay with real sockets and Twisted's own transports, on a clock."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.tcp import Port
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Relay
from rdserver.relay.limits import LINGER_S, Limits
from rdserver.relay.session import Session
from rdserver.relay.tickets import Tickets
from rdserver.relay.usage import SessionRecord
from rdserver.transports.admission import Admission
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import DataPath
from rdserver.transports.relay_splice import SplicePath
from rdserver.transports.relay_tcp import RelayFactory
from tests.transports.relay_case import hello
from tests.transports.stepped import Client, stepped_reactor, unpaced

SMALL_BYTES = 32 * 1024
LONGEST_S = 20.0
QUIET_TURNS = 8
FLOW_STATE = ("stuck", "queued", "readable", "closing", "over", "_full", "_held")
"""Attributes of the directions of a session; each data path has some of them."""


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _flow_state(flow: object) -> str:
    """Return the name of what *flow* is and what is true of it."""
    names = (name for name in FLOW_STATE if getattr(flow, name, False))
    return " ".join([type(flow).__name__, *names])


class PathCase(SynchronousTestCase):
    """
    Base of the tests of a data path; at the end of each nothing may be left.

    :ivar small: with buffers of :data:`SMALL_BYTES` in the kernel, on all sides.
    """

    limits = Limits()
    small = False

    def setUp(self) -> None:
        self.reactor = stepped_reactor()
        self.descriptors = open_descriptors()
        self.readers = set(self.reactor.getReaders())
        self.records: list[SessionRecord] = []
        self.clients: list[Client] = []
        self.relay: Relay[Any] = Relay(
            RelayAuth.OPEN,
            "",
            Tickets(self.reactor.seconds),
            limits=self.limits,
            now=self.reactor.seconds,
            finished=self.records.append,
        )
        self.path = self.make_path(
            Pacer(self.relay.total, self.reactor, self.reactor.seconds)
        )
        self.admission = Admission(1000, 1000)
        self.factory = RelayFactory(self.relay, self.admission, self.reactor, self.path)
        self.port = self.listen()
        self.stopped: Deferred[None] | None = None

    def listen(self) -> Port:
        port = Port(0, self.factory, 1000, "127.0.0.1", self.reactor)
        port.startListening()
        unpaced(port.socket)
        if self.small:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                port.socket.setsockopt(socket.SOL_SOCKET, option, SMALL_BYTES)
        return port

    def make_path(self, pacer: Pacer) -> DataPath:
        raise NotImplementedError

    def tearDown(self) -> None:
        for client in self.clients:
            client.close()
        stopped = self.port.stopListening()
        self.stop()
        self.until(lambda: not self.factory.connections, step_s=1.0)
        self.until(lambda: not self.reactor.getDelayedCalls())
        self.until(lambda: stopped is None or stopped.called)
        self.assert_nothing_left()

    def stop(self) -> Deferred[None]:
        """Stop as the service does; return what fires when all is closed."""
        if self.stopped is None:
            self.stopped = self.factory.close_all()
            self.stopped.addCallback(lambda _: self.path.close())
        return self.stopped

    def assert_nothing_left(self) -> None:
        """Every table is empty, and every descriptor given back."""
        self.assertEqual([], list(self.relay.sessions))
        self.assertEqual((0, 0), (self.factory.connections, len(self.admission)))
        self.assertEqual(0, len(self.factory._shared.linger))
        self.assertEqual(self.readers, set(self.reactor.getReaders()))
        self.assertEqual([], self.reactor.getWriters())
        self.assertEqual(self.descriptors, open_descriptors())
        self.assertEqual(0, self.pipes_lent())

    def pipes_lent(self) -> int:
        """Return how many pipes are not idle."""
        return 0

    # What a test does.

    def connect(self, first_bytes: bytes, host: str = "127.0.0.1") -> Client:
        """Return a client that has said *first_bytes*, and which nobody has heard yet."""
        size = SMALL_BYTES if self.small else 0
        client = Client(self.port.getHost().port, size, host)
        self.clients.append(client)
        client.send(first_bytes)
        return client

    def pair(
        self, name: str = "s1", hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    ) -> tuple[Client, Client]:
        """Return the two clients of a new session."""
        before = self.begun()
        first = self.connect(hello(name), hosts[0])
        self.until(lambda: self.relay.waiting == 1)
        second = self.connect(hello(name), hosts[1])
        self.until(lambda: self.begun() > before)
        return first, second

    def begun(self) -> int:
        """Return how many sessions there have been."""
        return self.relay._begun

    @property
    def session(self) -> Session:
        """The only one."""
        [session] = self.relay.sessions
        return session

    def turn(self, wait_s: float = 0.0) -> bool:
        """Let everybody do something; return whether a client could."""
        self.reactor.turn(wait_s)
        return sum([client.turn() for client in self.clients]) > 0

    def until(self, done: Callable[[], object], step_s: float = 0.0) -> None:
        """Take turns until *done*, *step_s* apart where nobody had anything to do."""
        give_up_s = time.monotonic() + LONGEST_S
        while not done():
            if time.monotonic() > give_up_s:
                self.fail_with("it did not happen")
            if not self.turn():
                self.reactor.turn(0.001)
                self.reactor.now_s += step_s

    def fail_with(self, what: str) -> None:
        """Fail, and say what the state is."""
        self.fail("\n".join([what, *self.state()]))

    def state(self) -> Iterator[str]:
        """Say in lines what there is: why something did not happen is to be found there."""
        for number, client in enumerate(self.clients):
            yield (
                f"client {number}: ended {client.ended}, was_reset {client.was_reset}, "
                f"{len(client.to_send)} to send, {len(client.received)} received"
            )
        for session in self.relay.sessions:
            yield f"session {session.number}: {session.received}, held {session.held}"
            for flow in getattr(session.carrier, "_flows", ()):
                yield f"  {_flow_state(flow)}"
        for ending in self.factory._shared.linger:
            yield f"lingers: {ending.unsent_bytes()} unsent, {_flow_state(ending)}"
        yield f"records: {self.records}"
        yield from (failure.getTraceback() for failure in self.flushLoggedErrors())

    def until_got(self, size: int, *clients: Client) -> None:
        """Take turns until each client has so many bytes."""
        self.until(lambda: all(len(client.received) >= size for client in clients))
        self.assertEqual({size}, {len(client.received) for client in clients})

    def until_ended(self, *clients: Client) -> None:
        """Take turns until each client has seen the server close its side, in order."""
        self.until(lambda: all(client.ended or client.was_reset for client in clients))
        if any(client.was_reset for client in clients):
            self.fail_with("one was reset")

    def until_gone(self) -> None:
        """Take turns until there is no connection."""
        self.until(lambda: not self.factory.connections)

    def settle(self, turns: int = QUIET_TURNS) -> None:
        """Take turns until nothing has moved in so many of them."""
        quiet, before = 0, -1
        while quiet < turns:
            has_moved = self.turn(0.001)
            received = self.received()
            quiet = 0 if has_moved or received != before else quiet + 1
            before = received

    def received(self) -> int:
        """Return how many bytes the relay has received in all."""
        going_on = sum(sum(session.received) for session in self.relay.sessions)
        over = sum(record.first_bytes + record.second_bytes for record in self.records)
        return going_on + over

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings."""
        self.reactor.now_s += seconds
        self.settle()

    def linger(self) -> None:
        """Let the time for an orderly end pass."""
        self.advance(LINGER_S)

    def assert_over(self, *reasons: str) -> None:
        """Everything has ended, for these reasons."""
        self.until_gone()
        self.assertEqual(list(reasons), [record.reason for record in self.records])


class Copies:
    """The plain data path."""

    def make_path(self, pacer: Pacer) -> DataPath:
        return CopyPath(pacer, self.relay.finish)  # type: ignore[attr-defined]


class Splices:
    """The fast one."""

    path: SplicePath

    def make_path(self, pacer: Pacer) -> DataPath:
        finish = self.relay.finish  # type: ignore[attr-defined]
        return SplicePath(stepped_reactor(), pacer, finish, stepped_reactor().seconds)

    def pipes_lent(self) -> int:
        return self.path.pipes - len(self.path._pipes._idle)
