"""A client by the library ``wsproto``, which shares nothing with the server's code."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from itertools import cycle

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

_READ_BYTES = 1 << 16


class WsprotoClient:
    """
    A connection to a port of this machine, to be entered with ``async with``.

    :param context: for TLS; None is plain.
    :ivar fragments: sizes of the parts that messages are sent in, by turns; 0 is whole.
    :ivar ping: sent between any two parts.
    :ivar extensions: what the server agreed to, of what was offered: compression.
    :ivar pongs: the payloads of the Pongs that came.
    :ivar close_code: what the server said at the end; 0 before.
    """

    def __init__(self, port: int, path: str, context: ssl.SSLContext | None) -> None:
        self._where = port, path, context
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._is_open = False
        self.fragments = cycle((0,))
        self.ping = b""
        self.extensions: list[object] = []
        self.pongs: list[bytes] = []
        self.close_code = 0

    async def __aenter__(self) -> WsprotoClient:
        port, path, context = self._where
        self._reader, self._writer = await asyncio.open_connection(
            *("127.0.0.1", port),
            ssl=context,
            server_hostname="localhost" if context else None,
        )
        await self._say(Request("localhost", path, extensions=[PerMessageDeflate()]))
        while not self._is_open:
            await self._read()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.transport.abort()

    async def send(self, payload: bytes) -> None:
        """Send a message."""
        size = next(self.fragments) or len(payload) or 1
        starts = range(0, len(payload) or 1, size)
        for start in starts:
            if self.ping and start:
                await self._say(Ping(self.ping))
            part, is_last = payload[start : start + size], start == starts[-1]
            await self._say(BytesMessage(part, message_finished=is_last))

    async def send_text(self, text: str) -> None:
        """Send a message of text."""
        await self._say(TextMessage(text))

    async def recv(self) -> bytes:
        """
        Return the next message.

        :raises ConnectionError: the server has closed.
        """
        while not self._messages:
            await self._read()
        return self._messages.popleft()

    async def end(self) -> int:
        """Close in order; return what the server said to it, see :meth:`until_end`."""
        await self._say(CloseConnection(1000))
        return await self.until_end()

    async def until_end(self) -> int:
        """Wait for the end of the connection; return the code of Close, 0 without one."""
        try:
            while True:
                await self._read()
        except ConnectionError:
            return self.close_code

    async def _say(self, event: Event) -> None:
        self._writer.write(self._protocol.send(event))
        await self._writer.drain()

    async def _read(self) -> None:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise ConnectionError("closed")
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, AcceptConnection):
            self._is_open = True
            self.extensions = list(event.extensions)
        elif isinstance(event, RejectConnection):
            raise ConnectionError(f"refused with {event.status_code}")
        elif isinstance(event, BytesMessage):
            self._take_part(event)
        elif isinstance(event, Pong):
            self.pongs.append(bytes(event.payload))
        elif isinstance(event, CloseConnection) and not self.close_code:
            self.close_code = event.code

    def _take_part(self, event: BytesMessage) -> None:
        self._parts.append(bytes(event.data))
        if event.message_finished:
            self._messages.append(b"".join(self._parts))
            self._parts.clear()
