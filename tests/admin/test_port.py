"""One command and its answer for each connection, also beside clients on one port."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from rdserver.admin.console import Console
from rdserver.admin.port import (
    COMMAND_S,
    DRAIN_S,
    GRACE_S,
    ConsoleFactory,
    SniffingFactory,
    is_command,
)
from rdserver.wire import pb
from rdserver.wire.address import is_loopback
from rdserver.wire.framing import encode_frame
from tests.admin.stepping import own_reactor, read_all, turn

LOCAL = IPv4Address("TCP", "127.0.0.1", 5000)
HELP = "1\n2\n3\n"


class Wire(StringTransport):
    """One end of a connection; it hands what happens to whoever is its protocol."""

    protocol: Any
    aborting = False

    def __init__(self, factory: Any, address: Any = LOCAL) -> None:
        super().__init__(peerAddress=address)
        self.protocol = factory.buildProtocol(address)
        self.protocol.makeConnection(self)

    def receive(self, *chunks: bytes) -> str:
        """Let *chunks* arrive one after the other; return what has been answered."""
        for chunk in chunks:
            self.protocol.dataReceived(chunk)
        return self.value().decode()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborting = True
        self.disconnecting = True

    def drain(self) -> None:
        """Everything has been written, the connection is gone."""
        self.protocol.connectionLost()


class ConsoleCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.commands: list[str] = []
        self.waiting: list[Deferred[str]] = []
        commands = {
            "h": lambda _: HELP,
            "note": self.note,
            "empty": lambda _: "",
            "wait": self.wait,
        }
        self.consoles = ConsoleFactory(Console(commands), self.clock)

    async def wait(self, _words: list[str]) -> str:
        self.waiting.append(Deferred())
        return await self.waiting[-1]

    def note(self, words: list[str]) -> str:
        self.commands.append(" ".join(words))
        return f"{len(self.commands[-1])}\n"

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def assert_closed(self, wire: Wire, answer: str) -> None:
        """The whole *answer* was written and the connection is being closed in order."""
        self.assertEqual(
            (answer, True, False),
            (wire.value().decode(), wire.disconnecting, wire.aborting),
        )
        wire.drain()


class ConsoleProtocolTests(ConsoleCase):
    def connect(self) -> Wire:
        return Wire(self.consoles)

    def test_newline_ends_a_command(self) -> None:
        """The answer to a line comes at once, then the connection is closed."""
        wire = self.connect()
        wire.receive(b"h\r\n")
        self.assert_closed(wire, HELP)

    def test_database(self) -> None:
        """A command that waits is answered when it can be, and cut if that is too late."""
        wire, slow, gone = self.connect(), self.connect(), self.connect()
        for each in (wire, slow, gone):
            each.receive(b"wait\n", b"more")
        gone.drain()
        self.assertEqual("", wire.value().decode())
        self.clock.advance(DRAIN_S - 1)
        for answer in self.waiting:
            answer.callback("found\n")
        self.assert_closed(wire, "found\n")
        self.assert_closed(slow, "found\n")
        self.assertEqual(b"", gone.value())

    def test_database_is_slow(self) -> None:
        """Nobody waits for ever."""
        wire = self.connect()
        wire.receive(b"wait\n")
        self.clock.advance(DRAIN_S)
        self.assertTrue(wire.aborting)
        wire.drain()
        self.waiting[0].callback("late")

    def test_pieces(self) -> None:
        """A command may come in pieces; what follows the line is not looked at."""
        wire = self.connect()
        wire.receive(b"no", b"te a", b" b\nh\n", b"h\n")
        self.assert_closed(wire, "3\n")
        self.assertEqual(["a b"], self.commands)

    def test_end_of_input_ends_a_command(self) -> None:
        """Who closes its writing side instead of ending the line is answered."""
        wire = self.connect()
        wire.receive(b"h")
        wire.protocol.readConnectionLost()
        self.assert_closed(wire, HELP)

    def test_end_of_input_after_the_command(self) -> None:
        """Closing one's writing side while the answer comes does not cut it."""
        wire = self.connect()
        self.assertTrue(IHalfCloseableProtocol.providedBy(wire.protocol))
        wire.receive(b"h\n")
        wire.protocol.readConnectionLost()
        wire.protocol.writeConnectionLost()
        self.assert_closed(wire, HELP)

    def test_end_of_input_without_a_command(self) -> None:
        """Who says nothing is answered nothing."""
        wire = self.connect()
        wire.protocol.readConnectionLost()
        self.assert_closed(wire, "")

    def test_no_newline(self) -> None:
        """A command without a newline is taken as it is shortly after it began."""
        wire = self.connect()
        self.clock.advance(COMMAND_S * 0.9)
        self.assertEqual("", wire.receive(b"h"))
        self.clock.advance(GRACE_S * 0.9)
        self.assertFalse(wire.disconnecting)
        self.clock.advance(GRACE_S * 0.1)
        self.assert_closed(wire, HELP)

    def test_trickle(self) -> None:
        """Sending letter by letter does not buy more time."""
        wire = self.connect()
        for letter in b"note":
            wire.receive(bytes([letter]))
            self.clock.advance(GRACE_S / 4)
        self.assert_closed(wire, "0\n")

    def test_silence(self) -> None:
        """Statement 134: without a command in 1 s the connection is closed."""
        wire = self.connect()
        self.clock.advance(0.99)
        self.assertFalse(wire.disconnecting)
        self.clock.advance(0.01)
        self.assert_closed(wire, "")

    def test_length(self) -> None:
        """1023 and 1024 bytes are a command, 1025 are not and are not carried out."""
        for size, answer in ((1023, "1018\n"), (1024, "1019\n"), (1025, "")):
            wire = self.connect()
            wire.receive(b"note " + b"x" * (size - 5) + b"\n")
            self.assert_closed(wire, answer)
        self.assertEqual(2, len(self.commands))

    def test_endless_line(self) -> None:
        """A line without an end is cut off at its 1025th byte."""
        wire = self.connect()
        wire.receive(b"note ", b"x" * 1019)
        self.assertFalse(wire.disconnecting)
        wire.receive(b"x")
        self.assert_closed(wire, "")

    def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 are not answered; other scripts are text too."""
        wire = self.connect()
        wire.receive(b"note \xff\n")
        self.assert_closed(wire, "")
        wire = self.connect()
        wire.receive("note äö\n".encode())
        self.assert_closed(wire, "2\n")

    def test_empty_answer(self) -> None:
        """Statement 133: unknown commands and those without output just close."""
        for text in (b"empty\n", b"unknown\n", b"\n"):
            wire = self.connect()
            wire.receive(text)
            self.assert_closed(wire, "")

    def test_reader_that_does_not_read(self) -> None:
        """An answer that does not leave within 30 s is given up."""
        wire = self.connect()
        wire.receive(b"h\n")
        self.clock.advance(DRAIN_S - 0.01)
        self.assertFalse(wire.aborting)
        self.clock.advance(0.01)
        self.assertTrue(wire.aborting)
        wire.drain()

    def test_peer_goes_away(self) -> None:
        """A connection that ends by itself leaves nothing behind."""
        wire = self.connect()
        wire.receive(b"h")
        wire.drain()
        self.assertEqual("", wire.value().decode())


class Echo(Protocol):
    """A stand-in for the clients' protocol."""

    def __init__(self, closes: bool) -> None:
        self._closes = closes

    def connectionMade(self) -> None:
        self.transport.write(b"client:")
        if self._closes:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.hex().encode())


