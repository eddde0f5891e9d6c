"""The relay's console commands, word for word."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.admin.console import Console
from rdserver.admin.relay_commands import relay_commands
from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Match, Relay
from rdserver.relay.limits import Limits
from rdserver.relay.session import Session
from rdserver.relay.tickets import Tickets
from rdserver.wire import pb
from rdserver.wire.address import Address


class Leg:
    def __init__(self, host: str, port: int) -> None:
        self.address = Address(host, port)

    def announced(self) -> None:
        """Nobody waits for a ticket here."""


class RelayCommandsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.relay: Relay[Any] = Relay(
            RelayAuth.OPEN,
            "",
            Tickets(self.clock.seconds),
            limits=Limits(),
            now=self.clock.seconds,
            finished=lambda record: None,
        )
        self.answer = Console(relay_commands(self.relay)).answer

    def begin(self, host: str, port: int) -> Session:
        """Begin a session whose second comer is at *host* and *port*."""
        request = pb.RequestRelay(uuid=b"s1")
        message = pb.RendezvousMessage(request_relay=request)
        self.relay.join(Leg("192.0.2.1", 1), message)
        match = self.relay.join(Leg(host, port), message)
        self.assertIsInstance(match, Match)
        return match.session

    def test_help(self) -> None:
        """The help names all commands, each on a line."""
        lines = self.answer("h").splitlines()
        self.assertEqual(12, len(lines))
        self.assertEqual("blacklist-add(ba) <ip>", lines[0])
        self.assertEqual("blocklist-remove(Br) <ip>", lines[4])
        self.assertEqual("downgrade-start-check(t) [value(second)]", lines[7])
        self.assertEqual("usage(u)", lines[11])

    def test_long_help(self) -> None:
        """``help`` names ours too, which ``h`` leaves out: that is for old scripts."""
        ours = "old-keys\nkey-failures [<ip>|<number>] [-]\n"
        self.assertEqual(self.answer("h") + ours, self.answer("help"))
        answers = [self.answer(command) for command in ("old-keys", "key-failures")]
        self.assertEqual(["none\n", "0\n"], answers)

    def test_names(self) -> None:
        """Every command in the help is known by both its names."""
        commands = relay_commands(self.relay)
        for line in self.answer("h").splitlines():
            name, _, rest = line.partition("(")
            short = rest.partition(")")[0]
            self.assertIs(commands[name], commands[short])

    def test_case(self) -> None:
        """Case matters; what is no command has no answer."""
        self.assertEqual("", self.answer("H"))
        self.assertEqual("", self.answer("U"))

    def test_defaults(self) -> None:
        """The values are shown in the original's form; no limit is a word."""
        for command, shown in [
            ("dt", "0.66\n"),
            ("t", "1800s\n"),
            ("ls", "32Mb/s\n"),
            ("tb", "unlimited\n"),
            ("sb", "unlimited\n"),
            ("downgrade-threshold", "0.66\n"),
        ]:
            self.assertEqual(shown, self.answer(command))

    def test_set(self) -> None:
        """A value behind the name sets it, without an answer."""
        for command, shown in [
            ("dt 0.5", "0.5\n"),
            ("dt 0.666", "0.66\n"),
            ("dt 2", "2\n"),
            ("t 60", "60s\n"),
            ("t +90", "90s\n"),
            ("ls 1.5", "1.5Mb/s\n"),
            ("tb 1024", "1024Mb/s\n"),
            ("sb 128.0", "128Mb/s\n"),
            ("limit-speed 0.001", "0.001Mb/s\n"),
            ("sb 1000000000", "1000000000Mb/s\n"),
            ("tb unlimited", "unlimited\n"),
            ("sb unlimited", "unlimited\n"),
        ]:
            self.assertEqual("", self.answer(command))
            self.assertEqual(shown, self.answer(command.split(" ")[0]), command)

    def test_invalid_values(self) -> None:
        """What is no number, or none above zero, changes nothing."""
        for name in ("dt", "t", "ls", "tb", "sb"):
            self.answer(f"{name} 7")
        before = self.relay.limits
        for name in ("dt", "t", "ls", "tb", "sb"):
            for word in ("0", "-1", "abc", "", "nan", "inf", "1e400", "1e-9", "2000000000"):
                self.assertEqual("", self.answer(f"{name} {word} x"))
        for command in ("t 1.5", "t unlimited", "dt unlimited", "ls unlimited"):
            self.assertEqual("", self.answer(command))
        self.assertEqual(before, self.relay.limits)

    def test_total_holds_at_once(self) -> None:
        """A new total limits the sessions there are, a new single one does not."""
        session = self.begin("192.0.2.2", 2)
        self.answer("sb 8")
        self.assertFalse(session.meter.limited)
        self.answer("tb 8")
        self.assertTrue(session.meter.limited)
        self.answer("tb unlimited")
        self.assertFalse(session.meter.limited)

    def test_lists(self) -> None:
        """Entries are added, asked for, listed and removed, several at once with a bar."""
        for add, remove, show in [
            ("ba", "br", "b"),
            ("blocklist-add", "Br", "blocklist"),
        ]:
            self.assertEqual("", self.answer(f"{add} 1.2.3.4|5.6.7.8|10.0.0.0/8"))
            self.assertEqual("true\n", self.answer(f"{show} 1.2.3.4"))
            self.assertEqual("true\n", self.answer(f"{show} 10.9.9.9"))
            self.assertEqual("false\n", self.answer(f"{show} 1.2.3.5"))
            shown = self.answer(show).splitlines()
            self.assertEqual(["1.2.3.4", "10.0.0.0/8", "5.6.7.8"], sorted(shown))
            self.assertEqual("", self.answer(f"{remove} 1.2.3.4|10.0.0.0/8"))
            self.assertEqual("5.6.7.8\n", self.answer(show))
            self.assertEqual("", self.answer(f"{remove} all"))
            self.assertEqual("", self.answer(show))

    def test_lists_are_apart(self) -> None:
        """The blocklist's commands do not touch the blacklist, and the other way."""
        self.answer("ba 1.2.3.4")
        self.answer("Ba 5.6.7.8")
        self.answer("Br all")
        self.assertEqual(("1.2.3.4\n", ""), (self.answer("b"), self.answer("B")))
        self.assertTrue(self.relay.blacklist.matches("1.2.3.4"))
        self.answer("Ba 5.6.7.8")
        self.answer("br all")
        self.assertEqual(("", "5.6.7.8\n"), (self.answer("b"), self.answer("B")))
        self.assertTrue(self.relay.blocklist.matches("5.6.7.8"))

    def test_nothing_named(self) -> None:
        """Adding and removing nothing does nothing."""
        self.answer("ba 1.2.3.4")
        for command in ("ba", "br", "ba |", "br |"):
            self.assertEqual("", self.answer(command))
        self.assertEqual("1.2.3.4\n", self.answer("b"))

    def test_usage(self) -> None:
        """Sessions are listed from their first tick to their end."""
        self.assertEqual("", self.answer("u"))
        session = self.begin("192.0.2.2", 5002)
        session.received[0] = 1024 * 1024
        self.assertEqual("", self.answer("u"))
        self.clock.advance(1)
        self.relay.sweep()
        line = "192.0.2.2:5002: 1s 1.00MB 8388kb/s 8388kb/s 8388kb/s\n"
        self.assertEqual(line, self.answer("usage"))
