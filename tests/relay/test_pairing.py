"""Who waits, and how many may."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.pairing import PairingTable
from rdserver.relay.refusals import Refusal, RefusedError
from rdserver.wire.address import Address


class Leg:
    def __init__(self, host: str = "192.0.2.1") -> None:
        self.address = Address(host, 5001)


class PairingTableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table: PairingTable[Leg] = PairingTable(per_address=2, total=3)

    def refusal(self, uuid: str, leg: Leg) -> Refusal:
        return self.assertRaises(RefusedError, self.table.offer, uuid, leg).reason

    def test_pair(self) -> None:
        """The second with a uuid gets the first, and neither waits afterwards."""
        a, b = Leg(), Leg()
        self.assertIsNone(self.table.offer("s1", a))
        self.assertIn("s1", self.table)
        self.assertIs(a, self.table.offer("s1", b))
        self.assertNotIn("s1", self.table)
        self.assertEqual(0, len(self.table))

    def test_third(self) -> None:
        """A third with the uuid of a pair waits anew."""
        self.table.offer("s1", Leg())
        self.table.offer("s1", Leg())
        self.assertIsNone(self.table.offer("s1", Leg()))

    def test_never_with_itself(self) -> None:
        """Who offers itself twice still waits, in one place."""
        leg = Leg()
        self.assertIsNone(self.table.offer("s1", leg))
        self.assertIsNone(self.table.offer("s1", leg))
        self.assertEqual(1, len(self.table))

    def test_withdraw(self) -> None:
        """Who withdraws frees uuid and place at once and is told the uuid, once."""
        leg = Leg()
        self.table.offer("s1", leg)
        self.assertEqual("s1", self.table.withdraw(leg))
        self.assertIsNone(self.table.withdraw(leg))
        self.assertIsNone(self.table.offer("s1", Leg()))

    def test_withdraw_leaves_another_of_the_same_uuid(self) -> None:
        """Only one's own entry is removed."""
        held, waiting = Leg(), Leg()
        self.table.hold("s1", held)
        self.table.offer("s1", waiting)
        self.table.withdraw(held)
        self.assertIn("s1", self.table)

    def test_held(self) -> None:
        """Who is only held has a place but is nobody's partner; offering keeps it."""
        leg = Leg()
        self.table.hold("s1", leg)
        self.assertNotIn("s1", self.table)
        self.assertIsNone(self.table.offer("s1", leg))
        self.assertEqual(1, len(self.table))

    def test_per_address(self) -> None:
        """One address has so many places and no more; the others are not concerned."""
        legs = [Leg(), Leg()]
        for number, leg in enumerate(legs):
            self.assertIsNone(self.table.offer(f"s{number}", leg))
        self.assertEqual(Refusal.WAITING_PER_ADDRESS, self.refusal("s9", Leg()))
        self.assertIsNone(self.table.offer("s9", Leg("192.0.2.2")))
        self.table.withdraw(legs[0])
        self.assertIsNone(self.table.offer("s3", Leg()))

    def test_ipv6_counts_by_64(self) -> None:
        """All of one /64 are one address, the next /64 is another."""
        self.table.offer("s1", Leg("2001:db8::1"))
        self.table.offer("s2", Leg("2001:db8::2"))
        self.assertEqual(
            Refusal.WAITING_PER_ADDRESS, self.refusal("s3", Leg("2001:db8::ffff:3"))
        )
        self.assertIsNone(self.table.offer("s3", Leg("2001:db8:0:1::1")))

    def test_total(self) -> None:
        """All together have so many places and no more."""
        for number in range(3):
            self.table.offer(f"s{number}", Leg(f"192.0.2.{number}"))
        self.assertEqual(Refusal.WAITING_TOTAL, self.refusal("s9", Leg("192.0.2.9")))

    def test_a_partner_needs_no_place(self) -> None:
        """Who finds its partner is let in though the table is full."""
        legs = [Leg(), Leg()]
        self.table.offer("s0", legs[0])
        self.table.offer("s1", legs[1])
        self.assertIs(legs[1], self.table.offer("s1", Leg()))

    def test_nothing_is_left(self) -> None:
        """When all have gone the counts by address are gone too."""
        for number in range(2):
            self.table.offer("s1", Leg(f"192.0.2.{number}"))
        self.assertEqual({}, self.table._per_bucket)
