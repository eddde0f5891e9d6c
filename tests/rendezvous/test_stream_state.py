"""Tests for :mod:`rdserver.rendezvous.stream_state`: the table, row by row."""

from __future__ import annotations

from itertools import product

from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.rendezvous.stream_state import (
    HEARTBEAT_S,
    NEXT,
    RULES,
    SILENCE_S,
    Happening,
    State,
    StreamState,
)
from rdserver.wire import pb
from rdserver.wire.secure import KeyOffer
from tests.wire.secured import answer_offer

KEY = SigningKey(bytes(32))
REQUEST = pb.encode(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()))
REGISTER = pb.encode(pb.RendezvousMessage(register_pk=pb.RegisterPk(id=b"123456")))


class TableTests(SynchronousTestCase):
    def test_every_state_has_rules(self) -> None:
        """No state is without rules, and none but the first cannot be reached."""
        self.assertEqual(set(State), set(RULES))
        self.assertEqual(set(State) - {State.NEW}, set(NEXT.values()))

    def test_what_is_not_listed_is_an_error(self) -> None:
        """A happening that has no place in a state ends the connection."""
        for state, happening in product(State, Happening):
            stream = StreamState(None)
            stream.state = state
            if (state, happening) in NEXT:
                stream.keep(happening)
                self.assertEqual(NEXT[state, happening], stream.state)
            else:
                self.assertRaises(ProtocolError, stream.keep, happening)

    def test_heartbeats_in_time(self) -> None:
        """Heartbeats come often enough for clients and proxies, two before one is gone."""
        self.assertLess(HEARTBEAT_S, 30)
        self.assertGreater(SILENCE_S, 2 * HEARTBEAT_S)
        self.assertLessEqual(SILENCE_S, 2.7 * HEARTBEAT_S)


class StreamStateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = StreamState(lambda: KeyOffer(KEY))

    def secure(self) -> None:
        """Complete a key exchange."""
        offer = self.stream.silence()
        assert offer is not None
        answer, self.channel = answer_offer(KEY.verify_key, pb.decode(offer))
        self.assertIsNone(self.stream.read(pb.encode(answer)))
        self.assertTrue(self.stream.is_secure)

    def test_silence_once(self) -> None:
        """A key exchange is begun once, with who has said nothing."""
        self.assertIsNotNone(self.stream.silence())
        self.assertTrue(self.stream.is_given_up)
        self.assertIsNone(self.stream.silence())
        spoke = StreamState(lambda: KeyOffer(KEY))
        spoke.read(REQUEST)
        self.assertIsNone(spoke.silence())
        self.assertFalse(spoke.is_given_up)
        self.assertIsNone(StreamState(None).silence())

    def test_one_byte(self) -> None:
        """A frame of one byte is nothing, in every state, encrypted or not."""
        self.assertIsNone(self.stream.read(b"x"))
        self.secure()
        self.assertIsNone(self.stream.read(b"x"))
        self.assertIsNotNone(self.stream.read(self.channel.seal(REQUEST)))

    def test_empty(self) -> None:
        """An empty frame is a sign of life of who is kept, and an error of others."""
        self.assertRaises(ProtocolError, self.stream.read, b"")
        self.secure()
        self.assertRaises(ProtocolError, self.stream.read, b"")
        self.stream.read(self.channel.seal(REGISTER))
        self.stream.keep(Happening.REGISTRATION)
        self.assertIsNone(self.stream.read(b""))
        self.assertIsNotNone(self.stream.read(self.channel.seal(REGISTER)))

    def test_kept(self) -> None:
        """Who has registered may register again; what else it says is nothing."""
        self.stream.read(REGISTER)
        self.stream.keep(Happening.REGISTRATION)
        self.assertIsNotNone(self.stream.read(REGISTER))
        self.assertIsNone(self.stream.read(REQUEST))
        self.assertRaises(ProtocolError, self.stream.read, b"no message")

    def test_controlling(self) -> None:
        """Who controls a device says nothing that counts."""
        self.stream.read(REQUEST)
        self.stream.keep(Happening.CONTROL)
        for payload in (REQUEST, REGISTER, b"", b"x"):
            self.assertIsNone(self.stream.read(payload))

    def test_plain(self) -> None:
        """What goes out is as it is until both have agreed on a key."""
        self.assertEqual(REQUEST, self.stream.seal(REQUEST))
        self.secure()
        self.assertEqual(REQUEST, self.channel.open(self.stream.seal(REQUEST)))
