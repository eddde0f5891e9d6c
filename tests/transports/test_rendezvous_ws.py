"""Tests for :mod:`rdserver.transports.rendezvous_ws`: messages in, messages out."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rdserver.rendezvous.effects import Answer, Effects
from rdserver.rendezvous.events import Event
from rdserver.transports.admission import Admission
from rdserver.transports.conversation import CLOSING_S, FRAME_S, LIFE_S, MAX_FRAMES
from rdserver.transports.door import Company, Door
from rdserver.transports.rendezvous_ws import rendezvous_websockets
from rdserver.transports.websocket_environment import Environment
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.transports.edge import EdgeCase, Message, answer_to, question
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import BINARY, CLOSE, PING, client_frame

MAX_MESSAGE_BYTES = 1000


def message(number: int) -> bytes:
    """Return :func:`question` as a client sends it."""
    return client_frame(BINARY, pb.encode(question(number)))


class WebSocketCase(EdgeCase):
    def setUp(self) -> None:
        super().setUp()
        self.core.decide = self.core.echo
        self.admission = Admission(4, 2)
        self.bugs: list[Failure] = []
        door = Door(self.core, self.core.closed.append, MAX_MESSAGE_BYTES)
        company = Company(
            door=door,
            outlet=self.outlet,
            clock=self.clock,
            now=self.clock.seconds,
            notices=self.notices,
        )
        environment = Environment(
            purpose="",
            admission=self.admission,
            clock=self.clock,
            now=self.clock.seconds,
            real_host=lambda host, headers: headers.get("x-real-ip", host),
            refused=lambda _address, _what: None,
            flooded=lambda: None,
            report_bug=self.bugs.append,
        )
        self.factory = rendezvous_websockets(company, environment)

    def tearDown(self) -> None:
        """After a stop nothing is left, whatever happened."""
        self.factory.close_all()
        self.clock.advance(CLOSING_S)
        self.factory.abort_all()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(([], 0), (self.outlet.open_streams(), len(self.admission)))
        self.assertEqual([], self.bugs)

    def connect(self, **headers: str) -> WebSocketClient:
        client = WebSocketClient(self.factory)
        self.assertEqual(101, client.upgrade(**headers))
        return client

    def answers(self, client: WebSocketClient) -> list[int]:
        """Return the numbers of the answers that have come."""
        return [
            pb.decode(payload).test_nat_response.port
            for first, payload in client.frames()
            if first == 0x80 | BINARY
        ]


class MessageTests(WebSocketCase):
    def test_answers(self) -> None:
        """Each message is answered by one, in order."""
        client = self.connect()
        client.send(message(1) + message(2))
        client.send(message(3))
        self.assertEqual([1, 2, 3], self.answers(client))

    def test_stream(self) -> None:
        """Who decides is told the client's address, and that it came by WebSocket."""
        seen: list[Any] = []
        self.core.decide = lambda _message, stream: seen.append(stream) or ()
        self.connect(X_Real_IP="203.0.113.5").send(message(1))
        self.assertEqual(Address("203.0.113.5", 5001), seen[0].address)
        self.assertTrue(seen[0].websocket)

    def test_long_answer(self) -> None:
        """An answer may be longer than what may be asked."""
        self.core.decide = lambda m, stream: (Answer(stream.id, answer_to(m, 50_000)),)
        client = self.connect()
        client.send(message(9))
        self.assertEqual([9], self.answers(client))

    def test_nonsense(self) -> None:
        """What is no message closes the connection, and is counted."""
        for payload in (b"\xff" * 20, b"\x08\x01"):
            client = self.connect()
            client.say(payload)
            self.assertEqual([(0x80 | CLOSE, b"\x03\xe8")], client.frames())
            client.say(b"\x03\xe8", CLOSE)
        self.assertEqual({Event.BAD_MESSAGE: 2}, self.counted())

    def test_bug(self) -> None:
        """A bug in a decision costs its connection, and is logged."""
        self.core.decide = lambda _message, _stream: 1 / 0  # type: ignore[return-value]
        client = self.connect()
        client.send(message(1) + message(2))
        self.assertEqual([(0x80 | CLOSE, b"\x03\xe8")], client.frames())
        self.assertEqual([1], self.core.asked)
        self.assert_bugs(ZeroDivisionError)

    def test_answer_behind_a_close(self) -> None:
        """Who closes, or breaks a rule, while it waits gets no answer behind the Close."""
        streams: list[Any] = []
        self.core.decide = lambda _message, stream: streams.append(stream) or ()
        for end in (client_frame(CLOSE, b"\x03\xe8"), b"\x82\x01x"):
            client = self.connect()
            client.send(message(1))
            client.tcp.window_bytes = 0  # the Close has not left yet when the answer comes
            client.tcp.send(end)
            client.tcp.turn()
            self.outlet.perform((Answer(streams[-1].id, answer_to(question(1))),))
            client.tcp.window_bytes = 1000
            self.assertEqual([CLOSE], [first & 0x0F for first, _ in client.frames()])

    def test_unread_answers(self) -> None:
        """Who does not read its answers is cut off."""
        self.core.decide = lambda m, stream: (Answer(stream.id, answer_to(m, 60_000)),)
        client = self.connect()
        client.tcp.window_bytes = 0
        for number in range(10):
            client.tcp.send(message(number))
            client.tcp.turn()
        self.assertTrue(client.tcp.aborted)


