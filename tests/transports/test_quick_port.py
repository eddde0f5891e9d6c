"""Tests for :mod:`rdserver.transports.quick_port`: the same of it and of Twisted's port."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any
from unittest import SkipTest

from nacl.signing import SigningKey

from rdserver.rendezvous.effects import Close, Effects, Outcome
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import FRAME_S
from rdserver.transports import quick_port
from rdserver.transports.admission import Admission
from rdserver.transports.quick_port import (
    ACCEPTS,
    EVENTS,
    READ_BYTES,
    REST_S,
    TURN_S,
    QuickPort,
)
from rdserver.transports.tcp import RendezvousFactory, RendezvousStream
from rdserver.wire import pb
from rdserver.wire.framing import FrameDecoder, encode_frame, sole_frame
from rdserver.wire.secure import KeyOffer
from tests.transports.edge import Message, frame
from tests.transports.port_case import (
    MAX_FRAME_BYTES,
    PER_ADDRESS,
    TOTAL,
    PortCase,
    online,
    punch,
)

MANY = 2 * EVENTS
SOON_S = 2**-10


class PortContract:
    """What holds on every port, by whichever way it is served."""

    def test_question(self) -> None:
        """A short question is answered, then the connection is closed."""
        for data, number in ((frame(7), 7), (online(b"1", b"2"), 0)):
            client = self.ended(self.connect().say(data))
            self.assertEqual([number], client.answers())
        self.assertEqual({}, self.counted())

    def test_address(self) -> None:
        """It comes from the client's address, IPv4 as such on a socket for both."""
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            client = self.ended(self.connect(host).say(frame(1)))
            self.assertEqual(client.address, self.streams[-1].address)
            self.assertFalse(self.streams[-1].websocket)

    def test_one_family(self) -> None:
        """So it does on a socket for one family."""
        for host in ("127.0.0.1", "::1"):
            self.reopen(Admission(TOTAL, PER_ADDRESS), host)
            client = self.ended(self.connect(host).say(frame(1)))
            self.assertEqual(client.address, self.streams[-1].address)

    def offer_keys(self, grace_s: float) -> None:
        """Listen on another port, on which key exchanges are offered."""
        key = SigningKey(bytes(32))
        self.reopen(
            Admission(TOTAL, PER_ADDRESS), offer=lambda: KeyOffer(key), grace_s=grace_s
        )

    def test_offered(self) -> None:
        """Who is silent is offered a key exchange after the grace, and served then."""
        self.offer_keys(0.5)
        silent, quick = self.connect(), self.connect()
        self.let_in(2)
        self.ended(quick.say(frame(3)))
        self.clock.advance(0.5 - SOON_S)
        self.reactor.runUntilCurrent()
        self.assertEqual(b"", silent.received)
        self.clock.advance(SOON_S)
        self.turn(lambda: silent.hear() or silent.received)
        [offer] = FrameDecoder(2**10).feed(silent.received)
        self.assertEqual("key_exchange", pb.decode(offer).WhichOneof("union"))
        silent.received = b""
        self.assertEqual([4], self.ended(silent.say(frame(4))).answers())
        self.assertEqual([3], quick.answers())

    def test_offered_at_once(self) -> None:
        """Without a grace the offer comes at once, to whoever has not spoken yet."""
        self.offer_keys(0.0)
        silent = self.connect()
        self.turn(lambda: silent.hear() or silent.received)
        silent.received = b""
        self.assertEqual([4], self.ended(silent.say(frame(4))).answers())

    def test_offered_and_given_up(self) -> None:
        """Who does not answer has the time that a frame has, and is counted."""
        self.offer_keys(0.5)
        silent = self.connect()
        self.let_in(1)
        self.clock.advance(0.5)
        self.turn(lambda: silent.hear() or silent.received)
        self.clock.advance(FRAME_S)
        self.ended(silent)
        self.assertEqual({Event.HANDSHAKE_GIVEN_UP: 1}, self.counted())

    def test_said_later(self) -> None:
        """It may come any time after the connection."""
        client = self.connect()
        self.let_in(1)
        self.assert_open(client)
        self.assertEqual([7], self.ended(client.say(frame(7))).answers())

    def test_end_behind_it(self) -> None:
        """A client that has said all still gets its answer."""
        for data in (frame(7), online(b"1"), online(*[b"%09d" % i for i in range(99)])):
            client = self.ended(self.connect().say(data, last=True))
            self.assertEqual(1, len(client.answers()))

    def test_other_requests(self) -> None:
        """Where a decision does not close, the next frame is answered too."""
        client = self.connect().say(punch())
        self.answered(client, 0)
        self.assert_open(client)
        self.answered(client.say(punch()), 0, 0)
        self.assertEqual([7], self.ended(client.say(frame(7))).answers()[2:])

    def test_not_served(self) -> None:
        """What is not served on this port closes the connection without an answer."""
        self.core.decide = lambda _message, stream: (Close(stream.id),)
        for data in (frame(7), online(), punch()):
            self.assertEqual(b"", self.ended(self.connect().say(data)).received)
        self.assertEqual({}, self.counted())

    def test_split(self) -> None:
        """A frame may come in two parts, cut anywhere, its header too."""
        long = online(*[b"%09d" % i for i in range(7)])
        self.assertEqual(1, long[0] & 3)  # its header has two bytes
        for data, number in ((frame(300), 300), (long, 0)):
            for cut in range(1, len(data)):
                client = self.connect().say(data[:cut])
                self.let_in(1)
                self.assert_open(client)
                self.assertEqual([number], self.ended(client.say(data[cut:])).answers())
                self.let_in(0)

    def test_byte_by_byte(self) -> None:
        """Or in as many parts as it has bytes."""
        client = self.connect()
        for byte in frame(300):
            self.settle()
            client.say(bytes([byte]))
        self.assertEqual(([300], [300]), (self.ended(client).answers(), self.core.asked))

    def test_two_frames(self) -> None:
        """The last question answered is the first that closes."""
        client = self.ended(self.connect().say(punch() + frame(1) + frame(2)))
        self.assertEqual(([0, 1], [0, 1]), (client.answers(), self.core.asked))

    def test_long_frame(self) -> None:
        """A question is answered whether or not it fits one read."""
        around_it = len(online(bytes(1000))) - 1000
        for size in (READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, MAX_FRAME_BYTES):
            data = online(bytes(size - around_it))
            self.assertEqual(size, len(data))
            self.assertEqual([0], self.ended(self.connect().say(data)).answers())
            self.let_in(0)

    def test_probe(self) -> None:
        """A connection without a byte is nothing to speak of."""
        self.connect().socket.close()
        self.connect().reset()
        self.assertEqual(b"", self.ended(self.connect().say(b"", last=True)).received)
        self.let_in(0)
        self.assertEqual(([], {}, []), (self.core.asked, self.counted(), self.logged))

    def test_gone_after_a_byte(self) -> None:
        """So is one that is cut after its first bytes, or before its answer."""
        self.reopen(Admission(MANY, MANY))
        for data in (b"\x0c", frame(1), punch()):
            self.connect().say(data).reset()
            self.connect().say(data).socket.close()
        self.settle()
        self.let_in(0)
        self.assertEqual(({}, []), (self.counted(), self.logged))
        self.assertEqual([7], self.ended(self.connect().say(frame(7))).answers())

    def test_garbage(self) -> None:
        """It closes the connection without an answer, and is counted once."""
        too_long = encode_frame(bytes(MAX_FRAME_BYTES + 1))
        garbage = (encode_frame(b"\xff" * 20), b"\0", b"GET / HTTP/1.1\r\n", too_long[:3])
        for data in garbage:
            self.assertEqual(b"", self.ended(self.connect().say(data)).received)
        self.let_in(0)
        self.assertEqual({Event.BAD_MESSAGE: 3, Event.FOREIGN: 1}, self.counted())
        self.assertEqual(([], 1), (self.core.asked, len(self.logged)))

    def test_foreign(self) -> None:
        """TLS and HTTP are closed with a line, also where they are as long as a frame."""
        hello = bytes.fromhex("1603010200010001fc0303") + bytes(506)
        short = bytes.fromhex("16030000c3010000bf0300") + bytes(189)  # "197 bytes follow"
        post = b"POST /ab HTTP/1.0\r\n\r\n"  # "20 bytes follow"
        for data, size in ((hello, None), (short, 197), (post, 20)):
            sole = sole_frame(data)
            self.assertEqual(size, None if sole is None else len(sole))
        for data in (hello, short, post):
            self.assertEqual(b"", self.ended(self.connect().say(data)).received)
        self.let_in(0)
        self.assertEqual({Event.FOREIGN: 3}, self.counted())

    def test_silence(self) -> None:
        """Without a byte the connection is closed after 30 seconds."""
        client = self.connect()
        self.let_in(1)
        self.clock.advance(FRAME_S - SOON_S)
        self.assert_open(client)
        self.clock.advance(SOON_S)
        self.assertEqual(b"", self.ended(client).received)

    def test_trickle(self) -> None:
        """A frame that is not whole after 30 seconds closes it, whenever it began."""
        client = self.connect()
        self.let_in(1)
        self.clock.advance(FRAME_S - 1)
        client.say(punch()[:1])
        self.settle()
        self.clock.advance(1 - SOON_S)
        self.assert_open(client)
        self.clock.advance(SOON_S)
        self.assertEqual(b"", self.ended(client).received)

    def test_whole_frame(self) -> None:
        """One that is gives another 30 seconds, however late it came."""
        client = self.connect()
        self.let_in(1)
        self.clock.advance(FRAME_S - 1)
        self.answered(client.say(punch()), 0)
        self.clock.advance(FRAME_S - SOON_S)
        self.assert_open(client)
        self.clock.advance(SOON_S)
        self.ended(client)

    def test_limit_of_an_address(self) -> None:
        """One connection more than an address may have is closed, and logged."""
        clients = [self.connect() for _ in range(PER_ADDRESS)]
        clients[0].say(punch())
        clients[1].say(b"\x0c")
        self.let_in(PER_ADDRESS)
        self.answered(clients[0], 0)
        self.assertEqual(b"", self.ended(self.connect()).received)
        self.assertEqual({Event.CONNECTION_REFUSED: 1}, self.counted())
        self.assertEqual("127.0.0.1", self.logged[0]["remote"])
        self.assert_open(*clients)
        other = self.ended(self.connect("127.0.0.2").say(frame(7)))
        self.assertEqual([7], other.answers())

    def test_limit_of_all(self) -> None:
        """So is one more than everybody may have; each that ends makes room."""
        clients = [self.connect(f"127.0.0.{i + 1}") for i in range(TOTAL)]
        self.let_in(TOTAL)
        self.ended(self.connect("127.0.0.9"))
        for client in clients:
            self.ended(client.say(frame(7)))
            other = self.ended(self.connect("127.0.0.9").say(frame(8)))
            self.assertEqual(([7], [8]), (client.answers(), other.answers()))
        self.assertEqual(1, self.admission.refused)

    def test_bug(self) -> None:
        """A bug costs one connection; it is logged, and those beside it are served."""

        def decide(message: Message, stream: Any) -> Outcome:
            if message.test_nat_request.serial == 13:
                raise ZeroDivisionError
            return self.decide(message, stream)

        self.core.decide = decide
        late = [self.connect() for _ in range(2)]
        self.let_in(2)
        client = self.connect().say(frame(13))
        late[0].say(frame(13))
        late[1].say(frame(15))
        other = self.connect("127.0.0.2").say(frame(16))
        for one in (client, late[0]):
            self.assertEqual(b"", self.ended(one).received)
        self.assertEqual([15], self.ended(late[1]).answers())
        self.assertEqual([16], self.ended(other).answers())
        self.assert_bugs(ZeroDivisionError, ZeroDivisionError)

    def test_many(self) -> None:
        """As many as there are at once are answered, each with its own."""
        self.reopen(Admission(MANY, MANY))
        early = [self.connect() for _ in range(EVENTS + 1)]
        self.let_in(len(early))
        late = [self.connect() for _ in range(ACCEPTS)]
        clients = early + late
        for number, client in enumerate(clients):
            client.say(frame(number))
        for number, client in enumerate(clients):
            self.assertEqual([number], self.ended(client).answers())


