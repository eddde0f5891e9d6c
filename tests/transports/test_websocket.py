"""Tests for :mod:`rdserver.transports.websocket` and its factory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.limits import MAX_DISCARDED_BYTES
from rdserver.transports.admission import Admission
from rdserver.transports.websocket import (
    CLOSING_S,
    FRAMES_AT_ONCE,
    FRAMES_PER_S,
    MAX_HEAD_BYTES,
    UPGRADE_S,
    GuardedWebSocket,
)
from rdserver.transports.websocket_environment import Environment
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.address import Address
from tests.transports.upgrade import ACCEPT, WebSocketClient, upgrade_request
from tests.wire.masked import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    client_frame,
)

WHOLE_LIFE = """
import sys
from tests.transports.test_websocket import PING, WebSocketCase
case = WebSocketCase()
case.setUp()
case.open().say(b"", PING)
case.client().upgrade(Upgrade="")
case.clock.advance(30)
case.clock.advance(5)
case.assert_nothing_left()
sys.exit("twisted.internet.reactor" in sys.modules)
"""


class Recorder(GuardedWebSocket):
    """Says what it sees; *broken* names the methods that raise."""

    broken = ""

    def note(self, what: object) -> None:
        self.seen.append(what)
        if self.broken and str(what).startswith(self.broken):
            raise RuntimeError(self.broken)

    def opened(self) -> None:
        self.setTimeout(30)
        self.note("opened")

    def received(self, payload: bytes, is_binary: bool) -> None:
        self.note((payload, is_binary))

    def heard(self) -> None:
        self.note("heard")

    def late(self) -> None:
        if self.broken:
            self.note("late")
        self.finish(1000)

    def lost(self) -> None:
        self.note("lost")

    def is_welcome(self, address: Address) -> bool:
        self.note(f"welcome {address.host}")
        return address.host != "192.0.2.66"


class WebSocketCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[object] = []
        self.bugs: list[Failure] = []
        self.foreign: list[tuple[str, str]] = []
        self.floods: list[bool] = []
        self.admission = Admission(5, 3)
        environment = Environment(
            purpose="Clients connect here by WebSocket.",
            admission=self.admission,
            clock=self.clock,
            now=self.clock.seconds,
            real_host=self.real_host,
            refused=lambda address, what: self.foreign.append((address.host, what)),
            flooded=lambda: self.floods.append(True),
            report_bug=self.bugs.append,
        )
        self.factory = GuardedFactory(self.make, environment, 1000)
        self.broken = ""

    def make(self, address: Address, environment: Environment) -> Recorder:
        recorder = Recorder(address, environment)
        recorder.seen, recorder.broken = self.seen, self.broken
        return recorder

    def real_host(self, host: str, headers: Mapping[str, str]) -> str:
        if self.broken == "real_host":
            raise RuntimeError
        return headers.get("x-real-ip", host)

    def client(self, host: str = "192.0.2.1") -> WebSocketClient:
        return WebSocketClient(self.factory, host)

    def open(self) -> WebSocketClient:
        """Return a client whose upgrade is complete."""
        client = self.client()
        self.assertEqual(101, client.upgrade())
        self.seen.clear()
        return client

    def assert_nothing_left(self) -> None:
        """All are gone, and nothing is counted or waited for."""
        self.assertEqual((0, 0), (len(self.admission), len(self.factory)))
        self.assertEqual([], self.clock.getDelayedCalls())


class UpgradeTests(WebSocketCase):
    def test_accepted(self) -> None:
        """Any path and any origin is welcome; nothing is negotiated."""
        offers = {
            "Origin": "null",
            "Sec_WebSocket_Protocol": "chat",
            "Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits",
        }
        origins = ("null", "https://elsewhere.example:1", "chrome-extension://ab", "?")
        for path, origin in zip(("/", "/ws/id", "/any?a=b", "/"), origins, strict=True):
            client = self.client()
            self.assertEqual(101, client.upgrade(path, **{**offers, "Origin": origin}))
            head = client.head.decode().lower()
            self.assertIn(f"sec-websocket-accept: {ACCEPT}".lower(), head)
            self.assertNotIn("extensions", head)
            self.assertNotIn("sec-websocket-protocol", head)
            client.tcp.close()
            client.settle()
        self.assert_nothing_left()

    def test_browser(self) -> None:
        """Whoever comes without an upgrade reads what the port is for."""
        for missing in ("Upgrade", "Connection", "Sec_WebSocket_Key"):
            client = self.client()
            client.send(upgrade_request(**{missing: ""}))
            head, _, text = bytes(client._received).partition(b"\r\n\r\n")
            self.assertIn(head.split()[1], (b"400", b"426"))
            self.assertEqual(b"Clients connect here by WebSocket.\n", text)
            self.assertFalse(client.is_connected)
        self.assert_nothing_left()

    def test_what_else_there_is(self) -> None:
        """Who may try again is told how: by an upgrade, or by another version of it."""
        fields = []
        for wrong in ({"Upgrade": ""}, {"Sec_WebSocket_Version": "99"}):
            client = self.client()
            client.upgrade(**wrong)
            fields += client.head.decode().lower().split("\r\n")
        self.assertIn("upgrade: websocket", fields)
        [versions] = [f for f in fields if f.startswith("sec-websocket-version: ")]
        self.assertIn("13", versions)

    def test_nonsense(self) -> None:
        """What is no request at all is refused, and logged nowhere."""
        for head in (b"\x16\r\n\r\n", b"\xff\r\n\r\n", b"\r\n\r\n"):
            client = self.client()
            client.send(head)
            self.assertFalse(client.is_connected)
        self.assert_nothing_left()
        self.assertEqual([], self.bugs)

    def test_tls(self) -> None:
        """TLS where none is served is closed at once, and that is said."""
        client = self.client()
        client.send(bytes.fromhex("1603010200010001fc0303"))
        self.assertTrue(client.tcp.aborted)
        self.assertEqual([("192.0.2.1", "TLS")], self.foreign)
        self.assert_nothing_left()

    def test_late(self) -> None:
        """Who has not finished after ten seconds is cut off, whatever it has sent."""
        for start in (b"", upgrade_request()[:-1]):
            client = self.client()
            client.send(start)
            self.clock.advance(UPGRADE_S - 0.1)
            client.send(b"x" if start else b"")
            self.assertTrue(client.is_connected)
            self.clock.advance(0.1)
            self.assertTrue(client.tcp.aborted)
        self.assert_nothing_left()

    def test_long_head(self) -> None:
        """A head that does not end is not kept."""
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES)
        self.assertTrue(client.tcp.aborted)
        self.assert_nothing_left()

    def test_messages_behind_it(self) -> None:
        """What comes in the same breath is read, also if it is long."""
        client = self.client()
        more = b"".join(client_frame(BINARY, bytes([n]) * 900) for n in range(12))
        self.assertEqual(101, client.upgrade(more=more))
        self.assertEqual([(bytes([n]) * 900, True) for n in range(12)], self.seen[2:])


class AddressTests(WebSocketCase):
    def test_own(self) -> None:
        """Without a proxy the client is who connected, IPv4 never in disguise."""
        client = self.client("::ffff:192.0.2.9")
        client.upgrade()
        self.assertEqual(Address("192.0.2.9", 5001), client.tcp.protocol.address)

    def test_named_by_a_proxy(self) -> None:
        """The host may be another, the port stays that of the connection."""
        client = self.client()
        client.upgrade(X_Real_IP="203.0.113.5")
        self.assertEqual(Address("203.0.113.5", 5001), client.tcp.protocol.address)
        self.assertEqual(1, len(self.admission))
        client.tcp.close()
        client.settle()
        self.assert_nothing_left()

    def test_not_welcome(self) -> None:
        """Who is not welcome under the real address is told so."""
        client = self.client()
        self.assertEqual(403, client.upgrade(X_Real_IP="192.0.2.66"))
        self.assertFalse(client.is_connected)
        self.assert_nothing_left()

    def test_too_many(self) -> None:
        """An address has so many connections and no more, whoever names it."""
        clients = [self.client() for _ in range(3)]
        self.assertFalse(self.client().is_connected)
        other = self.client("192.0.2.2")
        self.assertEqual(503, other.upgrade(X_Real_IP="192.0.2.1"))
        for client in clients:
            client.tcp.close()
            client.settle()
        self.assert_nothing_left()


class MessageTests(WebSocketCase):
    def test_kinds(self) -> None:
        """Binary and Text are told apart; Ping and Pong are heard, and Ping is answered."""
        client = self.open()
        client.say(b"data")
        client.say(b"text", TEXT)
        client.say(b"are you?", PING)
        client.say(b"I am", PONG)
        self.assertEqual([(b"data", True), (b"text", False), "heard", "heard"], self.seen)
        self.assertEqual([(0x80 | PONG, b"are you?")], client.frames())

    def test_parts(self) -> None:
        """A message in parts is one."""
        client = self.open()
        client.send(client_frame(BINARY, b"one", fin=False))
        client.send(client_frame(CONTINUATION, b"two"))
        self.assertEqual([(b"onetwo", True)], self.seen)

    def test_broken_rules(self) -> None:
        """Too long a message, no mask, reserved bits: closed with the right code."""
        wrong = {
            1009: client_frame(BINARY, bytes(1001)),
            1002: b"\x82\x01x",
        }
        for code, data in {**wrong, 1002.0: b"\xc2\x80" + MASK}.items():
            client = self.open()
            client.send(data)
            [(first, payload)] = client.frames()
            self.assertEqual((0x88, int(code)), (first, int.from_bytes(payload[:2], "big")))
            self.clock.advance(CLOSING_S)
            self.assertFalse(client.is_connected)
            self.assertEqual(["lost"], self.seen)
        self.assert_nothing_left()

    def test_parts_too_long(self) -> None:
        """Parts count together."""
        client = self.open()
        client.send(client_frame(BINARY, bytes(600), fin=False))
        client.send(client_frame(CONTINUATION, bytes(600)))
        self.assertEqual(b"\x03\xf1", client.frames()[0][1][:2])
        self.assertEqual([], self.seen)


class FloodTests(WebSocketCase):
    """Each frame before a session is dear, whatever it is."""

    def assert_cut(self, client: WebSocketClient, frames: bytes) -> None:
        self.assertTrue(client.is_connected)
        client.send(frames)
        self.assertTrue(client.tcp.aborted)

    def test_kinds(self) -> None:
        """Of all kinds of frames a connection may bring so many at once."""
        for number, opcode in enumerate((BINARY, TEXT, PING, PONG, CONTINUATION)):
            client = self.open()
            count = FRAMES_AT_ONCE
            if opcode == CONTINUATION:
                client.send(client_frame(BINARY, fin=False))
                count -= 1
            frame = client_frame(opcode, fin=opcode != CONTINUATION)
            client.send(frame * count)
            self.assert_cut(client, frame * 1000)
            self.assertEqual(number + 1, len(self.floods))
        self.assertLessEqual(len(self.seen), 5 * (FRAMES_AT_ONCE + 2))

    def test_behind_a_close(self) -> None:
        """Who goes on and on after we have closed is not read for ever."""
        too_long = client_frame(BINARY, bytes(1001))
        for refused in (False, True):
            client = self.client() if refused else self.open()
            if refused:
                client.tcp.window_bytes = 0
                client.send(upgrade_request(Upgrade=""))
            else:
                client.send(too_long)
            protocol = client.tcp.protocol
            for _ in range(MAX_DISCARDED_BYTES // 2**20 - 1):
                protocol.dataReceived(bytes(2**20))
            self.assertFalse(client.tcp.aborted)
            protocol.dataReceived(bytes(2**21))
            self.assertTrue(client.tcp.aborted)

    def test_in_time(self) -> None:
        """It may bring more as time goes on."""
        client = self.open()
        frame = client_frame(PING)
        client.send(frame * FRAMES_AT_ONCE)
        for _ in range(20):
            self.clock.advance(1)
            client.send(frame * FRAMES_PER_S)
        self.assert_cut(client, frame)

    def test_after_long_peace(self) -> None:
        """A connection that has lived for a day has saved up nothing."""
        client = self.open()
        frame = client_frame(PING)
        client.send(frame * (FRAMES_AT_ONCE - 1))
        client.tcp.protocol.setTimeout(None)  # as one that stays has it
        self.clock.advance(86_400)
        client.send(frame * FRAMES_AT_ONCE)
        self.assert_cut(client, frame * 3)


class EndTests(WebSocketCase):
    def test_client_closes(self) -> None:
        """A Close is answered with a Close, and then the connection ends."""
        client = self.open()
        client.say(b"\x03\xe8", CLOSE)
        self.assertEqual((0x88, b"\x03\xe8"), client.frames()[0])
        self.assertFalse(client.is_connected)
        self.assertEqual(["lost"], self.seen)
        self.assert_nothing_left()

    def test_we_close(self) -> None:
        """We say so first; who does not answer is cut off."""
        client = self.open()
        self.clock.advance(30)
        self.assertEqual([(0x88, b"\x03\xe8")], client.frames())
        self.assertTrue(client.is_connected)
        self.clock.advance(CLOSING_S)
        self.assertTrue(client.tcp.aborted)
        self.assert_nothing_left()

    def test_nothing_counts_behind_a_close(self) -> None:
        """Who was sent a Close, for whatever reason, is heard no more, and has 5 s."""
        for end in (b"\x82\x01x", b""):  # without a mask; silent
            client = self.open()
            client.send(end)
            self.clock.advance(0 if end else 30)
            for _ in range(4):
                self.clock.advance((CLOSING_S - 0.5) / 4)
                for opcode in (PING, PONG, BINARY, TEXT):
                    client.say(b"I am here", opcode)
            self.assertEqual([CLOSE], [first & 0x0F for first, _ in client.frames()])
            self.assertEqual(([], True), (self.seen, client.is_connected))
            self.clock.advance(0.5)
            self.assertTrue(client.tcp.aborted)
        self.assert_nothing_left()

    def test_nothing_comes_behind_a_refusal(self) -> None:
        """What a client sends that was refused is not kept, and not looked at."""
        client = self.client()
        self.assertEqual(426, client.upgrade(Upgrade=""))
        kept = client.tcp.protocol.data
        client.tcp.protocol.dataReceived(b"x" * 100_000)  # as a TLS connection gives it
        self.assertEqual(kept, client.tcp.protocol.data)

    def test_stop(self) -> None:
        """A server that stops tells those who are there, and cuts those who are not yet."""
        opened, coming = self.open(), self.client()
        self.factory.close_all()
        self.assertEqual([(0x88, b"\x03\xe9")], opened.frames())
        self.assertTrue(coming.tcp.aborted)
        self.factory.abort_all()
        self.assertTrue(opened.tcp.aborted)
        self.assert_nothing_left()

    def test_nobody_comes_while_it_stops(self) -> None:
        """Who connects while the others are told that the server stops is closed."""
        self.open()
        self.factory.close_all()
        self.assertFalse(self.client().is_connected)

    def test_reader_stalls(self) -> None:
        """Who lets its Pongs pile up is cut off."""
        client = self.open()
        client.tcp.window_bytes = 100
        for _ in range(2000):
            client.tcp.send(client_frame(PING, bytes(125)))
        for _ in range(100):
            client.tcp.turn()
        self.assertTrue(client.tcp.aborted)
        self.assert_nothing_left()

    def test_no_reactor_but_ours(self) -> None:
        """From its import to the end of a connection Autobahn takes no other clock."""
        path = os.pathsep.join(sys.path)
        command = [sys.executable, "-c", WHOLE_LIFE]
        subprocess.run(command, check=True, env={"PYTHONPATH": path})


class GuardTests(WebSocketCase):
    """A bug of ours is seen, and costs one connection."""

    def test_upgrade(self) -> None:
        """While the upgrade is judged."""
        for self.broken in ("real_host", "welcome"):
            self.assertEqual(500, self.client().upgrade())
            self.assertEqual(1, len(self.bugs))
            self.bugs.clear()
        self.assert_nothing_left()

    def test_opened(self) -> None:
        """When the upgrade is complete."""
        self.broken = "opened"
        client = self.client()
        client.send(upgrade_request())
        self.assertEqual((1, True), (len(self.bugs), client.tcp.aborted))
        self.assert_nothing_left()

    def test_message(self) -> None:
        """With a message, or with a Ping."""
        for self.broken, opcode in (("(b'x'", BINARY), ("heard", PING)):
            client = self.open()
            client.say(b"x", opcode)
            self.assertEqual((1, True), (len(self.bugs), client.tcp.aborted))
            self.bugs.clear()
        self.assert_nothing_left()

    def test_behind_the_upgrade(self) -> None:
        """Where Autobahn itself fails when it has accepted: it would swallow that."""
        self.patch(GuardedWebSocket, "_onOpen", lambda _: 1 / 0)
        client = self.client()
        client.send(upgrade_request())
        self.assertEqual((1, True), (len(self.bugs), client.tcp.aborted))
        self.assert_nothing_left()

    def test_late(self) -> None:
        """When its time is over."""
        self.broken = "late"
        client = self.open()
        self.clock.advance(30)
        self.assertEqual((1, True), (len(self.bugs), client.tcp.aborted))
        self.assert_nothing_left()

    def test_lost(self) -> None:
        """When it is gone."""
        self.broken = "lost"
        client = self.open()
        client.tcp.close()
        client.settle()
        self.assertEqual((1, False), (len(self.bugs), client.is_connected))
        self.assert_nothing_left()