class StorageTests(WebSocketCase):
    """Decisions that have to wait."""

    def setUp(self) -> None:
        super().setUp()
        self.storage: Deferred[None] = Deferred()
        self.core.after(self.storage, self.core.echo)

    def test_one_after_the_other(self) -> None:
        """While storage is asked for one message, nothing more is decided or read."""
        client = self.connect()
        client.send(message(1) + message(2))
        client.tcp.send(message(3))
        client.settle()
        self.assertEqual(([1], False), (self.core.asked, client.tcp.reading))
        self.storage.callback(None)
        self.assertEqual([1, 2, 3], self.answers(client))

    def test_gone_meanwhile(self) -> None:
        """Who is gone by then is noted as gone after the decision, and gets nothing."""
        client = self.connect()
        client.send(message(1) + message(2))
        client.tcp.protocol.transport.abortConnection()
        self.assertEqual([], self.core.closed)
        self.storage.callback(None)
        self.assertEqual(([1], [1]), (self.core.asked, self.core.closed))

    def test_no_decision(self) -> None:
        """Who waits too long is told goodbye."""
        client = self.connect()
        client.send(message(1))
        self.clock.advance(FRAME_S)
        self.assertEqual([(0x80 | CLOSE, b"\x03\xe8")], client.frames())
        self.storage.callback(None)
        self.assertEqual([], self.answers(client))


class EndTests(WebSocketCase):
    def test_deadline(self) -> None:
        """Each message and each Ping gives 30 s; then the connection ends."""
        client = self.connect()
        for data in (message(1), client_frame(PING)):
            self.clock.advance(FRAME_S - 1)
            client.send(data)
        client.frames()
        self.clock.advance(FRAME_S)
        self.assertEqual([(0x80 | CLOSE, b"\x03\xe8")], client.frames())
        self.clock.advance(CLOSING_S)
        self.assertTrue(client.tcp.aborted)

    def test_old(self) -> None:
        """So many messages, or so much time, and the next one is the last."""
        client = self.connect()
        for number in range(MAX_FRAMES):
            client.send(message(number))
        self.assertEqual(CLOSE, client.frames()[-1][0] & 0x0F)
        client = self.connect()
        for _ in range(round(LIFE_S / 20)):
            self.clock.advance(20)
            client.send(message(1))
        self.assertEqual(CLOSE, client.frames()[-1][0] & 0x0F)

    def test_closed_when_answered(self) -> None:
        """A decision that closes sends its answer first."""

        def decide(asked: Message, stream: Any) -> Effects:
            self.outlet.perform((Answer(stream.id, answer_to(asked)),))
            self.outlet._streams[stream.id].finish()
            return ()

        self.core.decide = decide
        client = self.connect()
        client.send(message(7))
        kinds = [first & 0x0F for first, _ in client.frames()]
        self.assertEqual([BINARY, CLOSE], kinds)

    def test_stop(self) -> None:
        """A stopping server says so; from then on nobody waits there."""
        client = self.connect()
        self.factory.close_all()
        self.assertEqual([(0x80 | CLOSE, b"\x03\xe9")], client.frames())
        self.assertEqual([1], self.core.closed)
        client.say(b"\x03\xe9", CLOSE)
        self.assertEqual([1], self.core.closed)
