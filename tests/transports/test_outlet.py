"""Tests for :mod:`rdserver.transports.outlet`: what was decided is performed."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from rdserver.rendezvous.effects import Answer, Close, Effects, Send
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.transports.edge import EdgeCase, Message, question


class Line:
    """A connection that keeps what is done to it, in order."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def send(self, message: Message) -> None:
        self.done.append(message.test_nat_request.serial)

    def finish(self) -> None:
        self.done.append("finish")

    def abort(self) -> None:
        self.done.append("abort")


class OutletTests(EdgeCase):
    """Two connections and a way out for datagrams."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = Line(), Line()
        self.ids = [self.outlet.add(self.a), self.outlet.add(self.b)]
        self.sent: list[tuple[bytes, Address]] = []
        self.outlet.send_datagram = lambda data, to: self.sent.append((data, to))

    def test_in_order(self) -> None:
        """Each effect goes where it belongs, one after the other."""
        a, b = self.ids
        to = Address("192.0.2.1", 9)
        self.outlet.perform(
            [
                Answer(a, question(1)),
                Send(to, question(2)),
                Answer(b, question(3)),
                Answer(a, question(4)),
                Close(a),
            ]
        )
        self.assertEqual(([1, 4, "finish"], [3]), (self.a.done, self.b.done))
        self.assertEqual([(pb.encode(question(2)), to)], self.sent)

    def test_gone(self) -> None:
        """What is for a connection that is gone does nothing."""
        a, b = self.ids
        self.outlet.remove(a)
        self.outlet.perform((Answer(a, question(1)), Close(a), Answer(b, question(2))))
        self.assertEqual(([], [2]), (self.a.done, self.b.done))

    def test_ids(self) -> None:
        """The id of a connection that is gone never comes back."""
        for stream in self.ids:
            self.outlet.remove(stream)
        self.assertNotIn(self.outlet.add(Line()), self.ids)

    def test_open_streams(self) -> None:
        """The open connections can be listed, and closed while one goes through them."""
        self.assertEqual([self.a, self.b], self.outlet.open_streams())
        for stream in self.outlet.open_streams():
            stream.abort()
            self.outlet.remove(self.ids.pop())
        self.assertEqual([], self.outlet.open_streams())

    def test_before_the_port_is_open(self) -> None:
        """A datagram that nobody can send yet is dropped."""
        outlet = Outlet(self.notices)
        outlet.perform((Send(Address("192.0.2.1", 9), question(1)),))
        self.assertEqual({}, self.counted())

    def test_settle_at_once(self) -> None:
        """What is decided already is performed before settle returns."""
        self.assertIsNone(self.outlet.settle([Answer(self.ids[0], question(1))]))
        self.assertIsNone(self.outlet.settle(()))
        self.assertEqual([1], self.a.done)

    def test_settle_later(self) -> None:
        """What is not is performed when it is, and then the caller is told."""
        storage: Deferred[None] = Deferred()

        async def decide() -> Effects:
            await storage
            return (Answer(self.ids[0], question(1)),)

        settled = self.outlet.settle(decide())
        self.assertNoResult(settled)
        storage.callback(None)
        self.assertEqual([1], self.a.done)
        self.assertIsNone(self.successResultOf(settled))

    def test_settle_fails(self) -> None:
        """A decision that fails is the caller's to report."""

        async def decide() -> Effects:
            raise KeyError("x")

        self.failureResultOf(self.outlet.settle(decide()), KeyError)
        self.assertEqual([], self.logged)

    def test_report(self) -> None:
        """A bug is one event with its traceback."""
        failed = Deferred.fromCoroutine(self.fail_later())
        failed.addErrback(self.outlet.report_bug)
        self.successResultOf(failed)
        self.assertEqual(
            ["a message was not answered"], [formatEvent(event) for event in self.logged]
        )
        self.assert_bugs(KeyError)

    async def fail_later(self) -> None:
        raise KeyError("x")
