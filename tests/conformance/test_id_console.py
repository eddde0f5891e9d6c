"""Statements 8.11, what each command of the ID server's console prints."""

from __future__ import annotations

from typing import Any

from rdserver.admin.console import Console
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    STRANGER,
    RoomsTests,
)

HELP = """\
relay-servers(rs) <separated by ,>
reload-geo(rg)
ip-blocker(ib) [<ip>|<number>] [-]
ip-changes(ic) [<id>|<number>] [-]
punch-requests(pr) [<number>] [-]
always-use-relay(aur)
test-geo(tg) <ip1> <ip2>
"""


class ConsoleTests(RoomsTests):
    """Commands go through the console, as an operator types them."""

    def furnish(self, **options: Any) -> None:
        super().furnish(**options)
        self._console = Console(self.rooms.commands)

    def console(self, command: str) -> str:
        return self._console.answer(command)

    def fill_limiter(self, number: int) -> None:
        for n in range(number):
            self.rooms._limit.admit(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "device")


class RelayCommandTests(ConsoleTests):
    def test_123_help(self) -> None:
        """The seven lines of 3.13."""
        self.assertEqual(HELP, self.console("h"))

    def test_124_relay_servers(self) -> None:
        """One usable relay a line."""
        self.furnish(relay_servers=("a", "b"))
        for command in ("rs", "relay-servers", " rs\n"):
            self.assertEqual("a\nb\n", self.console(command))

    def test_125_new_relays(self) -> None:
        """No output, and new punches use them; the lists are replaced, not added to."""
        self.furnish(relay_servers=("a",))
        self.assertEqual("", self.console("rs x.example:21117,,y.example"))
        self.assertEqual("x.example:21117\ny.example\n", self.console("rs"))
        self.register()
        self.assertEqual(b"x.example:21117", self.asked(self.stream()).relay_server)

    def test_126_always_use_relay(self) -> None:
        """It prints false; after ``aur Y`` true; after ``aur N`` false."""
        said = [self.console("aur")]
        for word in ("Y", "N", "y", "anything"):
            self.assertEqual("", self.console(f"aur {word}"))
            said.append(self.console("always-use-relay"))
        words = ("false", "true", "false", "true", "false")
        expected = [f"ALWAYS_USE_RELAY: {word}\n" for word in words]
        self.assertEqual(expected, said)

    def test_126_takes_effect(self) -> None:
        """New punches are forced to a relay."""
        self.register()
        self.console("aur Y")
        self.assertTrue(self.asked(self.stream()).force_relay)

    def test_127_relays_stay(self) -> None:
        """``aur Y`` leaves the relay list as it is."""
        self.furnish(relay_servers=("a", "b"))
        self.console("aur Y")
        self.assertEqual("a\nb\n", self.console("rs"))

    def test_132_test_geo(self) -> None:
        """The selected relay in quotes without newline; nothing for an invalid IP."""
        self.furnish(relay_servers=("a", "b"))
        said = [self.console("tg 1.2.3.4"), self.console("test-geo 1.2.3.4 2001:db8::1")]
        self.assertEqual(['"a"', '"b"'], said)
        for command in ("tg", "tg nowhere", "tg 1.2.3.4 nowhere", "tg 1.2.3"):
            self.assertEqual("", self.console(command))

    def test_132_no_relay(self) -> None:
        """Without relays the quotes are empty."""
        self.assertEqual('""', self.console("tg 1.2.3.4"))

    def test_133_unknown(self) -> None:
        """An unknown command, another case, or ``rg``: an empty answer."""
        for command in ("", "H", "RS", "rg", "reload-geo", "quit now"):
            self.assertEqual("", self.console(command))


class BlockerTests(ConsoleTests):
    def test_128_listed(self) -> None:
        """``0``; with an entry its counts and ages."""
        self.assertEqual("0\n", self.console("ib"))
        self.register("device-1", STRANGER)
        self.assertEqual("1\n192.0.2.66: 0/0s 0/0s\n", self.console("ib"))
        self.clock.advance(5)
        self.register("device-2", STRANGER)
        self.clock.advance(2.9)
        for command in ("ib", "ip-blocker", "ib 0"):
            self.assertEqual("1\n192.0.2.66: 1/2s 1/2s\n", self.console(command))
        self.assertEqual("1\n1/2s 1/2s\n", self.console("ib 192.0.2.66"))
        self.assertEqual("1\n1/2s 1/2s\n", self.console("ib ::ffff:192.0.2.66"))
        for other in ("192.0.2.67", "-", "nonsense"):
            self.assertEqual("1\n", self.console(f"ib {other}"))

    def test_128_ipv6(self) -> None:
        """IPv6 is listed by /64, and found by that or by any address in it."""
        self.register("device-1", Address("2001:db8:0:1::5", 1))
        self.assertEqual("1\n2001:db8:0:1::/64: 0/0s 0/0s\n", self.console("ib"))
        for name in ("2001:db8:0:1::/64", "2001:db8:0:1:ffff::"):
            self.assertEqual("1\n0/0s 0/0s\n", self.console(f"ib {name}"))

    def test_128_old_ones_go(self) -> None:
        """Entries whose both windows have passed are purged first."""
        self.register("device-1", STRANGER)
        self.clock.advance(86_400)
        self.assertEqual("1\n192.0.2.66: 0/86400s 0/86400s\n", self.console("ib"))
        self.clock.advance(1)
        self.assertEqual("0\n", self.console("ib"))

    def test_129_removed(self) -> None:
        """``ib <ip> -`` shows the entry, and then it is gone."""
        self.register("device-1", STRANGER)
        self.assertEqual("1\n0/0s 0/0s\n", self.console("ib 192.0.2.66 -"))
        self.assertEqual("0\n", self.console("ib"))
        self.assertEqual("0\n", self.console("ib 192.0.2.66 -"))

    def test_136_many(self) -> None:
        """With 100 000 entries the answer is complete: the count and ten of them."""
        self.fill_limiter(100_000)
        count, *lines = self.console("ib 0").splitlines()
        self.assertEqual(("100000", 10), (count, len(lines)))
        self.assertEqual("10.0.0.0: 0/0s 0/0s", lines[0])

    def test_136_pages(self) -> None:
        """``ib <n>`` shows ten from the one at index n; beyond the last, none."""
        self.fill_limiter(25)
        pages = [self.console(f"ib {n}").splitlines()[1:] for n in (0, 10, 20, 25, 10**30)]
        self.assertEqual([10, 10, 5, 0, 0], list(map(len, pages)))
        self.assertEqual("10.0.0.10: 0/0s 0/0s", pages[1][0])


