"""A WebSocket client's upgrade, and a client without a network that makes it."""

from __future__ import annotations

from typing import Any

from tests.fakes import FakeTCP, settle
from tests.wire.masked import BINARY, client_frame, server_frames

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455 section 1.3."""


def upgrade_request(path: str = "/", **headers: str) -> bytes:
    """Return the request; *headers* are added or replaced, ``_`` stands for ``-``."""
    fields = {
        "Host": "relay.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items() if v)]
    return "\r\n".join([*lines, "", ""]).encode()


class WebSocketClient:
    """
    A client at the other end of a :class:`tests.fakes.FakeTCP`.

    :ivar head: the answer to its upgrade.
    """

    def __init__(self, factory: Any, host: str = "192.0.2.1", port: int = 5001) -> None:
        self.tcp = FakeTCP(host, port)
        self.tcp.protocol = factory.buildProtocol(self.tcp.peer)
        self.head = b""
        self._received = bytearray()
        if self.tcp.protocol is None:
            self.tcp.connected = False
        else:
            self.tcp.protocol.makeConnection(self.tcp)

    @property
    def is_connected(self) -> bool:
        return self.tcp.connected

    def upgrade(self, path: str = "/", more: bytes = b"", **headers: str) -> int:
        """Ask for the upgrade, with *more* right behind it; return the status."""
        self.send(upgrade_request(path, **headers) + more)
        self.head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        return int(self.head.split()[1])

    def send(self, data: bytes) -> None:
        """Send bytes, and let the server work."""
        self.tcp.send(data)
        self.settle()

    def say(self, payload: bytes, opcode: int = BINARY) -> None:
        """Send one message, or a control frame."""
        self.send(client_frame(opcode, payload))

    def settle(self) -> None:
        settle(self.tcp)
        self._received += self.tcp.read()

    def frames(self) -> list[tuple[int, bytes]]:
        """Return the frames that came since the last time, with their first bytes."""
        self.settle()
        received, self._received = bytes(self._received), bytearray()
        return list(server_frames(received))
