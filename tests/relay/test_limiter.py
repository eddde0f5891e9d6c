"""Buckets, and what one session may move."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.bucket import BURST_S, QUANTUM_BITS, SHORTEST_WAIT_S, Bucket
from rdserver.relay.limiter import Meter
from rdserver.relay.limits import Limits, bits_per_s
from rdserver.relay.total import Total

FAST = 8e6  # bits per second: its burst is more than a quantum
SLOW = 1e5


class BucketTests(SynchronousTestCase):
    def test_starts_empty(self) -> None:
        """A new bucket gives nothing for which there was no time."""
        bucket = Bucket(FAST, 5.0)
        self.assertEqual(0, bucket.level(5.0))

    def test_fills(self) -> None:
        """Tokens come at the rate, up to the burst."""
        bucket = Bucket(FAST, 0.0)
        self.assertEqual(FAST / 20, bucket.level(0.05))
        self.assertEqual(FAST * BURST_S, bucket.level(60.0))

    def test_owes(self) -> None:
        """What was moved over the level is owed and waited for."""
        bucket = Bucket(FAST, 0.0)
        bucket.level(1.0)
        bucket.pay(FAST * BURST_S + FAST)
        self.assertEqual(-FAST, bucket.level(1.0))
        self.assertAlmostEqual(1 + QUANTUM_BITS / 2 / FAST, bucket.wait_s(1.0))

    def test_enough(self) -> None:
        """Half a quantum is enough to go on; of a small bucket half of what it holds."""
        for rate, enough in [(FAST, QUANTUM_BITS / 2), (SLOW, SLOW * BURST_S / 2)]:
            bucket = Bucket(rate, 0.0)
            self.assertEqual(0.0, bucket.wait_s(enough / rate))
            bucket.pay(0.01 * rate)
            self.assertAlmostEqual(0.01, bucket.wait_s(enough / rate))

    def test_shortest_wait(self) -> None:
        """A wait is never too short to be one."""
        bucket = Bucket(FAST, 0.0)
        bucket.level(0.1)
        bucket.pay(FAST * BURST_S - QUANTUM_BITS / 2 + 1)
        self.assertEqual(SHORTEST_WAIT_S, bucket.wait_s(0.1))

    def test_change_of_rate(self) -> None:
        """What came before a change came at the old rate; debts stay."""
        bucket = Bucket(FAST, 0.0)
        bucket.pay(FAST)
        bucket.change_rate(2 * FAST, 0.5)
        self.assertEqual(-FAST / 2, bucket.level(0.5))
        self.assertEqual(0, bucket.level(0.75))


class MeterTests(SynchronousTestCase):
    def meter(self, total: float | None = None, single: float | None = None) -> Meter:
        self.total = Total(total, 0.0)
        return Meter(self.total, single, SLOW, 0.0)

    def test_no_limit(self) -> None:
        """Without limits everything may move, and nothing is counted."""
        meter = self.meter()
        self.assertFalse(meter.limited)
        meter.pay(10**9)
        self.assertEqual(65536, meter.want(65536, 0.0))
        self.assertEqual((0.0, 0.0), (meter.own_wait_s(0.0), meter.served))

    def test_single(self) -> None:
        """Of its own limit a session may use what is there, then it waits."""
        meter = self.meter(single=FAST)
        self.assertTrue(meter.limited)
        self.assertEqual(0, meter.want(10**6, 0.0))
        self.assertEqual(int(FAST * BURST_S / 8), meter.want(10**6, 1.0))
        self.assertEqual(1000, meter.want(1000, 1.0))
        meter.pay(10**6)
        self.assertEqual(0, meter.want(10**6, 1.0))
        self.assertLess(0.9, meter.own_wait_s(1.0))

    def test_total(self) -> None:
        """The total is paid too, and holds a session that has no limit of its own."""
        meter = self.meter(total=FAST)
        self.assertEqual(int(FAST * BURST_S / 8), meter.want(10**6, 1.0))
        meter.pay(10**6)
        self.assertEqual(0, meter.want(10**6, 1.0))
        self.assertEqual(0.0, meter.own_wait_s(1.0))

    def test_the_smaller_one_counts(self) -> None:
        """With both limits a session gets the least of what they give."""
        meter = self.meter(total=FAST, single=4e6)
        self.assertEqual(int(4e6 * BURST_S / 8), meter.want(10**6, 1.0))

    def test_granted(self) -> None:
        """Who does not wait gets what there is, and never less than is worth while."""
        for limits in ({"single": FAST}, {"total": FAST}, {"single": FAST, "total": FAST}):
            meter = self.meter(**limits)
            self.assertEqual(QUANTUM_BITS // 16, meter.grant(10**6, 0.0))
            self.assertEqual(1000, meter.grant(1000, 0.0))
            self.assertEqual(int(FAST * BURST_S / 8), meter.grant(10**6, 1.0))
            meter.pay(10**6)
            self.assertEqual(QUANTUM_BITS // 16, meter.grant(10**6, 1.0))
        self.assertEqual(10**6, self.meter().grant(10**6, 0.0))

    def test_slowed_down(self) -> None:
        """A slowed session has the slow limit until it is not slowed any more."""
        meter = self.meter()
        meter.slow_down(True, 0.0)
        self.assertEqual(int(SLOW * BURST_S / 8), meter.want(10**6, 1.0))
        meter.slow_down(True, 1.0)
        meter.slow_down(False, 1.0)
        self.assertFalse(meter.limited)

    def test_slowed_down_from_a_limit(self) -> None:
        """What is owed under the old limit is owed under the new one."""
        meter = self.meter(single=FAST)
        meter.pay(int(FAST / 8))
        meter.slow_down(True, 0.0)
        self.assertAlmostEqual(FAST / SLOW + BURST_S / 2, meter.own_wait_s(0.0))
        meter.slow_down(False, 0.0)
        self.assertLess(meter.own_wait_s(0.0), 1.1)

    def test_slow_is_never_faster(self) -> None:
        """A slow limit above the session's own changes nothing."""
        meter = self.meter(single=SLOW / 2)
        meter.slow_down(True, 0.0)
        self.assertEqual(int(SLOW / 2 * BURST_S / 8), meter.want(10**6, 1.0))


class LimitsTests(SynchronousTestCase):
    def test_megabit(self) -> None:
        """A megabit has 1024 times 1024 bits."""
        self.assertEqual(8 * 1024 * 1024, bits_per_s(8))

    def test_percent(self) -> None:
        """The threshold counts in whole percent, cut off, but not by bad arithmetic."""
        for threshold, percent in [(0.66, 66), (0.666, 66), (0.57, 57), (1.0, 100)]:
            limits = Limits(downgrade_threshold=threshold)
            self.assertEqual(percent, limits.downgrade_percent)

    def test_defaults(self) -> None:
        """Without settings nothing is limited but what is slowed down."""
        limits = Limits()
        self.assertIsNone(limits.total_bandwidth_mbit_per_s)
        self.assertIsNone(limits.single_bandwidth_mbit_per_s)
        self.assertEqual(32, limits.limit_speed_mbit_per_s)
