"""Clients by WebSocket, with TLS and without, and behind proxies, at a real server."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import time
from typing import Any

import websockets

from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address
from tests.integration.case import ProcessTests
from tests.integration.client import online
from tests.integration.process import free_port
from tests.integration.relayed import new_session
from tests.integration.sockets import Stream
from tests.integration.web import (
    Framed,
    Message,
    ask,
    connect,
    exchange,
    join,
    run,
    trusting,
)
from tests.transports.certificates import Authority, PairFiles, make_pair
from tests.wire.test_proxy_header import binary, line

MB = 1_000_000


class WebTests(ProcessTests):
    """A server with a certificate, all ports of WebSocket, and an open relay."""

    options: tuple[str, ...] = ("--relay-auth=open",)

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority.make("test authority")
        self.context = trusting(self.authority.save(self.folder))
        self.pair = self.make_pair("server")
        self.https = free_port()
        self.running = self.server(
            *(f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"),
            *(f"--https-port={self.https}", *self.options),
        ).start()
        self.ports = self.running.ports

    def make_pair(self, name: str) -> PairFiles:
        return make_pair(self.folder, name, ca=self.authority)

    def id_urls(self) -> list[str]:
        """Return all ways to the ID server."""
        port = self.ports.main + 2
        return [
            f"ws://localhost:{port}/",
            f"wss://localhost:{port}/anything",
            f"wss://localhost:{self.https}/ws/id",
        ]

    def relay_urls(self) -> list[str]:
        """Return all ways to the relay."""
        port = self.ports.relay + 2
        return [
            f"ws://localhost:{port}/",
            f"wss://localhost:{port}/",
            f"wss://localhost:{self.https}/ws/relay",
            "tcp",
        ]

    def open(self, url: str, **options: Any) -> Any:
        """Return a connection to be entered."""
        if url == "tcp":
            return Framed(self.ports.host, self.ports.relay)
        return connect(url, self.context if url.startswith("wss") else None, **options)


class IdServerTests(WebTests):
    def test_all_ways(self) -> None:
        """NAT test, online query and punch are answered in plain and over TLS."""
        device = self.device(self.ports, "888888881").register()
        key = self.controller(self.ports).key
        for url in self.id_urls():
            run(self.ask_everything(url, device.id, key.encode()))
            push = device.next_push().punch_hole
            self.assertEqual("127.0.0.1", decode_address(push.socket_addr).host)

    async def ask_everything(self, url: str, peer_id: str, key: bytes) -> None:
        async with self.open(url) as one:
            answer = await ask(one, test_nat_request=pb.TestNatRequest())
            self.assertGreater(answer.test_nat_response.port, 0)
        async with self.open(url) as one:
            request = pb.OnlineRequest(id=b"me", peers=[b"x", peer_id.encode()])
            answer = await ask(one, online_request=request)
            self.assertEqual(b"\x40", answer.online_response.states)
        async with self.open(url) as one:
            unknown = pb.PunchHoleRequest(id=b"nobody-12", licence_key=key)
            answer = await ask(one, punch_hole_request=unknown)
            self.assertEqual(b"", answer.punch_hole_response.socket_addr)
            request = pb.PunchHoleRequest(id=peer_id.encode(), licence_key=key)
            await one.send(pb.encode(Message(punch_hole_request=request)))

    def test_device(self) -> None:
        """A device registers in plain and over TLS, and is reached by its connection."""
        for number, url in enumerate(self.id_urls()):
            run(self.register(url, f"77777777{number}"))

    async def register(self, url: str, peer_id: str) -> None:
        asker = self.controller(self.ports)
        async with self.open(url) as line:
            claim = pb.RegisterPk(id=peer_id.encode(), uuid=b"machine", pk=bytes(32))
            answer = await ask(line, register_pk=claim)
            self.assertEqual(pb.RegisterPkResponse.OK, answer.register_pk_response.result)
            self.assertEqual([True], online(self.ports, "127.0.0.9", [peer_id]))
            waiting = asker.punch(peer_id)
            push = pb.decode(await line.recv())
            self.assertEqual("punch_hole", push.WhichOneof("union"))
            waiting.close()
        while online(self.ports, "127.0.0.9", [peer_id]) != [False]:
            await asyncio.sleep(0.01)

    def test_real_address(self) -> None:
        """A proxy on this machine is believed who its client is."""
        device = self.device(self.ports, "888888882").register()
        key = self.controller(self.ports).key.encode()
        request = pb.PunchHoleRequest(id=device.id.encode(), licence_key=key)

        async def punch() -> None:
            headers = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
            async with self.open(self.id_urls()[2], headers=headers) as one:
                await one.send(pb.encode(Message(punch_hole_request=request)))
                self.push = await asyncio.to_thread(device.next_push)

        run(punch())
        address = decode_address(self.push.punch_hole.socket_addr)
        self.assertEqual("203.0.113.9", address.host)


class RelayTests(WebTests):
    def test_every_pair(self) -> None:
        """Whoever comes how, 2 MB cross both ways at once, message by message."""
        for first in self.relay_urls():
            for second in self.relay_urls():
                if (first, second) != ("tcp", "tcp"):
                    run(self.meet(first, second, 2 * MB))

    def test_much(self) -> None:
        """50 MB both ways at once, in plain and over TLS."""
        plain, _, tls, _ = self.relay_urls()
        run(self.meet(plain, plain, 50 * MB), 120)
        run(self.meet(tls, tls, 50 * MB), 120)

    async def meet(self, first: str, second: str, total: int) -> None:
        session = new_session()
        async with self.open(first) as one, self.open(second) as other:
            await one.send(join(session))
            await other.send(join(session))
            await exchange(one, other, total)


class RenewalTests(WebTests):
    def test_under_load(self) -> None:
        """New connections get the new certificate, and no session notices."""
        before = self.serial()
        run(self.renew_meanwhile(), 60)
        self.assertNotEqual(before, self.serial())
        self.assertIn("is in use from now on", self.running.log())

    async def renew_meanwhile(self) -> None:
        session, url = new_session(), self.relay_urls()[2]
        async with self.open(url) as one, self.open(url) as other:
            await one.send(join(session))
            await other.send(join(session))
            moving = asyncio.ensure_future(exchange(one, other, 30 * MB))
            await asyncio.to_thread(self.renew)
            await moving
            await exchange(one, other, MB)

    def renew(self) -> None:
        """Put another pair in the place of the first, and tell the server."""
        fresh = self.make_pair("fresh")
        shutil.copy(fresh.cert, self.pair.cert)
        shutil.copy(fresh.key, self.pair.key)
        before = self.serial()
        os.kill(self.running.pid, signal.SIGHUP)
        until_s = time.monotonic() + 10
        while self.serial() == before and time.monotonic() < until_s:
            time.sleep(0.05)

    def serial(self) -> str:
        """Return the serial number of the certificate that a new connection gets."""
        with (
            socket.create_connection(("localhost", self.https), 5) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            return str((tls.getpeercert() or {}).get("serialNumber"))


class StopTests(WebTests):
    def test_told(self) -> None:
        """A server that stops tells all who are there, wherever they are, and ends well."""
        self.assertEqual([1001] * 5, run(self.stop_meanwhile()))
        self.assertEqual(-signal.SIGTERM, self.status)  # twistd's way to end
        for trouble in ("Traceback", "Unhandled", "bug"):
            self.assertNotIn(trouble, self.running.log())

    async def stop_meanwhile(self) -> list[int]:
        """Return the codes of those who ask, wait, and are in a session."""
        waiting, session = new_session(), new_session()
        async with (
            self.open(self.id_urls()[2]) as asking,
            self.open(self.relay_urls()[1]) as alone,
            self.open(self.relay_urls()[2]) as silent,
            self.open(self.relay_urls()[0]) as one,
            self.open(self.relay_urls()[2]) as other,
        ):
            await alone.send(join(waiting))
            for side in (one, other):
                await side.send(join(session))
            await exchange(one, other, 1000)
            self.status = await asyncio.to_thread(self.running.stop)
            return [await self.code(each) for each in (asking, alone, silent, one, other)]

    async def code(self, connection: Any) -> int:
        try:
            await connection.recv()
        except websockets.ConnectionClosed as e:
            return e.rcvd.code if e.rcvd else 0
        return -1


class PagesTests(WebTests):
    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(
            "localhost", self.https, context=self.context, timeout=5
        )
        connection.request("GET", path)
        response = connection.getresponse()
        try:
            return response.status, response.read().decode()
        finally:
            connection.close()

    def test_pages(self) -> None:
        """The port for everything says what it is, that it is well, and what is there."""
        self.assertEqual((200, "ok\n"), self.get("/healthz"))
        self.assertIn("RustDesk", self.get("/")[1])
        status, text = self.get("/nowhere")
        self.assertEqual(404, status)
        self.assertIn("/ws/id", text)
        self.assertEqual(426, self.get("/ws/id")[0])

    def test_old_tls(self) -> None:
        """Nothing older than TLS 1.2 is spoken."""
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("localhost", self.https), 5) as plain:
            self.assertRaises(ssl.SSLError, old.wrap_socket, plain)


class ProxyProtocolTests(WebTests):
    options = ("--relay-auth=open", "--proxy-protocol")

    def stream(self, port: int, header: bytes) -> Stream:
        stream = self.keep(Stream(self.ports, port))
        stream.send_bytes(header)
        return stream

    def test_every_port(self) -> None:
        """On all ports the header says who the client is."""
        client = Address("203.0.113.9", random.randrange(1024, 65536))
        text = line(f"TCP4 {client.host} 127.0.0.1 {client.port} 1")
        for header in (text, binary(client)):
            for port in (self.ports.main - 1, self.ports.main):
                stream = self.stream(port, header)
                stream.send(Message(test_nat_request=pb.TestNatRequest()))
                answer = stream.receive()
                self.assertEqual(client.port, answer.test_nat_response.port)

    def test_without(self) -> None:
        """A trusted proxy without one is closed, and the log says why."""
        for port in (self.ports.main, self.ports.relay, self.ports.main + 2, self.https):
            stream = self.keep(Stream(self.ports, port))
            stream.send(Message(test_nat_request=pb.TestNatRequest()))
            self.assertIsNone(self.receive_or_none(stream))
        self.assertIn("which is in trusted-proxies", self.running.log())

    def receive_or_none(self, stream: Stream) -> object:
        try:
            return stream.receive()
        except ConnectionResetError:
            return None
