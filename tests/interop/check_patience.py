"""
How long a proxy that is set up as docs/proxies says lets clients be silent.

The server itself never waits as long, so something that echoes stands in for it.
"""

from __future__ import annotations

import asyncio
import contextlib  # whole: trial looks for a module's "suppress", and means another
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import websockets
from attrs import evolve

from tests.integration.process import Ports, free_ports
from tests.integration.web import run
from tests.interop.case import InteropTests
from tests.interop.daemon import Daemon, free_port
from tests.interop.proxies import (
    HOST,
    Site,
    new_site,
    start_apache,
    start_caddy,
    start_haproxy,
    start_haproxy_tcp,
    start_nginx,
)

SILENCE_S = 62.0
"""Longer than what nginx and Debian's HAProxy allow where nothing is set: 60 s and 50 s."""

BEHIND = "127.0.0.3"

Connection = tuple[Callable[[bytes], Any], Callable[[], Any]]
"""How to send and how to receive."""


async def echo_messages(connection: Any, *_path: object) -> None:
    async for message in connection:
        await connection.send(message)


async def echo_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


class PatienceTests(InteropTests):
    def test_all(self) -> None:
        """After a minute of silence the connection is still there, through each proxy."""
        run(self.be_silent(), SILENCE_S + 60)

    async def be_silent(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            connections = await self.connections(stack)
            if not connections:
                raise SkipTest("there is no proxy at all")
            for name, connection in connections.items():
                await self.assert_open(name, connection)
            await asyncio.sleep(SILENCE_S)
            for name, connection in connections.items():
                await self.assert_open(name, connection)

    async def assert_open(self, name: str, connection: Connection) -> None:
        send, receive = connection
        await send(b"hello")
        self.assertEqual(b"hello", await receive(), name)

    async def connections(self, stack: contextlib.AsyncExitStack) -> dict[str, Connection]:
        """Return a connection through each proxy that is installed."""
        echo = await stack.enter_async_context(
            websockets.serve(echo_messages, HOST, 0, ping_interval=None)
        )
        port = next(iter(echo.sockets)).getsockname()[1]
        made: dict[str, Connection] = {}
        for start in (start_nginx, start_haproxy, start_apache, start_caddy):
            with contextlib.suppress(SkipTest):
                made[start.__name__] = await self.by_websocket(stack, port, start)
        with contextlib.suppress(SkipTest):
            made["TCP"] = await self.by_tcp(stack)
        return made

    async def by_websocket(
        self, stack: contextlib.AsyncExitStack, port: int, start: Callable[[Site], Daemon]
    ) -> Connection:
        site = new_site(self.new_folder(), Ports(port - 2, port - 2), self.pair)
        site.folder.chmod(0o755)
        self.keep(start(site)).wait_for_port(HOST, site.https)
        url = f"wss://localhost:{site.https}/ws/relay"
        connection = await stack.enter_async_context(self.open(url, ping_interval=None))
        return connection.send, connection.recv

    async def by_tcp(self, stack: contextlib.AsyncExitStack) -> Connection:
        behind = evolve(free_ports(), host=BEHIND)
        plain = {" send-proxy-v2": ""}
        proxy = self.keep(start_haproxy_tcp(self.new_folder(), behind, free_port(), plain))
        proxy.wait_for_port(HOST, behind.main)
        echo = await asyncio.start_server(echo_bytes, BEHIND, behind.main)
        await stack.enter_async_context(echo)
        reader, writer = await asyncio.open_connection(HOST, behind.main)
        stack.callback(writer.close)

        async def send(data: bytes) -> None:
            writer.write(data)

        async def receive() -> bytes:
            return await reader.readexactly(5)

        return send, receive
