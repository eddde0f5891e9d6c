"""Tests for :mod:`rdserver.transports.relay_ws`."""

from __future__ import annotations

from twisted.python.failure import Failure

from rdserver.relay.limits import FIRST_FRAME_S, PARTNER_WAIT_S
from rdserver.relay.refusals import Refusal
from rdserver.transports.admission import Admission
from rdserver.transports.relay_ws import relay_websockets
from rdserver.transports.websocket import CLOSING_S
from rdserver.transports.websocket_environment import Environment
from rdserver.wire.framing import FrameDecoder
from tests.fakes import settle
from tests.transports.relay_case import RelayCase, hello
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import BINARY, CLOSE, CONTINUATION, PING, TEXT, client_frame


def first_message(uuid: str = "s1", key: str = "") -> bytes:
    """Return a RequestRelay without its frame."""
    [message] = FrameDecoder(1000).feed(hello(uuid, key))
    return message


class RelayUpgradeCase(RelayCase):
    def setUp(self) -> None:
        super().setUp()
        self.bugs: list[Failure] = []
        self.foreign: list[tuple[str, str]] = []
        self.door = Admission(10, 10)
        environment = Environment(
            purpose="",
            admission=self.door,
            clock=self.clock,
            now=self.clock.seconds,
            real_host=lambda host, headers: headers.get("x-real-ip", host),
            refused=lambda address, what: self.foreign.append((address.host, what)),
            flooded=lambda: None,
            report_bug=self.bugs.append,
        )
        self.websockets = relay_websockets(self.factory, environment)

    def browser(self, host: str = "192.0.2.7", more: bytes = b"") -> WebSocketClient:
        """Return a client whose upgrade is complete, with *more* in the same breath."""
        client = WebSocketClient(self.websockets, host, 6000)
        self.assertEqual(101, client.upgrade(more=more))
        return client

    def tearDown(self) -> None:
        self.assertEqual([], self.bugs)

    def assert_nothing_left(self) -> None:
        super().assert_nothing_left()
        self.assertEqual((0, 0), (len(self.door), len(self.websockets)))

    def count(self, reason: Refusal) -> int:
        return self.relay.notices.counts[reason]


class UpgradeTests(RelayUpgradeCase):
    def test_paired_with_tcp(self) -> None:
        """One side by WebSocket, the other by TCP: frame and message correspond."""
        browser = self.browser()
        browser.say(first_message())
        self.assertEqual(1, self.relay.waiting)
        other = self.connect(hello())
        browser.say(b"to TCP")
        settle(other, browser.tcp)
        self.assertEqual(b"\x18to TCP", other.read())
        other.send(b"\x0chey")
        settle(other, browser.tcp)
        self.assertEqual([(0x82, b"hey")], browser.frames())

    def test_everything_at_once(self) -> None:
        """Request and first messages in the upgrade's own packet lose nothing."""
        more = client_frame(BINARY, first_message()) + client_frame(BINARY, b"one")
        for cut in (0, 1, 5):
            browser = self.browser(more=more[: len(more) - cut])
            browser.send(more[len(more) - cut :])
            other = self.connect(hello())
            settle(other, browser.tcp)
            self.assertEqual(b"\x0cone", other.read())
            other.close()
            settle(other, browser.tcp)
            browser.tcp.close()
            settle(other, browser.tcp)
            self.assertEqual([(0x88, b"\x03\xe8")], browser.frames())
        self.assert_nothing_left()

    def test_first_message_in_parts(self) -> None:
        """The first message may come in parts, as any other."""
        browser = self.browser()
        browser.send(client_frame(BINARY, first_message()[:3], fin=False))
        browser.send(client_frame(CONTINUATION, first_message()[3:]))
        self.assertEqual(1, self.relay.waiting)

    def test_two_browsers_behind_one_proxy(self) -> None:
        """Each is known by its own address, and has its own session."""
        clients = []
        for number in (1, 2):
            client = WebSocketClient(self.websockets, "127.0.0.1", 6000 + number)
            client.upgrade(X_Real_IP="203.0.113.5")
            client.say(first_message(f"s{number}"))
            clients.append(client)
        others = [self.connect(hello(f"s{number}")) for number in (1, 2)]
        for number, client in enumerate(clients):
            client.say(b"%d" % number)
            settle(*others)
        self.assertEqual([b"\x040", b"\x041"], [other.read() for other in others])
        firsts = [str(session.first) for session in self.relay.sessions]
        self.assertEqual(["203.0.113.5:6001", "203.0.113.5:6002"], firsts)


