"""From the connection to the pairing, and the end of all connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionLost

from rdserver.relay.admission import RelayAuth
from rdserver.relay.limits import (
    EARLY_BYTES,
    FIRST_FRAME_BYTES,
    FIRST_FRAME_S,
    LINGER_S,
    PARTNER_WAIT_S,
    TICKET_WAIT_S,
    Limits,
)
from rdserver.relay.refusals import Refusal
from rdserver.relay.session import Session
from rdserver.relay.usage import EndReason
from rdserver.transports.relay_path import PathEnd
from rdserver.transports.relay_tcp import FLUSH_S, RelayFactory
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.fakes import FakeTCP
from tests.transports.relay_case import RelayCase, hello


class AcceptTests(RelayCase):
    connections = 3
    per_address = 2

    def accept(self, host: str) -> object:
        kind = IPv6Address if ":" in host else IPv4Address
        return self.factory.buildProtocol(kind("TCP", host, 5001))

    def count(self, reason: Refusal) -> int:
        return self.relay.notices.counts[reason]

    def test_options(self) -> None:
        """Small messages leave at once, and dead clients are noticed in the end."""
        self.assertEqual({"nodelay", "keepalive"}, self.connect().options)

    def test_blocked(self) -> None:
        """Who is on the blocklist is not let in, also as IPv4 in IPv6."""
        self.relay.blocklist.add("192.0.2.1")
        self.assertIsNone(self.accept("192.0.2.1"))
        self.assertIsNone(self.accept("::ffff:192.0.2.1"))
        self.assertIsNotNone(self.accept("192.0.2.2"))
        self.assertEqual(2, self.count(Refusal.BLOCKED))

    def test_impossible_source(self) -> None:
        """Who would only count as an IPv4 address is not let in."""
        self.assertIsNone(self.accept("::192.0.2.1"))
        self.assertEqual(1, self.count(Refusal.IMPOSSIBLE_SOURCE))
        self.assertEqual(0, self.factory.connections)

    def test_per_address(self) -> None:
        """One address may have so many connections, until one of them is gone."""
        first = self.connect()
        self.connect()
        self.assertIsNone(self.accept("192.0.2.1"))
        self.assertIsNotNone(self.accept("192.0.2.2"))
        first.close()
        self.settle()
        self.assertIsNotNone(self.accept("192.0.2.1"))
        self.assertEqual(1, self.count(Refusal.TOO_MANY_CONNECTIONS))

    def test_total(self) -> None:
        """All together may have so many."""
        for number in range(3):
            self.connect(host=f"192.0.2.{number}")
        self.assertIsNone(self.accept("192.0.2.9"))

    def test_address(self) -> None:
        """A client's address is IPv4 whatever the listener calls it."""
        connection = self.factory.buildProtocol(IPv6Address("TCP", "::ffff:192.0.2.1", 7))
        self.assertEqual("192.0.2.1:7", str(connection.address))

    def test_this_machine(self) -> None:
        """Clients on this machine are clients like any other."""
        self.connect(hello(), "127.0.0.1")
        client = self.connect(hello() + b"x", "127.0.0.1")
        self.assertEqual(
            (1, b"x"), (len(list(self.relay.sessions)), self.clients[0].read())
        )
        self.assertTrue(client.connected)


