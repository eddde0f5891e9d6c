"""Tests for :mod:`rdserver.transports.udp`: datagrams in, datagrams out."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.internet.testing import MemoryReactor
from twisted.internet.udp import Port

from rdserver.rendezvous.effects import Effects, Send
from rdserver.rendezvous.events import Event
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.transports.edge import EdgeCase, Message, answer_to, question

CLIENT = ("192.0.2.1", 5001)
DISGUISED = ("::ffff:192.0.2.1", 5001)
NEIGHBOUR = ("192.0.2.2", 5002)


class FakeSocket:
    """
    A UDP socket: what goes out, and what the system says to it.

    :ivar refused: errors by the host that is sent to.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.refused: dict[str, int] = {}

    def sendto(self, data: bytes, to: tuple[str, int]) -> int:
        number = self.refused.get(to[0], 0)
        if len(data) > 65507:
            number = errno.EMSGSIZE
        if number:
            raise OSError(number, errno.errorcode[number])
        self.sent.append((data, to))
        return len(data)

    def close(self) -> None:
        self.sent.clear()


class DatagramCase(EdgeCase):
    """The edge on a port of Twisted's, with a socket of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.core.decide = self.echo

    def echo(self, message: Message, origin: Address) -> Effects:
        return (Send(origin, answer_to(message)),)

    def listen(self, interface: str = "") -> RendezvousDatagrams:
        """Return the edge on a socket for IPv4, or on a dual-stack one."""
        edge = RendezvousDatagrams(
            self.core, self.outlet, self.notices, dual_stack=interface == "::"
        )
        self.socket = FakeSocket()
        self.port: Any = Port(0, edge, interface, reactor=MemoryReactor())
        self.port.socket = self.socket
        self.port.fileno = lambda: 3
        edge.makeConnection(self.port)
        self.outlet.send_datagram = edge.send
        return edge

    def answers(self) -> list[tuple[int, tuple[str, int]]]:
        """Return the numbers that were answered, and to whom, since the last call."""
        sent, self.socket.sent = self.socket.sent, []
        return [(pb.decode(data).test_nat_response.port, to) for data, to in sent]


class ReceivingTests(DatagramCase):
    """What comes in."""

    def ask(
        self, edge: RendezvousDatagrams, number: int, addr: tuple[str, int] = CLIENT
    ) -> None:
        edge.datagramReceived(pb.encode(question(number)), addr)

    def test_answer(self) -> None:
        """A datagram is decided on and answered to where it came from."""
        edge = self.listen()
        self.ask(edge, 1)
        self.ask(edge, 2, NEIGHBOUR)
        self.assertEqual([(1, CLIENT), (2, NEIGHBOUR)], self.answers())
        self.assertEqual(2, edge.received)

    def test_disguise(self) -> None:
        """Of a dual-stack socket only this edge knows; IPv6 has no disguise."""
        edge, origins = self.listen("::"), []

        def decide(message: Message, origin: Address) -> Effects:
            origins.append(origin)
            return self.echo(message, origin)

        self.core.decide = decide
        v6 = ("2001:db8::1", 9)
        self.ask(edge, 1, DISGUISED)
        self.ask(edge, 2, v6)
        self.assertEqual([Address(*CLIENT), Address(*v6)], origins)
        self.assertEqual([(1, DISGUISED), (2, v6)], self.answers())

    def test_nothing(self) -> None:
        """A datagram without content, or from port 0, is not decided on."""
        edge = self.listen()
        edge.datagramReceived(b"", CLIENT)
        self.ask(edge, 1, (CLIENT[0], 0))
        self.assertEqual(([], [], {}), (self.core.asked, self.answers(), self.counted()))
        self.ask(edge, 2)
        self.assertEqual([(2, CLIENT)], self.answers())

    def test_impossible_sources(self) -> None:
        """IPv4 in the obsolete disguise, and ``::``, are dropped; ``::1`` is served."""
        edge = self.listen("::")
        for host in ("::127.0.0.1", "::192.0.2.1", "::192.0.2.1%2", "::", "::2"):
            self.ask(edge, 1, (host, 9))
        self.assertEqual(([], []), (self.core.asked, self.answers()))
        self.assertEqual({Event.IMPOSSIBLE_SOURCE: 5}, self.counted())
        self.ask(edge, 2, ("::1", 9))
        self.ask(edge, 3, ("::ffff:127.0.0.1", 9))
        self.assertEqual([2, 3], [number for number, _to in self.answers()])

    def test_garbage(self) -> None:
        """It is counted and neither answered nor logged, however long it is."""
        edge = self.listen()
        for garbage in (b"\xff", b"\xff" * 100, bytes(65507), b"\x08\x01"):
            edge.datagramReceived(garbage, CLIENT)
        self.assertEqual(([], [], []), (self.core.asked, self.answers(), self.logged))
        self.assertEqual({Event.BAD_MESSAGE: 4}, self.counted())
        self.ask(edge, 1)
        self.assertEqual([(1, CLIENT)], self.answers())

    def test_longest_datagram(self) -> None:
        """A message may be as long as a datagram can be."""
        edge = self.listen()
        padding = pb.SoftwareUpdate(url=bytes(65498))
        data = pb.encode(Message(software_update=padding))
        self.assertEqual(65507, len(data))
        edge.datagramReceived(data, CLIENT)
        self.assertEqual([0], self.core.asked)

    def test_bug(self) -> None:
        """A bug costs one message; it is logged, and the next is served."""
        edge = self.listen()
        self.core.decide = lambda _message, _origin: 1 // 0
        self.ask(edge, 1)
        self.core.decide = self.echo
        self.ask(edge, 2)
        self.assertEqual([(2, CLIENT)], self.answers())
        self.assert_bugs(ZeroDivisionError)

    def test_bugs_do_not_fill_the_log(self) -> None:
        """Whoever finds a message that we cannot stand may send it all day."""
        edge = self.listen()
        self.core.decide = lambda _message, _origin: 1 // 0
        for _ in range(100):
            self.ask(edge, 1)
        self.assertEqual((10, {Event.BUG: 100}), (len(self.logged), self.counted()))

    def test_storage(self) -> None:
        """Who waits for storage is answered when it knows; others meanwhile."""
        edge, storage = self.listen(), Deferred()
        self.core.after(storage, self.echo)
        self.ask(edge, 1)
        self.core.decide = self.echo
        self.ask(edge, 2, NEIGHBOUR)
        self.assertEqual([(2, NEIGHBOUR)], self.answers())
        storage.callback(None)
        self.assertEqual([(1, CLIENT)], self.answers())

    def test_bug_behind_storage(self) -> None:
        """It is logged, and costs one message."""
        edge, storage = self.listen(), Deferred()
        self.core.after(storage, lambda _message, _origin: 1 // 0)
        self.ask(edge, 1)
        storage.callback(None)
        self.assert_bugs(ZeroDivisionError)


class SendingTests(DatagramCase):
    """What goes out; what the system refuses is that datagram's loss alone."""

    def test_refused_by_the_system(self) -> None:
        """Firewalls, routes and full buffers are counted, and the next goes out."""
        edge = self.listen()
        errors = ("EPERM", "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL", "EAGAIN")
        for name in errors:
            self.socket.refused["192.0.2.66"] = getattr(errno, name)
            edge.send(b"lost", Address("192.0.2.66", 9))
            edge.send(b"sent", Address(*CLIENT))
        self.assertEqual([(b"sent", CLIENT)] * len(errors), self.socket.sent)
        self.assertEqual({Event.UNSENT: len(errors)}, self.counted())
        self.assertEqual([], self.logged)

    def test_too_long(self) -> None:
        """A message longer than a datagram is dropped; Twisted's own error says so."""
        edge = self.listen()
        self.assertFalse(issubclass(MessageLengthError, (OSError, ValueError)))
        edge.send(bytes(65508), Address(*CLIENT))
        edge.send(bytes(65507), Address(*CLIENT))
        self.assertEqual([65507], [len(data) for data, _to in self.socket.sent])
        self.assertEqual({Event.UNSENT: 1}, self.counted())

    def test_other_family(self) -> None:
        """An IPv4 socket cannot send to IPv6; that is not a bug."""
        edge = self.listen()
        edge.send(b"lost", Address("2001:db8::1", 9))
        self.assertEqual(([], {Event.UNSENT: 1}), (self.socket.sent, self.counted()))

    def test_no_address(self) -> None:
        """A text that is no address is refused by Twisted; that is not a bug."""
        edge = self.listen()
        edge.send(b"lost", Address("example.org", 9))
        self.assertEqual(([], {Event.UNSENT: 1}), (self.socket.sent, self.counted()))

    def test_port_0(self) -> None:
        """Nothing is ever sent to port 0."""
        self.listen().send(b"lost", Address("192.0.2.1", 0))
        self.assertEqual([], self.socket.sent)

    def test_closed(self) -> None:
        """What storage answers when the port is closed already is dropped."""
        edge, storage = self.listen(), Deferred()
        self.core.after(storage, self.echo)
        edge.datagramReceived(pb.encode(question(1)), CLIENT)
        edge.doStop()
        storage.callback(None)
        self.assertEqual(([], {}), (self.socket.sent, self.counted()))
