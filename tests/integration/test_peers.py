"""Tests for the test clients: what they must do where no server makes them do it."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections import deque

from nacl.public import PrivateKey
from nacl.signing import SigningKey, VerifyKey
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import pb
from rdserver.wire.address import Address, encode_address
from rdserver.wire.secure import KeyOffer
from tests.integration.case import ProcessTests
from tests.integration.peers.answers import Repeats
from tests.integration.peers.controlling import call
from tests.integration.peers.line import Line, SecuringError, secure
from tests.integration.peers.profile import Path, Profile
from tests.integration.peers.race import NoWayError, Reached, RefusedError, first_of
from tests.integration.peers.scope import Scope
from tests.integration.peers.session import Greeting, SessionError, answer_greeting
from tests.integration.sockets import REPLY_S
from tests.vectors import crypto
from tests.wire.secured import answer_offer

SERVER = SigningKey(bytes(range(32)))
KEY = b64encode(bytes(SERVER.verify_key)).decode()
NAT_ANSWER = pb.RendezvousMessage(test_nat_response=pb.TestNatResponse(port=1))


class Script:
    """A link on which *frames* come; None is the end, and behind them there is silence."""

    def __init__(self, *frames: bytes | None) -> None:
        self.address = Address("192.0.2.1", 1)
        self.sent: list[bytes] = []
        self._frames = deque(frames)

    def send_frames(self, *payloads: bytes) -> None:
        self.sent += payloads

    def receive_frame(self, timeout_s: float) -> bytes | None:
        if not self._frames:
            raise TimeoutError
        return self._frames.popleft()

    def close(self) -> None: ...


def message_of(*keys: bytes) -> bytes:
    """Return a key exchange with *keys*, encoded."""
    return pb.encode(pb.RendezvousMessage(key_exchange=pb.KeyExchange(keys=keys)))


class SecuringTests(SynchronousTestCase):
    """The client's half of a key exchange: protocol.md sections 7.1 and 7.2."""

    def test_vector(self) -> None:
        """With the keys of the test vector, all bytes are those of the vector."""
        answer, channel = answer_offer(
            VerifyKey(bytes(SERVER.verify_key)),
            pb.decode(crypto("KE1 msg")),
            PrivateKey(crypto("client eph sk")),
            crypto("session key"),
        )
        self.assertEqual(crypto("KE2 msg").hex(), pb.encode(answer).hex())
        sealed = channel.seal(crypto("RegisterPk plain"))
        self.assertEqual(crypto("client->server #1").hex(), sealed.hex())
        opened = channel.open(crypto("server->client #1"))
        self.assertEqual(crypto("RegisterPkResponse plain").hex(), opened.hex())
        self.assertEqual("3a00", channel.open(crypto("server->client #2")).hex())

    def test_whole_exchange(self) -> None:
        """Behind it messages are encrypted, and heartbeats pass and are not counted."""
        offer = KeyOffer(SERVER)
        link = Script(pb.encode(offer.message), b"")
        line = Line(link)
        secure(line, KEY, REPLY_S)
        server = offer.accept(pb.decode(link.sent.pop()).key_exchange)
        self.assertEqual(pb.RendezvousMessage(), line.receive())
        line.echo()
        line.send(NAT_ANSWER)
        heartbeat, sealed = link.sent
        self.assertEqual(b"", heartbeat)
        self.assertEqual(pb.encode(NAT_ANSWER), server.open(sealed))
        answered = Line(Script(server.seal(pb.encode(NAT_ANSWER))))
        answered.channel = line.channel
        self.assertEqual(NAT_ANSWER, answered.receive())

    def test_bad_offers(self) -> None:
        """An offer of another server, or of none or two keys, or another size, is fatal."""
        good = SERVER.sign(bytes(PrivateKey.generate().public_key))
        foreign = SigningKey.generate().sign(bytes(32))
        for keys in ((), (good, good), (foreign,), (SERVER.sign(bytes(31)),), (b"x",)):
            link = Script(message_of(*keys))
            self.assertRaises(SecuringError, secure, Line(link), KEY, REPLY_S)
            self.assertEqual([], link.sent)

    def test_silence(self) -> None:
        """A server that offers nothing in time is fatal."""
        self.assertRaises(SecuringError, secure, Line(Script()), KEY, REPLY_S)

    def test_no_key(self) -> None:
        """Without a key of 32 bytes nothing is waited for."""
        link = Script(message_of())
        for key in ("", "no key", b64encode(bytes(31)).decode()):
            self.assertRaises(SecuringError, secure, Line(link), key, REPLY_S)
        self.assertEqual(message_of(), link.receive_frame(0))

    def test_anything_else(self) -> None:
        """Any other first frame is lost, and all goes on unencrypted."""
        for first in (pb.encode(NAT_ANSWER), b"", b"\xff", None):
            line = Line(Script(first, pb.encode(NAT_ANSWER)))
            secure(line, KEY, REPLY_S)
            self.assertIsNone(line.channel)
            self.assertEqual(NAT_ANSWER, line.receive())


