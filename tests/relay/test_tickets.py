"""Which sessions were announced, and who waits for that."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.tickets import MAX_UUID_CHARS, TTL_S, Tickets


class TicketsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tickets = Tickets(self.clock.seconds, max_entries=3)
        self.knocks: list[str] = []

    def knock_a(self) -> None:
        self.knocks.append("a")

    def knock_b(self) -> None:
        self.knocks.append("b")

    def test_only_what_was_announced(self) -> None:
        """A uuid is known once it was announced, and no other."""
        self.tickets.announce("s1")
        self.assertTrue(self.tickets.is_announced("s1"))
        self.assertFalse(self.tickets.is_announced("s2"))

    def test_consumed(self) -> None:
        """After the pairing the uuid is worth nothing; consuming again is harmless."""
        self.tickets.announce("s1")
        self.tickets.consume("s1")
        self.tickets.consume("s1")
        self.assertFalse(self.tickets.is_announced("s1"))
        self.assertEqual(0, len(self.tickets))

    def test_lifetime(self) -> None:
        """An announcement is good until its time is over, with or without a sweep."""
        self.tickets.announce("s1")
        self.clock.advance(TTL_S - 0.1)
        self.assertTrue(self.tickets.is_announced("s1"))
        self.clock.advance(0.1)
        self.assertFalse(self.tickets.is_announced("s1"))

    def test_announced_again(self) -> None:
        """A repeated announcement begins a new lifetime, also in the order of age."""
        self.tickets.announce("s1")
        self.clock.advance(TTL_S / 2)
        self.tickets.announce("s2")
        self.tickets.announce("s1")
        self.clock.advance(TTL_S / 2)
        self.tickets.sweep()
        self.assertEqual(2, len(self.tickets))
        self.assertTrue(self.tickets.is_announced("s1"))

    def test_sweep(self) -> None:
        """A sweep forgets what is too old, and nothing else."""
        self.tickets.announce("s1")
        self.clock.advance(1)
        self.tickets.announce("s2")
        self.clock.advance(TTL_S - 1)
        self.tickets.sweep()
        self.assertEqual(1, len(self.tickets))
        self.clock.advance(1)
        self.tickets.sweep()
        self.assertEqual(0, len(self.tickets))

    def test_bound(self) -> None:
        """With one more than the table holds the oldest is forgotten."""
        for uuid in ("s1", "s2", "s3"):
            self.tickets.announce(uuid)
        self.assertTrue(self.tickets.is_announced("s1"))
        self.tickets.announce("s4")
        self.assertEqual(3, len(self.tickets))
        self.assertFalse(self.tickets.is_announced("s1"))
        self.assertTrue(self.tickets.is_announced("s2"))

    def test_length_of_a_uuid(self) -> None:
        """No uuid, and one far longer than any client's, are not kept."""
        for length, kept in [(0, 0), (MAX_UUID_CHARS, 1), (MAX_UUID_CHARS + 1, 1)]:
            self.tickets.announce("x" * length)
            self.assertEqual(kept, len(self.tickets))

    def test_knocks(self) -> None:
        """Everybody who waits is told at the moment of the announcement, once."""
        self.tickets.wait_for("s1", self.knock_a)
        self.tickets.wait_for("s1", self.knock_b)
        self.tickets.wait_for("s2", self.knock_b)
        self.tickets.announce("s1")
        self.tickets.announce("s1")
        self.assertEqual((["a", "b"], 1), (self.knocks, self.tickets.waiting))

    def test_announced_before_the_knock(self) -> None:
        """Whoever is told finds the uuid announced."""
        self.tickets.wait_for(
            "s1", lambda: self.knocks.append(str(self.tickets.is_announced("s1")))
        )
        self.tickets.announce("s1")
        self.assertEqual(["True"], self.knocks)

    def test_stop_waiting(self) -> None:
        """Who stopped waiting is not told; nothing is left of them."""
        self.tickets.wait_for("s1", self.knock_a)
        self.tickets.wait_for("s1", self.knock_b)
        self.tickets.stop_waiting("s1", self.knock_a)
        self.tickets.stop_waiting("s1", self.knock_a)
        self.tickets.announce("s1")
        self.assertEqual(["b"], self.knocks)
        self.tickets.stop_waiting("s1", self.knock_b)
        self.tickets.wait_for("s1", self.knock_b)
        self.tickets.stop_waiting("s1", self.knock_b)
        self.assertEqual(0, self.tickets.waiting)

    def test_a_bug_stays_here(self) -> None:
        """An error of one who waits is logged; the others and the caller go on."""

        def broken() -> None:
            raise RuntimeError("bug")

        self.tickets.wait_for("s1", broken)
        self.tickets.wait_for("s1", self.knock_b)
        self.tickets.announce("s1")
        self.assertEqual(["b"], self.knocks)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
