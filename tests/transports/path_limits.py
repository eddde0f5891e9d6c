"""The limits, on every data path, in bytes and seconds."""

from __future__ import annotations

from rdserver.relay.bucket import BURST_S
from rdserver.relay.limits import Limits, bits_per_s
from rdserver.relay.usage import EndReason
from tests.transports.path_case import PathCase
from tests.transports.relay_case import hello
from tests.transports.stepped import Client

MBIT = 8
BYTES_PER_S = bits_per_s(MBIT) / 8
STEP_S = 0.005
SLACK_BYTES = 64 * 1024
"""One read: a path may look at a limit before it reads, or after."""


class LimitedCase(PathCase):
    def greedy_pair(self, host: str = "127.0.0.1") -> tuple[Client, Client]:
        """Return a session whose first side has endless data."""
        pair = self.pair(f"s{self.begun()}", (host, "127.0.0.1"))
        pair[0].send(bytes(20_000_000))
        return pair

    def run_for(self, seconds: float) -> None:
        """Let time pass in small steps, with a sweep each second."""
        for step in range(round(seconds / STEP_S)):
            self.reactor.now_s += STEP_S
            while self.turn() or self.is_due():
                continue
            if step % round(1 / STEP_S) == 0:
                self.relay.sweep()

    def is_due(self) -> bool:
        """Return whether the next turn of the reactor has a call to make."""
        times = (call.getTime() for call in self.reactor.getDelayedCalls())
        return any(time_s <= self.reactor.now_s for time_s in times)

    def take(self, client: Client) -> int:
        """Return how many bytes came for *client* since the last time."""
        size = len(client.received)
        client.received.clear()
        return size

    def assert_rate(self, moved_bytes: int, seconds: float, rate: float) -> None:
        """Not more than *rate* allows and one read, and nearly as much."""
        self.assertLessEqual(moved_bytes, rate * seconds + SLACK_BYTES)
        self.assertGreater(moved_bytes, rate * seconds * 0.9 - SLACK_BYTES)

    def assert_waits(self) -> None:
        """Nothing moves, and nobody looks whether it may: a timer will tell."""
        before = self.received()
        for _ in range(20):
            self.reactor.turn()
            self.assertFalse(self.is_due())
        self.assertEqual(before, self.received())
        self.assertGreater(len(self.reactor.getDelayedCalls()), 0)