class RepeatTests(SynchronousTestCase):
    def test_repeats(self) -> None:
        """What comes for one A within 100 ms is ignored: appendix A3."""
        clock = Clock()
        repeats = Repeats(clock.seconds)
        first = [encode_address(Address("192.0.2.1", 7), tm) for tm in (1, 2)]
        other = encode_address(Address("192.0.2.1", 8), 1)
        self.assertEqual([False, True], [repeats.is_repeat(a) for a in first])
        self.assertEqual([False, False], [repeats.is_repeat(a) for a in (other, first[0])])
        clock.advance(0.1)
        self.assertFalse(repeats.is_repeat(first[0]))


class RaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scope = Scope()
        self.addCleanup(self.scope.close)

    def test_first_way(self) -> None:
        """The first that leads somewhere wins; errors of others do not matter."""

        def fails() -> Reached:
            raise OSError("refused")

        reached = Reached(Path.TCP, Line(Script()), b"")
        self.assertIs(reached, first_of([fails, lambda: reached], self.scope))
        self.assertRaises(NoWayError, first_of, [fails, fails], self.scope)

    def test_refusal(self) -> None:
        """What the server refuses ends all attempts at once."""
        waits = threading.Event()
        self.addCleanup(waits.set)

        def refused() -> Reached:
            raise RefusedError("no")

        def slow() -> Reached:
            waits.wait(REPLY_S)
            raise OSError("late")

        self.assertRaises(RefusedError, first_of, [slow, refused], self.scope)
        self.assertFalse(waits.is_set())


class GreetingTests(SynchronousTestCase):
    """How A and B prove themselves to each other."""

    def greet(self, proven: SigningKey | None, peer_id: str = "123") -> tuple[Line, Line]:
        b_key = SigningKey(bytes(range(1, 33)))
        greeting = Greeting("123", b_key)
        a_end, b_end = Script(), Script()
        a, b = Line(a_end), Line(b_end)
        pk = bytes(proven.verify_key) if proven else b""
        answer_greeting(a, greeting.message(), peer_id, pk)
        greeting.agree(b, a_end.sent.pop())
        return a, b

    def test_proven(self) -> None:
        """Both encrypt with one key, if B has the key that the server signed."""
        a, b = self.greet(SigningKey(bytes(range(1, 33))))
        assert a.channel and b.channel
        self.assertEqual(b"hello", b.channel.open(a.channel.seal(b"hello")))

    def test_not_proven(self) -> None:
        """Without a proof neither encrypts."""
        a, b = self.greet(None)
        self.assertEqual((None, None), (a.channel, b.channel))

    def test_impostor(self) -> None:
        """A leaves a B that has another key, or another id."""
        self.assertRaises(SessionError, self.greet, SigningKey.generate())
        self.assertRaises(SessionError, self.greet, SigningKey(bytes(range(1, 33))), "124")


class RefusalTests(ProcessTests):
    def test_unknown_id(self) -> None:
        """A says what the server refuses it for, and does not wait for more."""
        running = self.server().start()
        profile = Profile(key=self.controller(running.ports).key.strip())
        began_s = time.monotonic()
        with self.assertRaises(RefusedError) as caught:
            call(running.ports, profile, "999999999", 1)
        self.assertEqual("ID_NOT_EXIST", str(caught.exception))
        self.assertLess(time.monotonic() - began_s, profile.timing.answers_s[0])
