"""Tests for :mod:`rdserver.old_keys`."""

from __future__ import annotations

import hmac
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.old_keys import OldKeyUse, Use, key_name, match

DAY_S = 86_400


class MatchTests(SynchronousTestCase):
    def test_match(self) -> None:
        """A key means what belongs to it, all of it, whatever bytes come."""
        known = {b"one": 1, "zwölf".encode(): 12, b"": 0}
        presented = (b"one", "zwölf".encode(), b"", b"on", b"one\0", b"ONE", b"\xff")
        found = [match(known, key) for key in presented]
        self.assertEqual([1, 12, 0, None, None, None, None], found)

    def test_all_are_compared(self) -> None:
        """However early one fits, the time is that of comparing with all."""
        known = {b"first": 1, b"second": 2, b"third": 3}
        for presented in (b"first", b"third", b"none"):
            with patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
                match(known, presented)
            self.assertEqual(3, compare.call_count)


class OldKeyUseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.use = OldKeyUse(["A", "B"], self.clock.seconds, max_addresses=3)

    def addresses(self) -> list[int]:
        return [use.addresses for use in self.use.uses()]

    def test_name(self) -> None:
        """A key is called by the beginning of its public text."""
        name = key_name("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
        self.assertEqual("A6EHv/PO", name)

    def test_unused(self) -> None:
        """A key that nobody uses is listed all the same."""
        self.assertEqual([Use("A", 0, None), Use("B", 0, None)], self.use.uses())

    def test_first_use(self) -> None:
        """An address's use is the first if it had used that key not in a day."""
        self.assertTrue(self.use.note("A", "192.0.2.1"))
        self.assertTrue(self.use.note("A", "192.0.2.2"))
        self.assertTrue(self.use.note("B", "192.0.2.1"))
        self.clock.advance(DAY_S - 1)
        self.assertFalse(self.use.note("A", "192.0.2.1"))
        self.clock.advance(DAY_S)
        self.assertTrue(self.use.note("A", "192.0.2.1"))

    def test_distinct_addresses(self) -> None:
        """Addresses are counted once, of IPv6 by /64."""
        for host in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"):
            self.use.note("A", host)
        self.clock.advance(5)
        self.assertEqual([Use("A", 2, 5.0), Use("B", 0, None)], self.use.uses())

    def test_forget_old(self) -> None:
        """A day after its last use an address is forgotten, and when that was is not."""
        self.use.note("A", "192.0.2.1")
        self.use.note("A", "192.0.2.2")
        self.use.note("B", "192.0.2.3")
        self.clock.advance(1)
        self.use.note("A", "192.0.2.1")
        self.clock.advance(DAY_S - 1)
        self.assertEqual(["192.0.2.2", "192.0.2.3"], list(self.use.forget_old()))
        self.assertEqual([Use("A", 1, DAY_S - 1), Use("B", 0, DAY_S)], self.use.uses())
        self.clock.advance(1)
        self.assertEqual(["192.0.2.1"], list(self.use.forget_old()))

    def test_bound(self) -> None:
        """Of each key so many addresses are remembered, those that used it last."""
        for n in range(3):
            self.use.note("A", f"192.0.2.{n}")
            self.use.note("B", f"192.0.2.{n}")
        self.use.note("A", "192.0.2.0")
        self.use.note("A", "192.0.2.3")
        self.assertEqual([3, 3], self.addresses())
        self.assertFalse(self.use.note("A", "192.0.2.0"))
        self.assertTrue(self.use.note("A", "192.0.2.1"))
