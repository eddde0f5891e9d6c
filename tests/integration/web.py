"""WebSocket clients by the library ``websockets``, which shares nothing with our code."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import websockets

from rdserver.wire import pb

T = TypeVar("T")
TIMEOUT_S = 30.0

Message = pb.RendezvousMessage


def run(coroutine: Coroutine[Any, Any, T], timeout_s: float = TIMEOUT_S) -> T:
    """Run to the end, but not for ever."""
    return asyncio.run(asyncio.wait_for(coroutine, timeout_s))


def trusting(authority: Path) -> ssl.SSLContext:
    """Return what a client needs that trusts only *authority*."""
    return ssl.create_default_context(cafile=str(authority))


def connect(url: str, context: ssl.SSLContext | None = None, **options: Any) -> Any:
    """
    Return a connection to be entered with ``async with``.

    :param options: ``host``, the local address; ``headers`` of the request.
    """
    headers = options.pop("headers", {})
    named = "additional_headers"  # since websockets 14
    if named not in inspect.signature(websockets.connect).parameters:
        named = "extra_headers"
    if host := options.pop("host", ""):
        options["local_addr"] = (host, 0)
    if context is not None:
        options["ssl"] = context
    return websockets.connect(
        url, max_size=None, compression=None, **{named: headers}, **options
    )


async def ask(connection: Any, **member: Any) -> Message:
    """Send one message; return the answer."""
    await connection.send(pb.encode(Message(**member)))
    return pb.decode(await connection.recv())


def join(session: str) -> bytes:
    """Return the message that joins a session at the relay."""
    return pb.encode(Message(request_relay=pb.RequestRelay(uuid=session.encode())))


def payloads(seed: int, total: int) -> list[bytes]:
    """Return random messages of all sizes, of *total* bytes together."""
    random, left, made = Random(seed), total, []
    while left:
        size = min(left, random.choice((1, 63, 64, 1000, 16_384, 65_536, 300_000)))
        made.append(random.randbytes(size))
        left -= size
    return made


class FramedStream:
    """A TCP side of a session, with the same methods as a WebSocket's connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, payload: bytes) -> None:
        size = len(payload)
        extra = 0 if size < 1 << 6 else 1 if size < 1 << 14 else 2 if size < 1 << 22 else 3
        self._writer.write((size << 2 | extra).to_bytes(extra + 1, "little") + payload)
        await self._writer.drain()

    async def recv(self) -> bytes:
        head = await self._reader.readexactly(1)
        head += await self._reader.readexactly(head[0] & 3)
        return await self._reader.readexactly(int.from_bytes(head, "little") >> 2)

    async def __aenter__(self) -> FramedStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.close()


class Framed:
    """As :func:`connect`, for a TCP port."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port

    async def __aenter__(self) -> FramedStream:
        return FramedStream(*await asyncio.open_connection(*self._where))

    async def __aexit__(self, *_exc: object) -> None:
        """Who uses the stream closes it by dropping it."""


async def exchange(first: Any, second: Any, total: int) -> None:
    """
    Let both sides of a session send *total* bytes at the same time.

    :raises AssertionError: a side did not get just the other's messages, in order.
    """
    there, back = payloads(1, total), payloads(2, total)
    await asyncio.gather(
        _send(first, there),
        _send(second, back),
        _receive(first, back),
        _receive(second, there),
    )


async def _send(connection: Any, messages: list[bytes]) -> None:
    for message in messages:
        await connection.send(message)


async def _receive(connection: Any, messages: list[bytes]) -> None:
    for number, message in enumerate(messages):
        got = await connection.recv()
        if got != message:
            raise AssertionError(f"message {number}: {len(got)} bytes for {len(message)}")
