"""The doctor's look-ups and questions, against small servers on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli.network import SocketNetwork
from rdserver.errors import ProtocolError
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame

HOST = "127.0.0.1"
LONG_S = 30.0  # a test that waits so long has failed
SHORT_S = 0.03  # where waiting in vain is what is tested
NAT_TEST = bytes.fromhex("a20100")  # protocol.md section 2.6
NAT_ANSWER = bytes.fromhex("aa010408c0b802")
HEARTBEAT_ANSWER = bytes.fromhex("3a021001")
KEY_EXCHANGE = pb.encode(pb.RendezvousMessage(key_exchange=pb.KeyExchange(keys=[b"k"])))


class ServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[bytes] = []

    def bound(self, kind: socket.SocketKind) -> tuple[socket.socket, int]:
        server = socket.socket(socket.AF_INET, kind)
        self.addCleanup(server.close)
        server.settimeout(LONG_S)
        server.bind((HOST, 0))
        return server, server.getsockname()[1]

    def run_thread(self, work: Callable[[], None]) -> None:
        thread = Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)

    def serve_tcp(self, *answers: bytes) -> int:
        """Answer one question with all *answers*, then close; return the port."""
        server, port = self.bound(socket.SOCK_STREAM)
        server.listen()

        def converse() -> None:
            with server.accept()[0] as connection:
                self.heard.append(connection.recv(100))
                for answer in answers:
                    connection.sendall(answer)

        self.run_thread(converse)
        return port

    def serve_udp(self, answers: dict[int, bytes], count: int) -> int:
        """Hear *count* datagrams and answer those whose number is in *answers*."""
        server, port = self.bound(socket.SOCK_DGRAM)

        def converse() -> None:
            for number in range(count):
                data, peer = server.recvfrom(100)
                self.heard.append(data)
                if number in answers:
                    server.sendto(answers[number], peer)

        self.run_thread(converse)
        return port

    def closed_port(self, kind: socket.SocketKind) -> int:
        server, port = self.bound(kind)
        server.close()
        return port


class TcpTests(ServerCase):
    def test_connect(self) -> None:
        """A port that listens can be connected to, one that does not cannot."""
        server, port = self.bound(socket.SOCK_STREAM)
        server.listen()
        SocketNetwork(LONG_S).connect(HOST, port)
        closed = self.closed_port(socket.SOCK_STREAM)
        self.assertRaises(OSError, SocketNetwork(LONG_S).connect, HOST, closed)

    def test_nat_test(self) -> None:
        """The question is one frame, the answer another."""
        SocketNetwork(LONG_S).nat_test_tcp(HOST, self.serve_tcp(encode_frame(NAT_ANSWER)))
        self.assertEqual([encode_frame(NAT_TEST)], self.heard)

    def test_key_exchange_comes_first(self) -> None:
        """A server may offer its key before it answers, and answer in pieces."""
        frame = encode_frame(NAT_ANSWER)
        port = self.serve_tcp(encode_frame(KEY_EXCHANGE) + frame[:1], frame[1:])
        SocketNetwork(LONG_S).nat_test_tcp(HOST, port)

    def test_no_answer(self) -> None:
        """A connection that is closed without an answer has failed."""
        for answer in (b"", encode_frame(KEY_EXCHANGE), encode_frame(HEARTBEAT_ANSWER)):
            port = self.serve_tcp(answer)
            self.assertRaises(OSError, SocketNetwork(LONG_S).nat_test_tcp, HOST, port)

    def test_silence(self) -> None:
        """A server that says nothing is not waited for."""
        server, port = self.bound(socket.SOCK_STREAM)
        server.listen()
        self.assertRaises(TimeoutError, SocketNetwork(SHORT_S).nat_test_tcp, HOST, port)

    def test_no_time_left(self) -> None:
        """When the time is over no further answer is read."""
        server, port = self.bound(socket.SOCK_STREAM)
        server.listen()
        with patch("rdserver.cli.network.time.monotonic", side_effect=[0.0, LONG_S]):
            self.assertRaises(TimeoutError, SocketNetwork(LONG_S).nat_test_tcp, HOST, port)

    def test_something_else(self) -> None:
        """Neither a web server nor a frame without end is an ID server."""
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", encode_frame(b"\xff")):
            port = self.serve_tcp(answer)
            self.assertRaises(ProtocolError, SocketNetwork(LONG_S).nat_test_tcp, HOST, port)


class UdpTests(ServerCase):
    def test_nat_test(self) -> None:
        """A NAT test and, for the original, a heartbeat are sent; one answer is enough."""
        for answers in ({0: NAT_ANSWER}, {1: HEARTBEAT_ANSWER}):
            self.heard.clear()
            port = self.serve_udp(answers, 2)
            SocketNetwork(LONG_S).nat_test_udp(HOST, port)
            self.doCleanups()
            heartbeat = pb.decode(self.heard[1]).register_peer
            self.assertEqual((NAT_TEST, b"(:test_hbbs:)"), (self.heard[0], heartbeat.id))

    def test_silence(self) -> None:
        """Datagrams get lost, so the questions are repeated, but only twice."""
        port = self.serve_udp({}, 6)
        self.assertRaises(TimeoutError, SocketNetwork(SHORT_S).nat_test_udp, HOST, port)
        self.doCleanups()
        self.assertEqual(3, self.heard.count(NAT_TEST))

    def test_other_message(self) -> None:
        """A message that answers nothing is passed over."""
        port = self.serve_udp({0: KEY_EXCHANGE, 2: NAT_ANSWER}, 4)
        SocketNetwork(LONG_S).nat_test_udp(HOST, port)

    def test_closed_port(self) -> None:
        """A machine that says the port is closed is believed at once."""
        port = self.closed_port(socket.SOCK_DGRAM)
        self.assertRaises(
            ConnectionRefusedError, SocketNetwork(LONG_S).nat_test_udp, HOST, port
        )


class LookupTests(SynchronousTestCase):
    """The system's resolver is replaced, for tests run without a network."""

    def setUp(self) -> None:
        self.network = SocketNetwork()

    def test_addresses(self) -> None:
        """Each address of a name is returned once, in the resolver's order."""
        entries = [(0, 0, 0, "", (ip, 0)) for ip in ("192.0.2.2", "::1", "192.0.2.2")]
        with patch("socket.getaddrinfo", return_value=entries):
            self.assertEqual(["192.0.2.2", "::1"], self.network.resolve("host"))

    def test_unknown_name(self) -> None:
        """A name that is not known, or cannot be one, is an OSError."""
        with patch("socket.getaddrinfo", side_effect=socket.gaierror(-2, "unknown")):
            self.assertRaises(OSError, self.network.resolve, "host")
        self.assertRaises(OSError, self.network.resolve, "a..b")

    def test_name(self) -> None:
        """The reverse lookup gives a name, or None where there is none."""
        with patch("socket.gethostbyaddr", return_value=("host", [], [])):
            self.assertEqual("host", self.network.name_of("192.0.2.1"))
        with patch("socket.gethostbyaddr", side_effect=socket.herror(1, "unknown")):
            self.assertIsNone(self.network.name_of("192.0.2.1"))

    def test_route(self) -> None:
        """There is a way to this machine itself, and none where the system knows none."""
        self.assertTrue(self.network.has_route(HOST))
        with patch("socket.socket.connect", side_effect=OSError(101, "unreachable")):
            self.assertFalse(self.network.has_route("2001:db8::1"))
