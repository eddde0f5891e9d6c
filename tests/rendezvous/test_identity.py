"""Tests for :mod:`rdserver.rendezvous.identity`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.keys import KeyPair
from rdserver.presence.interface import Peer
from rdserver.rendezvous.identity import Credential, Identity
from rdserver.storage.interface import StoredPeer
from tests.rendezvous.fixture import BOB_ID, KEY, PAIR, PK, UUID, CountingPair, proven

OLD, OLDER = KeyPair.generate(), KeyPair.generate()


def peer(pk: bytes = PK) -> Peer:
    return Peer(StoredPeer(BOB_ID, bytes(16), UUID, pk, ""), 0)


class IdentityTests(SynchronousTestCase):
    def test_key(self) -> None:
        """Only the whole key is recognised, whatever bytes come."""
        identity = Identity(KEY, PAIR)
        self.assertTrue(identity.checks_keys)
        wrong = (
            b"",
            KEY.encode()[:-1],
            KEY.encode() + b"=",
            KEY.lower().encode(),
            b"\xff\0",
        )
        self.assertEqual([None] * 5, [identity.recognise(key) for key in wrong])
        self.assertIs(identity.current, identity.recognise(KEY.encode()))

    def test_literal_key(self) -> None:
        """A key may be any text."""
        identity = Identity("Schlüssel", None)
        self.assertIs(identity.current, identity.recognise("Schlüssel".encode()))

    def test_no_key(self) -> None:
        """Without a key everybody may ask; answers are signed all the same."""
        identity = Identity("", PAIR)
        self.assertFalse(identity.checks_keys)
        for presented in (b"anything", b""):
            self.assertIs(identity.current, identity.recognise(presented))
        self.assertEqual((BOB_ID, PK), proven(identity.current.prove(peer(), b"1")))

    def test_old_keys(self) -> None:
        """Whoever has an old key is recognised, and what it is told is signed with that."""
        identity = Identity(KEY, PAIR, [OLD, OLDER])
        self.assertEqual((OLD.public_text, OLDER.public_text), identity.old_keys)
        for pair in (OLD, OLDER):
            credential = identity.recognise(pair.public_text.encode())
            assert credential is not None
            self.assertEqual(pair.public_text[:8], credential.old_name)
            proof = credential.prove(peer(), b"1")
            self.assertEqual((BOB_ID, PK), proven(proof, pair))
        self.assertEqual("", identity.current.old_name)
        self.assertIs(identity.current, identity.recognise(KEY.encode()))
        self.assertIsNone(identity.recognise(OLD.secret_text.encode()))

    def test_old_key_where_none_is_asked_for(self) -> None:
        """Who presents an old key believes no other, also where nobody must present one."""
        identity = Identity("", PAIR, [OLD])
        credential = identity.recognise(OLD.public_text.encode())
        assert credential is not None
        self.assertEqual((BOB_ID, PK), proven(credential.prove(peer(), b"1"), OLD))
        self.assertIs(identity.current, identity.recognise(KEY.encode()))

    def test_nothing_to_prove(self) -> None:
        """No pair, no device, no key of the device, no version: no proof, no signature."""
        pair = CountingPair()
        credential = Credential(pair)
        proofs = [
            Credential(None).prove(peer(), b"1"),
            credential.prove(None, b"1"),
            credential.prove(peer(pk=b""), b"1"),
            credential.prove(peer(), b""),
        ]
        self.assertEqual([b""] * 4, proofs)
        self.assertEqual(0, pair.signed)
