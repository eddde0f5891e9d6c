"""Statements 19 to 28, 81 and 119: the ID server by WebSocket."""

from __future__ import annotations

from typing import Any

from rdserver.rendezvous.stream_state import FRAME_S, LIFE_S
from rdserver.transports.websocket import CLOSING_S, UPGRADE_S
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address
from tests.conformance.doors import Browser, Client, DoorTests
from tests.rendezvous.fixture import BOB, BOB_ID, KEY
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import CLOSE, PING, PONG, TEXT

PROXY = "127.0.0.1"
REAL = "198.51.100.7"


class WebSocketTests(DoorTests):
    """8.2: what a WebSocket connection to P+2 is."""

    def test_019_any_path(self) -> None:
        """An upgrade with any path is accepted."""
        for path in ("/", "/ws/id", "/some/where?else=1"):
            self.assertTrue(self.browser(path=path).is_open)

    def test_020_message(self) -> None:
        """A Binary TestNatRequest is answered by a Binary TestNatResponse."""
        browser = self.browser(port=40123)
        browser.send("test_nat_request", pb.TestNatRequest())
        [answer] = browser.received()
        self.assertEqual(40123, answer.test_nat_response.port)

    def test_021_no_messages(self) -> None:
        """Text and Ping are none, the connection stays, and Ping is answered."""
        browser = self.browser()
        browser.client.say(pb.encode(pb.RendezvousMessage()), TEXT)
        browser.client.say(b"nonsense", TEXT)
        browser.client.say(b"", PING)
        self.assertEqual([PONG], browser.control())
        self.assertTrue(browser.is_open)
        browser.send("test_nat_request", pb.TestNatRequest())
        self.assertEqual(1, len(browser.received()))

    def test_022_silence(self) -> None:
        """After 30 s of silence it is closed; Text and Ping are no silence."""
        browser = self.browser()
        for opcode in (TEXT, PING):
            self.clock.advance(FRAME_S - 1)
            browser.client.say(b"", opcode)
            browser.client.frames()
        self.clock.advance(FRAME_S - 1)
        self.assertEqual([], browser.control())
        self.clock.advance(1)
        self.assertEqual([CLOSE], browser.control())
        self.clock.advance(CLOSING_S)
        self.assertFalse(browser.is_open)

    def test_023_no_upgrade(self) -> None:
        """A connection that does not complete the upgrade is closed after 10 s."""
        client = WebSocketClient(self.websockets)
        self.clock.advance(UPGRADE_S - 0.1)
        self.assertTrue(client.is_connected)
        self.clock.advance(0.1)
        self.assertFalse(client.is_connected)

    def test_022_not_for_ever(self) -> None:
        """Signs of life alone do not keep a connection longer than any client asks."""
        browser = self.browser()
        for _ in range(round(LIFE_S / 20)):
            self.assertTrue(browser.is_open)
            self.assertNotIn(CLOSE, browser.control())
            self.clock.advance(20)
            browser.client.say(b"", PING)
        self.assertIn(CLOSE, browser.control())


class BehindProxiesTests(DoorTests):
    """8.2: whom a proxy speaks for.  B is registered."""

    def setUp(self) -> None:
        super().setUp()
        self.register()

    def asked(self, browser: Browser) -> pb.PunchHole:
        """Return what B is sent when A asks for it."""
        sent: list[Any] = []
        self.outlet.send_datagram = lambda data, to: sent.append((pb.decode(data), to))
        browser.send("punch_hole_request", self.request())
        [(push, to)] = sent
        self.assertEqual(BOB, to)
        return push.punch_hole

    def request(self) -> pb.PunchHoleRequest:
        return pb.PunchHoleRequest(id=BOB_ID.encode(), licence_key=KEY.encode())

    def seen_by_b(self, browser: Browser) -> str:
        return decode_address(self.asked(browser).socket_addr).host

    def test_024_real_ip(self) -> None:
        """B gets a socket_addr with the address that X-Real-IP names."""
        browser = self.browser(PROXY, X_Real_IP=REAL)
        self.assertEqual(REAL, self.seen_by_b(browser))

    def test_025_untrusted(self) -> None:
        """From a peer that is no trusted proxy the headers are ignored."""
        for header in ("X_Real_IP", "X_Forwarded_For"):
            browser = self.browser("198.51.100.99", **{header: REAL})
            self.assertEqual("198.51.100.99", self.seen_by_b(browser))

    def test_026_two_behind_one_address(self) -> None:
        """Of two with the same X-Real-IP only the one whom B answers gets the answer."""
        first, second = (self.browser(PROXY, n, X_Real_IP=REAL) for n in (41001, 41002))
        push = self.asked(first)
        self.asked(second)
        bob = Client(self.connect(BOB.host, 50001)._tcp)
        sent = pb.PunchHoleSent(socket_addr=push.socket_addr, id=BOB_ID.encode())
        bob.send("punch_hole_sent", sent)
        [answer] = first.received()
        self.assertEqual(
            Address(BOB.host, 50001),
            decode_address(answer.punch_hole_response.socket_addr),
        )
        self.assertEqual([], second.received())

    def test_027_forwarded_for(self) -> None:
        """Without X-Real-IP it is X-Forwarded-For that counts."""
        browser = self.browser(PROXY, X_Forwarded_For="203.0.113.9")
        self.assertEqual("203.0.113.9", self.seen_by_b(browser))

    def test_028_chain(self) -> None:
        """Of several it is the right-most that is no trusted proxy."""
        for chain in ("1.1.1.1, 203.0.113.9", "1.1.1.1, 203.0.113.9, 127.0.0.5"):
            browser = self.browser(PROXY, X_Forwarded_For=chain)
            self.assertEqual("203.0.113.9", self.seen_by_b(browser))

    def test_028_hidden(self) -> None:
        """What a client hides in a field that the proxy passes on is no other field."""
        hidden = "a\x85X-Forwarded-For: 192.0.2.66"
        browser = self.browser(PROXY, X_Forwarded_For="203.0.113.9", Cookie=hidden)
        self.assertEqual("203.0.113.9", self.seen_by_b(browser))

    def test_081_same_address(self) -> None:
        """An A by WebSocket at B's address is not sent B's local one: B gets PunchHole."""
        push = self.asked(self.browser(BOB.host, 40000))
        self.assertEqual(Address(BOB.host, 40000), decode_address(push.socket_addr))

    def test_119_online(self) -> None:
        """OnlineRequest is answered as on P-1, also above its size there."""
        browser = self.browser()
        peers = [BOB_ID.encode(), *[b"nobody"] * 8, BOB_ID.encode()]
        browser.send("online_request", pb.OnlineRequest(id=b"me", peers=peers))
        [answer] = browser.received()
        self.assertEqual(b"\x80\x40", answer.online_response.states)
