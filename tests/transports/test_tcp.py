"""Tests for :mod:`rdserver.transports.tcp`: frames in, frames out."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from rdserver.rendezvous.effects import Answer, Close, Effects
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import CLOSING_S, FRAME_S, LIFE_S
from rdserver.transports.admission import Admission
from rdserver.transports.conversation import MAX_FRAMES
from rdserver.transports.door import Door
from rdserver.transports.tcp import RendezvousFactory
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.fakes import BUFFER_BYTES, FakeTCP, settle
from tests.transports.edge import EdgeCase, Message, answer_to, frame

MAX_FRAME_BYTES = 1000
TOTAL = 4
PER_ADDRESS = 2
SOON_S = 0.001


class StreamCase(EdgeCase):
    """A port with room for four connections, two of one address."""

    def setUp(self) -> None:
        super().setUp()
        self.core.decide = self.core.echo
        self.admission = Admission(TOTAL, PER_ADDRESS)
        self.factory = RendezvousFactory(
            door=Door(self.core, self.core.closed.append, MAX_FRAME_BYTES),
            outlet=self.outlet,
            admission=self.admission,
            clock=self.clock,
            now=self.clock.seconds,
            notices=self.notices,
        )
        self.clients: list[FakeTCP] = []

    def tearDown(self) -> None:
        """Whatever happened, nothing is left of connections that are gone."""
        for client in self.clients:
            if client.connected:
                client.close()
                settle(client)
                self.clock.advance(CLOSING_S)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(([], 0), (self.outlet.open_streams(), len(self.admission)))
        self.assertEqual(list(range(1, len(self.clients) + 1)), sorted(self.core.closed))

    def connect(self, host: str = "192.0.2.1", **options: Any) -> FakeTCP:
        """Return a client that was let in."""
        client = FakeTCP(host, **options)
        client.protocol = self.factory.buildProtocol(client.getPeer())
        client.protocol.makeConnection(client)
        self.clients.append(client)
        return client

    def send(self, client: FakeTCP, data: bytes) -> None:
        """Let the client send and the server do what it can do at once."""
        client.send(data)
        settle(client)

    def answers(self, client: FakeTCP) -> list[int]:
        """Return the numbers of the answers that have come."""
        settle(client)
        frames = FrameDecoder(2**20).feed(client.read())
        return [pb.decode(one).test_nat_response.port for one in frames]


class FramesTests(StreamCase):
    """What comes in and what goes out."""

    def test_frame(self) -> None:
        """A frame is decided on with its connection, and answered on it."""
        streams = []
        self.core.decide = lambda message, stream: (
            streams.append(stream),
            Answer(stream.id, answer_to(message)),
        )[1:]
        first = self.connect("192.0.2.1", port=1000)
        second = self.connect("2001:db8::1", port=2000)
        self.send(second, frame(7))
        self.assertEqual(([], [7]), (self.answers(first), self.answers(second)))
        self.assertEqual(Address("2001:db8::1", 2000), streams[0].address)
        self.assertFalse(streams[0].websocket)

    def test_no_delay(self) -> None:
        """Answers are short and do not wait to be gathered."""
        self.assertEqual({"nodelay"}, self.connect().options)

    def test_ipv4_in_disguise(self) -> None:
        """A client of a dual-stack socket has its plain IPv4 address."""
        streams = []
        self.core.decide = lambda _message, stream: streams.append(stream) or ()
        self.send(self.connect("::ffff:192.0.2.9", port=5), frame(1))
        self.assertEqual(Address("192.0.2.9", 5), streams[0].address)

    def test_many_in_one_segment(self) -> None:
        """Frames that come together are answered in their order."""
        client = self.connect()
        self.send(client, frame(1) + frame(2) + frame(3)[:-1])
        self.assertEqual([1, 2], self.answers(client))
        self.send(client, frame(3)[-1:])
        self.assertEqual([3], self.answers(client))

    def test_byte_by_byte(self) -> None:
        """A frame is answered once, however it was split."""
        client = self.connect()
        for byte in frame(300):
            self.send(client, bytes([byte]))
        self.assertEqual([300], self.answers(client))

    def test_answer_then_close(self) -> None:
        """The last answer leaves before the end; what comes behind is not answered."""
        self.core.decide = lambda message, stream: (
            *self.core.echo(message, stream),
            Close(stream.id),
        )
        client = self.connect()
        self.send(client, frame(1) + frame(2))
        self.assertEqual(([1], [1]), (self.answers(client), self.core.asked))
        self.assertFalse(client.connected or client.aborted)

    def test_other_connection(self) -> None:
        """An answer may be another connection's; one that is gone gets nothing."""
        a = self.connect()
        self.core.decide = lambda message, _stream: (Answer(1, answer_to(message)),)
        b = self.connect()
        self.send(b, frame(1))
        self.assertEqual(([1], []), (self.answers(a), self.answers(b)))
        a.close()
        settle(a)
        self.send(b, frame(2))
        self.assertEqual(([], []), (self.answers(a), self.answers(b)))
        self.assertTrue(b.connected)

    def test_client_leaves(self) -> None:
        """Its end is reported once, with half a frame unread."""
        client = self.connect()
        client.send(frame(1) + frame(2)[:-1])
        client.close()
        settle(client)
        self.assertEqual(([1], [1]), (self.core.asked, self.core.closed))
        self.assertEqual({}, self.counted())


