"""
What two peers say to each other once there is a way: proofs first, then data.

B proves that it has the key which the server signed, and both agree on a session key
(protocol.md section 2.5, "for orientation").  What follows is our own: both send as many
random bytes as was agreed, at the same time, and each tells the other what came.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import threading

from attrs import define, field
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey

from rdserver.wire import pb
from rdserver.wire.secure import SecureChannel
from tests.integration.peers.line import Line

_SIGNED_ID, _PUBLIC_KEY = 3, 4  # members of the peers' envelope
_ZERO_NONCE = bytes(24)
_PIECE_BYTES = 16_000
TALK_S = 30.0


class SessionError(Exception):
    """The peers have a way to each other, and it does not work."""


@define
class Greeting:
    """What B says first, and how it takes the answer."""

    peer_id: str
    identity: SigningKey
    _ephemeral: PrivateKey = field(factory=PrivateKey.generate, init=False)

    def message(self) -> bytes:
        """Return B's ``SignedId``."""
        public = bytes(self._ephemeral.public_key)
        proof = pb.IdPk(id=self.peer_id.encode(), pk=public)
        signed = self.identity.sign(proof.SerializeToString())
        return _encode({_SIGNED_ID: _encode({1: bytes(signed)})})

    def agree(self, line: Line, answer: bytes) -> None:
        """
        Encrypt from now on as A's *answer* says.

        :raises SessionError: it is no answer to this greeting.
        """
        keys = _decode(_decode(answer).get(_PUBLIC_KEY, b""))
        if not keys:
            return  # A has no proof of B's key, and goes on without encryption
        try:
            box = Box(self._ephemeral, PublicKey(keys[1]))
            line.channel = SecureChannel(box.decrypt(keys[2], _ZERO_NONCE))
        except (KeyError, ValueError, CryptoError) as e:
            raise SessionError("A's answer does not decrypt") from e


def answer_greeting(line: Line, greeting: bytes, peer_id: str, proven_pk: bytes) -> None:
    """
    Answer B's *greeting*, and encrypt from now on; not if nothing proves B's key.

    :param proven_pk: B's key as the server signed it, or empty.
    :raises SessionError: the greeting is not of the device with that key.
    """
    if not proven_pk:
        line.say(_encode({_PUBLIC_KEY: b""}))
        return
    signed = _decode(_decode(greeting).get(_SIGNED_ID, b"")).get(1, b"")
    try:
        proof = pb.IdPk.FromString(VerifyKey(proven_pk).verify(signed))
    except (CryptoError, ValueError) as e:
        raise SessionError("B does not have the key that the server signed") from e
    if pb.text(proof.id) != peer_id:
        raise SessionError(f"B says that it is {proof.id!r}")
    ephemeral, session_key = PrivateKey.generate(), secrets.token_bytes(32)
    box = Box(ephemeral, PublicKey(proof.pk))
    boxed = box.encrypt(session_key, _ZERO_NONCE).ciphertext
    keys = _encode({1: bytes(ephemeral.public_key), 2: boxed})
    line.say(_encode({_PUBLIC_KEY: keys}))
    line.channel = SecureChannel(session_key)


def talk(line: Line, size: int) -> None:
    """
    Send *size* random bytes while as many come, and compare what came with what was sent.

    :raises SessionError: the other side got other bytes, or it took too long.
    """
    data = random.randbytes(size)
    sender = threading.Thread(target=_send, args=(line, data), daemon=True)
    sender.start()
    came = hashlib.blake2b()
    while size > 0:
        piece = _hear(line)
        came.update(piece)
        size -= len(piece)
    sender.join(TALK_S)
    line.say(came.digest())
    if _hear(line) != hashlib.blake2b(data).digest():
        raise SessionError("the other side got other bytes than were sent")


def _send(line: Line, data: bytes) -> None:
    for start in range(0, len(data), _PIECE_BYTES):
        line.say(data[start : start + _PIECE_BYTES])


def _hear(line: Line) -> bytes:
    payload = line.hear(TALK_S)
    if payload is None:
        raise SessionError("the other side left in the middle")
    return payload


def _encode(members: dict[int, bytes]) -> bytes:
    """Return a protobuf message of byte members."""
    return b"".join(
        bytes([number << 3 | 2]) + _varint(len(value)) + value
        for number, value in members.items()
    )


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


def _decode(message: bytes) -> dict[int, bytes]:
    """Undo :func:`_encode`; members are shorter than 16 KiB."""
    members, at = {}, 0
    while at < len(message):
        number, size, at = message[at] >> 3, message[at + 1], at + 2
        if size & 0x80:
            size, at = size & 0x7F | message[at] << 7, at + 1
        members[number] = message[at : at + size]
        at += size
    return members
