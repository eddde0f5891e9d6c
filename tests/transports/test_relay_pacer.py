"""Limits at work: on the data path, in bytes and seconds."""

from __future__ import annotations

from rdserver.relay.bucket import BURST_S
from rdserver.relay.limits import Limits, bits_per_s
from tests.fakes import BUFFER_BYTES, READ_BYTES
from tests.transports.paced_case import STEP_S, PacedCase
from tests.transports.relay_case import hello

MBIT = 8
BYTES_PER_S = bits_per_s(MBIT) / 8


class SingleLimitTests(PacedCase):
    limits = Limits(single_bandwidth_mbit_per_s=MBIT)

    def test_one_direction(self) -> None:
        """A session moves what its limit allows."""
        _, second = self.greedy_pair()
        self.run_for(4)
        self.assert_rate(len(second.read()), 4, BYTES_PER_S)

    def test_both_directions_together(self) -> None:
        """Both directions share one limit, about equally."""
        first, second = self.greedy_pair()
        second.send(b"y" * 20_000_000)
        self.run_for(4)
        up, down = len(second.read()), len(first.read())
        self.assert_rate(up + down - READ_BYTES, 4, BYTES_PER_S)
        self.assertLess(abs(up - down), 4 * READ_BYTES)

    def test_sessions_are_apart(self) -> None:
        """Each session has its own limit."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(2)
        for _, second in pairs:
            self.assert_rate(len(second.read()), 2, BYTES_PER_S)

    def test_live_change(self) -> None:
        """A new single limit is for new sessions."""
        _, old = self.greedy_pair()
        self.relay.limits = Limits(single_bandwidth_mbit_per_s=2 * MBIT)
        _, new = self.greedy_pair()
        self.run_for(2)
        self.assert_rate(len(old.read()), 2, BYTES_PER_S)
        self.assert_rate(len(new.read()), 2, 2 * BYTES_PER_S)

    def test_nothing_left(self) -> None:
        """A session that ends while it waits leaves nothing behind."""
        first, second = self.greedy_pair()
        self.run_for(0.5)
        self.assertFalse(first.reading)
        second.close()
        self.settle()
        self.assert_nothing_left()

    def test_early_bytes_are_paid(self) -> None:
        """What was sent before the pairing counts too."""
        self.connect(hello() + b"x" * 100_000)
        second = self.connect(hello(), "192.0.2.2")
        self.clients[0].send(b"y" * 20_000_000)
        self.run_for(2)
        self.assert_rate(len(second.read()), 2, BYTES_PER_S)

    def test_full_and_over_the_limit(self) -> None:
        """Who is stopped for two reasons goes on when both are gone, not before."""
        first, second = self.greedy_pair()
        second.window_bytes = 200_000
        self.run_for(2)
        self.assertEqual(200_000, len(second.read()))
        self.assertFalse(first.reading)
        self.run_for(2)
        self.assertEqual(200_000, len(second.read()))
        second.window_bytes = 2**40
        self.run_for(2)
        # What stood in the buffers was paid for, and an idle bucket fills a little.
        saved_bytes = BUFFER_BYTES + 2 * READ_BYTES + int(BYTES_PER_S * BURST_S)
        self.assert_rate(len(second.read()) - saved_bytes, 2, BYTES_PER_S)


class SlowTests(PacedCase):
    limits = Limits(
        single_bandwidth_mbit_per_s=8,
        limit_speed_mbit_per_s=1,
        downgrade_start_check_s=2,
        downgrade_threshold=0.1,
    )

    def test_downgraded(self) -> None:
        """Who used too much is limited to the slow speed from the check on."""
        _, second = self.greedy_pair()
        self.run_for(4)
        second.read()
        self.run_for(10)
        self.assert_rate(len(second.read()), 10, bits_per_s(1) / 8)

    def test_blacklisted_while_it_runs(self) -> None:
        """Who comes on the blacklist is slow from the next tick on."""
        self.relay.limits = Limits(limit_speed_mbit_per_s=1)
        _, second = self.greedy_pair("192.0.2.7")
        self.run_for(0.1)
        self.relay.blacklist.add("192.0.2.7")
        self.run_for(2)
        second.read()
        self.run_for(10)
        self.assert_rate(len(second.read()), 10, bits_per_s(1) / 8)

    def test_slower_than_the_silence(self) -> None:
        """A limit so low that nothing is read for long is no silence."""
        self.relay.limits = Limits(single_bandwidth_mbit_per_s=0.01)
        first, _ = self.greedy_pair()
        for _ in range(45):
            self.advance(1)
            self.relay.sweep()
        self.assertTrue(first.connected)


class TotalLimitTests(PacedCase):
    limits = Limits(total_bandwidth_mbit_per_s=MBIT)

    def test_sum(self) -> None:
        """All sessions together move what the limit allows, in equal shares."""
        pairs = [self.greedy_pair() for _ in range(4)]
        self.run_for(4)
        shares = [len(second.read()) for _, second in pairs]
        self.assert_rate(sum(shares) - 3 * READ_BYTES, 4, BYTES_PER_S)
        self.assertLess(max(shares) - min(shares), 2 * READ_BYTES)

    def test_a_click_among_transfers(self) -> None:
        """Who wants little gets it soon, however much the others want."""
        for _ in range(8):
            self.greedy_pair()
        self.run_for(2)
        mouse, screen = self.greedy_pair()
        self.run_for(1)
        mouse._sent.clear()
        self.run_for(2)
        screen.read()
        waits = []
        for _ in range(10):
            mouse.send(b"click")
            began_s = self.clock.seconds()
            while not screen.read():
                self.run_for(STEP_S)
            waits.append(self.clock.seconds() - began_s)
            self.run_for(0.2)
        # All others' chunks once through would be half a second.
        self.assertLess(max(waits), 0.15)

    def test_higher_at_once(self) -> None:
        """A higher limit holds for who waits already."""
        first, second = self.greedy_pair()
        self.relay.limits = Limits(total_bandwidth_mbit_per_s=0.01)
        self.run_for(1)
        self.assertFalse(first.reading)
        self.relay.limits = self.limits
        second.read()
        self.run_for(3)
        self.assertGreater(len(second.read()), BYTES_PER_S * 2)

    def test_removed_at_once(self) -> None:
        """Without a limit who waited goes on, and nothing waits any more."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(1)
        self.relay.limits = Limits()
        self.run_for(0.5)
        for first, second in pairs:
            self.assertTrue(first.reading)
            second.read()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_set_at_once(self) -> None:
        """A limit that comes later holds for the sessions there are."""
        self.relay.limits = Limits()
        _, second = self.greedy_pair()
        self.relay.limits = self.limits
        self.run_for(4)
        self.assert_rate(len(second.read()), 4, BYTES_PER_S)

    def test_with_a_single_limit(self) -> None:
        """Who has had its own limit's share leaves the rest to the others."""
        self.relay.limits = Limits(
            total_bandwidth_mbit_per_s=MBIT, single_bandwidth_mbit_per_s=MBIT / 4
        )
        _, small = self.greedy_pair()
        self.relay.limits = self.limits
        _, big = self.greedy_pair()
        self.run_for(4)
        self.assert_rate(len(small.read()), 4, BYTES_PER_S / 4)
        self.assert_rate(len(big.read()), 4, BYTES_PER_S * 3 / 4)

    def test_nothing_left(self) -> None:
        """Sessions that end while they wait leave nothing behind."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(0.5)
        for _, second in pairs:
            second.close()
            self.settle()
        self.assert_nothing_left()

    def test_data_in_spite_of_a_pause(self) -> None:
        """Some transports deliver a little after a pause: it is passed on and paid."""
        first, second = self.greedy_pair()
        self.run_for(0.5)
        second.read()
        first.protocol.dataReceived(b"late")
        second.turn()
        self.assertEqual(b"late", second.read())
        self.assertFalse(first.reading)
