"""The relay's statements in which much time passes, put to it on a clock of our own."""

from __future__ import annotations

from rdserver.relay.limits import Limits, bits_per_s
from tests.transports.paced_case import PacedCase
from tests.transports.relay_case import RelayCase, hello


class WaitingTests(RelayCase):
    def test_144_no_partner(self) -> None:
        """After 30 s alone it is closed; a later one with this uuid waits anew."""
        first = self.connect(hello())
        self.advance(29.9)
        self.assertTrue(first.connected)
        self.advance(0.2)
        self.assertFalse(first.connected)
        later = self.connect(hello())
        self.advance(29)
        self.assertTrue(later.connected)
        partner = self.connect(hello(), "192.0.2.2")
        later.send(b"hello")
        self.settle()
        self.assertEqual(b"hello", partner.read())

    def test_145_no_first_packet(self) -> None:
        """Who says nothing complete within 30 s is closed, without a word."""
        silent, slow = self.connect(), self.connect(hello()[:-1])
        self.advance(29.9)
        self.assertTrue(silent.connected and slow.connected)
        self.advance(0.2)
        self.assertFalse(silent.connected or slow.connected)
        self.assertEqual(b"", silent.read() + slow.read())


class SilenceTests(RelayCase):
    def test_149_silence(self) -> None:
        """31 to 35 s after the last byte in any direction both are closed."""
        first, second = self.pair()
        self.tick(25)
        second.send(b"x")
        self.settle()
        self.tick(30)
        self.assertTrue(first.connected and second.connected)
        self.tick(5)
        self.assertFalse(first.connected or second.connected)

    def tick(self, seconds: int) -> None:
        """Let time pass as the service does, with a sweep each second."""
        for _ in range(seconds):
            self.advance(1)
            self.relay.sweep()
            self.settle()


class DowngradeTests(PacedCase):
    limits = Limits(
        single_bandwidth_mbit_per_s=8,
        limit_speed_mbit_per_s=1,
        downgrade_start_check_s=2,
        downgrade_threshold=0.1,
    )

    def test_154_downgrade(self) -> None:
        """After DOWNGRADE_START_CHECK it has LIMIT_SPEED, and keeps it to its end."""
        _, second = self.greedy_pair()
        self.run_for(2)
        self.assert_rate(len(second.read()), 2, bits_per_s(8) / 8)
        self.run_for(2)
        second.read()
        for _ in range(2):
            self.run_for(10)
            self.assert_rate(len(second.read()), 10, bits_per_s(1) / 8)
