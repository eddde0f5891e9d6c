"""Tests for :mod:`rdserver.wire.secure`."""

from __future__ import annotations

import random

from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from rdserver.wire.secure import KeyOffer, SecureChannel
from tests.vectors import crypto

SESSION_KEY = bytes(range(200, 232))


def answer(*keys: bytes) -> pb.KeyExchange:
    return pb.KeyExchange(keys=keys)


class KeyOfferTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server_key = SigningKey(crypto("server seed"))
        self.offer = KeyOffer(self.server_key, PrivateKey(crypto("server eph sk")))

    def test_first_message(self) -> None:
        """Step 1: one frame with the signed key, byte for byte."""
        encoded = pb.encode(self.offer.message)
        self.assertEqual(crypto("KE1 msg").hex(), encoded.hex())
        self.assertEqual(101, len(encoded))
        self.assertEqual("9501ca01620a60", encode_frame(encoded)[:7].hex())

    def test_fresh_keys(self) -> None:
        """Two connections get different keys, both signed by the server's."""
        offers = [KeyOffer(self.server_key).message.key_exchange.keys[0] for _ in range(2)]
        self.assertNotEqual(*offers)
        for signed in offers:
            self.assertEqual(32, len(self.server_key.verify_key.verify(signed)))

    def test_vector(self) -> None:
        """Steps 2 to 4: the listed answer opens a channel with the listed frames."""
        second = crypto("KE2 msg")
        self.assertEqual("5d01", encode_frame(second)[:2].hex())
        channel = self.offer.accept(pb.decode(second).key_exchange)
        self.assertEqual(
            crypto("RegisterPk plain").hex(),
            channel.open(crypto("client->server #1")).hex(),
        )
        self.assertEqual(
            crypto("server->client #1").hex(),
            channel.seal(crypto("RegisterPkResponse plain")).hex(),
        )
        self.assertEqual(
            crypto("server->client #2").hex(), channel.seal(bytes.fromhex("3a00")).hex()
        )

    def test_any_client(self) -> None:
        """Whatever session key the client boxes for us is the channel's."""
        for _ in range(5):
            offer = KeyOffer(self.server_key)
            epk = self.server_key.verify_key.verify(offer.message.key_exchange.keys[0])
            client, session_key = PrivateKey.generate(), random.Random(5).randbytes(32)
            boxed = Box(client, PublicKey(epk)).encrypt(session_key, bytes(24)).ciphertext
            channel = offer.accept(answer(bytes(client.public_key), boxed))
            self.assertEqual(
                b"hello", channel.open(SecureChannel(session_key).seal(b"hello"))
            )

    def test_wrong_number_or_size(self) -> None:
        """Only one key of 32 and one of 48 bytes, in this order, are an answer."""
        key, boxed = crypto("client eph pk"), crypto("boxed")
        for keys in [
            (),
            (key,),
            (boxed,),
            (boxed, key),
            (key, boxed, b""),
            (key, boxed, boxed),
            (key[:-1], boxed),
            (key + b"\0", boxed),
            (key, boxed[:-1]),
            (key, boxed + b"\0"),
            (b"", b""),
        ]:
            self.assertRaises(ProtocolError, self.offer.accept, answer(*keys))

    def test_box_that_does_not_open(self) -> None:
        """A damaged box, another's key or a degenerate one is refused."""
        key, boxed = crypto("client eph pk"), crypto("boxed")
        for i in range(48):
            damaged = bytearray(boxed)
            damaged[i] ^= 1
            self.assertRaises(ProtocolError, self.offer.accept, answer(key, bytes(damaged)))
        other = bytes(PrivateKey.generate().public_key)
        for stranger in (other, bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
            self.assertRaises(ProtocolError, self.offer.accept, answer(stranger, boxed))


class SecureChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = SecureChannel(SESSION_KEY), SecureChannel(SESSION_KEY)

    def test_sizes(self) -> None:
        """A sealed message is 16 bytes longer; even an empty one is sealed."""
        for size in (0, 1, 2, 100, 70000):
            sealed = self.ours.seal(bytes(size))
            self.assertEqual(size + 16, len(sealed))
            self.assertEqual(bytes(size), self.theirs.open(sealed))

    def test_counters_run_apart(self) -> None:
        """Each direction counts by itself, so the two may speak in any order."""
        for _ in range(3):
            self.assertEqual(b"to them", self.theirs.open(self.ours.seal(b"to them")))
        self.assertEqual(b"to us", self.ours.open(self.theirs.seal(b"to us")))

    def test_equal_messages_differ(self) -> None:
        """The same message twice does not look the same."""
        self.assertNotEqual(self.ours.seal(b"again"), self.ours.seal(b"again"))

    def test_heartbeats_pass_uncounted(self) -> None:
        """0 or 1 byte passes as it is and does not advance the counter."""
        for heartbeat in (b"", b"\x00", b"\x7f"):
            self.assertEqual(heartbeat, self.theirs.open(heartbeat))
            self.assertEqual(b"next", self.theirs.open(self.ours.seal(b"next")))

    def test_replayed_or_skipped(self) -> None:
        """A frame that is repeated, or comes out of order, does not open."""
        first, second = self.ours.seal(b"first"), self.ours.seal(b"second")
        self.assertRaises(ProtocolError, self.theirs.open, second)
        channel = SecureChannel(SESSION_KEY)
        channel.open(first)
        self.assertRaises(ProtocolError, channel.open, first)

    def test_damaged(self) -> None:
        """A frame with a wrong bit, or cut short anywhere from 2 bytes on, is refused."""
        sealed = self.ours.seal(b"some message")
        for i in range(len(sealed)):
            damaged = bytearray(sealed)
            damaged[i] ^= 0x80
            channel = SecureChannel(SESSION_KEY)
            self.assertRaises(ProtocolError, channel.open, bytes(damaged))
        for end in range(2, len(sealed)):
            self.assertRaises(ProtocolError, SecureChannel(SESSION_KEY).open, sealed[:end])

    def test_random_bytes(self) -> None:
        """Garbage of any length from 2 bytes on is refused, never another error."""
        rng = random.Random(187)
        for size in range(2, 300):
            self.assertRaises(ProtocolError, self.ours.open, rng.randbytes(size))
