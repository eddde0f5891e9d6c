"""
Tests for :mod:`rdserver.rendezvous.journal`: bounds and odd clocks.

What the console shows of it is in tests/conformance/test_id_console.py.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.journal import AddressChanges, PunchLog
from rdserver.rendezvous.slices import at_once


class AddressChangesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.changes = AddressChanges(self.clock.seconds)

    def test_restart(self) -> None:
        """At 180 s after the first change the next one is added, later it starts anew."""
        self.changes.record("device", "192.0.2.1")
        self.clock.advance(180)
        self.changes.record("device", "192.0.2.2")
        both = '180s {"192.0.2.1": 1, "192.0.2.2": 1}'
        self.assertEqual(both, self.changes.describe("device"))
        self.clock.advance(0.1)
        self.changes.record("device", "192.0.2.3")
        self.assertEqual('0s {"192.0.2.3": 1}', self.changes.describe("device"))

    def test_addresses_are_bounded(self) -> None:
        """64 addresses of a device are kept, and counted on; the 65th is left out."""
        for n in range(65):
            self.changes.record("device", f"192.0.2.{n}")
        self.changes.record("device", "192.0.2.63")
        described = self.changes.describe("device") or ""
        self.assertIn('"192.0.2.63": 2}', described)
        self.assertNotIn("192.0.2.64", described)

    def test_devices_are_bounded(self) -> None:
        """At 100 000 devices all are kept; beyond, the one that is longest unheard goes."""
        for n in range(100_000):
            self.changes.record(str(n), "192.0.2.1")
        self.changes.record("0", "192.0.2.2")
        self.assertEqual(100_000, len(self.changes))
        self.changes.record("new", "192.0.2.1")
        self.assertEqual(100_000, len(self.changes))
        self.assertIsNone(self.changes.describe("1"))
        self.assertIsNotNone(self.changes.describe("0"))

    def test_swept(self) -> None:
        """The sweep forgets what is six minutes old, and only that."""
        self.changes.record("device", "192.0.2.1")
        self.clock.advance(359.9)
        at_once(self.changes.sweep())
        self.assertEqual(1, len(self.changes))
        self.clock.advance(0.1)
        at_once(self.changes.sweep())
        self.assertEqual(0, len(self.changes))

    def test_removed(self) -> None:
        """What is removed is gone; removing the unknown does nothing."""
        self.changes.record("device", "192.0.2.1")
        self.changes.remove("other")
        self.changes.remove("device")
        self.assertEqual([], list(self.changes.rows()))


class PunchLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall = 1_700_000_000.0
        self.log = PunchLog(lambda: self.wall)

    def test_other_pairs(self) -> None:
        """Another asker or device is another entry; where the device is makes none."""
        for asker, host, device in (
            ("192.0.2.1", "203.0.113.1", "one"),
            ("192.0.2.1", "203.0.113.2", "one"),
            ("192.0.2.1", "203.0.113.1", "two"),
            ("192.0.2.2", "203.0.113.1", "one"),
        ):
            self.log.record(asker, host, device)
        found = [(p.from_host, p.to_id) for p in self.log.page(0, 10)]
        asked = [("192.0.2.1", "one"), ("192.0.2.1", "two"), ("192.0.2.2", "one")]
        self.assertEqual(asked, found)

    def test_last_thirty(self) -> None:
        """A repeat is known among the last 30 entries, no further back."""
        for fillers, entries in ((29, 30), (30, 32)):
            self.log.clear()
            self.log.record("192.0.2.1", "203.0.113.1", "one")
            for n in range(fillers):
                self.log.record("192.0.2.1", "203.0.113.1", f"filler-{n}")
            self.log.record("192.0.2.1", "203.0.113.1", "one")
            self.assertEqual(entries, len(self.log))

    def test_clock_set_back(self) -> None:
        """When the wall clock is set back a repeat is logged rather than lost."""
        self.log.record("192.0.2.1", "203.0.113.1", "one")
        self.wall -= 3600
        self.log.record("192.0.2.1", "203.0.113.1", "one")
        self.assertEqual(2, len(self.log))
