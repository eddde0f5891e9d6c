"""Tests for :mod:`rdserver.transports.proxy_protocol`."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.admission import Admission
from rdserver.transports.proxy_protocol import HEADER_S, ProxyHeaderFactory
from rdserver.wire.address import Address
from rdserver.wire.networks import Networks
from tests.fakes import FakeTCP
from tests.transports.test_http_router import RecorderFactory
from tests.wire.test_proxy_header import binary, line

PROXY = "10.0.0.1"
CLIENT = Address("203.0.113.9", 56324)


class ProxyHeaderFactoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = RecorderFactory()
        self.admission = Admission(3, 1, exempt={PROXY})
        self.refused: list[tuple[str, str]] = []
        self.factory = ProxyHeaderFactory(
            self.inner,
            Networks([ip_network("10.0.0.0/8")]),
            admission=self.admission,
            clock=self.clock,
            refused=lambda host, why: self.refused.append((host, why)),
        )

    def tearDown(self) -> None:
        """Nobody is waited for, and nobody is counted."""
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, len(self.admission))

    def connect(self, *chunks: bytes, host: str = PROXY) -> FakeTCP:
        client = FakeTCP(host)
        client.protocol = self.factory.buildProtocol(client.peer)
        client.protocol.makeConnection(client)
        for chunk in chunks:
            client.send(chunk)
            client.turn()
        return client

    def test_header(self) -> None:
        """The next protocol is told of the client, and gets what is behind the header."""
        text = line(f"TCP4 {CLIENT.host} {PROXY} {CLIENT.port} 21116")
        for header in (text, binary(CLIENT)):
            for cut in (1, len(header) - 1, len(header)):
                self.inner.protocols.clear()
                client = self.connect(header[:cut], header[cut:] + b"frame")
                got = self.inner.address, self.inner.received
                self.assertEqual((CLIENT, b"frame"), got)
                client.send(b" more")
                client.turn()
                self.assertEqual(b"frame more", self.inner.received)

    def test_itself(self) -> None:
        """A proxy that checks whether we are well is the client."""
        self.connect(line("UNKNOWN"))
        self.assertEqual(Address(PROXY, 5001), self.inner.address)

    def test_others(self) -> None:
        """Who is no proxy needs no header, and may name nobody with one."""
        header = binary(CLIENT)
        client = self.connect(header, host="192.0.2.1")
        self.assertEqual((client.peer, header), (self.inner.address, self.inner.received))

    def test_no_header(self) -> None:
        """A proxy without one is cut off at once, and that is said."""
        client = self.connect(b"\x0c\xa2\x01\x00")
        self.assertTrue(client.aborted)
        self.assertEqual([(PROXY, "no PROXY header")], self.refused)
        self.assertEqual([], self.inner.protocols)

    def test_what_came(self) -> None:
        """Where it is another protocol, that is said too."""
        self.connect(b"GET / HTTP/1.1\r\n")
        self.connect(bytes.fromhex("1603010200010001fc0303"))
        reasons = [f"{what} and no PROXY header" for what in ("HTTP", "TLS")]
        self.assertEqual(reasons, [why for _host, why in self.refused])

    def test_neighbour(self) -> None:
        """Who only ends like a proxy's address is none, and so needs no header."""
        header = binary(CLIENT)
        for host in ("::10.0.0.1", "::a00:1"):
            self.inner.protocols.clear()
            client = self.connect(header, host=host)
            self.assertEqual(
                (client.peer, header), (self.inner.address, self.inner.received)
            )

    def test_mapped(self) -> None:
        """On a socket for both families a proxy is the same one."""
        self.connect(binary(CLIENT), host=f"::ffff:{PROXY}")
        self.assertEqual(CLIENT, self.inner.address)
        self.connect(line("UNKNOWN"), host=f"::ffff:{PROXY}")
        self.assertEqual(Address(PROXY, 5001), self.inner.address)

    def test_byte_by_byte(self) -> None:
        """A header may come in as many parts as it has bytes."""
        for header in (binary(CLIENT), line("TCP4 203.0.113.9 10.0.0.1 56324 443")):
            self.inner.protocols.clear()
            self.connect(*(bytes([byte]) for byte in header), b"frame")
            self.assertEqual((CLIENT, b"frame"), (self.inner.address, self.inner.received))

    def test_slow(self) -> None:
        """Its time does not begin anew with each byte."""
        client = self.connect()
        for byte in binary(CLIENT)[:8]:
            client.send(bytes([byte]))
            client.turn()
            self.clock.advance(HEADER_S / 8)
        self.assertTrue(client.aborted)

    def test_stop(self) -> None:
        """When nobody listens any more it is too late to begin; who has, stays."""
        self.factory.doStart()
        begun, waiting = self.connect(binary(CLIENT)), self.connect(b"PROXY ")
        self.factory.doStop()
        self.assertEqual((True, False), (begun.connected, waiting.connected))
        self.assertEqual((0, []), (self.inner.numPorts, self.refused))

    def test_late(self) -> None:
        """A header that is not whole after a second is not waited for."""
        for start in (b"", binary(CLIENT)[:20]):
            client = self.connect(start)
            self.clock.advance(HEADER_S / 2)
            self.assertFalse(client.aborted)
            self.clock.advance(HEADER_S / 2)
            self.assertTrue(client.aborted)
        self.assertEqual([(PROXY, "no PROXY header in time")] * 2, self.refused)

    def test_gone(self) -> None:
        """A proxy that leaves first is no error."""
        client = self.connect(b"PROXY")
        client.close()
        client.turn()
        self.assertEqual([], self.refused)

    def test_too_many(self) -> None:
        """As many proxies' connections as there may be at all are waited for."""
        clients: list[Any] = [self.connect() for _ in range(3)]
        self.assertIsNone(self.factory.buildProtocol(clients[0].peer))
        self.clock.advance(HEADER_S)

    def test_not_admitted(self) -> None:
        """Whom the next one does not take is cut off."""
        self.inner.refuses = True
        self.assertTrue(self.connect(binary(CLIENT)).aborted)