class ChangesTests(ConsoleTests):
    def move(self, *hosts: str) -> None:
        """Let B register from each of *hosts* in turn, ten seconds apart."""
        for host in hosts:
            self.assertEqual("OK", self.register(origin=Address(host, 50000)))
            self.clock.advance(10)

    def test_130_one_change(self) -> None:
        """``ic`` prints ``0``, and forgets it."""
        self.move(BOB.host, "192.0.2.1")
        self.assertEqual("0\n", self.console("ic"))
        self.move("192.0.2.2")
        self.assertEqual("0\n", self.console("ic"))

    def test_130_two_changes(self) -> None:
        """Both new IPs are listed, until 360 s after the first change."""
        self.move(BOB.host, "192.0.2.1", "192.0.2.2", "192.0.2.1")
        line = '30s {"192.0.2.1": 2, "192.0.2.2": 1}\n'
        for command in ("ic", "ip-changes", "ic 0"):
            self.assertEqual(f"1\n{BOB_ID}: {line}", self.console(command))
        self.assertEqual(f"1\n{line}", self.console(f"ic {BOB_ID}"))
        self.assertEqual("1\n", self.console("ic 987654321"))
        self.clock.advance(329.9)
        self.assertEqual("1\n", self.console("ic")[:2])
        self.clock.advance(0.1)
        self.assertEqual("0\n", self.console("ic"))

    def test_130_index_or_id(self) -> None:
        """A number up to ten million is an index, a larger one an id."""
        for device in ("10000000", "10000001"):
            for host in (BOB.host, "192.0.2.1", "192.0.2.2"):
                self.register(device, Address(host, 50000))
        line = '0s {"192.0.2.1": 1, "192.0.2.2": 1}\n'
        self.assertEqual("2\n", self.console("ic 10000000"))
        self.assertEqual(f"2\n{line}", self.console("ic 10000001"))
        self.assertEqual(f"2\n10000001: {line}", self.console("ic 1"))

    def test_130_slow_changes(self) -> None:
        """A change more than 180 s after the first starts anew."""
        self.move(BOB.host, "192.0.2.1")
        self.clock.advance(171)
        self.move("192.0.2.2", "192.0.2.3")
        line = '20s {"192.0.2.2": 1, "192.0.2.3": 1}\n'
        self.assertEqual(f"1\n{line}", self.console(f"ic {BOB_ID}"))

    def test_130_removed(self) -> None:
        """``ic <id> -`` shows the entry, and then it is gone."""
        self.move(BOB.host, "192.0.2.1", "192.0.2.2")
        self.assertIn("192.0.2.2", self.console(f"ic {BOB_ID} -"))
        self.assertEqual("0\n", self.console("ic"))


class PunchRequestTests(ConsoleTests):
    def setUp(self) -> None:
        super().setUp()
        self.register()
        for n in range(12):
            self.asked(self.stream(Address(f"192.0.2.{n}", 1)))

    def askers(self, command: str) -> list[int]:
        """Return the last numbers of the addresses that the lines say asked."""
        lines = self.console(command).splitlines()
        return [int(line.split()[1].rpartition(".")[2]) for line in lines]

    def test_131_line(self) -> None:
        """Time in UTC, who asked, for whom, and where that is."""
        line = f"2023-11-14T22:13:20Z 192.0.2.0 -> {BOB_ID}@{BOB.host}\n"
        self.assertEqual(line, self.console("pr 0 1"))

    def test_131_pages(self) -> None:
        """Ten by default; ``pr 5 3`` shows 5 to 7; what is no number is left out."""
        pages = {
            "pr": range(10),
            "punch-requests": range(10),
            "pr 5 3": range(5, 8),
            "pr 5": range(5, 12),
            "pr 3 0": range(3, 12),
            "pr x 3": range(3),
            "pr 5 x": range(5, 12),
            "pr 0 99999999999999999999999": range(12),
            "pr 12": range(0),
        }
        found = {command: self.askers(command) for command in pages}
        self.assertEqual({command: list(page) for command, page in pages.items()}, found)

    def test_131_cleared(self) -> None:
        """``pr -`` prints nothing and clears; the next request is logged again."""
        self.assertEqual("", self.console("pr -"))
        self.assertEqual("", self.console("pr"))
        self.asked(self.stream(ALICE))
        self.assertEqual([10], self.askers("pr"))
