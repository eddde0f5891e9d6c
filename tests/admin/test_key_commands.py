"""Tests for :mod:`rdserver.admin.key_commands`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.admin.key_commands import HELP, key_commands
from rdserver.key_watch import KeyWatch

OLD = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
HOST = "203.0.113.5"


class KeyCommandsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = KeyWatch("ID server", [OLD], self.clock.seconds)

    def answer(self, text: str) -> str:
        """Return what a command prints."""
        name, *words = text.split(" ")
        answer = key_commands(self.watch)[name](words)
        assert isinstance(answer, str), answer
        return answer

    def wrong(self, times: int, host: str = HOST) -> None:
        for _ in range(times):
            self.watch.wrong(host)

    def test_help(self) -> None:
        """Each command has its line."""
        named = [line.split(" ")[0] for line in HELP.splitlines()]
        self.assertEqual(list(key_commands(self.watch)), named)

    def test_old_keys(self) -> None:
        """Each key with its addresses, and when it was used last."""
        unused = "A6EHv/PO: 0 addresses in the last day, not used since the start\n"
        self.assertEqual(unused, self.answer("old-keys"))
        self.watch.old("A6EHv/PO", HOST)
        self.clock.advance(90)
        used = "A6EHv/PO: 1 addresses in the last day, last used 90s ago\n"
        self.assertEqual(used, self.answer("old-keys"))

    def test_no_old_keys(self) -> None:
        """Where there are none it says so."""
        self.watch = KeyWatch("ID server", [], self.clock.seconds)
        self.assertEqual("none\n", self.answer("old-keys"))

    def test_key_exchanges(self) -> None:
        """Where key exchanges are begun, it says how many clients gave them up."""
        commands = key_commands(self.watch, lambda: 3)
        last = str(commands["old-keys"]([])).splitlines()[-1]
        self.assertEqual("key exchanges given up since the start: 3", last)

    def test_list(self) -> None:
        """How many addresses, then ten of them from a number on; old ones are gone."""
        self.wrong(1, "192.0.2.99")
        self.clock.advance(60)
        for n in range(12):
            self.wrong(1, f"192.0.2.{n}")
        lines = self.answer("key-failures").splitlines()
        self.assertEqual(
            (11, "12", "192.0.2.0: 1 wrong keys in the last minute"),
            (len(lines), lines[0], lines[1]),
        )
        lines = self.answer("key-failures 11").splitlines()
        self.assertEqual(["12", "192.0.2.11: 1 wrong keys in the last minute"], lines)

    def test_empty_list(self) -> None:
        """Nobody is a zero."""
        self.assertEqual("0\n", self.answer("key-failures"))

    def test_one(self) -> None:
        """One address is found in any spelling, an IPv6 address by its /64."""
        self.wrong(20)
        penalty = "0 wrong keys in the last minute, penalty 1, refused for 10s\n"
        for spelling in (HOST, f"::ffff:{HOST}"):
            said = self.answer(f"key-failures {spelling}")
            self.assertEqual(f"{HOST}: {penalty}", said)
        self.wrong(1, "2001:db8::1")
        for spelling in ("2001:db8::2", "2001:db8::/64"):
            said = self.answer(f"key-failures {spelling}")
            self.assertEqual("2001:db8::/64: 1 wrong keys in the last minute\n", said)

    def test_nobody(self) -> None:
        """An address without wrong keys is said to have none."""
        said = self.answer("key-failures 192.0.2.1")
        self.assertEqual("192.0.2.1: no wrong keys\n", said)

    def test_lift(self) -> None:
        """With a dash the penalty of an address is lifted."""
        self.wrong(20)
        said = self.answer(f"key-failures {HOST} -")
        self.assertEqual(f"{HOST} may try again\n", said)
        self.assertEqual(0.0, self.watch.wait_s(HOST))

    def test_lift_all(self) -> None:
        """A dash alone lifts all of them."""
        self.wrong(20)
        self.wrong(20, "192.0.2.1")
        self.assertEqual("all addresses may try again\n", self.answer("key-failures -"))
        self.assertEqual("0\n", self.answer("key-failures"))
