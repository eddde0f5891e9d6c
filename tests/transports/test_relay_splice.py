"""What only the fast data path does: pipes, the loop, sockets out of Twisted."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.limits import Limits
from rdserver.relay.usage import EndReason
from rdserver.transports import pipes, splice_check
from rdserver.transports.detach import is_detachable
from rdserver.transports.pipes import MAX_IDLE, MAX_OPEN, REFUSED_S, Pipes
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_splice import SplicePath
from rdserver.transports.splice_check import can_splice
from rdserver.transports.splice_flow import SpliceFlow
from rdserver.transports.unsent import unsent_bytes
from tests.fakes import FakeTCP
from tests.transports.path_case import PathCase, Splices, open_descriptors
from tests.transports.path_contract import MIB, noise
from tests.transports.relay_case import RelayCase, hello
from tests.transports.stepped import Client, stepped_reactor

PATH = os.pathsep.join(sys.path)


class SpliceCase(Splices, PathCase):
    small = True

    def stall(self, name: str = "s1", size: int = MIB) -> tuple[Client, Client]:
        """Return a session whose second side does not read, until nothing moves."""
        first, second = self.pair(name)
        second.stalled = True
        first.send(noise(size))
        self.settle()
        return first, second


class DetachTests(SpliceCase):
    def test_out_of_twisted(self) -> None:
        """While a session lasts the reactor knows nothing of its connections."""
        pair = self.pair()
        readers = {*self.readers, self.port, self.path._loop}
        self.assertEqual(readers, set(self.reactor.getReaders()))
        self.assertEqual((2, 2), (self.factory.connections, len(self.admission)))
        self.assertEqual(set(), self.factory._connections)
        for client in pair:
            client.finish()
        self.assert_over(EndReason.CLOSED)

    def test_lingering_counts(self) -> None:
        """A connection counts until its socket is closed, not only until its session is."""
        first, second = self.stall()
        first.finish()
        second.stalled = False
        second.turn(50_000)
        second.stalled = True
        self.session.end(EndReason.STOPPED)
        first.close()
        self.until(lambda: self.factory.connections == 1)
        self.assertEqual((1, []), (len(self.admission), list(self.relay.sessions)))
        second.reset()
        self.until_gone()
        self.assertEqual(0, len(self.admission))

    def test_not_plain_tcp(self) -> None:
        """What is no plain TCP connection, or is on its way out, stays in Twisted."""
        self.pair()
        self.assertFalse(is_detachable(FakeTCP()))
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        transport = Server(ours, self.port.factory, ("x", 1), None, 1, self.reactor)
        self.assertTrue(is_detachable(transport))
        for name, value in (("TLS", True), ("disconnecting", True), ("connected", False)):
            before = getattr(transport, name, False)
            setattr(transport, name, value)
            self.assertFalse(is_detachable(transport), name)
            setattr(transport, name, before)
        transport.stopReading()
        ours.close()

    def test_descriptors_used_again(self) -> None:
        """A new connection with an old one's descriptor is not taken for that one."""
        for number in range(20):
            first, second = self.stall(f"s{number}", 100_000)
            ended, (new, partner) = self.session, (None, None)
            first.reset()
            second.reset()
            self.until(lambda gone=ended: gone not in list(self.relay.sessions))
            new, partner = self.pair(f"new{number}")
            new.send(noise(50_000, number))
            self.until_got(50_000, partner)
            self.assertEqual(noise(50_000, number), partner.received)
            new.close()
            partner.close()
            self.until_gone()


class PlainTests(RelayCase):
    """Transports that are none of Twisted's go the plain way."""

    def setUp(self) -> None:
        super().setUp()
        reactor = stepped_reactor()
        pacer = Pacer(self.relay.total, self.clock, self.clock.seconds)
        path = SplicePath(reactor, pacer, self.relay.finish, self.clock.seconds)
        self.addCleanup(path.close)
        self.factory = type(self.factory)(self.relay, self.admission, self.clock, path)

    def test_both_ways(self) -> None:
        """They are relayed all the same."""
        first = self.connect(hello() + b"early")
        second = self.connect(hello())
        second.send(b"answer")
        self.settle()
        self.assertEqual((b"answer", b"early"), (first.read(), second.read()))
        first.close()
        self.settle()
        self.assert_nothing_left()