class FirstFrameTests(RelayCase):
    auth = RelayAuth.KEY
    key = "the-key"

    def assert_refused(self, first_bytes: bytes, reason: Refusal) -> None:
        """A client that says *first_bytes* is closed without a byte, and counted."""
        client = self.connect(first_bytes)
        self.assertEqual((False, b""), (client.connected, client.read()))
        self.assertEqual(1, self.relay.notices.counts[reason])
        self.assert_nothing_left()

    def test_in_pieces(self) -> None:
        """The first frame may come byte by byte."""
        client = self.connect()
        for byte in hello(key="the-key"):
            client.send(bytes([byte]))
            self.settle()
        self.assertEqual((True, 1), (client.connected, self.relay.waiting))

    def test_longest(self) -> None:
        """A first frame may have so many bytes and not one more, by its header alone."""
        too_long = (FIRST_FRAME_BYTES + 1 << 2 | 1).to_bytes(2, "little")
        self.assert_refused(too_long, Refusal.FRAME_TOO_LONG)
        request = pb.RequestRelay(uuid=b"s1", licence_key=b"the-key")
        message = pb.RendezvousMessage(request_relay=request)
        request_bytes = len(pb.encode(message))
        message.request_relay.token = b"t" * (FIRST_FRAME_BYTES - request_bytes - 5)
        padding = FIRST_FRAME_BYTES - len(pb.encode(message))
        message.request_relay.token += b"t" * padding
        self.assertEqual(FIRST_FRAME_BYTES, len(pb.encode(message)))
        self.connect(encode_frame(pb.encode(message)))
        self.assertEqual(1, self.relay.waiting)

    def test_refusals(self) -> None:
        """Whatever is no valid request ends the connection."""
        other = pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=b"bob"))
        for first_bytes, reason in [
            (encode_frame(b"\xff\xff"), Refusal.NOT_A_REQUEST),
            (encode_frame(b""), Refusal.NOT_A_REQUEST),
            (encode_frame(pb.encode(other)), Refusal.NOT_A_REQUEST),
            (hello(key="wrong"), Refusal.BAD_KEY),
            (hello("", key="the-key"), Refusal.NO_UUID),
        ]:
            self.relay.notices.counts[reason] = 0
            self.assert_refused(first_bytes, reason)

    def test_deadline(self) -> None:
        """Who has not said its first frame in time is closed; bytes do not help."""
        client = self.connect(hello()[:3])
        self.advance(FIRST_FRAME_S - 0.1)
        client.send(hello()[3:5])
        self.settle()
        self.assertTrue(client.connected)
        self.advance(0.1)
        self.assertFalse(client.connected)
        self.assertEqual(1, self.relay.notices.counts[Refusal.NO_FIRST_FRAME])
        self.assert_nothing_left()

    def test_leaves_first(self) -> None:
        """Who leaves before its first frame leaves nothing behind."""
        self.connect(hello()[:3]).close()
        self.settle()
        self.connect().lose(ConnectionLost())
        self.assert_nothing_left()

    def test_what_follows_a_refusal(self) -> None:
        """Nothing that a refused client still sends is looked at."""
        client = self.connect()
        client.protocol.dataReceived(hello(key="wrong"))
        client.protocol.dataReceived(hello(key="the-key"))
        self.assertEqual(0, self.relay.waiting)


class ForeignTests(RelayCase):
    """Who speaks another protocol is closed at once, and the log says where it belongs."""

    def test_closed_at_once(self) -> None:
        """TLS and HTTP are known by their first bytes."""
        for data in (bytes.fromhex("1603010200010001fc0303"), b"GET / HTTP/1.1\r\n"):
            client = self.connect(data)
            self.assertFalse(client.connected)
        self.assertEqual(2, self.relay.notices.counts[Refusal.FOREIGN])
        self.assert_nothing_left()


class WaitingTests(RelayCase):
    limits = Limits(waiting_per_address=2)

    def test_deadline(self) -> None:
        """Who finds no partner in time is closed; the uuid is free again."""
        client = self.connect(hello())
        self.advance(PARTNER_WAIT_S - 0.1)
        self.assertTrue(client.connected)
        self.advance(0.1)
        self.assertEqual((False, b""), (client.connected, client.read()))
        self.assertEqual(1, self.relay.notices.counts[Refusal.NO_PARTNER])
        self.assert_nothing_left()
        self.assertTrue(self.connect(hello()).connected)

    def test_expired_but_still_closing(self) -> None:
        """Who is being closed is nobody's partner."""
        self.connect(hello())
        self.clock.advance(PARTNER_WAIT_S)
        self.connect(hello())
        self.assertEqual((1, []), (self.relay.waiting, list(self.relay.sessions)))

    def test_disconnect_is_noticed(self) -> None:
        """Who leaves while waiting frees its uuid at once."""
        self.connect(hello() + b"early").close()
        self.settle()
        self.assert_nothing_left()

    def test_too_many(self) -> None:
        """More than may wait are refused."""
        for number in range(2):
            self.connect(hello(f"s{number}"))
        client = self.connect(hello("s2"))
        self.assertEqual((False, 2), (client.connected, self.relay.waiting))
        self.assertEqual(1, self.relay.notices.counts[Refusal.WAITING_PER_ADDRESS])

    def test_early_bytes(self) -> None:
        """What is sent behind the request reaches the partner first, in order."""
        first = self.connect(hello() + b"one")
        first.send(b"two")
        self.settle()
        second = self.connect(hello() + b"three", "192.0.2.2")
        first.send(b"four")
        self.settle()
        self.assertEqual((b"onetwofour", b"three"), (second.read(), first.read()))

    def test_early_bytes_are_not_parsed(self) -> None:
        """A second request on the same connection is data; it pairs nobody."""
        self.connect(hello() + hello())
        self.assertEqual([], list(self.relay.sessions))
        second = self.connect(hello(), "192.0.2.2")
        self.assertEqual(hello(), second.read())

    def test_how_much_is_held(self) -> None:
        """Up to a bound early bytes are read; then the client is paused, nothing lost."""
        first = self.connect(hello())
        first.send(b"x" * (EARLY_BYTES - 1))
        self.settle()
        self.assertTrue(first.reading)
        first.send(b"y")
        self.settle()
        self.assertFalse(first.reading)
        first.send(b"z" * 100_000)
        self.settle()
        second = self.connect(hello(), "192.0.2.2")
        self.assertEqual(b"x" * (EARLY_BYTES - 1) + b"y" + b"z" * 100_000, second.read())

    def test_never_a_byte_of_our_own(self) -> None:
        """Waiting, pairing and ending are silent."""
        first, second = self.pair()
        first.close()
        self.settle()
        self.assertEqual((b"", b""), (first.read(), second.read()))