class BadFramesTests(StreamCase):
    """What no client sends."""

    def test_garbage(self) -> None:
        """It closes the connection without an answer, and is counted, not logged."""
        for garbage in (b"\xff" * 20, b"", b"\x08\x01"):
            client = self.connect()
            self.send(client, encode_frame(garbage) + frame(1))
            self.assertEqual((False, b""), (client.connected, client.read()))
        self.assertEqual(([], []), (self.core.asked, self.logged))
        self.assertEqual({Event.BAD_MESSAGE: 3}, self.counted())

    def test_length(self) -> None:
        """One byte too many closes at the header; all that is allowed is read."""
        client = self.connect()
        self.send(client, encode_frame(bytes(MAX_FRAME_BYTES))[:-1])
        self.assertTrue(client.connected)
        other = self.connect()
        self.send(other, encode_frame(bytes(MAX_FRAME_BYTES + 1))[:2])
        self.assertFalse(other.connected)
        self.assertEqual({Event.BAD_MESSAGE: 1}, self.counted())

    def test_web_browser(self) -> None:
        """An HTTP request announces a frame of 135 MB and is closed at once."""
        client = self.connect()
        self.send(client, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
        self.assertEqual((False, b""), (client.connected, client.read()))

    def test_frames_before_the_bad_one(self) -> None:
        """They are answered all the same."""
        client = self.connect()
        self.send(client, frame(1) + encode_frame(b"\xff\xff"))
        self.assertEqual(([1], False), (self.answers(client), client.connected))

    def test_bug(self) -> None:
        """A bug costs this connection; it is logged, and others are served."""
        self.core.decide = lambda message, stream: (
            1 // 0 if message.test_nat_request.serial == 13 else ()
        )
        client, other = self.connect(), self.connect()
        self.send(client, frame(13) + frame(14))
        self.send(other, frame(15))
        self.assertEqual([13, 15], self.core.asked)
        self.assertEqual((False, True), (client.connected, other.connected))
        self.assert_bugs(ZeroDivisionError)


class ForeignTests(StreamCase):
    """Who speaks another protocol is told where that belongs, in the log."""

    def test_closed_at_once(self) -> None:
        """TLS and HTTP are closed at once, each with a line of the log."""
        for data in (bytes.fromhex("1603010200010001fc0303"), b"GET / HTTP/1.1\r\n"):
            client = self.connect()
            self.send(client, data)
            self.assertFalse(client.connected)
        lines = [formatEvent(event) for event in self.logged]
        for what, line in zip(("TLS", "HTTP"), lines, strict=True):
            self.assertTrue(line.startswith(f"{what} from 192.0.2.1:5001 on the ID"), line)
            self.assertIn("port+2", line)

    def test_only_at_first(self) -> None:
        """What comes behind a frame is never taken for anything else."""
        client = self.connect()
        self.send(client, frame(1))
        self.send(client, encode_frame(b"GET / HTTP/1.1")[1:])
        self.assertEqual([], self.logged)


class DeadlineTests(StreamCase):
    """Every state ends."""

    def test_silence(self) -> None:
        """Without a frame the connection is closed after 30 seconds."""
        client = self.connect()
        self.clock.advance(FRAME_S - SOON_S)
        settle(client)
        self.assertTrue(client.connected)
        self.clock.advance(SOON_S)
        settle(client)
        self.assertEqual((False, b""), (client.connected, client.read()))

    def test_trickle(self) -> None:
        """A frame has 30 seconds, however often one of its bytes comes."""
        client = self.connect()
        data = encode_frame(bytes(500))
        for i in range(29):
            self.send(client, data[i : i + 1])
            self.clock.advance(1)
        self.assertTrue(client.connected)
        self.send(client, data[29:30])
        self.clock.advance(1)
        settle(client)
        self.assertFalse(client.connected)

    def test_frame_starts_it_again(self) -> None:
        """Each complete frame gives another 30 seconds."""
        client = self.connect()
        for number in range(3):
            self.clock.advance(FRAME_S - 1)
            self.send(client, frame(number))
        self.clock.advance(FRAME_S - SOON_S)
        settle(client)
        self.assertTrue(client.connected)
        self.clock.advance(SOON_S)
        settle(client)
        self.assertFalse(client.connected)

    def grow_old(self, client: FakeTCP, age_s: float) -> None:
        """Send a frame now and then, so that only age can end it."""
        while self.clock.seconds() + FRAME_S / 2 < age_s:
            self.clock.advance(FRAME_S / 2)
            self.send(client, frame(1))
        self.clock.advance(age_s - self.clock.seconds())
        self.answers(client)

    def test_young(self) -> None:
        """A frame a moment before the two minutes are over is not the last."""
        client = self.connect()
        self.grow_old(client, LIFE_S - SOON_S)
        self.send(client, frame(2))
        self.assertEqual(([2], True), (self.answers(client), client.connected))

    def test_old(self) -> None:
        """From two minutes on the next frame is the last, and is answered."""
        client = self.connect()
        self.grow_old(client, LIFE_S)
        self.send(client, frame(2) + frame(3))
        self.assertEqual(([2], False), (self.answers(client), client.connected))

    def test_old_asking_storage(self) -> None:
        """That holds as well where every frame asks storage."""
        client = self.connect()
        self.grow_old(client, LIFE_S)
        storage: Deferred[None] = Deferred()
        self.core.after(storage, self.core.echo)
        self.send(client, frame(2) + frame(3))
        storage.callback(None)
        self.assertEqual(([2], False), (self.answers(client), client.connected))

    def test_many_frames(self) -> None:
        """The hundredth frame is the last, and is answered."""
        client = self.connect()
        for number in range(1, MAX_FRAMES):
            self.send(client, frame(number))
        self.assertEqual(MAX_FRAMES - 1, len(self.answers(client)))
        self.assertTrue(client.connected)
        self.send(client, frame(MAX_FRAMES) + frame(MAX_FRAMES + 1))
        self.assertEqual([MAX_FRAMES], self.answers(client))
        self.assertFalse(client.connected)


class StorageTests(StreamCase):
    """Decisions that have to wait."""

    def setUp(self) -> None:
        super().setUp()
        self.storage: Deferred[None] = Deferred()
        self.core.after(self.storage, self.core.echo)

    def test_one_after_the_other(self) -> None:
        """While storage is asked for one frame, nothing more is decided or read."""
        client = self.connect()
        self.send(client, frame(1) + frame(2))
        self.send(client, frame(3))
        self.assertEqual(([1], False), (self.core.asked, client.reading))
        self.storage.callback(None)
        self.assertEqual([1, 2, 3], self.answers(client))
        self.assertTrue(client.reading)

    def test_bytes_while_waiting(self) -> None:
        """What a transport delivers all the same is kept for later."""
        client = self.connect()
        self.send(client, frame(1))
        client.protocol.dataReceived(frame(2))
        self.assertEqual([1], self.core.asked)
        self.storage.callback(None)
        self.assertEqual([1, 2], self.answers(client))

    def test_waiting_again(self) -> None:
        """Each of several frames may wait for its own answer."""
        waits: list[Deferred[None]] = []

        async def decide(message: Message, stream: Any) -> Effects:
            waits.append(Deferred())
            await waits[-1]
            return self.core.echo(message, stream)

        self.core.decide = decide
        client = self.connect()
        self.send(client, frame(1) + frame(2))
        self.assertEqual(1, len(waits))
        waits[0].callback(None)
        self.assertEqual(([1], 2), (self.answers(client), len(waits)))
        self.assertFalse(client.reading)
        waits[1].callback(None)
        self.assertEqual(([2], True), (self.answers(client), client.reading))

    def test_known_at_once(self) -> None:
        """Storage that answers at once costs no depth of calls, and no pause."""
        depths = set()
        self.storage.callback(None)

        async def decide(message: Message, stream: Any) -> Effects:
            depths.add(len(inspect.stack(0)))
            await self.storage
            return self.core.echo(message, stream)

        self.core.decide = decide
        client = self.connect()
        self.send(client, b"".join(frame(number) for number in range(50)))
        self.assertEqual(list(range(50)), self.answers(client))
        self.assertEqual((1, True), (len(depths), client.reading))

    def test_others_meanwhile(self) -> None:
        """A connection that waits does not hold up another."""
        waiting = self.connect()
        self.send(waiting, frame(1))
        self.core.decide = self.core.echo
        other = self.connect()
        self.send(other, frame(2))
        self.assertEqual(([], [2]), (self.answers(waiting), self.answers(other)))
        self.storage.callback(None)
        self.assertEqual([1], self.answers(waiting))

    def test_lost_meanwhile(self) -> None:
        """
        Nothing is answered, nothing more decided; the end is reported after it.

        Else what the decision notes for the connection would be noted for ever.
        """
        client = self.connect()
        self.send(client, frame(1) + frame(2))
        client.lose(ConnectionResetError())
        self.assertEqual([], self.core.closed)
        self.storage.callback(None)
        self.assertEqual(([1], [1]), (self.core.asked, self.core.closed))
        self.assertEqual((b"", {}), (client.read(), self.counted()))

    def test_never_answered(self) -> None:
        """Storage that hangs does not keep the connection; what comes later is lost."""
        client = self.connect()
        self.send(client, frame(1))
        self.clock.advance(FRAME_S)
        settle(client)
        self.assertFalse(client.connected)
        self.storage.callback(None)
        self.assertEqual([], self.answers(client))

    def test_answer_while_closing(self) -> None:
        """An answer that comes when the connection is being closed is dropped."""
        client = self.connect(window_bytes=0)
        self.send(client, frame(1))
        self.clock.advance(FRAME_S)
        self.storage.callback(None)
        client.window_bytes = 100
        self.assertEqual(([], False), (self.answers(client), client.connected))

    def test_bug(self) -> None:
        """A bug behind storage costs the connection, as any other."""
        self.core.after(self.storage, lambda _message, _stream: 1 // 0)
        client = self.connect()
        self.send(client, frame(1) + frame(2))
        self.storage.callback(None)
        settle(client)
        self.assertEqual(([1], False), (self.core.asked, client.connected))
        self.assert_bugs(ZeroDivisionError)

    def test_bug_after_the_end(self) -> None:
        """A bug that comes when the connection is gone is logged all the same."""
        self.core.after(self.storage, lambda _message, _stream: 1 // 0)
        client = self.connect()
        self.send(client, frame(1))
        client.lose(ConnectionResetError())
        self.storage.callback(None)
        self.assert_bugs(ZeroDivisionError)


class ClosingTests(StreamCase):
    """Clients that do not read, and the end."""

    def pile_up(self, client: FakeTCP, answers: int, size_bytes: int) -> None:
        """Ask for long answers and read none."""
        self.core.decide = lambda message, stream: (
            Answer(stream.id, answer_to(message, size_bytes)),
        )
        for number in range(answers):
            self.send(client, frame(number))

    def test_unread_answers(self) -> None:
        """A client that lets its answers pile up is cut, and keeps no memory."""
        client = self.connect(window_bytes=0)
        self.pile_up(client, 7, BUFFER_BYTES // 8)
        self.assertFalse(client.aborted)
        self.pile_up(client, 2, BUFFER_BYTES // 8)
        self.assertEqual((True, 0), (client.aborted, client.buffered_bytes()))

    def test_cut_at_once(self) -> None:
        """After the cut no further frame of the same segment is decided on."""
        client = self.connect(window_bytes=0)
        self.core.decide = lambda message, stream: (
            Answer(stream.id, answer_to(message, BUFFER_BYTES)),
        )
        self.send(client, frame(1) + frame(2))
        self.assertEqual([1], self.core.asked)

    def test_slow_reader(self) -> None:
        """Who reads slowly, but reads, is not cut."""
        client = self.connect(window_bytes=1000)
        for number in range(20):
            self.pile_up(client, 1, BUFFER_BYTES // 8)
            while client.read():
                settle(client)
            self.assertTrue(client.connected, number)

    def test_last_answer_unread(self) -> None:
        """The last answer has five seconds to leave; then the connection is cut."""
        self.core.decide = lambda message, stream: (
            *self.core.echo(message, stream),
            Close(stream.id),
        )
        client = self.connect(window_bytes=0)
        self.send(client, frame(1))
        self.clock.advance(CLOSING_S - SOON_S)
        settle(client)
        self.assertTrue(client.connected)
        self.clock.advance(SOON_S)
        self.assertTrue(client.aborted)

    def test_last_answer_read_late(self) -> None:
        """Read in time, it is the last, and the connection closes without a cut."""
        self.core.decide = lambda message, stream: (
            *self.core.echo(message, stream),
            Close(stream.id),
        )
        client = self.connect(window_bytes=0)
        self.send(client, frame(1))
        self.clock.advance(CLOSING_S - SOON_S)
        client.window_bytes = 100
        self.assertEqual([1], self.answers(client))
        self.assertFalse(client.connected or client.aborted)

    def test_finish(self) -> None:
        """The service can end a connection, once or more often."""
        client = self.connect()
        [stream] = self.outlet.open_streams()
        stream.finish()
        stream.finish()
        client.protocol.dataReceived(frame(1))
        settle(client)
        stream.finish()
        self.assertEqual((False, []), (client.connected, self.core.asked))
        self.assertFalse(client.aborted)
        self.assertIsNone(client.producer)  # registered and paused it would keep it open

    def test_abort(self) -> None:
        """The service can cut a connection, whatever its client has not read."""
        client = self.connect(window_bytes=0)
        self.send(client, frame(1))
        [stream] = self.outlet.open_streams()
        stream.finish()
        stream.abort()
        stream.abort()
        self.assertTrue(client.aborted)


class AdmissionTests(StreamCase):
    """How many may come in."""

    def refused(self, host: str) -> bool:
        """Return whether one more connection from there is closed at once."""
        return self.factory.buildProtocol(FakeTCP(host).getPeer()) is None

    def test_of_one_address(self) -> None:
        """One more than allowed from one address is closed; leaving makes room."""
        clients = [self.connect("::ffff:192.0.2.1"), self.connect("192.0.2.1")]
        self.assertTrue(self.refused("192.0.2.1"))
        self.connect("192.0.2.2")
        clients[0].close()
        settle(*clients)
        self.connect("192.0.2.1")
        self.assertEqual(1, self.admission.refused)

    def test_of_all(self) -> None:
        """One more than allowed in all is closed, whoever it is."""
        for number in range(TOTAL):
            self.connect(f"192.0.2.{number}")
        self.assertTrue(self.refused("192.0.2.99"))

    def test_impossible_source(self) -> None:
        """Who would only count as an IPv4 address is closed, and uses up no place."""
        for host in ("::127.0.0.1", "::192.0.2.1", "::"):
            self.assertTrue(self.refused(host))
        self.assertEqual((0, []), (len(self.admission), self.logged))
        self.assertEqual({Event.IMPOSSIBLE_SOURCE: 3}, self.counted())
        self.connect("::1")

    def test_notice(self) -> None:
        """The operator is told, with the plain address, and not too often."""
        for _ in range(PER_ADDRESS):
            self.connect("::ffff:192.0.2.1")
        for _ in range(50):
            self.assertTrue(self.refused("::ffff:192.0.2.1"))
        self.assertEqual(10, len(self.logged))
        self.assertEqual("too many connections from 192.0.2.1", formatEvent(self.logged[0]))
        self.assertEqual({Event.CONNECTION_REFUSED: 50}, self.counted())
