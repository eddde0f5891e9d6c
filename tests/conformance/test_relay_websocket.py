"""Statements 140 to 142: the relay by WebSocket."""

from __future__ import annotations

from rdserver.wire.framing import encode_frame
from tests.fakes import FakeTCP, settle
from tests.transports.relay_case import hello
from tests.transports.test_relay_ws import RelayUpgradeCase, first_message
from tests.transports.upgrade import WebSocketClient
from tests.wire.masked import BINARY, PING, PONG, TEXT

SIZES = (1, 63, 64, 125, 126, 16_383, 16_384, 65_536)


class WebSocketRelayTests(RelayUpgradeCase):
    def mixed(self) -> tuple[WebSocketClient, FakeTCP]:
        """Return the two sides of a session, one by WebSocket and one by TCP."""
        browser = self.browser()
        browser.say(first_message())
        return browser, self.connect(hello())

    def test_140_frame_and_message(self) -> None:
        """Each frame is one Binary message, each message one frame of minimal header."""
        browser, other = self.mixed()
        for size in SIZES:
            payload = bytes(range(256)) * (size // 256 + 1)
            browser.say(payload[:size])
            settle(other, browser.tcp)
            self.assertEqual(encode_frame(payload[:size]), other.read())
            other.send(encode_frame(payload[:size]))
            settle(other, browser.tcp)
            self.assertEqual([(0x80 | BINARY, payload[:size])], browser.frames())

    def test_141_message_for_message(self) -> None:
        """Between two WebSockets messages pass one to one."""
        pair = first, second = self.browser("192.0.2.1"), self.browser("192.0.2.2")
        for browser in pair:
            browser.say(first_message())
        for size in SIZES:
            first.say(bytes(size))
            second.settle()
        expected = [(0x80 | BINARY, bytes(size)) for size in SIZES]
        self.assertEqual(expected, second.frames())

    def test_142_nothing_to_forward(self) -> None:
        """Empty frames and messages, Text and Ping are not forwarded; the session stays."""
        browser, other = self.mixed()
        other.send(b"\x00")
        settle(other, browser.tcp)
        for payload, opcode in ((b"", BINARY), (b"text", TEXT), (b"ping", PING)):
            browser.say(payload, opcode)
        settle(other, browser.tcp)
        self.assertEqual((b"", [(0x80 | PONG, b"ping")]), (other.read(), browser.frames()))
        browser.say(b"still here")
        settle(other, browser.tcp)
        self.assertEqual(encode_frame(b"still here"), other.read())
