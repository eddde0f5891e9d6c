"""Tests for :mod:`rdserver.rendezvous.identity`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.interface import Peer
from rdserver.rendezvous.identity import Identity
from rdserver.storage.interface import StoredPeer
from tests.rendezvous.fixture import BOB_ID, KEY, PAIR, PK, UUID, CountingPair, proven


def peer(pk: bytes = PK) -> Peer:
    return Peer(StoredPeer(BOB_ID, bytes(16), UUID, pk, ""), 0)


class IdentityTests(SynchronousTestCase):
    def test_key(self) -> None:
        """Only the whole key is accepted, whatever bytes come."""
        identity = Identity(KEY, PAIR)
        self.assertTrue(identity.checks_keys)
        wrong = (
            b"",
            KEY.encode()[:-1],
            KEY.encode() + b"=",
            KEY.lower().encode(),
            b"\xff\0",
        )
        self.assertEqual([False] * 5, [identity.accepts(key) for key in wrong])
        self.assertTrue(identity.accepts(KEY.encode()))

    def test_literal_key(self) -> None:
        """A key may be any text."""
        self.assertTrue(Identity("Schlüssel", None).accepts("Schlüssel".encode()))

    def test_no_key(self) -> None:
        """Without a key everybody may ask; answers are signed all the same."""
        identity = Identity("", PAIR)
        self.assertFalse(identity.checks_keys)
        self.assertTrue(identity.accepts(b"anything"))
        self.assertEqual((BOB_ID, PK), proven(identity.prove(peer(), b"1")))

    def test_nothing_to_prove(self) -> None:
        """No pair, no device, no key of the device, no version: no proof, no signature."""
        pair = CountingPair()
        identity = Identity(KEY, pair)
        proofs = [
            Identity(KEY, None).prove(peer(), b"1"),
            identity.prove(None, b"1"),
            identity.prove(peer(pk=b""), b"1"),
            identity.prove(peer(), b""),
        ]
        self.assertEqual([b""] * 4, proofs)
        self.assertEqual(0, pair.signed)