class SingleLimitContract(LimitedCase):
    limits = Limits(single_bandwidth_mbit_per_s=MBIT)

    def test_one_direction(self) -> None:
        """A session moves what its limit allows, and waits without polling."""
        _, second = self.greedy_pair()
        self.run_for(4)
        self.assert_rate(self.take(second), 4, BYTES_PER_S)
        self.assert_waits()

    def test_both_directions_together(self) -> None:
        """Both directions share one limit."""
        first, second = self.greedy_pair()
        second.send(bytes(20_000_000))
        self.run_for(4)
        up, down = self.take(second), self.take(first)
        self.assert_rate(up + down - SLACK_BYTES, 4, BYTES_PER_S)
        self.assertGreater(min(up, down), 0.3 * (up + down))

    def test_a_click_against_a_transfer(self) -> None:
        """Who says little now and then waits for no limit that the other side is at."""
        _, second = self.greedy_pair()
        first = self.clients[0]
        self.run_for(1)
        for _ in range(10):
            second.send(b"click")
            self.reactor.turn(0.001)
            self.until_got(5, first)
            first.received.clear()
            self.run_for(0.2)

    def test_sessions_are_apart(self) -> None:
        """Each session has its own limit."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(2)
        for _, second in pairs:
            self.assert_rate(self.take(second), 2, BYTES_PER_S)

    def test_live_change(self) -> None:
        """A new single limit is for new sessions."""
        _, old = self.greedy_pair()
        self.relay.limits = Limits(single_bandwidth_mbit_per_s=2 * MBIT)
        _, new = self.greedy_pair()
        self.run_for(2)
        self.assert_rate(self.take(old), 2, BYTES_PER_S)
        self.assert_rate(self.take(new), 2, 2 * BYTES_PER_S)

    def test_early_bytes_are_paid(self) -> None:
        """What was sent before the pairing counts too."""
        first = self.connect(hello() + bytes(100_000))
        self.until(lambda: self.relay.waiting)
        second = self.connect(hello())
        first.send(bytes(20_000_000))
        self.run_for(2)
        self.assert_rate(self.take(second), 2, BYTES_PER_S)

    def test_ends_while_it_waits(self) -> None:
        """A session that ends while it waits leaves nothing behind."""
        first, second = self.greedy_pair()
        self.run_for(0.5)
        self.assertGreater(self.session.held, 0)
        second.finish()
        self.until_ended(second)
        first.close()
        second.close()
        self.assert_over(EndReason.CLOSED)

    def test_end_behind_a_limit(self) -> None:
        """What was sent before an orderly end arrives, as the limit allows, and the end."""
        first, second = self.pair()
        first.send(bytes(1_000_000))
        first.finish()
        self.until(lambda: second.ended, step_s=STEP_S)
        self.assertEqual(1_000_000, self.take(second))

    def test_full_and_over_the_limit(self) -> None:
        """Who stops for two reasons goes on when both are gone."""
        first, second = self.greedy_pair()
        second.stalled = True
        self.run_for(4)
        second.stalled = False
        self.run_for(0.5)
        self.take(second)
        self.run_for(2)
        self.assert_rate(self.take(second), 2, BYTES_PER_S)
        self.assertTrue(first.to_send)

    def test_slower_than_the_silence(self) -> None:
        """A limit so low that nothing is read for long is no silence."""
        self.relay.limits = Limits(single_bandwidth_mbit_per_s=0.01)
        first = self.connect(hello() + bytes(60_000))
        self.until(lambda: self.relay.waiting)
        second = self.connect(hello())
        self.until_got(60_000, second)
        first.send(b"more")
        for _ in range(40):
            self.relay.sweep()
            self.advance(1)
        self.assertEqual([], self.records)


class FarLimitContract(LimitedCase):
    limits = Limits(total_bandwidth_mbit_per_s=1e6, single_bandwidth_mbit_per_s=1e6)

    def test_as_if_there_were_none(self) -> None:
        """Limits that are never reached cost no time, and the books are kept."""
        pair = self.pair()
        self.reactor.now_s += 1  # a bucket is empty at first
        for client in pair:
            client.send(bytes(3_000_000))
        self.until_got(3_000_000, *pair)
        self.assertEqual([3_000_000] * 2, self.session.received)
        self.assertEqual([], self.reactor.getDelayedCalls())


class ManyContract(LimitedCase):
    """Sessions that each say little, and much together."""

    limits = Limits(total_bandwidth_mbit_per_s=32)

    def setUp(self) -> None:
        super().setUp()
        self.pairs = [self.pair(f"s{number}") for number in range(20)]
        self.reactor.now_s += 1  # the total has saved something up

    def say_for(self, seconds: float, size: int) -> int:
        """Let each say *size* bytes eight times a second; return how many waited."""
        waited = 0
        for step in range(round(seconds / STEP_S)):
            for number, (first, _) in enumerate(self.pairs):
                if (step + number) % 25 == 0:
                    first.send(bytes(size))
            self.run_for(STEP_S)
            waited += sum(session.held for session in self.relay.sessions)
        return waited

    def test_half_the_limit(self) -> None:
        """At half the limit nobody waits, though one of them asks for it all the time."""
        busy = self.pair("busy")
        waited = 0
        for _ in range(20):
            busy[0].send(bytes(25_000))
            waited += self.say_for(0.1, 10_000)
        self.assertEqual(0, waited)
        self.until_got(500_000, busy[1])

    def test_over_the_limit(self) -> None:
        """Twice the limit does not pass, and what is too much is not owed for long."""
        self.assertGreater(self.say_for(2, 50_000), 0)
        moved = sum(self.take(second) for _, second in self.pairs)
        rate = bits_per_s(32) / 8
        self.assert_rate(moved - int(rate * BURST_S), 2, rate)
        for first, _ in self.pairs:
            first.to_send.clear()
        self.run_for(2)
        self.assertEqual([0], list({session.held for session in self.relay.sessions}))


class SlowContract(LimitedCase):
    limits = Limits(limit_speed_mbit_per_s=1)

    def test_blacklisted_while_it_runs(self) -> None:
        """Who comes on the blacklist is slow from the next tick on, until it leaves it."""
        _, second = self.greedy_pair("127.0.0.7")
        second.stalled = True  # or all would be through before there is a limit
        self.relay.blacklist.add("127.0.0.7")
        self.run_for(2)
        second.stalled = False
        self.run_for(1)
        self.take(second)
        self.run_for(10)
        self.assert_rate(self.take(second), 10, bits_per_s(1) / 8)
        self.relay.blacklist.remove("127.0.0.7")
        self.run_for(3)
        self.assertGreater(self.take(second), 5 * bits_per_s(1) / 8)

    def test_forgiven_while_it_waits(self) -> None:
        """Who leaves the blacklist waits no longer for what it owes at that speed."""
        self.relay.limits = Limits(limit_speed_mbit_per_s=0.01)
        self.relay.blacklist.add("127.0.0.7")
        first = self.connect(hello() + bytes(60_000), "127.0.0.7")
        self.until(lambda: self.relay.waiting)
        second = self.connect(hello())
        self.until_got(60_000, second)
        first.send(b"more")
        self.run_for(5)
        self.assertEqual(60_000, len(second.received))
        self.relay.blacklist.remove("127.0.0.7")
        self.run_for(5)
        self.assertEqual(60_004, len(second.received))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_downgraded(self) -> None:
        """Who used too much is limited to the slow speed from the check on."""
        self.relay.limits = Limits(
            single_bandwidth_mbit_per_s=8,
            limit_speed_mbit_per_s=1,
            downgrade_start_check_s=2,
            downgrade_threshold=0.1,
        )
        _, second = self.greedy_pair()
        self.run_for(4)
        self.take(second)
        self.run_for(10)
        self.assert_rate(self.take(second), 10, bits_per_s(1) / 8)


class TotalLimitContract(LimitedCase):
    limits = Limits(total_bandwidth_mbit_per_s=MBIT)

    def test_sum(self) -> None:
        """All sessions together move what the limit allows, in equal shares."""
        pairs = [self.greedy_pair() for _ in range(5)]
        self.run_for(6)
        shares = [self.take(second) for _, second in pairs]
        self.assert_rate(sum(shares) - 4 * SLACK_BYTES, 6, BYTES_PER_S)
        self.assertLess(max(shares) - min(shares), 2 * SLACK_BYTES)
        self.assert_waits()

    def test_shares_after_a_pause(self) -> None:
        """What was saved up while the server had no time is shared as well."""
        self.relay.limits = Limits(total_bandwidth_mbit_per_s=20 * MBIT)
        pairs = [self.greedy_pair() for _ in range(5)]
        self.run_for(0.2)
        for _, second in pairs:
            self.take(second)
        for _ in range(20):
            self.reactor.now_s += BURST_S
            while self.turn() or self.is_due():
                continue
        shares = [self.take(second) for _, second in pairs]
        self.assert_rate(sum(shares) - 4 * SLACK_BYTES, 20 * BURST_S, 20 * BYTES_PER_S)
        self.assertGreater(min(shares), 0.8 * max(shares))

    def test_a_click_among_transfers(self) -> None:
        """Who wants little gets it soon, however much the others want."""
        for _ in range(8):
            self.greedy_pair()
        self.run_for(2)
        mouse, screen = self.pair("mouse")
        waits = []
        for _ in range(10):
            mouse.send(b"click")
            began_s = self.reactor.now_s
            while not self.take(screen):
                self.run_for(STEP_S)
            waits.append(self.reactor.now_s - began_s)
            self.run_for(0.2)
        # All others' chunks once through would be half a second.
        self.assertLess(max(waits), 0.15)

    def test_higher_at_once(self) -> None:
        """A higher limit holds for who waits already."""
        _, second = self.greedy_pair()
        self.relay.limits = Limits(total_bandwidth_mbit_per_s=0.01)
        self.run_for(1)
        self.relay.limits = self.limits
        self.take(second)
        self.run_for(3)
        self.assertGreater(self.take(second), BYTES_PER_S * 2)

    def test_removed_at_once(self) -> None:
        """Without a limit who waited goes on, and nothing waits any more."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(1)
        self.relay.limits = Limits()
        self.until(lambda: not any(first.to_send for first, _ in pairs))
        self.settle()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_set_at_once(self) -> None:
        """A limit that comes later holds for the sessions there are."""
        self.relay.limits = Limits()
        first, second = self.pair()
        self.relay.limits = self.limits
        first.send(bytes(20_000_000))
        self.run_for(4)
        self.assert_rate(self.take(second), 4, BYTES_PER_S)

    def test_with_a_single_limit(self) -> None:
        """Who has had its own limit's share leaves the rest to the others."""
        self.relay.limits = Limits(
            total_bandwidth_mbit_per_s=MBIT, single_bandwidth_mbit_per_s=MBIT / 4
        )
        _, small = self.greedy_pair()
        self.relay.limits = self.limits
        _, big = self.greedy_pair()
        self.run_for(4)
        self.assert_rate(self.take(small), 4, BYTES_PER_S / 4)
        # Each of the two may be one read ahead of the total.
        self.assert_rate(self.take(big) - SLACK_BYTES, 4, BYTES_PER_S * 3 / 4)

    def test_end_while_they_wait(self) -> None:
        """Sessions that end while they wait make room for the others."""
        pairs = [self.greedy_pair() for _ in range(3)]
        self.run_for(1)
        for first, second in pairs[1:]:
            first.reset()
            second.reset()
        self.run_for(0.5)
        self.take(pairs[0][1])
        self.run_for(3)
        saved = int(BYTES_PER_S * BURST_S)
        self.assert_rate(self.take(pairs[0][1]) - saved, 3, BYTES_PER_S)