class EchoFactory(Factory):
    """Makes them, or refuses to when it is full."""

    noisy = False
    started = 0
    closes = False
    full = False

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: Any) -> Echo | None:
        return None if self.full else Echo(self.closes)


def frames() -> list[bytes]:
    """Return what clients begin with on the NAT test's and the relay's port."""
    messages = [
        pb.RendezvousMessage(test_nat_request=pb.TestNatRequest(serial=serial))
        for serial in (0, 3, 300)
    ]
    for count in (0, 1, 4, 58, 300, 4000):
        request = pb.OnlineRequest(id=b"me", peers=[b"123456789"] * count)
        messages.append(pb.RendezvousMessage(online_request=request))
    for size in (8, 26, 36, 100, 660, 3000, 20000):
        request_relay = pb.RequestRelay(uuid=b"u" * size)
        messages.append(pb.RendezvousMessage(request_relay=request_relay))
    return [encode_frame(pb.encode(message)) for message in messages]


class IsCommandTests(SynchronousTestCase):
    def test_every_first_piece_of_a_frame(self) -> None:
        """No beginning of a client's frame, however short, passes for a command."""
        for frame in frames():
            verdicts = {is_command(frame[:size]) for size in range(1, 10)}
            self.assertNotIn(True, verdicts)
            self.assertIs(False, is_command(frame))

    def test_known_beginnings(self) -> None:
        """The two NAT tests of the protocol's text are frames."""
        self.assertIs(False, is_command(bytes.fromhex("0ca20100")))
        self.assertIs(False, is_command(bytes.fromhex("14a201020803")))

    def test_commands(self) -> None:
        """Text longer than the frame header it may be is a command."""
        for text in ("h\n", "ib\n", "rs a,b", "aur Y\r\n", "pr -\t", "GET / HTTP/1.1\r\n"):
            self.assertIs(True, is_command(text.encode()), text)

    def test_short_text(self) -> None:
        """Text that may as well be a frame header needs more bytes."""
        for text in ("h", "u\n", "rs\n", "b\n", "sb 1", "!\n"):
            self.assertIsNone(is_command(text.encode()), text)

    def test_not_printable(self) -> None:
        """One byte that is no printable ASCII makes it a frame."""
        for data in (b"\0", b"h\0", b"note \x1b[0m\n", b"note \x7f", "note ä\n".encode()):
            self.assertIs(False, is_command(data))


