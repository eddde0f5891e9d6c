"""When a session ends, when it is slowed down, and what is said about it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.limiter import Meter
from rdserver.relay.limits import Limits, bits_per_s
from rdserver.relay.lists import AddressList
from rdserver.relay.session import Session
from rdserver.relay.total import Total
from rdserver.relay.usage import EndReason, SessionLog, SessionRecord, Usage, usage_lines
from rdserver.wire.address import Address
from tests.relay.carrier import FakeCarrier

FIRST = Address("192.0.2.1", 5001)
SECOND = Address("198.51.100.2", 5002)
MBIT_BYTES = 1024 * 1024 // 8


class SessionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 100.0
        self.limits = Limits()
        self.blacklist = AddressList("blacklist")
        self.blocklist = AddressList("blocklist")
        self.begin()

    def begin(self, single_mbit: float | None = None) -> None:
        single = None if single_mbit is None else bits_per_s(single_mbit)
        meter = Meter(Total(None, self.now_s), single, bits_per_s(1), self.now_s)
        self.session = Session(1, FIRST, SECOND, meter, self.now_s)

    def tick(self, seconds: float = 1.0, moved_bytes: int = 0) -> EndReason | None:
        """Let time pass and bytes move, then judge."""
        self.now_s += seconds
        self.session.received[0] += moved_bytes
        return self.session.tick(self.now_s, self.limits, self.blacklist, self.blocklist)

    def rate(self) -> float:
        """Bits per second that the session's own limit gives; 0 is no limit."""
        bucket = self.session.meter._own
        return 0 if bucket is None else bucket.rate


class SilenceTests(SessionCase):
    def test_ends_after_more_than_30_whole_seconds(self) -> None:
        """30 seconds and a part are no end yet, 31 are."""
        self.assertIsNone(self.tick(30.9))
        self.assertEqual(EndReason.SILENT, self.tick(0.1))

    def test_either_direction_keeps_it(self) -> None:
        """A byte of either side, seen by a tick, begins the time anew."""
        self.assertIsNone(self.tick(30))
        self.session.received[1] += 1
        self.assertIsNone(self.tick(30))
        self.assertIsNone(self.tick(30.5))
        self.assertEqual(EndReason.SILENT, self.tick(0.5))

    def test_between_31_and_35_seconds(self) -> None:
        """With a tick each second the end comes 31 to 33 seconds after the last byte."""
        self.tick(0.9)
        self.session.received[0] += 1
        seconds = 0
        while self.tick() is None:
            seconds += 1
        self.assertIn(seconds, (31, 32))

    def test_held_is_not_silent(self) -> None:
        """Who waits for the limiter has something to say."""
        self.session.held = 1
        for _ in range(3):
            self.assertIsNone(self.tick(40))
        self.session.held = 0
        self.assertEqual(EndReason.SILENT, self.tick(31))

    def test_slow_reader_is_not_silent(self) -> None:
        """Who takes what was sent is there, however long nothing new is read for it."""
        carrier = FakeCarrier()
        self.session.carrier = carrier
        carrier.unsent = 4_000_000
        for _ in range(5):
            self.assertIsNone(self.tick(30))
            carrier.unsent -= 1
        self.assertIsNone(self.tick(30))
        self.assertEqual(EndReason.SILENT, self.tick(31))


class ListTests(SessionCase):
    def test_blocked_while_it_runs(self) -> None:
        """A session ends at the tick after either side came on the blocklist."""
        for entry in (FIRST.host, SECOND.host, "198.51.100.0/24"):
            self.begin()
            self.assertIsNone(self.tick())
            self.blocklist.add(entry)
            self.assertIsNone(self.tick(0.5))
            self.assertEqual(EndReason.BLOCKED, self.tick(0.5))
            self.blocklist.clear()

    def test_blacklisted_while_it_runs(self) -> None:
        """While either side is on the blacklist the session is slow."""
        for entry in (FIRST.host, SECOND.host):
            self.tick()
            self.assertEqual(0, self.rate())
            self.blacklist.add(entry)
            self.tick()
            self.assertEqual(bits_per_s(1), self.rate())
            self.blacklist.clear()
        self.tick()
        self.assertEqual(0, self.rate())

    def test_blacklisted_before(self) -> None:
        """Who is on the blacklist already is slow from the first byte."""
        self.blacklist.add(FIRST.host)
        self.session.check_speed(self.blacklist, self.now_s)
        self.assertTrue(self.session.meter.limited)


