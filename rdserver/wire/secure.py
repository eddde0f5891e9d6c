"""
Encrypted frames, and the key exchange that begins them.  No I/O.

The server proves itself with its Ed25519 key over a fresh Curve25519 key; the
client answers with a session key boxed for it.  After that each frame's payload
is a secretbox whose nonce is a counter, one for each direction.

Source: protocol.md sections 1.2 and 7.2.
"""

from __future__ import annotations

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.secret import SecretBox
from nacl.signing import SigningKey

from rdserver.errors import ProtocolError
from rdserver.wire import pb

_BOX_NONCE = bytes(24)  # safe only because the key pair is fresh for each connection
_PUBLIC_KEY_BYTES = 32
_BOXED_KEY_BYTES = 48


class SecureChannel:
    """
    Seals and opens the frames of one connection.

    :param key: the session key, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)
        self._sent = 0
        self._received = 0

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt one message; even an empty one.  Heartbeats do not come here."""
        self._sent += 1
        return self._box.encrypt(plaintext, _nonce(self._sent)).ciphertext

    def open(self, payload: bytes) -> bytes:
        """
        Decrypt one frame's payload; 0 or 1 byte passes unchanged and uncounted.

        :raises ProtocolError: it does not decrypt: the connection must be closed.
        """
        if len(payload) <= 1:
            return payload
        self._received += 1
        try:
            return self._box.decrypt(payload, _nonce(self._received))
        except CryptoError as e:
            raise ProtocolError("frame does not decrypt") from e


class KeyOffer:
    """
    One connection's half of the exchange: what we send, and what the answer means.

    :param ephemeral: for tests; a fresh key pair otherwise.
    """

    def __init__(self, server_key: SigningKey, ephemeral: PrivateKey | None = None) -> None:
        self._ephemeral = ephemeral or PrivateKey.generate()
        signed = server_key.sign(bytes(self._ephemeral.public_key))
        self.message = pb.RendezvousMessage(key_exchange=pb.KeyExchange(keys=[signed]))

    def accept(self, answer: pb.KeyExchange) -> SecureChannel:
        """
        Return the channel that the client's *answer* opens.

        :raises ProtocolError: not one 32-byte and one 48-byte key, or a box that
            does not open.
        """
        keys = list(answer.keys)
        if [len(key) for key in keys] != [_PUBLIC_KEY_BYTES, _BOXED_KEY_BYTES]:
            raise ProtocolError("key exchange with keys of wrong number or size")
        try:
            box = Box(self._ephemeral, PublicKey(keys[0]))
            return SecureChannel(box.decrypt(keys[1], _BOX_NONCE))
        except CryptoError as e:
            raise ProtocolError("session key does not decrypt") from e


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(8, "little") + bytes(16)
