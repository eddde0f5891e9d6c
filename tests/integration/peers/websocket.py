"""A client's end of a WebSocket connection, as protocol.md section 1.4 has it."""

from __future__ import annotations

import secrets
import struct
import time
from collections import deque

from rdserver.wire.address import Address
from tests.integration.sockets import REPLY_S, open_tcp

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_OPCODE, _LENGTH, _MASKED = 0x0F, 0x7F, 0x80


class WebSocketLink:
    """
    Carries each frame as one Binary message.

    :param remote: the server's host and port.
    :param host: the local address; empty for any.
    :raises OSError: it does not answer, or not with an upgrade.
    """

    def __init__(self, remote: tuple[str, int], host: str, timeout_s: float) -> None:
        self.socket = open_tcp(remote, (host, 0), timeout_s)
        self.address = Address(*self.socket.getsockname()[:2])
        self._buffer = b""
        self._messages: deque[bytes] = deque()
        self._is_closed = False
        try:
            self._upgrade(Address(*remote))
        except OSError:
            self.socket.close()
            raise

    def _upgrade(self, remote: Address) -> None:
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {remote}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError("closed before the upgrade")
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        # What the key above must be answered with is in RFC 6455, section 1.3.
        if b" 101 " not in head or b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in head:
            raise ConnectionError(f"no upgrade: {head!r}")

    def send_frames(self, *payloads: bytes) -> None:
        """Send each payload as a Binary message."""
        self.socket.settimeout(REPLY_S)
        self.socket.sendall(b"".join(_frame(BINARY, payload) for payload in payloads))

    def receive_frame(self, timeout_s: float) -> bytes | None:
        """
        Return the next message, Text or Binary, or None once the server closed.

        Pings are answered and not shown.

        :raises TimeoutError: neither came in time.
        """
        deadline = time.monotonic() + timeout_s
        self._cut()
        while not self._messages and not self._is_closed:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._read()
            self._cut()
        return self._messages.popleft() if self._messages else None

    def _read(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        self._is_closed = not data
        self._buffer += data

    def _cut(self) -> None:
        while (found := _first_frame(self._buffer)) is not None:
            opcode, payload, self._buffer = found
            self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            self._messages.append(payload)
        elif opcode == PING:
            self.socket.sendall(_frame(PONG, payload))
        elif opcode == CLOSE:
            self._is_closed = True

    def close(self) -> None:
        """Close this end, as clients do: without a word."""
        self.socket.close()


def _frame(opcode: int, payload: bytes) -> bytes:
    size, mask = len(payload), secrets.token_bytes(4)
    if size < 126:
        length = bytes([_MASKED | size])
    elif size < 1 << 16:
        length = bytes([_MASKED | 126]) + struct.pack("!H", size)
    else:
        length = bytes([_MASKED | 127]) + struct.pack("!Q", size)
    return bytes([0x80 | opcode]) + length + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return mixed.to_bytes(size, "big")


def _first_frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return opcode and payload of the server's first frame, and what follows it."""
    if len(data) < 2:
        return None
    size, at = data[1] & _LENGTH, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    if len(data) < at + size:
        return None
    assert data[0] & 0x80, "the server cuts a message into frames"
    return data[0] & _OPCODE, data[at : at + size], data[at + size :]