class PipeTests(SpliceCase):
    def test_given_back(self) -> None:
        """A flow has a pipe only while its sink is behind."""
        first, second = self.stall()
        self.assertEqual(1, self.pipes_lent())
        second.stalled = False
        self.until_got(MIB, second)
        self.settle()
        self.assertEqual(0, self.pipes_lent())
        self.assertEqual(1, self.path.pipes)
        second.stalled = True
        first.send(noise(MIB, 2))
        self.settle()
        self.assertEqual((1, 1), (self.pipes_lent(), self.path.pipes))

    def test_not_with_bytes_in_it(self) -> None:
        """A pipe that holds bytes is closed with its session: nobody else gets them."""
        _, second = self.stall()
        second.reset()
        self.until(lambda: self.path.pipes == 0)
        first, second = self.pair("s2")
        first.send(noise(MIB, 2))
        self.until_got(MIB, second)
        self.assertTrue(second.received == noise(MIB, 2))

    def test_no_descriptors_left(self) -> None:
        """Without descriptors for pipes it copies, and splices again when there are."""
        opened = self.refuse_pipes()
        first, second = self.stall()
        self.assertEqual(0, self.path.pipes)
        self.assertEqual(1, len(opened))
        second.stalled = False
        self.until_got(MIB, second)
        self.patch(os, "pipe2", self.pipe2)
        self.reactor.now_s += REFUSED_S
        first.send(noise(MIB, 2))
        self.until_got(2 * MIB, second)
        self.assertEqual(1, self.path.pipes)
        self.assertTrue(second.received == noise(MIB) + noise(MIB, 2))

    def refuse_pipes(self) -> list[int]:
        asked: list[int] = []
        self.pipe2 = os.pipe2

        def refuse(flags: int) -> tuple[int, int]:
            asked.append(flags)
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(os, "pipe2", refuse)
        return asked

    def test_no_pipe_memory_left(self) -> None:
        """Where pipes are of a page or two it copies; where they are of 64 KiB it does."""
        ask, sizes = fcntl.fcntl, [8192]

        def budget(descriptor: int, command: int, *value: int) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            if command == fcntl.F_GETPIPE_SZ:
                return sizes[0]
            return ask(descriptor, command, *value)

        self.patch(pipes.fcntl, "fcntl", budget)
        first, second = self.pair()
        first.send(noise(MIB))
        self.until_got(MIB, second)
        self.assertEqual(0, self.path.pipes)
        sizes[0] = 65536
        self.reactor.now_s += REFUSED_S
        first.send(noise(MIB))
        self.until_got(2 * MIB, second)
        self.assertEqual(1, self.path.pipes)


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = open_descriptors()
        self.now_s = 0.0
        self.pipes = Pipes(lambda: self.now_s)

    def test_bounded(self) -> None:
        """There are never more than some, and fewer that nobody uses."""
        taken = [self.pipes.take() for _ in range(MAX_OPEN)]
        self.assertNotIn(None, taken)
        self.assertIsNone(self.pipes.take())
        for pipe in taken:
            self.pipes.give_back(pipe)
        self.assertEqual(MAX_IDLE, self.pipes.open)
        self.pipes.close()
        self.assertEqual((0, self.before), (self.pipes.open, open_descriptors()))

    def test_unused(self) -> None:
        """Those that were not used from one sweep to the next are closed."""
        taken = [self.pipes.take() for _ in range(5)]
        for pipe in taken:
            self.pipes.give_back(pipe)
        self.pipes.sweep()
        for _ in range(3):
            pair = self.pipes.take(), self.pipes.take()
            for pipe in pair:
                self.pipes.give_back(pipe)
            self.pipes.sweep()
        self.assertEqual(2, self.pipes.open)
        self.pipes.sweep()
        self.assertEqual((0, self.before), (self.pipes.open, open_descriptors()))

    def test_back_after_the_end(self) -> None:
        """One that comes back when all is closed is closed too."""
        pipe = self.pipes.take()
        self.pipes.close()
        self.pipes.give_back(pipe)
        self.assertEqual((0, self.before), (self.pipes.open, open_descriptors()))