class PlainPortTests(PortContract, PortCase):
    """Twisted's own port, where the system has no epoll."""

    def listen(self, factory: RendezvousFactory, quick: Callable[..., QuickPort]) -> None:
        self.listeners.open_tcp(self.number, factory)


class StubbornListener:
    """A listening socket that the system refuses connections of."""

    def __init__(self, bound: socket.socket, errors: list[OSError]) -> None:
        self._bound = bound
        self._errors = errors

    def dup(self) -> StubbornListener:
        return StubbornListener(self._bound.dup(), self._errors)

    def accept(self) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return self._bound.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bound, name)


class FullEpoll:
    """An epoll that watches nothing more than it does."""

    def __init__(self, epoll: Any, number: int) -> None:
        self._epoll = epoll
        self._number = number

    def register(self, *_: object) -> None:
        raise OSError(self._number, os.strerror(self._number))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process open so many files more."""
    kept = [os.dup(0) for _ in range(count + 1)]
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (kept[-1], usual[1]))
    for descriptor in kept:
        os.close(descriptor)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


class QuickPortTests(PortContract, PortCase):
    """Our own port."""

    def setUp(self) -> None:
        if not quick_port.AVAILABLE:
            raise SkipTest("needs epoll")
        super().setUp()

    def test_quick(self) -> None:
        """Short questions and probes cost no transport; everything else is handed over."""
        for data in (frame(7), online(b"1"), b""):
            self.ended(self.connect().say(data, last=True))
        late = self.connect()
        self.let_in(1)
        self.ended(late.say(frame(7)))
        self.assertEqual((0, []), (self.adopted, self.core.closed))
        for data in (punch(), b"\x0c", b"\0", frame(7) * 2):
            self.ended(self.connect().say(data, last=True))
        self.assertEqual(4, self.adopted)

    def test_handed_over_exactly(self) -> None:
        """What is handed over has all that was said until then, and no more."""
        heard = []
        take_over = RendezvousStream.take_over

        def hear(stream: RendezvousStream, data: bytes, waited_s: float) -> None:
            heard.append((data, waited_s))
            take_over(stream, data, waited_s)

        self.patch(RendezvousStream, "take_over", hear)
        self.connect().say(punch(1) + punch(2)[:3])
        self.turn(lambda: heard)
        late = self.connect()
        self.let_in(2)
        self.clock.advance(5)
        late.say(b"\x0c")
        self.turn(lambda: len(heard) > 1)
        self.assertEqual([(punch(1) + punch(2)[:3], 0.0), (b"\x0c", 5.0)], heard)
        late.say(b"\xa2")
        self.assertEqual([], self.port._epoll.poll(0.01))  # of no concern here any more

    def test_not_taken(self) -> None:
        """A connection that is handed over and not taken is closed."""
        self.patch(RendezvousFactory, "buildProtocol", lambda *_: None)
        self.assertEqual(b"", self.ended(self.connect().say(punch())).received)
        self.assertEqual(0, len(self.admission))

    def test_answers_at_once(self) -> None:
        """A decision that waits, as an access policy may, is made anew by Twisted."""

        async def decide() -> Effects:
            return ()

        heard: list[tuple[bytes, float]] = []
        self.patch(RendezvousStream, "take_over", lambda _, *said: heard.append(said))
        self.core.decide = lambda _message, _stream: decide()
        self.connect().say(frame(7))
        self.turn(lambda: heard)
        self.assertEqual([(frame(7), 0.0)], heard)

    def test_one_turn(self) -> None:
        """One turn accepts and serves so many; the next goes on."""
        self.reopen(Admission(MANY, MANY))
        clients = [self.connect() for _ in range(ACCEPTS + 1)]
        for turns in (1, 2):
            self.port.doRead()
            self.assertEqual(min(ACCEPTS * turns, len(clients)), len(self.admission))
        clients += [self.connect() for _ in range(EVENTS + 1 - len(clients))]
        self.let_in(EVENTS + 1)
        for client in clients:
            client.say(frame(7))
        for left in (1, 0):
            self.port.doRead()
            self.assertEqual(left, len(self.admission))

    def test_short_turns(self) -> None:
        """Once 1 ms has passed the others wait for the next turn, and have it first."""
        self.reopen(Admission(MANY, MANY))
        late = [self.connect() for _ in range(5)]
        self.let_in(5)

        def slow(message: Message, stream: Any) -> Outcome:
            self.clock.advance(TURN_S * 0.75)
            return self.decide(message, stream)

        self.core.decide = slow
        for number, client in enumerate(late):
            client.say(frame(number))
        for left in (3, 1, 0):
            self.port.doRead()
            self.assertEqual(left, len(self.admission))
        answers = [self.ended(client).answers() for client in late]
        self.assertEqual([[0], [1], [2], [3], [4]], answers)

    def test_left_over(self) -> None:
        """Who ends before its turn comes, or the port with it, is no trouble."""
        self.reopen(Admission(MANY, MANY))
        late = [self.connect() for _ in range(4)]
        self.let_in(4)

        def slow(message: Message, stream: Any) -> Outcome:
            self.clock.advance(2 * TURN_S)
            return self.decide(message, stream)

        self.core.decide = slow
        for number, client in enumerate(late):
            client.say(frame(number))
        self.port.doRead()
        self.port._end(next(iter(self.port._waiting.values())))
        self.port.doRead()
        self.assertEqual(1, len(self.port._events))
        self.port.stopListening()
        self.port.stopListening()
        self.assertEqual((0, {}), (len(self.port._events), self.counted()))

    def test_refused_for_a_moment(self) -> None:
        """A connection that broke off before it was accepted keeps nobody waiting."""
        broken = [ConnectionAbortedError(), PermissionError(), ConnectionAbortedError()]
        self.refuse(broken)
        client = self.connect().say(frame(7))
        self.port.doRead()
        self.assertEqual(([], [7]), (broken, self.ended(client).answers()))
        self.assertEqual({}, self.counted())

    def refuse(self, errors: list[OSError]) -> None:
        """Let the system refuse the next connections so."""
        self.port._listener = StubbornListener(self.port._listener, errors)

    def test_no_descriptor(self) -> None:
        """Without one nothing is accepted for a second; those who are in are served."""
        early, other = self.connect(), self.connect()
        self.let_in(2)
        client = self.connect().say(frame(7))
        with descriptors_left(0):
            self.settle()
            self.assertEqual({Event.CONNECTION_REFUSED: 1}, self.counted())
            self.clock.advance(REST_S)
            self.settle()
            self.assertEqual(b"", self.ended(other.say(punch())).received)
            self.assertEqual([8], self.ended(early.say(frame(8))).answers())
        self.assertEqual({Event.CONNECTION_REFUSED: 3}, self.counted())
        self.assertIn(os.strerror(errno.EMFILE), self.logged[0]["why"])
        self.clock.advance(REST_S - SOON_S)
        self.assert_open(client)
        self.clock.advance(SOON_S)
        self.assertEqual([7], self.ended(client).answers())

    def test_no_descriptor_to_hand_over(self) -> None:
        """A connection that cannot be handed over is closed; that is logged as well."""
        client = self.connect()
        self.let_in(1)
        with descriptors_left(0):
            self.assertEqual(b"", self.ended(client.say(punch())).received)
        self.assertEqual({Event.CONNECTION_REFUSED: 1}, self.counted())
        self.clock.advance(REST_S)
        self.answered(self.connect().say(punch()), 0)

    def test_not_watched(self) -> None:
        """Callers that cannot be waited for are closed; after a second all is as before."""
        usual = self.port._epoll
        for refused, number in enumerate((errno.ENOSPC, errno.ENOMEM), 1):
            self.port._epoll = FullEpoll(usual, number)
            silent, heard = self.connect(), self.connect().say(frame(7))
            self.assertEqual(b"", self.ended(silent).received)
            self.assertEqual([7], self.ended(heard).answers())
            self.assertEqual(0, len(self.admission))
            self.assertEqual({Event.CONNECTION_REFUSED: refused}, self.counted())
            late = self.connect().say(frame(8))
            self.assert_open(late)
            self.clock.advance(REST_S)
            self.assertEqual([8], self.ended(late).answers())
        self.port._epoll = usual
        client = self.connect()
        self.let_in(1)
        self.assertEqual([9], self.ended(client.say(frame(9))).answers())

    def test_stop(self) -> None:
        """With the port go those who have said nothing; others have their answer first."""
        silent, handed = self.connect(), self.connect().say(punch())
        self.answered(handed, 0)
        self.let_in(2)
        self.listeners.close()
        self.assertEqual(b"", self.ended(silent).received)
        self.assertEqual(1, len(self.admission))
        self.answered(handed.say(punch()), 0, 0)
        self.assertRaises(ConnectionRefusedError, self.connect)

    def test_stop_at_rest(self) -> None:
        """A port that rests is closed as well, whoever is the first to close it."""
        self.refuse([OSError(errno.EMFILE, "none")])
        self.connect()
        self.turn(self.counted)
        self.port.connectionLost(None)
        self.port.stopListening()
        self.assertEqual(([], -1), (self.reactor.getDelayedCalls(), self.port.fileno()))

    def test_descriptor_used_again(self) -> None:
        """Whoever gets the descriptor of one that ended in the same turn is served."""
        early = self.connect()
        self.let_in(1)
        self.port.doRead()  # else it would look at the listening socket first
        (descriptor,) = self.port._waiting
        early.say(frame(7))
        late = self.connect()
        self.port.doRead()
        self.assertEqual([descriptor], list(self.port._waiting))
        self.assertEqual([7], self.ended(early).answers())
        self.assert_open(late)
        self.assertEqual([8], self.ended(late.say(frame(8))).answers())

    def test_called_for_nothing(self) -> None:
        """An event without a byte changes nothing, not even the deadline."""
        client = self.connect()
        self.let_in(1)
        (caller,) = self.port._waiting.values()
        self.clock.advance(FRAME_S / 2)
        self.port._serve(caller)
        self.clock.advance(FRAME_S / 2)
        self.ended(client)

    def test_name(self) -> None:
        """The reactor's log tells which of its readers it is."""
        self.assertEqual("quick", self.port.logPrefix())
