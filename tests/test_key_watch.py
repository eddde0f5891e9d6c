"""Tests for :mod:`rdserver.key_watch`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.key_watch import KeyEvent, KeyWatch

OLD = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
OLDER = "OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw="
DAY_S = 86_400


class KeyWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = KeyWatch("relay", [OLD, OLDER], self.clock.seconds)

    def lines(self, act: Callable[[], object]) -> list[str]:
        """Return what is logged while *act* runs."""
        with capturedLogs() as events:
            act()
        return [formatEvent(event) for event in events]

    def wrong(self, times: int, host: str = "203.0.113.5") -> None:
        for _ in range(times):
            self.watch.wrong(host)

    def test_penalty(self) -> None:
        """One line names the address and the time when a penalty begins, no more."""
        self.assertEqual([], self.lines(lambda: self.wrong(19)))
        [line] = self.lines(lambda: self.wrong(1))
        begin = "relay: 203.0.113.5 presented 20 wrong keys within a minute, and is refused"
        self.assertTrue(line.startswith(f"{begin} for 10 s; "), line)
        for _ in range(5):
            self.assertEqual([], self.lines(lambda: self.watch.wait_s("203.0.113.5")))
        counts = self.watch.notices.counts
        self.assertEqual((1, 5), (counts[KeyEvent.PENALTY], counts[KeyEvent.PENALISED]))

    def test_no_penalty(self) -> None:
        """Who need not wait is not counted as refused."""
        self.assertEqual(0.0, self.watch.wait_s("203.0.113.5"))
        self.assertEqual(0, self.watch.notices.counts[KeyEvent.PENALISED])

    def test_penalties_do_not_flood(self) -> None:
        """A thousand offenders at once are a few lines."""
        lines = self.lines(
            lambda: [self.wrong(20, f"10.0.{n >> 8}.{n & 255}") for n in range(1000)]
        )
        self.assertEqual(
            (10, 1000), (len(lines), self.watch.notices.counts["penalty for wrong keys"])
        )

    def test_first_use_of_an_old_key(self) -> None:
        """An address is named once a day for each key, by the key's beginning."""
        self.assertEqual(
            ["relay: 192.0.2.1 still has the old key A6EHv/PO"],
            self.lines(lambda: self.watch.old("A6EHv/PO", "192.0.2.1")),
        )
        self.assertEqual([], self.lines(lambda: self.watch.old("A6EHv/PO", "192.0.2.1")))
        self.assertEqual(
            1, len(self.lines(lambda: self.watch.old("OeVuKk5n", "192.0.2.1")))
        )
        self.assertEqual(3, self.watch.notices.counts[KeyEvent.OLD_KEY])

    def test_old_keys_do_not_flood(self) -> None:
        """A thousand addresses at once are a few lines."""
        lines = self.lines(
            lambda: [
                self.watch.old("A6EHv/PO", f"10.0.{n >> 8}.{n & 255}") for n in range(1000)
            ]
        )
        self.assertEqual(10, len(lines))

    def test_report(self) -> None:
        """One line with the addresses of each old key that is used; else none."""
        self.assertEqual([], self.lines(self.watch.report))
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            self.watch.old("A6EHv/PO", host)
        line = "relay: addresses that had an old key in the last day: A6EHv/PO 2"
        self.assertEqual([line], self.lines(self.watch.report))
        self.watch.old("OeVuKk5n", "192.0.2.3")
        self.assertEqual([f"{line}, OeVuKk5n 1"], self.lines(self.watch.report))

    def test_forget_old(self) -> None:
        """Both memories are swept."""
        self.wrong(1)
        self.watch.old("A6EHv/PO", "192.0.2.1")
        self.clock.advance(DAY_S)
        self.assertEqual(["203.0.113.5", "192.0.2.1"], list(self.watch.forget_old()))
        self.assertEqual([], self.lines(self.watch.report))