class SweepTests(SpliceCase):
    def test_pipes(self) -> None:
        """When nobody transfers anything for a while there are no pipes."""
        first, second = self.pair()
        first.send(noise(MIB))
        self.until_got(MIB, second)
        for expected in (1, 0):
            self.path.sweep()
            self.assertEqual(expected, self.path.pipes)
        first.send(noise(MIB))
        self.until_got(2 * MIB, second)


class Refusing:
    """A socket that sends nothing any more: the system has no memory."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, _: bytes) -> int:
        raise OSError(errno.ENOBUFS, "No buffer space available")


class BrokenSinkTests(SpliceCase):
    def test_last_words_of_who_does_not_listen(self) -> None:
        """
        Who closes in order while it is sent more loses nothing of what it said.

        Its kernel answers what comes with a reset, which ends its side of the relay's
        connection as well.
        """
        # Its own kernel must not hold any of it: a reset empties that.
        self.port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        pair = self.stall("s0", 3 * MIB)
        size = self.session.received[0] + 10_000
        for client in pair:
            client.reset()
        self.until_gone()
        first, second = self.stall("s1", size)
        self.assertLess(self.session.received[0], size)
        self.assertEqual(0, unsent_bytes(first.socket.fileno()))
        first.close()
        for _ in range(2):  # the first is answered by a reset, the second fails by it
            second.send(b"nobody listens")
            self.settle()
        second.stalled = False
        self.until_ended(second)
        self.assertTrue(second.received == noise(size))
        second.finish()
        self.until_gone()

    def test_sink_that_refuses(self) -> None:
        """A sink that takes nothing, though it is alive, ends its session."""
        first, _ = self.pair()
        flows = [flow for flow in self.path._loop._reading if flow is not None]
        for flow in flows:
            flow.sink = Refusing(flow.sink)
        first.send(b"x")
        self.assert_over_after_close(EndReason.CLOSED)

    def assert_over_after_close(self, reason: EndReason) -> None:
        """Everything ends as soon as the clients close too."""
        self.until(lambda: [record.reason for record in self.records] == [reason])
        for client in self.clients:
            client.close()
        self.until_gone()

    def test_sink_that_broke_after_the_end(self) -> None:
        """When the session is over a broken sink is closed at once."""
        _, second = self.stall()
        self.session.end(EndReason.STOPPED)
        second.reset()
        self.until(lambda: self.factory.connections == 1)


class BugTests(SpliceCase):
    def test_costs_one_session(self) -> None:
        """A bug in one session ends it, in the log; the others go on."""
        pair, others = self.pair("s1"), self.pair("s2")
        flow = self.path._loop._reading[self.descriptor_of(pair[0])]
        flow._tools = None
        pair[0].send(b"x")
        self.until(lambda: len(self.flushLoggedErrors(AttributeError)) == 1)
        self.until(lambda: self.factory.connections == 2)
        others[0].send(b"y")
        self.until_got(1, others[1])
        self.assertEqual([EndReason.BROKEN], [record.reason for record in self.records])

    def test_in_what_is_left(self) -> None:
        """A bug in the end of a session costs what is left of it."""
        first, second = self.pair()
        self.session.end(EndReason.STOPPED)
        second.finish()
        self.until(lambda: self.factory.connections == 1)
        flow = self.path._loop._reading[self.descriptor_of(first)]
        flow._tools = None
        first.send(b"x")
        self.until_gone()
        self.assertEqual(1, len(self.flushLoggedErrors(AttributeError)))

    def descriptor_of(self, client: Client) -> int:
        """Return the server's descriptor of the connection of *client*."""
        port = client.socket.getsockname()[1]
        [descriptor] = [
            descriptor
            for descriptor, flow in enumerate(self.path._loop._reading)
            if flow is not None and flow.source.getpeername()[1] == port
        ]
        return descriptor

    def test_in_the_loop(self) -> None:
        """What is raised out of a turn, which should never be, does not stop the loop."""
        loop = self.path._loop

        def fail() -> None:
            loop.queue(Endless(list))
            raise ZeroDivisionError

        loop.queue(Endless(fail))
        self.until(lambda: len(self.flushLoggedErrors(ZeroDivisionError)) == 1)
        first, second = self.pair()
        first.send(b"x")
        self.until_got(1, second)

    def test_nothing_more_can_be_watched(self) -> None:
        """Where the system watches no more descriptors a session ends at once."""
        register = self.path._loop._epoll.register

        class Epoll:
            closed = False

            def __getattr__(self, name: str) -> Any:
                return getattr(epoll, name)

            def register(self, descriptor: int, events: int) -> None:
                if self.left == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.left -= 1
                register(descriptor, events)

        epoll = self.path._loop._epoll
        for left in (0, 1):
            Epoll.left = left
            self.path._loop._epoll = Epoll()
            pair = self.pair(f"s{left}")
            self.path._loop._epoll = epoll
            self.until_ended(*pair)
            self.until_gone()
        self.assertEqual([EndReason.BROKEN] * 2, [r.reason for r in self.records])


