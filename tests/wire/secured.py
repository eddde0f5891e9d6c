"""The client's half of the key exchange, as protocol.md section 7.2 has it."""

from __future__ import annotations

import secrets

from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import VerifyKey

from rdserver.wire import pb
from rdserver.wire.secure import SecureChannel


def answer_offer(
    server_key: VerifyKey,
    offer: pb.RendezvousMessage,
    ephemeral: PrivateKey | None = None,
    session_key: bytes = b"",
) -> tuple[pb.RendezvousMessage, SecureChannel]:
    """
    Return what a client answers to the server's *offer*, and its end of the channel.

    :raises nacl.exceptions.BadSignatureError: it is not signed with *server_key*.
    :raises AssertionError: it is no key exchange, or has other than one key of 32 bytes.
    """
    assert offer.WhichOneof("union") == "key_exchange", offer
    [signed] = offer.key_exchange.keys
    server_ephemeral = server_key.verify(signed)
    assert len(server_ephemeral) == 32, server_ephemeral
    ephemeral = ephemeral or PrivateKey.generate()
    session_key = session_key or secrets.token_bytes(32)
    box = Box(ephemeral, PublicKey(server_ephemeral))
    boxed = box.encrypt(session_key, bytes(24)).ciphertext
    keys = [bytes(ephemeral.public_key), boxed]
    answer = pb.RendezvousMessage(key_exchange=pb.KeyExchange(keys=keys))
    return answer, SecureChannel(session_key)
