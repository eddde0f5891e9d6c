"""Statements 8.12: the relay, on TCP PR."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.conformance.world import (
    Message,
    ServerTests,
    eventually,
    tcp_console,
    unix_console,
)
from tests.integration.client import nat_test
from tests.integration.relayed import Exchange, join_relay, new_session
from tests.integration.sockets import Stream, fresh_host

KIB = 1 << 10
MIB = 1 << 20


class RelayServer(ServerTests):
    """A relay that serves everybody, so that the ID server need not be asked."""

    options = ("--relay-auth=open", "--tcp-console", "-k", "")

    def join(
        self, session: str, host: str = "", behind: bytes = b"", **fields: object
    ) -> Stream:
        """Return a connection that joined *session*."""
        return self.keep(join_relay(self.ports, session, host, behind, **fields))

    def pair(self, first_host: str = "", second_host: str = "") -> tuple[Stream, Stream]:
        """Return two connections in one session of their own, both known to be paired."""
        session = new_session()
        first = self.join(session, first_host)
        second = self.join(session, second_host, behind=b"?")
        self.assertEqual(b"?", first.receive_exactly(1))
        return first, second

    def settle(self) -> None:
        """Let the server handle everything that was sent before now."""
        nat_test(self.ports, fresh_host())

    def ask(self, command: str) -> str:
        """Return what the relay's console answers."""
        return tcp_console(self.ports.relay, command.encode() + b"\n").decode()

    def closed(self, stream: Stream, timeout_s: float = 5.0) -> bool:
        """Return whether the server closes without having said a byte."""
        stream.socket.settimeout(timeout_s)
        try:
            return stream.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


class PairingTests(RelayServer):
    def test_137_both_ways(self) -> None:
        """Bytes flow both ways unchanged."""
        Exchange(*self.pair(), 4 * MIB)

    def test_138_behind_the_first(self) -> None:
        """The second comer receives exactly these bytes first."""
        for behind in (b"\x00", bytes(range(256)), bytes(60_000), encode_frame(b"frame")):
            session = new_session()
            first = self.join(session, behind=behind)
            second = self.join(session)
            first.send_bytes(b"more")
            self.assertEqual(behind + b"more", second.receive_exactly(len(behind) + 4))

    def test_139_behind_the_second(self) -> None:
        """The first receives it."""
        for behind in (b"\x00", bytes(range(256)), encode_frame(b"frame")):
            session = new_session()
            first = self.join(session)
            second = self.join(session, behind=behind)
            second.send_bytes(b"more")
            self.assertEqual(behind + b"more", first.receive_exactly(len(behind) + 4))

    def test_143_zero_byte(self) -> None:
        """It is forwarded."""
        first, second = self.pair()
        for sender, receiver in ((first, second), (second, first)):
            sender.send_bytes(b"\x00")
            self.assertEqual(b"\x00", receiver.receive_exactly(1))

    def test_012_raw_mode(self) -> None:
        """After the first frame exactly ``00`` is written when ``00`` is."""
        first, second = self.pair()
        first.send_bytes(b"\x00")
        first.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(b"\x00", second.receive_exactly(100))

    def test_148_one_side_closes(self) -> None:
        """The other is closed."""
        for closing in (0, 1):
            pair = self.pair()
            pair[closing].close()
            self.assertTrue(self.closed(pair[1 - closing]))

    def test_148_nothing_is_lost(self) -> None:
        """What was sent before the close still arrives."""
        first, second = self.pair()
        first.send_bytes(bytes(200_000))
        first.close()
        self.assertEqual(bytes(200_000), second.receive_exactly(300_000))

    def test_163_waiting_side_leaves(self) -> None:
        """Its uuid is freed at once."""
        session = new_session()
        self.join(session).close()
        self.settle()
        first = self.join(session)
        self.settle()
        second = self.join(session, behind=b"hello")
        self.assertEqual(b"hello", first.receive_exactly(5))
        Exchange(first, second, KIB)

    def test_165_relay_says_nothing(self) -> None:
        """The relay never sends a byte of its own."""
        session = new_session()
        first = self.join(session)
        self.settle()
        second = self.join(session)
        first.send_bytes(b"ping")
        self.assertEqual(b"ping", second.receive_exactly(4))
        second.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(self.closed(first))
        self.assertTrue(self.closed(second))

    def test_166_from_loopback(self) -> None:
        """A RequestRelay from 127.0.0.1 is relayed, also beside the TCP console."""
        Exchange(*self.pair("127.0.0.1", "127.0.0.1"), KIB)


