"""
One suite over both ways to take datagrams: in batches, and one by one by Twisted.

The sockets are real, the rooms behind them too; the reactor reads when a test says so.
"""

from __future__ import annotations

import ctypes
import errno
import random
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.udp import Port
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from rdserver.errors import ConfigError
from rdserver.rendezvous.events import Event
from rdserver.transports import mmsg
from rdserver.transports.listeners import Listeners, Wanted
from rdserver.transports.outlet import Outlet
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.transports.udp_batch import BatchPort, IReadDescriptor, takes_batches
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import PK, UUID, Message, RoomsTests
from tests.transports.sockets import family_of, free_ports, has_ipv6, open_sockets

URL = "https://example.com/rustdesk-1.1.9.exe"
KNOWN = b"\x3a\x00"
ASKED = b"\x3a\x02\x10\x01"
REGISTERED = b"\x82\x01\x00"
OURS = b"123456789"


def register_peer(peer_id: bytes = OURS, serial: int = 3) -> bytes:
    return pb.encode(Message(register_peer=pb.RegisterPeer(id=peer_id, serial=serial)))


def register_pk(peer_id: bytes = OURS) -> bytes:
    return pb.encode(Message(register_pk=pb.RegisterPk(id=peer_id, uuid=UUID, pk=PK)))


def software_update(size: int) -> bytes:
    """Return a question of *size* bytes; the answer is :data:`NEWER`."""
    longer = pb.SoftwareUpdate(url=bytes(max(size - 8, 1)))
    data = pb.encode(Message(software_update=longer))
    padding = pb.SoftwareUpdate(url=bytes(max(size - 8, 1) + size - len(data)))
    return pb.encode(Message(software_update=padding))


NEWER = pb.encode(Message(software_update=pb.SoftwareUpdate(url=URL.encode())))


