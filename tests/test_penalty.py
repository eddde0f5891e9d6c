"""Tests for :mod:`rdserver.penalty`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.penalty import KeyPenalties

HOST = "203.0.113.5"
OTHER = "203.0.113.6"


class PenaltyCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.penalties = KeyPenalties(self.clock.seconds, max_addresses=3)

    def wrong(self, times: int, host: str = HOST) -> list[float]:
        """Present a wrong key several times; return what came of each."""
        return [self.penalties.wrong(host) for _ in range(times)]

    def offend(self, host: str = HOST) -> float:
        """Present as many wrong keys as are an offence; return the penalty."""
        *before, penalty_s = self.wrong(20, host)
        self.assertEqual([0.0] * 19, before)
        return penalty_s

    def forget_old(self) -> list[str]:
        return list(self.penalties.forget_old())


class OffenceTests(PenaltyCase):
    """What is an offence."""

    def test_twentieth(self) -> None:
        """The twentieth wrong key in a minute begins a penalty of ten seconds."""
        self.wrong(19)
        self.assertEqual(0.0, self.penalties.wait_s(HOST))
        self.assertEqual([10.0], self.wrong(1))
        self.assertEqual(10.0, self.penalties.wait_s(HOST))
        self.clock.advance(9.5)
        self.assertEqual(0.5, self.penalties.wait_s(HOST))
        self.clock.advance(0.5)
        self.assertEqual(0.0, self.penalties.wait_s(HOST))

    def test_any_minute(self) -> None:
        """It is no matter when the minute begins."""
        self.wrong(1)
        self.clock.advance(59)
        self.wrong(10)
        self.clock.advance(30)
        self.assertEqual([0.0] * 9 + [10.0], self.wrong(10))

    def test_spread_over_more_than_a_minute(self) -> None:
        """Who tries every three seconds and a little more is never refused."""
        for _ in range(200):
            self.assertEqual([0.0], self.wrong(1))
            self.clock.advance(3.2)

    def test_addresses(self) -> None:
        """Each IPv4 address counts for itself; of IPv6 a /64 is one."""
        self.offend()
        self.assertEqual(0.0, self.penalties.wait_s(OTHER))
        for n in range(20):
            self.penalties.wrong(f"2001:db8::{n}")
        self.assertEqual(10.0, self.penalties.wait_s("2001:db8::ffff"))
        self.assertEqual(0.0, self.penalties.wait_s("2001:db8:0:1::1"))

    def test_growing(self) -> None:
        """Each penalty is twice as long as the one before, and none over ten minutes."""
        seen = []
        for _ in range(8):
            seen.append(self.offend())
            self.clock.advance(seen[-1])
        self.assertEqual([10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0], seen)

    def test_counting_starts_over(self) -> None:
        """After a penalty it takes as many wrong keys as before."""
        self.offend()
        self.clock.advance(10)
        self.assertEqual([0.0] * 19, self.wrong(19))

    def test_forgotten(self) -> None:
        """An hour after its last offence an address begins anew, swept or not."""
        self.offend()
        self.clock.advance(3599)
        self.assertEqual(20.0, self.offend())
        self.clock.advance(3600)
        self.assertEqual(10.0, self.offend())


class TableTests(PenaltyCase):
    """How much is remembered."""

    def test_bound_of_the_recent(self) -> None:
        """Beyond the bound who presented a wrong key longest ago is forgotten."""
        self.wrong(19, "192.0.2.0")
        self.wrong(19, "192.0.2.1")
        self.wrong(1, "192.0.2.2")
        self.wrong(1, "192.0.2.3")
        self.assertEqual(3, len(self.penalties))
        self.assertEqual([0.0], self.wrong(1, "192.0.2.0"))  # its nineteen are forgotten

    def test_last_heard_of_is_kept(self) -> None:
        """Another wrong key makes an address the last to be forgotten."""
        self.wrong(18, "192.0.2.0")
        self.wrong(1, "192.0.2.1")
        self.wrong(1, "192.0.2.2")
        self.wrong(1, "192.0.2.0")
        self.wrong(1, "192.0.2.3")
        self.assertEqual([10.0], self.wrong(1, "192.0.2.0"))

    def test_bound_of_offenders(self) -> None:
        """Beyond the bound who offended longest ago is free again."""
        for n in range(4):
            self.offend(f"192.0.2.{n}")
        waits = [self.penalties.wait_s(f"192.0.2.{n}") for n in range(4)]
        self.assertEqual([0.0, 10.0, 10.0, 10.0], waits)
        self.assertEqual(3, len(self.penalties))

    def test_forget_old(self) -> None:
        """Wrong keys are forgotten after a minute, penalties after an hour."""
        self.offend()
        self.wrong(1, OTHER)
        self.clock.advance(59)
        self.assertEqual([], self.forget_old())
        self.clock.advance(1)
        self.assertEqual([OTHER], self.forget_old())
        self.clock.advance(3539)
        self.assertEqual([], self.forget_old())
        self.clock.advance(1)
        self.assertEqual([HOST], self.forget_old())
        self.assertEqual(0, len(self.penalties))

    def test_forget_old_while_others_come(self) -> None:
        """Between two steps addresses may come and go."""
        for n in range(3):
            self.wrong(1, f"192.0.2.{n}")
        self.clock.advance(60)
        steps = self.penalties.forget_old()
        self.assertEqual("192.0.2.0", next(steps))
        self.penalties.lift("192.0.2.1")
        self.wrong(1)
        self.assertEqual(["192.0.2.2"], list(steps))
        self.assertEqual(1, len(self.penalties))


class OperatorTests(PenaltyCase):
    """What an operator sees and does."""

    def test_rows(self) -> None:
        """Those with penalties come first; each address is there once."""
        self.wrong(2, OTHER)
        self.offend()
        self.clock.advance(4)
        self.wrong(1)
        rows = [
            (HOST, "1 wrong keys in the last minute, penalty 1, refused for 6s"),
            (OTHER, "2 wrong keys in the last minute"),
        ]
        self.assertEqual(rows, list(self.penalties.rows()))
        self.assertEqual(2, len(self.penalties))

    def test_describe_nobody(self) -> None:
        """There is nothing to say of who presented no wrong key."""
        self.assertIsNone(self.penalties.describe(HOST))

    def test_lift(self) -> None:
        """An address whose penalty is lifted begins anew; others are not concerned."""
        self.offend()
        self.wrong(19)
        self.offend(OTHER)
        self.penalties.lift(HOST)
        self.assertEqual(0.0, self.penalties.wait_s(HOST))
        self.assertEqual(10.0, self.penalties.wait_s(OTHER))
        self.assertEqual(10.0, self.offend())

    def test_clear(self) -> None:
        """All can be forgotten together."""
        self.offend()
        self.wrong(19, OTHER)
        self.penalties.clear()
        self.assertEqual(([], 0), (list(self.penalties.rows()), len(self.penalties)))