class TicketTests(RelayCase):
    auth = RelayAuth.TICKET

    def test_announced(self) -> None:
        """Both sides of an announced session are let in."""
        self.tickets.announce("s1")
        self.pair()
        self.assertEqual(1, len(list(self.relay.sessions)))

    def test_announced_a_moment_later(self) -> None:
        """Early bytes and all, a session goes on at the moment it is announced."""
        first = self.connect(hello() + b"early")
        self.advance(TICKET_WAIT_S - 0.1)
        self.tickets.announce("s1")
        self.advance(PARTNER_WAIT_S - 0.1)
        self.assertTrue(first.connected)
        self.assertEqual(b"early", self.connect(hello(), "192.0.2.2").read())

    def test_both_came_before_the_announcement(self) -> None:
        """The announcement pairs two that wait for it."""
        first, second = self.pair()
        self.tickets.announce("s1")
        second.send(b"hi")
        self.settle()
        self.assertEqual(b"hi", first.read())
        self.assertEqual(0, len(self.tickets))

    def test_never_announced(self) -> None:
        """Who is not announced in time is closed without a byte, and counted."""
        client = self.connect(hello())
        self.advance(TICKET_WAIT_S)
        self.assertEqual((False, b""), (client.connected, client.read()))
        self.assertEqual(1, self.relay.notices.counts[Refusal.NO_TICKET])
        self.assert_nothing_left()

    def test_leaves_before_the_announcement(self) -> None:
        """Who left is not let in afterwards."""
        self.connect(hello()).close()
        self.settle()
        self.assert_nothing_left()
        self.tickets.announce("s1")
        self.assertEqual(0, self.relay.waiting)


class CloseAllTests(RelayCase):
    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.pair()
        self.waiting = self.connect(hello("s2"))
        self.silent = self.connect()

    def test_in_order(self) -> None:
        """What was received still leaves; then everybody is closed."""
        self.first.send(b"last words")
        self.first.turn()
        closed = self.factory.close_all()
        self.assertNoResult(closed)
        self.settle()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(b"last words", self.second.read())
        self.assertEqual([EndReason.STOPPED], [record.reason for record in self.records])
        self.assert_nothing_left()

    def test_who_does_not_read(self) -> None:
        """Who takes too long to read what is left is cut."""
        self.second.window_bytes = 0
        self.first.send(b"last words")
        self.settle()
        closed = self.factory.close_all()
        self.settle()
        self.advance(FLUSH_S - 0.1)
        self.assertNoResult(closed)
        self.advance(0.1)
        self.assertIsNone(self.successResultOf(closed))
        self.assertTrue(self.second.aborted)
        self.assert_nothing_left()

    def test_ends_already(self) -> None:
        """Who was being closed already goes on with that."""
        self.second.window_bytes = 0
        self.first.send(b"last words")
        self.first.close()
        self.settle()
        closed = self.factory.close_all()
        self.second.window_bytes = 100
        self.settle()
        self.successResultOf(closed)
        self.assertEqual(b"last words", self.second.read())

    def test_nobody_new(self) -> None:
        """From then on nobody is let in."""
        self.factory.close_all()
        self.assertIsNone(self.factory.buildProtocol(self.first.peer))

    def test_nobody_there(self) -> None:
        """Without connections it is done at once."""
        factory = RelayFactory(self.relay, self.admission, self.clock)
        self.successResultOf(factory.close_all())


class SeamTests(RelayCase):
    """Another data path can be put behind the pairing."""

    def test_another_path(self) -> None:
        """A path is given both sides, the one that waited first, with what they sent."""
        begun: list[tuple[Any, ...]] = []

        class Path:
            def begin(self, session: Session, first: PathEnd, second: PathEnd) -> None:
                begun.append((session, first.take_early(), second.take_early()))

        self.factory = RelayFactory(self.relay, self.admission, self.clock, Path())
        self.connect(hello() + b"a")
        self.connect(hello() + b"b")
        self.assertEqual([(next(self.relay.sessions), b"a", b"b")], begun)

    def test_handed_over(self) -> None:
        """Who looked at the first bytes of a connection can give it away."""
        client = FakeTCP()
        connection = self.factory.buildProtocol(client.peer)
        client.protocol = connection
        connection.makeConnection(client)
        connection.dataReceived(hello())
        self.assertEqual(1, self.relay.waiting)

    def test_linger_is_the_longest(self) -> None:
        """A stopping server does not wait for the whole time of an ordinary end."""
        self.assertLess(FLUSH_S, LINGER_S)