class DowngradeTests(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.limits = Limits(downgrade_start_check_s=2, downgrade_threshold=0.1)
        self.begin(single_mbit=8)

    def test_above_the_threshold(self) -> None:
        """Who used more than its part is slow from the first tick behind the check."""
        for _ in range(2):
            self.tick(1.0, MBIT_BYTES)
            self.assertEqual(bits_per_s(8), self.rate())
        self.tick(1.0, MBIT_BYTES)
        self.assertEqual(bits_per_s(1), self.rate())

    def test_for_good(self) -> None:
        """A downgraded session stays so until its end."""
        self.tick(3.0, 3 * MBIT_BYTES)
        for _ in range(60):
            self.tick(1.0, 1)
        self.assertEqual(bits_per_s(1), self.rate())

    def test_at_the_threshold(self) -> None:
        """Exactly the part is allowed; 0.8 Mb/s are a tenth of 8."""
        self.session.received[0] += int(0.8 * 4 * MBIT_BYTES)
        self.tick(4.0)
        self.assertEqual(bits_per_s(8), self.rate())

    def test_no_single_limit(self) -> None:
        """Where there is no limit for one session nothing is downgraded."""
        self.begin()
        self.tick(3.0, 2**30)
        self.assertEqual(0, self.rate())

    def test_threshold_of_the_day(self) -> None:
        """The threshold is the one in force, also for sessions that run already."""
        self.limits = Limits(downgrade_start_check_s=2, downgrade_threshold=0.5)
        self.tick(3.0, 3 * MBIT_BYTES)
        self.assertEqual(bits_per_s(8), self.rate())
        self.limits = Limits(downgrade_start_check_s=2, downgrade_threshold=0.1)
        self.tick(1.0, MBIT_BYTES)
        self.assertEqual(bits_per_s(1), self.rate())


class UsageTests(SynchronousTestCase):
    def test_ticks(self) -> None:
        """Figures are taken after a second or more, never earlier."""
        usage = Usage(0.0)
        self.assertFalse(usage.tick(8000, 0.998))
        self.assertEqual((0, 0.0), (usage.elapsed_ms, usage.average))
        self.assertTrue(usage.tick(8000, 0.9999))
        self.assertEqual((1000, 8000), (usage.elapsed_ms, usage.total_bits))

    def test_speeds(self) -> None:
        """Highest, average and current speed are in bits per millisecond."""
        usage = Usage(0.0)
        usage.tick(80_000, 1.0)
        usage.tick(100_000, 3.0)
        self.assertEqual((80, 10), (usage.highest, usage.current))
        self.assertAlmostEqual(33.33, usage.average, 2)
        self.assertEqual("3s 0.01MB 80kb/s 33kb/s 10kb/s", str(usage))

    def test_text(self) -> None:
        """Seconds and speeds are cut off to whole ones, MB have two decimals."""
        usage = Usage(0.0)
        usage.tick(8 * 1024 * 1024, 1.9)
        self.assertEqual("1s 1.00MB 4415kb/s 4415kb/s 4415kb/s", str(usage))


class ListingTests(SessionCase):
    def test_line(self) -> None:
        """A session is named by its second comer; without a tick it is left out."""
        self.assertEqual("", usage_lines([self.session]))
        self.tick(1.0, 1024 * 1024)
        line = "198.51.100.2:5002: 1s 1.00MB 8388kb/s 8388kb/s 8388kb/s\n"
        self.assertEqual(line, usage_lines([self.session]))

    def test_order(self) -> None:
        """Who moved most stands first; IPv6 has no brackets."""
        self.tick(1.0, 10)
        small = self.session
        meter = Meter(Total(None, 0.0), None, 1.0, 0.0)
        big = Session(2, FIRST, Address("2001:db8::1", 7), meter, 0.0)
        big.received[1] = 2**20
        big.tick(1.0, self.limits, self.blacklist, self.blocklist)
        lines = usage_lines([small, big]).splitlines()
        self.assertEqual(
            ["2001:db8::1:7:", "198.51.100.2:5002:"], [x.split(" ")[0] for x in lines]
        )


class RecordTests(SessionCase):
    def test_record(self) -> None:
        """The record tells both directions apart and how long it was."""
        self.session.received[:] = [3, 4]
        record = self.session.record(EndReason.CLOSED, self.now_s + 5)
        expected = SessionRecord(FIRST, SECOND, 3, 4, 5.0, EndReason.CLOSED)
        self.assertEqual(expected, record)

    def test_nothing_to_end_yet(self) -> None:
        """Before a data path took it on, ending a session is harmless."""
        self.session.end(EndReason.STOPPED)


class SessionLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.session_log = SessionLog(self.clock.seconds)
        self.record = SessionRecord(FIRST, SECOND, 3, 4, 5.0, EndReason.CLOSED)

    def write(self, times: int) -> list[str]:
        with capturedLogs() as events:
            for _ in range(times):
                self.session_log.write(self.record)
        return [e["log_format"].format(**e) for e in events]

    def test_line(self) -> None:
        """One line says who, how much each way, how long and why it ended."""
        self.assertEqual(
            [
                "relayed 3 bytes from 192.0.2.1:5001 and 4 from 198.51.100.2:5002 "
                "in 5 s: closed"
            ],
            self.write(1),
        )

    def test_no_flood(self) -> None:
        """Strangers cannot fill the log: most lines of a flood are only counted."""
        self.assertEqual(100, len(self.write(1000)))
        self.clock.advance(0.9)
        self.assertEqual([], self.write(1))
        self.clock.advance(0.1)
        [line] = self.write(1)
        self.assertTrue(line.endswith("closed (and 901 more before)"), line)
        self.clock.advance(1)
        self.assertTrue(self.write(1)[0].endswith("closed"))
