"""Statements 8.11: the ID server's console, on the reference's TCP port P-1."""

from __future__ import annotations

import re
import socket

from rdserver.wire import pb
from tests.conformance.world import ServerTests, own_address, tcp_console, unix_console
from tests.integration.client import Device
from tests.integration.sockets import REPLY_S, fresh_host

HELP = """\
relay-servers(rs) <separated by ,>
reload-geo(rg)
ip-blocker(ib) [<ip>|<number>] [-]
ip-changes(ic) [<id>|<number>] [-]
punch-requests(pr) [<number>] [-]
always-use-relay(aur)
test-geo(tg) <ip1> <ip2>
"""
RELAYS = ("127.0.0.1:7", "127.0.0.1:9")


class ConsoleServer(ServerTests):
    """A server of its own for each class, since commands show and change all of it."""

    options = ("--tcp-console", "-r", ",".join(RELAYS))

    def setUp(self) -> None:
        self.instance = type(self).__name__
        super().setUp()

    def ask(self, command: str) -> str:
        """Return what the console answers."""
        return tcp_console(self.ports.main - 1, command.encode() + b"\n").decode()


class ConsoleTests(ConsoleServer):
    def test_123_help(self) -> None:
        """The 7 help lines, on both sockets; a command needs no newline."""
        self.assertEqual(HELP, self.ask("h"))
        self.assertEqual(HELP, unix_console(self.server.folder / "admin-id.sock", "h"))
        self.assertEqual(HELP.encode(), tcp_console(self.ports.main - 1, b"h"))

    def test_124_relay_servers(self) -> None:
        """One relay on each line."""
        expected = "".join(f"{relay}\n" for relay in RELAYS)
        self.assertEqual([expected] * 2, [self.ask("rs"), self.ask("relay-servers")])

    def test_132_selected_relay(self) -> None:
        """The selected relay in quotes without newline; nothing for what is no IP."""
        self.assertIn(self.ask("tg 1.2.3.4"), [f'"{relay}"' for relay in RELAYS])
        self.assertIn(self.ask("tg 1.2.3.4 ::1"), [f'"{relay}"' for relay in RELAYS])
        self.assertEqual(["", ""], [self.ask("tg nonsense"), self.ask("tg 1.2.3.4 x")])

    def test_133_unknown_command(self) -> None:
        """An empty answer and close."""
        for command in ("rg", "reload-geo", "H", "nonsense", "quit now", " "):
            self.assertEqual("", self.ask(command))

    def test_134_no_data(self) -> None:
        """Closed after a second without answer."""
        with socket.create_connection(("127.0.0.1", self.ports.main - 1), REPLY_S) as idle:
            self.assertEqual(b"", idle.recv(1))

    def test_135_from_elsewhere(self) -> None:
        """A client that is not on this machine gets no answer."""
        with socket.create_connection(
            (own_address(), self.ports.main - 1), REPLY_S, (own_address(), 0)
        ) as stranger:
            stranger.sendall(b"h\n")
            stranger.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", stranger.recv(1))


class ChangingTests(ConsoleServer):
    def proposal(self) -> str:
        """Return the relay that a punch proposes."""
        device = self.registered()
        self.punched(self.controller(), device)
        return pb.text(device.next_push().punch_hole.relay_server)

    def test_125_other_relays(self) -> None:
        """No output, and new punches use it."""
        self.assertEqual("", self.ask("rs 127.0.0.1:21117"))
        self.assertEqual("127.0.0.1:21117", self.proposal())
        self.assertEqual("127.0.0.1:21117\n", self.ask("rs"))

    def test_126_always_use_relay(self) -> None:
        """false at first; true after ``aur Y``; false again after ``aur N``."""
        answers = [self.ask(f"aur{word}") for word in ("", " Y", "", " N", "")]
        on, off = "ALWAYS_USE_RELAY: true\n", "ALWAYS_USE_RELAY: false\n"
        self.assertEqual([off, "", on, "", off], answers)

    def test_127_relays_stay(self) -> None:
        """The relay list is unchanged by ``aur Y``."""
        before = self.ask("rs")
        self.ask("aur Y")
        self.assertEqual(before, self.ask("rs"))
        self.ask("aur N")


class LimiterTests(ConsoleServer):
    def test_128_entries(self) -> None:
        """``0`` without entries; with one, its address, counts and ages."""
        self.assertEqual("0\n", self.ask("ib"))
        host = fresh_host()
        self.registered(host)
        self.assertRegex(self.ask("ib"), rf"\A1\n{re.escape(host)}: 0/\d+s 0/\d+s\n\Z")
        self.registered(host)
        line = r"1/\d+s 1/\d+s\n\Z"
        self.assertRegex(self.ask("ip-blocker 0"), rf"\A1\n{re.escape(host)}: {line}")
        self.assertRegex(self.ask(f"ib {host}"), rf"\A1\n{line}")
        self.assertEqual("1\n", self.ask("ib 1"))


class ForgettingTests(ConsoleServer):
    def test_129_remove(self) -> None:
        """It is shown once more; then it is gone, and the others stay."""
        hosts = [fresh_host() for _ in range(3)]
        for host in hosts:
            self.registered(host)
        self.assertRegex(self.ask(f"ib {hosts[1]} -"), r"\A3\n0/\d+s 0/\d+s\n\Z")
        listing = self.ask("ib")
        self.assertTrue(listing.startswith("2\n"), listing)
        self.assertNotIn(hosts[1] + ":", listing)
        self.assertEqual("2\n", self.ask(f"ib {hosts[1]}"))


class AddressChangesTests(ConsoleServer):
    def move(self, device: Device) -> Device:
        """Let the device register from another address."""
        moved = self.again(device, fresh_host())
        self.assertEqual("OK", self.result(moved))
        return moved

    def test_130_one_change(self) -> None:
        """``ic`` prints ``0``, and has deleted that entry."""
        first = self.move(self.registered())
        self.assertEqual("0\n", self.ask("ic"))
        self.move(first)
        self.assertEqual("0\n", self.ask("ic"))

    def test_130_two_changes(self) -> None:
        """Two changes to different addresses are listed with both of them."""
        device = self.registered()
        hosts = [self.move(device).address.host for _ in range(2)]
        listed = rf'\d+s {{"{hosts[0]}": 1, "{hosts[1]}": 1}}\n\Z'
        self.assertRegex(self.ask("ic"), rf"\A1\n{device.id}: {listed}")
        self.assertRegex(self.ask("ip-changes 0"), rf"\A1\n{device.id}: {listed}")
        self.assertRegex(self.ask(f"ic {device.id}0 -"), r"\A1\n\Z")


class PunchRequestsTests(ConsoleServer):
    def test_131_punch_requests(self) -> None:
        """Lines of time, from, id and to; ``pr 5 3`` shows 5 to 7; ``pr -`` clears."""
        self.assertEqual("", self.ask("pr"))
        device = self.registered()
        controllers = [self.controller() for _ in range(12)]
        for controller in controllers:
            self.punched(controller, device)
            device.next_push()
        lines = [
            rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {controller.host} -> "
            rf"{device.id}@{device.address.host}\n"
            for controller in controllers
        ]
        for command, shown in {
            "pr": lines[:10],
            "punch-requests 0": lines[:10],
            "pr 5 3": lines[5:8],
            "pr 11": lines[11:],
            "pr 12": [],
            "pr x y": lines[:10],
        }.items():
            self.assertRegex(self.ask(command), r"\A" + "".join(shown) + r"\Z")
        self.assertEqual(["", ""], [self.ask("pr -"), self.ask("pr")])