class RefusalTests(RelayServer):
    def refused(self, first: bytes) -> bool:
        stream = self.stream(self.ports.relay)
        stream.send_bytes(first)
        return self.closed(stream)

    def test_146_other_first_packet(self) -> None:
        """Anything but a RequestRelay with a uuid is closed."""
        for message in (
            Message(),
            Message(test_nat_request=pb.TestNatRequest()),
            Message(relay_response=pb.RelayResponse(uuid=b"u")),
            Message(request_relay=pb.RequestRelay(id=b"123456789")),
        ):
            self.assertTrue(self.refused(encode_frame(pb.encode(message))), message)
        for garbage in (b"\xff\xff", b"garbage"):
            self.assertTrue(self.refused(encode_frame(garbage)), garbage)

    def test_161_long_first_frame(self) -> None:
        """A header announcing 1 MiB is closed."""
        self.assertTrue(self.refused(encode_frame(bytes(MIB))[:3]))

    def test_147_no_key(self) -> None:
        """A relay without a key accepts any licence_key."""
        session = new_session()
        first = self.join(session, licence_key=b"wrong")
        Exchange(first, self.join(session, licence_key=b""), KIB)


class KeyTests(RelayServer):
    options = ("--relay-auth=key",)

    def test_147_key(self) -> None:
        """A wrong licence_key is closed, with a line for fail2ban; the right one is not."""
        for wrong in ("", "wrong", self.key + "x"):
            stream = self.join(new_session(), licence_key=wrong.encode())
            self.assertTrue(self.closed(stream), wrong)
            address = f"{stream.address.host}:{stream.address.port}"
            self.assertTrue(
                self.logged(f"Relay authentication failed from {address} - invalid key")
            )
        session = new_session()
        first = self.join(session, licence_key=self.key.encode())
        Exchange(first, self.join(session, licence_key=self.key.encode()), KIB)


class WaitingLimitTests(RelayServer):
    options = ("--relay-auth=open", "--relay-waiting-per-address=3")

    def test_164_too_many_waiting(self) -> None:
        """Further ones from this address are refused; others, and partners, are not."""
        host = fresh_host()
        sessions = [new_session() for _ in range(3)]
        waiting = [self.join(session, host) for session in sessions]
        self.settle()
        self.assertTrue(self.closed(self.join(new_session(), host)))
        Exchange(waiting[0], self.join(sessions[0], host), KIB)
        Exchange(*self.pair(), KIB)
        Exchange(waiting[1], self.join(sessions[1]), KIB)
        Exchange(*self.pair(host), KIB)


class BackPressureTests(RelayServer):
    def test_162_reader_stops(self) -> None:
        """The opposite direction still flows, and memory is bounded."""
        stalled, sender = self.pair()
        before = self.resident_bytes()
        sender.socket.setblocking(False)
        sent = self.fill(sender.socket)
        self.assertLess(sent, 64 * MIB)
        self.assertLess(self.resident_bytes() - before, 32 * MIB)
        sender.socket.settimeout(5)
        stalled.send_bytes(bytes(range(256)) * 4 * KIB)
        self.assertEqual(bytes(range(256)) * 4 * KIB, sender.receive_exactly(MIB))
        self.assertEqual(bytes(sent), stalled.receive_exactly(sent))

    def fill(self, sender: socket.socket) -> int:
        """Send until nothing more goes for a while; return how much went."""
        sent, quiet_since, block = 0, time.monotonic(), bytes(MIB)
        while time.monotonic() - quiet_since < 0.5 and sent < 256 * MIB:
            try:
                sent += sender.send(block)
                quiet_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        return sent

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * KIB


COPYING = (*RelayServer.options, "--relay-path=copy")
"""On Linux the relay splices otherwise."""


class CopyPairingTests(PairingTests):
    options = COPYING


class CopyBackPressureTests(BackPressureTests):
    options = COPYING