class HandReactor:
    """Reads when it is told to, one turn of each port."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.closing: list[Any] = []

    def addReader(self, reader: Any) -> None:  # noqa: N802
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:  # noqa: N802
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, _writer: Any) -> None:  # noqa: N802
        """Nobody writes."""

    def callLater(self, _delay_s: float, call: Any, *args: Any) -> None:
        self.closing.append((call, args))

    def adoptDatagramPort(  # noqa: N802
        self, fd: int, family: Any, protocol: Any, size: int
    ) -> Port:
        port = Port._fromListeningDescriptor(self, fd, family, protocol, size)
        port.startListening()
        return port

    def turn(self) -> None:
        for reader in list(self.readers):
            reader.doRead()
        while self.closing:
            call, args = self.closing.pop(0)
            call(*args)


class PathCase(RoomsTests):
    """
    An ID server on a real UDP port.

    :cvar interface: what it listens on; empty for a dual-stack socket.
    :cvar host: where clients are.
    :cvar turn_datagrams: how many are served in one turn, whatever is in them.
    """

    batches = True
    turn_datagrams = 256
    interface = "127.0.0.1"
    host = "127.0.0.1"

    def setUp(self) -> None:
        if self.interface != "127.0.0.1" and not has_ipv6():
            raise SkipTest("needs IPv6")
        if self.batches and not mmsg.is_available():
            raise SkipTest("needs recvmmsg")
        self.before = open_sockets()
        self.reactor = HandReactor()
        self.port = free_ports(1)
        wanted = Wanted(self.port, socket.SOCK_DGRAM, "ID server")
        self.listeners = Listeners(self.interface, [wanted], self.reactor)
        self.listeners.bind_all()
        self.addCleanup(self.reactor.turn)
        self.addCleanup(self.listeners.close)
        self.furnish(software_url=URL)
        self.outlet = Outlet(self.notices)
        self.edge = RendezvousDatagrams(
            self.decide,
            self.outlet,
            self.notices,
            dual_stack=self.listeners.is_dual_stack(self.port),
        )
        self.outlet.send_datagram = self.edge.send
        self.listen()

    def decide(self, message: Message, origin: Address) -> Any:
        return self.core.datagram(message, origin)

    def listen(self) -> None:
        if not self.batches:
            self.listeners.open_udp(self.port, self.edge, 1 << 20)
            return
        self.listeners.open_udp_by(self.adopt, self.port, 1 << 20)

    def adopt(self, bound: socket.socket) -> BatchPort:
        heartbeats = self.rooms.heartbeats
        now = self.clock.seconds
        return BatchPort(bound.dup(), self.edge, heartbeats, self.reactor, now).start()

    def client(self) -> socket.socket:
        opened = socket.socket(family_of(self.host), socket.SOCK_DGRAM)
        self.addCleanup(opened.close)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        opened.bind((self.host, 0))
        opened.connect((self.host, self.port))
        opened.setblocking(False)
        return opened

    def ask(self, client: socket.socket, *datagrams: bytes, turns: int = 1) -> list[bytes]:
        """Send datagrams, let the server read, and return what came back, in order."""
        for datagram in datagrams:
            client.send(datagram)
        for _ in range(turns):
            self.reactor.turn()
        return self.answers(client)

    def answers(self, client: socket.socket) -> list[bytes]:
        got = []
        while True:
            try:
                got.append(client.recv(65536))
            except BlockingIOError:
                return got

    def device(self, peer_id: bytes = OURS) -> socket.socket:
        """Return the socket of a device that has registered."""
        client = self.client()
        self.assertEqual([REGISTERED], self.ask(client, register_pk(peer_id)))
        return client

    def address(self, client: socket.socket) -> Address:
        return Address(*client.getsockname()[:2])

    def counted(self) -> dict[Event, int]:
        return {event: n for event, n in self.notices.counts.items() if n}


if TYPE_CHECKING:
    _Mixin = PathCase
else:
    _Mixin = object


class PathContract(_Mixin):
    """What holds on both paths; each class below is one path on one kind of socket."""

    def test_heartbeats(self) -> None:
        """All of them are answered alike, and each is a sign of life for 30 s."""
        device = self.device()
        for _ in range(4):
            self.clock.advance(29.9)
            self.assertEqual([KNOWN], self.ask(device, register_peer()))
            self.clock.advance(29.9)
            self.assertTrue(self.is_online())
        self.clock.advance(0.1)
        self.assertFalse(self.is_online())
        self.assertEqual((5, {}), (self.edge.received, self.counted()))

    def test_stored_device(self) -> None:
        """After a restart a device is found in the database by its first heartbeat."""
        device = self.device()
        self.ask(device, register_peer())
        self.furnish(store=self.store)
        self.listeners.close()
        self.reactor.turn()
        self.listeners.bind_all()
        self.listen()
        for _ in range(3):
            self.assertEqual([KNOWN], self.ask(device, register_peer()))
        self.assertTrue(self.is_online())

    def test_unknown(self) -> None:
        """Strangers are asked for their key, and devices without an id get nothing."""
        stranger = self.client()
        asked = self.ask(stranger, *[register_peer(b"987654321")] * 3, register_peer(b""))
        self.assertEqual([ASKED] * 3, asked)

    def test_strangers_among_devices(self) -> None:
        """Each gets the answer to its own question, in every mixture, batch after batch."""
        device = self.device()
        beats = {KNOWN: register_peer(), ASKED: register_peer(b"987654321")}
        beats[NEWER] = software_update(20)
        rng = random.Random(4)
        for _ in range(20):
            expected = rng.choices((KNOWN, ASKED, NEWER), (6, 6, 1), k=50)
            sent = [beats[answer] for answer in expected]
            self.assertEqual(expected, self.ask(device, *sent))
        self.assertEqual((1001, {}), (self.edge.received, self.counted()))

    def test_long_strangers(self) -> None:
        """Ids of any length that nobody has are asked for the key."""
        ids = [b"x" * size for size in (1, 20, 29, 30, 31, 42, 43, 60, 100, 101, 5000)]
        stranger, sent = self.client(), [register_peer(peer_id) for peer_id in ids]
        self.assertEqual([ASKED] * len(ids) * 2, self.ask(stranger, *sent * 2))

    def test_other_ids(self) -> None:
        """Ids of any length are known again."""
        umlauts = "\u00fc".encode() * 5
        ids = (b"123456", b"1234567890", b"x" * 16, b"y" * 40, b"z" * 100, umlauts)
        for peer_id in ids:
            device = self.device(peer_id)
            beats = [register_peer(peer_id, serial) for serial in (3, 3, 0, 200, 3)]
            self.assertEqual([KNOWN] * 5, self.ask(device, *beats), peer_id)

    def test_order(self) -> None:
        """Answers come in the order of the questions, whatever these are."""
        device = self.device()
        beat, stranger = register_peer(), register_peer(b"987654321")
        question, garbage = software_update(20), b"\xff" * 40
        sent = [beat, beat, question, beat, garbage, stranger, b"", beat, *[question] * 2]
        got = [KNOWN, KNOWN, NEWER, KNOWN, ASKED, KNOWN, NEWER, NEWER]
        self.assertEqual(got * 3, self.ask(device, *sent * 3))
        self.assertEqual({Event.BAD_MESSAGE: 3}, self.counted())
        self.assertEqual(31, self.edge.received)

    def test_changed_on_the_way(self) -> None:
        """What a datagram changes holds for the next one already."""
        old, new = self.device(), self.client()
        self.assertEqual([KNOWN] * 2, self.ask(old, register_peer(), register_peer()))
        old.send(register_peer())
        new.send(register_peer())
        new.send(register_pk())
        old.send(register_peer())
        new.send(register_peer())
        self.reactor.turn()
        self.assertEqual([KNOWN, ASKED], self.answers(old))
        self.assertEqual([ASKED, REGISTERED, KNOWN], self.answers(new))

    def test_moved(self) -> None:
        """Another port may take over after 20 s, and then the old one may not."""
        old, new = self.device(), self.client()
        self.ask(old, register_peer(), register_peer())
        self.assertEqual([ASKED], self.ask(new, register_peer()))
        self.clock.advance(20)
        self.assertEqual([KNOWN, KNOWN], self.ask(new, register_peer(), register_peer()))
        self.assertEqual([ASKED], self.ask(old, register_peer()))
        peer = self.rooms.presence.get(OURS.decode())
        self.assertEqual(self.address(new), peer and peer.route)

    def test_server_list(self) -> None:
        """A new list is sent with the next heartbeat, even of the same batch."""
        device = self.device()
        update = pb.ConfigUpdate(serial=4, rendezvous_servers=[b"one.example"])
        told = pb.encode(Message(configure_update=update))
        beat, newer = register_peer(), register_peer(serial=4)
        got = self.ask(device, beat, beat, told, beat, newer, newer, beat)
        self.assertEqual([KNOWN] * 3 + [told] + [KNOWN] * 3 + [told], got)

    def test_several(self) -> None:
        """Answers go to those who asked, however many ask at a time."""
        devices = {b"%d" % (300_000_000 + n): self.client() for n in range(20)}
        for peer_id, device in devices.items():
            self.assertEqual([REGISTERED], self.ask(device, register_pk(peer_id)))
        for count in (1, 1, 2, 4):
            for peer_id, device in devices.items():
                for _ in range(count):
                    device.send(register_peer(peer_id))
            for _ in range(2):
                self.reactor.turn()
            for device in devices.values():
                self.assertEqual([KNOWN] * count, self.answers(device))
        self.assertEqual(20 * 9, self.edge.received)

    def test_sizes(self) -> None:
        """Datagrams are taken whole, from the shortest to the longest there is."""
        device = self.device()
        self.assertEqual(65507, len(software_update(65507)))
        for size in (20, 34, 35, 36, 47, 48, 63, 64, 65, 127, 256, 270, 9000, 65507):
            sent = register_peer(), software_update(size), register_peer()
            self.assertEqual([KNOWN, NEWER, KNOWN], self.ask(device, *sent, turns=2))
        self.assertEqual({}, self.counted())

    def test_flood(self) -> None:
        """One turn serves only so many, and the rest is there the next time."""
        device = self.device()
        answers = self.ask(device, *[register_peer()] * 1200)
        self.assertLess(len(answers), 1200)
        self.reactor.turn()
        while more := self.answers(device):
            answers += more
            self.reactor.turn()
        self.assertEqual([KNOWN] * 1200, answers)

    def test_turns_count_datagrams(self) -> None:
        """Empty datagrams use up a turn like any others."""
        client = self.client()
        for datagram in (b"", b"\xff"):
            before = self.edge.received
            for _ in range(300):
                client.send(datagram)
            for turn in range(1, 6):
                self.reactor.turn()
                served = min(turn * self.turn_datagrams, 300)
                self.assertEqual(served, self.edge.received - before)

    def test_bug(self) -> None:
        """A bug costs one message; the port is read on."""
        device = self.device()
        self.ask(device, register_peer())
        decide = self.core.datagram
        self.core.datagram = lambda *_: 1 // 0  # type: ignore[method-assign]
        got = self.ask(device, register_peer(), software_update(20), register_peer())
        # In batches a known heartbeat is not decided on.
        self.assertEqual([KNOWN, KNOWN] if self.batches else [], got)
        self.core.datagram = decide  # type: ignore[method-assign]
        self.assertEqual([KNOWN], self.ask(device, register_peer()))
        self.assertEqual({Event.BUG: 1 if self.batches else 3}, self.counted())

    def test_impossible_source(self) -> None:
        """Who would only count as the device's IPv4 address is not listened to."""
        device, told = self.device(), register_peer(serial=2)
        self.let_all_come_from("::127.0.0.1")
        sent = register_peer(), told, software_update(20), register_pk()
        self.assertEqual([], self.ask(device, *sent))
        self.assertEqual({Event.IMPOSSIBLE_SOURCE: 4}, self.counted())
        self.assertEqual(5, self.edge.received)

    def let_all_come_from(self, host: str) -> None:
        """Let the system name this host, and the true port, as the source."""
        if self.batches:
            [port] = self.reactor.readers
            source = port._batch.source
            port._batch.source = lambda index: (host, source(index)[1])
            return
        take = self.edge.datagramReceived
        self.edge.datagramReceived = (  # type: ignore[method-assign]
            lambda datagram, addr: take(datagram, (host, addr[1]))
        )

    def test_pushes(self) -> None:
        """Others send from this port too, to plain addresses of both families."""
        client = self.client()
        self.edge.send(b"push", self.address(client))
        self.assertEqual([b"push"], self.answers(client))
        client.send(b"")  # to see where it came from, it need not be connected
        self.assertEqual({}, self.counted())

    def test_refused_pushes(self) -> None:
        """What cannot be sent is lost and counted; port 0 is never sent to."""
        client = self.client()
        for data, to in (
            (b"x", Address("example.org", 9)),
            (b"x", Address("", 9)),
            (bytes(65536), self.address(client)),
        ):
            self.edge.send(data, to)
        self.edge.send(b"x", Address(self.host, 0))
        self.edge.send(b"next", self.address(client))
        self.assertEqual([b"next"], self.answers(client))
        self.assertEqual({Event.UNSENT: 3}, self.counted())

    def test_other_family(self) -> None:
        """What a socket's family does not reach is lost and counted; that is no bug."""
        for host in ("127.0.0.1", "::1"):
            self.edge.send(b"x", Address(host, 9))
        expected = {Event.UNSENT: 1} if self.interface else {}
        self.assertEqual(expected, self.counted())

    def test_closed(self) -> None:
        """Once it is closed nothing is read, nothing sent, and no descriptor is left."""
        device = self.device()
        self.ask(device, register_peer())
        self.listeners.close()
        self.reactor.turn()
        self.assertEqual([], self.reactor.readers)
        self.edge.send(b"late", self.address(device))
        self.assertEqual([], self.answers(device))
        device.close()
        self.assertEqual(self.before, open_sockets())
        self.assertEqual({}, self.counted())

    def test_closed_by_a_datagram(self) -> None:
        """When a decision closes the port, this turn is its last; in batches it ends."""
        device, decide, decided = self.device(), self.core.datagram, []

        def close(message: Message, origin: Address) -> Any:
            decided.append(message)
            self.listeners.close()
            return decide(message, origin)

        self.core.datagram = close  # type: ignore[method-assign]
        self.ask(device, *[software_update(20)] * (self.turn_datagrams + 9), turns=2)
        self.assertEqual([], self.reactor.readers)
        self.assertEqual(1 if self.batches else self.turn_datagrams, len(decided))
        self.assertEqual((1 + len(decided), {}), (self.edge.received, self.counted()))