class SniffingTests(ConsoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.clients = EchoFactory()
        self.factory = SniffingFactory(self.consoles, self.clients, is_loopback, self.clock)

    def connect(self, host: str = "127.0.0.1") -> Wire:
        kind = IPv6Address if ":" in host else IPv4Address
        return Wire(self.factory, kind("TCP", host, 5000))

    def test_local_command(self) -> None:
        """From each form of loopback a command is answered by the console."""
        for host in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"):
            wire = self.connect(host)
            wire.receive(b"note x\n")
            self.assert_closed(wire, "1\n")

    def test_impossible_source(self) -> None:
        """An IPv6 neighbour who would count as loopback is not asked for commands."""
        for host in ("::127.0.0.1", "::127.0.0.1%2"):
            wire = self.connect(host)
            self.assertEqual(f"client:{b'note x'.hex()}", wire.receive(b"note x"))

    def test_local_client(self) -> None:
        """Statement 121: a local client's first bytes reach its protocol unchanged."""
        for frame in frames():
            wire = self.connect()
            self.assertEqual(f"client:{frame.hex()}", wire.receive(frame))
            wire.drain()

    def test_local_client_in_pieces(self) -> None:
        """A frame split anywhere, its header too, arrives whole, and then the rest."""
        for frame in frames():
            for cut in range(1, min(len(frame), 7)):
                wire = self.connect()
                answer = wire.receive(frame[:cut], frame[cut:], b"rest")
                self.assertEqual(f"client:{frame.hex()}{b'rest'.hex()}", answer)
                wire.drain()
        self.assertEqual([], self.commands)

    def test_stranger(self) -> None:
        """Statement 135: a peer from elsewhere is a client at once, whatever it sends."""
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
            wire = self.connect(host)
            self.assertEqual("client:", wire.value().decode())
            self.assertEqual("client:" + b"h\n".hex(), wire.receive(b"h\n"))

    def test_short_command(self) -> None:
        """A command that may be a frame's header is answered a moment later."""
        for text in (b"h", b"h\n"):
            wire = self.connect()
            wire.receive(text)
            self.clock.advance(GRACE_S)
            self.assert_closed(wire, HELP)

    def test_short_command_and_end_of_input(self) -> None:
        """When nothing more can come, a short command is answered at once."""
        wire = self.connect()
        self.assertTrue(IHalfCloseableProtocol.providedBy(wire.protocol))
        wire.receive(b"h")
        wire.protocol.readConnectionLost()
        self.assert_closed(wire, HELP)

    def test_command_in_pieces(self) -> None:
        """A command may come in pieces here too."""
        wire = self.connect()
        wire.receive(b"n", b"ot", b"e abc", b"\n")
        self.assert_closed(wire, "3\n")

    def test_silence(self) -> None:
        """Statement 134: a local connection that says nothing for 1 s is closed."""
        wire = self.connect()
        self.clock.advance(COMMAND_S - 0.01)
        self.assertFalse(wire.disconnecting)
        self.clock.advance(0.01)
        self.assert_closed(wire, "")

    def test_end_of_input_without_a_word(self) -> None:
        """A local connection that only closes again is closed."""
        wire = self.connect()
        wire.protocol.readConnectionLost()
        wire.protocol.writeConnectionLost()
        self.assert_closed(wire, "")

    def test_peer_goes_away(self) -> None:
        """A connection that ends while it is unclear leaves nothing behind."""
        wire = self.connect()
        wire.receive(b"h")
        wire.drain()

    def test_no_room_for_clients(self) -> None:
        """A client that the clients' factory refuses is cut off."""
        self.clients.full = True
        wire = self.connect()
        wire.receive(frames()[0])
        self.assertTrue(wire.aborting)
        wire.drain()

    def test_client_closed_at_once(self) -> None:
        """A protocol that closes when it is connected gets no bytes any more."""
        self.clients.closes = True
        wire = self.connect()
        self.assertEqual("client:", wire.receive(frames()[0]))
        wire.drain()

    def test_factories_start_and_stop(self) -> None:
        """The clients' factory learns when its port opens and closes."""
        self.factory.doStart()
        self.assertEqual(1, self.clients.started)
        self.factory.doStop()
        self.assertEqual(0, self.clients.started)


class SniffingOverTcpTests(ConsoleCase):
    """A shared port with real connections, in a reactor that runs turn by turn."""

    def setUp(self) -> None:
        super().setUp()
        factory = SniffingFactory(self.consoles, EchoFactory(), is_loopback, self.clock)
        port = own_reactor().listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.close, port)
        self.address = ("127.0.0.1", port.getHost().port)

    def close(self, port: Any) -> None:
        port.stopListening()
        turn()

    def connect(self, first: bytes) -> socket.socket:
        client = socket.create_connection(self.address)
        self.addCleanup(client.close)
        client.sendall(first)
        client.setblocking(False)
        return client

    def test_command(self) -> None:
        """A command is answered by the console, which then closes the connection."""
        self.assertEqual(HELP.encode(), read_all(self.connect(b"h\r\n")))

    def test_client(self) -> None:
        """A client is served by its own protocol, which may be told things later."""
        client = self.connect(b"\x14\xa2")
        self.assertEqual(b"client:14a2", read_all(client, enough=11))
        client.sendall(b"\x01\x02\x08\x03")
        self.assertEqual(b"01020803", read_all(client, enough=8))