class Endless:
    """A flow that always wants another turn."""

    readable = closing = stuck = queued = False

    def __init__(self, after: Callable[[], None]) -> None:
        self.turns = 0
        self._after = after

    def turn(self) -> None:
        self.turns += 1
        self._after()


class SliceTests(SpliceCase):
    """The loop and what else there is in the reactor, on a clock that goes on by itself."""

    def make_path(self, pacer: Pacer) -> SplicePath:
        self.ticks_s = 0.0
        return SplicePath(self.reactor, pacer, self.relay.finish, self.ticking)

    def ticking(self) -> float:
        self.ticks_s += 0.0005
        return self.ticks_s

    def test_others_have_their_turn(self) -> None:
        """A flood keeps nobody waiting for more than a few turns of it."""
        loop = self.path._loop
        flow = Endless(lambda: loop.queue(flow))
        loop.queue(flow)
        called: list[int] = []
        for _ in range(3):
            self.reactor.callLater(0, lambda: called.append(flow.turns))
            self.reactor.turn()
        self.assertEqual(3, len(called))
        self.assertLess(flow.turns, 20)
        loop._queue.clear()

    def test_news_before_bulk(self) -> None:
        """Who has something new to say is served before who is in the middle of much."""
        loop, order = self.path._loop, []
        ours, theirs = socket.socketpair()
        news = Endless(lambda: order.append("news"))
        bulk = Endless(lambda: self.speak(theirs, order, bulk))
        loop.watch(ours.fileno(), news, Endless(order.clear))
        loop.queue(bulk)
        loop.doRead()
        loop._queue.clear()
        self.assertEqual(["bulk", "news"] * (len(order) // 2), order[: len(order) // 2 * 2])
        self.assertGreater(len(order), 3)
        loop.forget(ours.fileno())
        ours.close()
        theirs.close()

    def speak(self, theirs: socket.socket, order: list[str], bulk: Endless) -> None:
        order.append("bulk")
        theirs.send(b"x")
        self.path._loop.queue(bulk)

    def test_released_in_the_queue(self) -> None:
        """Who may go on and has its turn to come anyway has it once."""
        first, second = self.pair()
        flow = next(flow for flow in self.path._loop._reading if flow is not None)
        self.path._loop.queue(flow)
        flow.hold()
        flow.release()
        self.assertTrue(flow.queued)
        self.settle()
        self.assertFalse(flow.queued)
        first.send(b"x")
        self.until_got(1, second)

    def test_much_and_a_timer(self) -> None:
        """A bulk transfer over the loop leaves a timer its time."""
        first, second = self.pair()
        first.send(noise(5 * MIB))
        fired: list[int] = []
        self.reactor.callLater(0, lambda: fired.append(len(second.received)))
        self.until_got(5 * MIB, second)
        self.assertLess(fired[0], MIB)

    def test_forgotten(self) -> None:
        """To forget what was never watched, or was forgotten, is harmless."""
        for descriptor in (0, 10_000):
            self.path._loop.forget(descriptor)

    def test_nothing_after_the_end(self) -> None:
        """A closed loop takes no turns, and asks the reactor for none."""
        loop, flow = self.path._loop, Endless(list)
        loop.queue(flow)
        self.until(self.stop().called.__bool__)
        loop.queue(Endless(list))
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual((-1, "splice"), (loop.fileno(), loop.logPrefix()))
        loop.connectionLost(None)


class FarLimitTests(SpliceCase):
    """What is moved while no limit is near."""

    limits = Limits(total_bandwidth_mbit_per_s=1000, single_bandwidth_mbit_per_s=1000)

    def setUp(self) -> None:
        super().setUp()
        self.reactor.now_s += 1  # the total has saved something up
        self.first, self.second = self.pair()
        self.reactor.now_s += 1  # and so has the session

    def level(self) -> float:
        return self.relay.total.bucket.level(self.reactor.now_s)

    def move(self, size: int, times: int = 1) -> None:
        """Let small chunks pass."""
        for _ in range(times):
            self.first.send(bytes(size))
            self.until(lambda: not self.first.to_send)
            self.settle()

    def own_level(self) -> float:
        return self.session.meter._own.level(self.reactor.now_s)

    def test_total_is_paid_at_once(self) -> None:
        """What all share is paid for each chunk: together little would be much."""
        before = self.level()
        self.move(1000, 3)
        self.assertEqual(before - 8 * 3000, self.level())
        self.relay.sweep()
        self.assertEqual(before - 8 * 3000, self.level())

    def test_little_is_paid_each_second(self) -> None:
        """A session's own limit is paid by the next sweep, if it was too little before."""
        before = self.own_level()
        self.move(1000, 3)
        self.assertGreater(self.own_level(), before - 8 * 3000)
        self.relay.sweep()
        self.assertEqual(before - 8 * 3000, self.own_level())

    def test_total_is_paid_once(self) -> None:
        """The end of a session pays nothing again."""
        before = self.level()
        self.move(1000, 3)
        self.first.close()
        self.second.close()
        self.until_gone()
        self.assertEqual(before - 8 * 3000, self.level())

    def test_limit_set_meanwhile(self) -> None:
        """A limit that is set while all were far away holds after the next sweep."""
        self.move(1000, 3)
        self.relay.limits = Limits(total_bandwidth_mbit_per_s=0.1)
        self.relay.sweep()
        self.move(30_000, 3)
        self.assertEqual(1, self.session.held)
        self.assertLess(len(self.second.received), 50_000)

    def test_nothing_to_say(self) -> None:
        """A session that has said nothing does not wait, not even for an empty bucket."""
        self.relay.total.bucket.pay(1e9)
        self.pair("s2")
        self.assertEqual([0, 0], [session.held for session in self.relay.sessions])


class CheckTests(SynchronousTestCase):
    def test_here(self) -> None:
        """Nothing is left of the trial, whatever it says."""
        before = open_descriptors()
        self.assertTrue(can_splice())
        self.assertEqual(before, open_descriptors())

    def test_no_such_calls(self) -> None:
        """Systems without the calls copy."""
        for module, name in ((select, "epoll"), (os, "splice")):
            saved = getattr(module, name)
            delattr(module, name)
            self.addCleanup(setattr, module, name, saved)
            self.assertFalse(can_splice())
            setattr(module, name, saved)

    def test_not_allowed(self) -> None:
        """So do sandboxes that do not let them through."""

        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        self.patch(splice_check.os, "splice", refuse)
        self.assertFalse(can_splice())


class ElsewhereTests(SynchronousTestCase):
    def test_import(self) -> None:
        """A relay can be made on a system that has none of the calls."""
        script = """
import os, select
for module in (os, select):
    for name in dir(module):
        if name.lower().startswith(("splice", "epoll")):
            delattr(module, name)
import rdserver.relay_service
"""
        command = [sys.executable, "-c", script]
        subprocess.run(command, check=True, env={"PYTHONPATH": PATH})


class KernelTests(Splices, PathCase):
    def test_large_only_in_the_kernel(self) -> None:
        """Bulk goes through a pipe, a small message does not."""
        spliced: list[int] = []
        fill = SpliceFlow._fill

        def count(flow: SpliceFlow, pipe: tuple[int, int], want: int) -> int:
            size = fill(flow, pipe, want)
            spliced.append(size)
            return size

        self.patch(SpliceFlow, "_fill", count)
        first, second = self.pair()
        for _ in range(5):
            first.send(b"click")
            self.settle()
        self.assertEqual([], spliced)
        second.send(noise(MIB))
        self.until_got(MIB, first)
        self.assertGreater(sum(spliced), MIB * 3 // 4)
