"""Statements 181, 182, 190 and 191 at a real server: who is offered a key exchange."""

from __future__ import annotations

from base64 import b64decode

from nacl.signing import VerifyKey

from rdserver.wire import pb
from tests.conformance.world import Message, ServerTests
from tests.wire.secured import answer_offer


class AtOnceTests(ServerTests):
    options = ("--key-exchange-delay=0",)

    def test_181_offered(self) -> None:
        """A silent client on P is; it is the server's key that signs."""
        stream = self.stream()
        offer = self.answer(stream)
        answer_offer(VerifyKey(b64decode(self.key)), offer)
        self.assertEqual(96, len(offer.key_exchange.keys[0]))

    def test_191_other_ports(self) -> None:
        """On P-1, P+2 and both ports of the relay nobody is."""
        main, relay = self.ports.main, self.ports.relay
        others = [self.stream(port) for port in (main - 1, main + 2, relay, relay + 2)]
        self.answer(self.stream())  # which was there last
        for stream in others:
            stream.socket.setblocking(False)
            self.assertRaises(BlockingIOError, stream.socket.recv, 1)


class GraceTests(ServerTests):
    def test_182_spoke(self) -> None:
        """Who speaks within the grace is not; the answer is the next that comes."""
        silent, quick = self.stream(), self.stream()
        quick.send(Message(punch_hole_request=pb.PunchHoleRequest(licence_key=b"x")))
        answer = self.answer(quick)
        self.assertEqual("punch_hole_response", answer.WhichOneof("union"))
        self.answer(silent)  # its grace is over, and so would be the other one's
        quick.socket.setblocking(False)
        self.assertRaises(BlockingIOError, quick.socket.recv, 1)


class LiteralKeyTests(ServerTests):
    options = ("--key=a word", "--key-exchange-delay=0")

    def test_190_no_signing_key(self) -> None:
        """Where the key is a word there is nothing to sign with, and nobody is."""
        silent, asking = self.stream(), self.stream()
        asking.send(Message(test_nat_request=pb.TestNatRequest()))
        self.answer(asking)
        silent.socket.setblocking(False)
        self.assertRaises(BlockingIOError, silent.socket.recv, 1)
