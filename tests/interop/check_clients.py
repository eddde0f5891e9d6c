"""Independent libraries for WebSocket at the server's own ports, plain and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from itertools import cycle

import websockets

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.integration.client import Device
from tests.integration.relayed import join_relay, new_session
from tests.integration.sockets import Stream
from tests.integration.web import Message, ask, exchange, join, run
from tests.interop.case import MB, InteropTests
from tests.interop.daemon import free_port
from tests.interop.wsproto_client import WsprotoClient

Way = tuple[int, str, ssl.SSLContext | None]

SESSION_S = 60.0


class ClientTests(InteropTests):
    """A server with a certificate and an open relay."""

    def setUp(self) -> None:
        super().setUp()
        self.https = free_port()
        self.running = self.server(
            *(f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"),
            *(f"--https-port={self.https}", "--relay-auth=open"),
        ).start()
        self.ports = self.running.ports

    def id_ways(self) -> list[Way]:
        """Return all ways to the ID server."""
        return self._ways(self.ports.main + 2, "/ws/id")

    def relay_ways(self) -> list[Way]:
        """Return all ways to the relay."""
        return self._ways(self.ports.relay + 2, "/ws/relay")

    def _ways(self, own_port: int, path: str) -> list[Way]:
        plain, tls = (own_port, "/", None), (own_port, "/", self.context)
        return [plain, tls, (self.https, path, self.context)]


class IdServerTests(ClientTests):
    def test_questions(self) -> None:
        """NAT test, online query and punch are answered in every way to the server."""
        device = self.device(self.ports, "100200501").register()
        key = self.controller(self.ports).key.encode()
        for way in self.id_ways():
            run(self.ask_everything(way, device, key))

    async def ask_everything(self, way: Way, device: Device, key: bytes) -> None:
        async with WsprotoClient(*way) as one:
            answer = await ask(one, test_nat_request=pb.TestNatRequest())
            self.assertGreater(answer.test_nat_response.port, 0)
        async with WsprotoClient(*way) as one:
            request = pb.OnlineRequest(id=b"me", peers=[b"x", device.id.encode()])
            answer = await ask(one, online_request=request)
            self.assertEqual(b"\x40", answer.online_response.states)
        async with WsprotoClient(*way) as one:
            punch = pb.PunchHoleRequest(id=device.id.encode(), licence_key=key)
            await one.send(pb.encode(Message(punch_hole_request=punch)))
            push = await asyncio.to_thread(device.next_push)
        seen = decode_address(push.punch_hole.socket_addr)
        self.assertEqual("127.0.0.1", seen.host)

    def test_fragments(self) -> None:
        """A message may come byte by byte, with Pings in between, which are answered."""
        request = pb.OnlineRequest(id=b"me", peers=[b"x"] * 9)

        async def ask_slowly(way: Way) -> None:
            async with WsprotoClient(*way) as one:
                one.fragments, one.ping = cycle((1,)), b"still there?"
                answer = await ask(one, online_request=request)
                self.assertEqual(bytes(2), answer.online_response.states)
                self.assertEqual({one.ping}, set(one.pongs))

        for way in self.id_ways():
            run(ask_slowly(way))

    def test_text(self) -> None:
        """Text is nothing to the server, and the connection goes on."""

        async def talk() -> Message:
            async with WsprotoClient(*self.id_ways()[0]) as one:
                await one.send_text("hello")
                return await ask(one, test_nat_request=pb.TestNatRequest())

        self.assertGreater(run(talk()).test_nat_response.port, 0)

    def test_compression(self) -> None:
        """Compression is offered by the client, and not taken."""

        async def agreed_on(way: Way) -> list[object]:
            async with WsprotoClient(*way) as one:
                return one.extensions

        for way in (*self.id_ways(), *self.relay_ways()):
            self.assertEqual([], run(agreed_on(way)))

    def test_too_much(self) -> None:
        """A message beyond all bounds ends the connection, and the client learns why."""

        async def send_too_much(port: int) -> int:
            async with self.open(f"wss://localhost:{port}/") as one:
                try:
                    await one.send(bytes(100_000))
                    await one.recv()
                except websockets.ConnectionClosed as e:
                    return e.rcvd.code if e.rcvd else 0
            return -1

        self.assertEqual(1009, run(send_too_much(self.ports.main + 2)))


class EndTests(ClientTests):
    def test_by_the_client(self) -> None:
        """Who closes in order is answered in order."""

        async def end(way: Way) -> int:
            async with WsprotoClient(*way) as one:
                return await one.end()

        for way in (*self.id_ways(), *self.relay_ways()):
            self.assertEqual(1000, run(end(way)), way)

    def test_by_the_server(self) -> None:
        """When the server stops, its clients are told so, in a session or not yet."""

        async def stop() -> list[int]:
            ways = (*self.id_ways(), *self.relay_ways(), *self.relay_ways())
            clients = [await WsprotoClient(*way).__aenter__() for way in ways]
            for one in clients[6:]:
                await self.accompany(one)
            stopping = asyncio.to_thread(self.running.stop)
            _, *codes = await asyncio.gather(stopping, *(c.until_end() for c in clients))
            return list(map(int, codes))

        self.assertEqual([1001] * 9, run(stop()))

    def test_by_the_partner(self) -> None:
        """Who stays alone in a session is told in order that it is over."""

        async def stay(way: Way) -> int:
            async with WsprotoClient(*way) as one:
                (await self.accompany(one)).close()
                return await one.until_end()

        for way in self.relay_ways():
            self.assertEqual(1000, run(stay(way)), way)

    async def accompany(self, one: WsprotoClient) -> Stream:
        """Put *one* into a session; return its partner, which came by TCP."""
        session = new_session()
        await one.send(join(session))
        other = self.keep(join_relay(self.ports, session))
        await one.send(b"hello")
        self.assertEqual(b"hello", await asyncio.to_thread(other.receive_frame))
        return other


class RelayTests(ClientTests):
    def test_every_way(self) -> None:
        """Messages in fragments arrive whole, between any two ways to the relay."""
        for first in self.relay_ways():
            for second in self.relay_ways():
                run(self.hold_session(first, second, MB), SESSION_S)

    def test_much(self) -> None:
        """20 MB both ways."""
        plain, _, tls = self.relay_ways()
        run(self.hold_session(tls, plain, 20 * MB), SESSION_S)

    async def hold_session(self, first: Way, second: Way, total: int) -> None:
        session = new_session()
        async with WsprotoClient(*first) as one, WsprotoClient(*second) as other:
            for client in (one, other):
                client.fragments, client.ping = cycle((0, 7001, 60_013)), b"here"
                await client.send(join(session))
            await exchange(one, other, total)