class RefusalTests(RelayUpgradeCase):
    def test_silence(self) -> None:
        """Who says nothing after the upgrade is not waited for longer than by TCP."""
        browser = self.browser()
        self.clock.advance(FIRST_FRAME_S)
        self.assertEqual([(0x88, b"\x03\xe8")], browser.frames())
        self.clock.advance(CLOSING_S)
        self.assertFalse(browser.is_connected)
        self.assertEqual(1, self.count(Refusal.NO_FIRST_FRAME))
        self.assert_nothing_left()

    def test_text(self) -> None:
        """A Text is no request; a Ping before it is answered and changes nothing."""
        browser = self.browser()
        browser.say(b"x", PING)
        self.assertEqual([(0x8A, b"x")], browser.frames())
        browser.say(first_message(), TEXT)
        self.assertEqual([(0x88, b"\x03\xf0")], browser.frames())
        self.assertEqual((0, 1), (self.relay.waiting, self.count(Refusal.NOT_A_REQUEST)))

    def test_no_request(self) -> None:
        """Another message, or nonsense, is refused as by TCP."""
        for payload in (b"", b"\xff", b"\x32\x03\x0a\x01x"):
            browser = self.browser()
            browser.say(payload)
            self.assertEqual([(0x88, b"\x03\xf0")], browser.frames())
            browser.tcp.close()
            browser.settle()
        self.assertEqual(3, self.count(Refusal.NOT_A_REQUEST))
        self.assert_nothing_left()

    def test_too_long(self) -> None:
        """A first message that no client sends is refused at its head."""
        browser = self.browser()
        browser.say(bytes(5000))
        self.assertEqual(b"\x03\xf1", browser.frames()[0][1][:2])

    def test_blocked(self) -> None:
        """The blocklist holds for the address that a proxy names, before and after."""
        self.relay.blocklist.add("203.0.113.5")
        client = WebSocketClient(self.websockets, "127.0.0.1")
        self.assertEqual(403, client.upgrade(X_Real_IP="203.0.113.5"))
        self.assertEqual(1, self.count(Refusal.BLOCKED))
        late = self.browser("192.0.2.8")
        self.relay.blocklist.add("192.0.2.8")
        late.say(first_message())
        self.assertEqual([(0x88, b"\x03\xf0")], late.frames())

    def test_no_partner(self) -> None:
        """Who waits in vain is told goodbye."""
        browser = self.browser()
        browser.say(first_message())
        self.advance(PARTNER_WAIT_S)
        self.assertEqual([(0x88, b"\x03\xf0")], browser.frames())
        self.assertEqual(0, self.relay.waiting)
        self.assert_nothing_left()

    def test_gives_up_waiting(self) -> None:
        """Who closes while it waits frees its place at once, also with a Close alone."""
        browser = self.browser()
        browser.say(first_message())
        browser.say(b"\x03\xe8", CLOSE)
        self.assertEqual(0, self.relay.waiting)
        self.assertEqual([(0x88, b"\x03\xe8")], browser.frames())
        self.assert_nothing_left()

    def test_stop(self) -> None:
        """A relay that stops closes those before and behind their first message."""
        waiting, silent = self.browser(), self.browser()
        waiting.say(first_message())
        self.websockets.close_all()
        self.factory.close_all()
        for browser in (waiting, silent):
            self.assertEqual([(0x88, b"\x03\xe9")], browser.frames())