class BatchTests(PathContract, PathCase):
    """Batches on an IPv4 socket."""


class Batch6Tests(PathContract, PathCase):
    interface = host = "::1"


class BatchDualTests(PathContract, PathCase):
    """IPv4 clients of a socket for both."""

    interface = ""


class BatchDual6Tests(PathContract, PathCase):
    interface, host = "", "::1"


class PlainTests(PathContract, PathCase):
    """Twisted's port on an IPv4 socket."""

    batches = False
    turn_datagrams = 64


class Plain6Tests(PlainTests):
    interface = host = "::1"


class PlainDualTests(PlainTests):
    interface = ""


class PlainDual6Tests(PlainTests):
    interface, host = "", "::1"


class BatchPortTests(PathCase):
    """What only the port for batches promises."""

    @property
    def open_port(self) -> BatchPort:
        [port] = self.reactor.readers
        assert isinstance(port, BatchPort)
        return port

    def test_for_the_reactor(self) -> None:
        """It is what a reactor can read from."""
        self.assertTrue(verifyObject(IReadDescriptor, self.open_port))
        self.assertEqual("UDP in batches", self.open_port.logPrefix())
        self.assertGreater(self.open_port.fileno(), 2)

    def test_turns_are_short(self) -> None:
        """After the batch within which 1 ms has passed the turn is over."""
        client, decide = self.client(), self.core.datagram

        def slow(message: Message, origin: Address) -> Any:
            self.clock.advance(0.001 / 100)
            return decide(message, origin)

        self.core.datagram = slow  # type: ignore[method-assign]
        for served in (128, 256, 300):
            self.ask(client, *[software_update(20)] * (300 if served == 128 else 0))
            self.assertEqual(served, self.edge.received)

    def test_known_ones_are_not_decoded(self) -> None:
        """Only what is new is decoded: of a device's heartbeats none after the first."""
        device = self.device()
        self.ask(device, register_peer())

        def fail(_data: bytes) -> Any:
            raise AssertionError("decoded")

        self.patch(pb, "decode", fail)
        self.assertEqual([KNOWN] * 200, self.ask(device, *[register_peer()] * 200))

    def test_strangers_are_not_decoded(self) -> None:
        """Nor are ids that were looked up lately in vain, or long ones that are known."""
        ids = (b"987654321", b"x" * 60, b"y" * 60)
        device = self.device(ids[2])
        beats = [register_peer(peer_id) for peer_id in ids]
        self.ask(device, *beats)

        def fail(_data: bytes) -> Any:
            raise AssertionError("decoded")

        self.patch(pb, "decode", fail)
        self.assertEqual([ASKED, ASKED, KNOWN] * 20, self.ask(device, *beats * 20))
        self.clock.advance(30)
        self.ask(device, beats[2])
        peer = self.rooms.presence.get(ids[2].decode())
        self.assertEqual(self.clock.seconds(), peer and peer.seen_s)

    def test_refused_by_the_system(self) -> None:
        """Answers that the system refuses are counted, and the others are sent."""
        device = self.device()
        self.ask(device, register_peer())
        batch: Any = self.open_port._batch
        send, calls = batch._send, iter((-1, 2, -1))
        def sometimes(fd: int, at: int, count: int, flags: int) -> Any:
            ctypes.set_errno(errno.EPERM)
            asked = next(calls)
            return send(fd, at, min(count, asked), flags) if asked > 0 else asked

        batch._send = sometimes
        self.assertEqual([KNOWN] * 2, self.ask(device, *[register_peer()] * 4))
        self.assertEqual({Event.UNSENT: 2}, self.counted())
        self.assertEqual(6, self.edge.received)

    def test_closed_within(self) -> None:
        """Closed by a datagram, it takes no other one, and asks the system for none."""
        device = self.device()
        self.ask(device, register_peer())
        self.clock.advance(30)
        port = self.open_port
        decide, receive, received = self.core.datagram, port._batch.receive, []

        def close(message: Message, origin: Address) -> Any:
            self.listeners.close()
            return decide(message, origin)

        self.core.datagram = close  # type: ignore[method-assign]
        port._batch.receive = lambda: received.append(receive()) or received[-1]
        question = software_update(20)
        self.ask(device, question, *[register_peer()] * 10, *[question] * 60)
        self.assertEqual(([mmsg.SLOTS], {}), (received, self.counted()))
        self.assertFalse(self.is_online())

    def test_bug_of_its_own(self) -> None:
        """It is logged, and the port is read on."""
        device = self.device()
        recognise = self.rooms.heartbeats.recognise

        def fail(_keys: Any, _first: int) -> int:
            raise IndexError

        self.rooms.heartbeats.recognise = fail  # type: ignore[method-assign]
        self.assertEqual([], self.ask(device, register_peer()))
        self.rooms.heartbeats.recognise = recognise  # type: ignore[method-assign]
        self.assertEqual([KNOWN], self.ask(device, register_peer()))
        self.assertEqual({Event.BUG: 1}, self.counted())

    def test_port_0(self) -> None:
        """Whoever claims to be at port 0 is not listened to, known or not."""
        device = self.device()
        self.ask(device, register_peer())
        batch = self.open_port._batch
        batch.source = lambda _index: (self.host, 0)
        self.clock.advance(20)  # from now on it may move to another port
        beats = [register_peer(serial=4), register_peer(serial=4)]
        self.assertEqual([], self.ask(device, *beats))

    def test_long_ids(self) -> None:
        """Ids that differ at their end are different ids, also of one address."""
        ids = [b"x" * 97 + b"%d" % n for n in range(3)]
        device = self.client()
        for peer_id in ids:
            self.ask(device, register_pk(peer_id))
        self.ask(device, *map(register_peer, ids))
        self.clock.advance(30)
        self.assertEqual([KNOWN] * 2, self.ask(device, *map(register_peer, ids[:2])))
        online = [self.is_online(peer_id.decode()) for peer_id in ids]
        self.assertEqual([True, True, False], online)

    def test_link_local(self) -> None:
        """An address with an interface is sent to there; unknown ones are refused."""
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
            beats, now = self.rooms.heartbeats, self.clock.seconds
            port = BatchPort(bound, self.edge, beats, self.reactor, now)
            sent: list[Any] = []
            port._socket = FakeSocket(sent)  # type: ignore[assignment]
            port.write(b"x", ("fe80::1%7", 9))
            port.write(b"x", ("::ffff:192.0.2.1", 9))
        self.assertEqual([("fe80::1", 9, 0, 7), ("::ffff:192.0.2.1", 9)], sent)

    def test_reactor_ends(self) -> None:
        """When the reactor ends, the socket is closed; closing again is no error."""
        port = self.open_port
        port.connectionLost(Failure(OSError(errno.EBADF, "closed")))
        port.stopListening()
        self.assertEqual((-1, []), (port.fileno(), self.reactor.readers))


class FakeSocket:
    """An IPv6 socket that keeps where it is told to send."""

    family = socket.AF_INET6

    def __init__(self, sent: list[Any]) -> None:
        self._sent = sent

    def sendto(self, _data: bytes, to: Any) -> None:
        self._sent.append(to)


class ChoiceTests(SynchronousTestCase):
    def test_choice(self) -> None:
        """Batches are taken where wanted and possible; where told so, or not at all."""
        for possible in (True, False):
            self.patch(mmsg, "is_available", lambda possible=possible: possible)
            self.assertEqual(possible, takes_batches("auto"))
            self.assertFalse(takes_batches("plain"))
        error = self.assertRaises(ConfigError, takes_batches, "batch")
        self.assertIn("udp-path: ", str(error))
        self.patch(mmsg, "is_available", lambda: True)
        self.assertTrue(takes_batches("batch"))
