"""Messages on a link of any kind, and the key exchange that may come before them."""

from __future__ import annotations

import socket
from base64 import b64decode
from typing import Protocol

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from rdserver.errors import ProtocolError
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.secure import SecureChannel
from tests.integration.sockets import REPLY_S
from tests.wire.secured import answer_offer


class SecuringError(Exception):
    """The key exchange failed in a way that a client gives up for."""


class Link(Protocol):
    """
    Carries frames: by TCP, by WebSocket, or over UDP.

    :ivar address: this end's.
    :ivar socket: below all.
    """

    address: Address
    socket: socket.socket

    def send_frames(self, *payloads: bytes) -> None:
        """Send frames, in one piece if the link knows pieces."""

    def receive_frame(self, timeout_s: float) -> bytes | None:
        """
        Return the next frame, or None once the other side closed.

        :raises TimeoutError: neither happened in time.
        """

    def close(self) -> None:
        """Close this end."""


class Line:
    """
    Messages on a *link*.

    :ivar channel: encrypts all messages from when it is set.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.channel: SecureChannel | None = None

    def say(self, payload: bytes) -> None:
        """Send a message's bytes."""
        self.link.send_frames(self.channel.seal(payload) if self.channel else payload)

    def hear(self, timeout_s: float = REPLY_S) -> bytes | None:
        """Return the next message's bytes, or None once the other side closed."""
        frame = self.link.receive_frame(timeout_s)
        return self.channel.open(frame) if frame and self.channel else frame

    def send(self, message: pb.RendezvousMessage) -> None:
        """Send a message to the ID server."""
        self.say(pb.encode(message))

    def receive(self, timeout_s: float = REPLY_S) -> pb.RendezvousMessage | None:
        """Return the ID server's next message; a heartbeat is one without a member."""
        payload = self.hear(timeout_s)
        return pb.decode(payload) if payload else _nothing(payload)

    def echo(self) -> None:
        """Answer a heartbeat, which is never encrypted."""
        self.link.send_frames(b"")

    @property
    def socket(self) -> socket.socket:
        """The socket below all."""
        return self.link.socket

    def close(self) -> None:
        """Close this end."""
        self.link.close()


def secure(line: Line, key: str, timeout_s: float) -> None:
    """
    Wait for the server to offer a key exchange, as ``secure_tcp`` does: silently.

    If the server says anything else, that is lost, and all goes on unencrypted.

    :param key: the server's public key as text.
    :raises SecuringError: the offer is not this server's, or there is none in time.

    Source: protocol.md section 7.1.
    """
    try:
        server_key = VerifyKey(b64decode(key, validate=True))
    except ValueError as e:
        raise SecuringError("the key is no key") from e
    try:
        frame = line.link.receive_frame(timeout_s)
    except TimeoutError as e:
        raise SecuringError("the server offers no key exchange") from e
    offer = _offer_in(frame or b"")
    if offer is None:
        return
    try:
        answer, channel = answer_offer(server_key, offer)
    except (AssertionError, CryptoError, ValueError) as e:
        raise SecuringError("the key exchange does not prove the server") from e
    line.send(answer)
    line.channel = channel


def _nothing(payload: bytes | None) -> pb.RendezvousMessage | None:
    return None if payload is None else pb.RendezvousMessage()


def is_offer(message: pb.RendezvousMessage) -> bool:
    """Return whether the server offers a key exchange."""
    return bool(message.WhichOneof("union") == "key_exchange")


def _offer_in(frame: bytes) -> pb.RendezvousMessage | None:
    try:
        message = pb.decode(frame)
    except ProtocolError:
        return None
    return message if is_offer(message) else None