class ListTests(RelayServer):
    instance = "lists"
    files = {
        "blocklist.txt": "127.50.0.1\n127.51.0.0/16 a whole network\n",
        "blacklist.txt": "127.52.0.1 some comment\n\n127.53.0.0/16\n",
    }
    extra = {"LIMIT_SPEED": "8"}

    def test_150_blocked(self) -> None:
        """Connections of an IP in the blocklist are closed at once."""
        for host in ("127.50.0.1", "127.51.9.9"):
            self.assertTrue(self.closed(self.stream(self.ports.relay, host)), host)
        Exchange(*self.pair("127.50.0.2", "127.50.0.3"), KIB)

    def test_150_blocked_during_a_session(self) -> None:
        """The session ends within three seconds, whichever side was added."""
        for side in (0, 1):
            pair = self.pair()
            self.ask(f"Ba {pair[side].address.host}")
            # Traffic is not needed, but would be there.
            pair[0].send_bytes(b"x")
            started = time.monotonic()
            pair[1].receive_exactly(MIB)
            self.assertLess(time.monotonic() - started, 4)
            self.assertTrue(self.closed(pair[0]))

    def test_151_slow(self) -> None:
        """The session of an IP in the blacklist is limited to LIMIT_SPEED."""
        for hosts in (("127.52.0.1", ""), ("", "127.53.1.1")):
            self.assertGreater(self.seconds(*hosts), 0.8)
        self.assertLess(self.seconds("127.54.0.1", ""), 0.8)

    def seconds(self, first_host: str, second_host: str) -> float:
        """Return how long a MiB takes, which is a second at 8 Mb/s."""
        pair = self.pair(first_host, second_host)
        started = time.monotonic()
        Exchange(*pair, MIB // 2)
        return time.monotonic() - started

    def test_160_comment(self) -> None:
        """The text before the first space is listed."""
        self.assertEqual("true\n", self.ask("b 127.52.0.1"))
        self.assertEqual("false\n", self.ask("b 127.54.0.1"))


class SingleLimitTests(RelayServer):
    extra = {"SINGLE_BANDWIDTH": "8"}

    def test_152_one_session(self) -> None:
        """A session averages at most 8 x 1024 x 1024 bit/s, both directions together."""
        pair = self.pair()
        started = time.monotonic()
        Exchange(*pair, MIB)  # 2 MiB in all, of which 100 ms' worth may come at once
        self.assertGreater(time.monotonic() - started, 1.7)


class TotalLimitTests(RelayServer):
    extra = {"TOTAL_BANDWIDTH": "8"}

    def test_153_two_sessions(self) -> None:
        """Their sum is at most that."""
        one, other = self.pair(), self.pair()
        started = time.monotonic()
        for stream in (one[0], other[0]):
            stream.send_bytes(bytes(MIB))
        for stream in (one[1], other[1]):
            self.assertEqual(MIB, len(stream.receive_exactly(MIB)))
        self.assertGreater(time.monotonic() - started, 1.7)


class CopySingleLimitTests(SingleLimitTests):
    options = COPYING


class CopyTotalLimitTests(TotalLimitTests):
    options = COPYING


class UsageTests(RelayServer):
    instance = "usage"

    def test_155_usage(self) -> None:
        """A line with address, seconds, MB and speeds while it lasts; then no line."""
        first, second = self.pair()
        Exchange(first, second, MIB // 2)
        address = re.escape(f"{second.address.host}:{second.address.port}")
        numbers = r": \d+s 1\.00MB \d+kb/s \d+kb/s \d+kb/s\n\Z"
        shown = eventually(lambda: bool(re.match(r"\A" + address + numbers, self.ask("u"))))
        self.assertTrue(shown, self.ask("u"))
        first.close()
        self.assertTrue(eventually(lambda: self.ask("usage") == ""))


HELP = """\
blacklist-add(ba) <ip>
blacklist-remove(br) <ip>
blacklist(b) <ip>
blocklist-add(Ba) <ip>
blocklist-remove(Br) <ip>
blocklist(B) <ip>
downgrade-threshold(dt) [value]
downgrade-start-check(t) [value(second)]
limit-speed(ls) [value(Mb/s)]
total-bandwidth(tb) [value(Mb/s)]
single-bandwidth(sb) [value(Mb/s)]
usage(u)
"""


class ConsoleTests(RelayServer):
    """With the reference's bandwidth limits, which ours has none of by default."""

    instance = "relay console"
    extra = {"TOTAL_BANDWIDTH": "1024", "SINGLE_BANDWIDTH": "128"}

    def test_156_help_and_values(self) -> None:
        """The 12 lines, and the values in force."""
        self.assertEqual(HELP, self.ask("h"))
        socket_path = self.server.folder / "admin-relay.sock"
        self.assertEqual(HELP, unix_console(socket_path, "h"))
        values = {
            "dt": "0.66",
            "t": "1800s",
            "ls": "32Mb/s",
            "tb": "1024Mb/s",
            "sb": "128Mb/s",
        }
        for command, value in values.items():
            self.assertEqual(value + "\n", self.ask(command))

    def test_157_blacklist(self) -> None:
        """Added addresses are ``true``; after ``br all`` the list is empty."""
        self.assertEqual("", self.ask("ba 1.2.3.4|5.6.7.8"))
        self.assertEqual(["true\n"] * 2, [self.ask("b 1.2.3.4"), self.ask("b 5.6.7.8")])
        self.assertEqual({"1.2.3.4", "5.6.7.8"}, set(self.ask("b").split()))
        self.assertEqual("", self.ask("br all"))
        self.assertEqual(["", "false\n"], [self.ask("b"), self.ask("b 1.2.3.4")])

    def test_158_blocklist(self) -> None:
        """The commands with a capital act on the blocklist only."""
        self.assertEqual("", self.ask("Ba 9.9.9.9|8.8.8.8"))
        self.assertEqual("true\n", self.ask("B 9.9.9.9"))
        self.assertEqual("false\n", self.ask("b 9.9.9.9"))
        self.ask("br all")
        self.ask("Br 8.8.8.8")
        self.assertEqual("9.9.9.9\n", self.ask("B"))
        self.ask("blocklist-remove all")
        self.assertEqual("", self.ask("blocklist"))

    def test_159_nonsense(self) -> None:
        """The values are unchanged."""
        commands = ("dt", "sb", "ls", "tb", "t")
        before = [self.ask(command) for command in commands]
        for command in ("dt 0", "sb abc", "ls -1", "tb 0", "t 0", "t 1.5", "dt -0.1"):
            self.assertEqual("", self.ask(command))
        self.assertEqual(before, [self.ask(command) for command in commands])


class NoLimitTests(RelayServer):
    def test_156_no_limit(self) -> None:
        """Ours has no bandwidth limit unless one is set, and says so."""
        self.assertEqual(["unlimited\n"] * 2, [self.ask("tb"), self.ask("sb")])
