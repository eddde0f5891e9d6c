"""The time that a connection has when its session is over."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.lingering import MOST_PERIODS, Lingering

PERIOD_S = 30.0


class Debtor:
    """A connection to which something is owed."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.given_up = 0

    def unsent_bytes(self) -> int:
        return self.unsent

    def give_up(self) -> None:
        self.given_up += 1


class LingeringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lingering = Lingering(self.clock, self.clock.seconds, PERIOD_S)

    def take_one_byte_each(self, connection: Debtor, periods: int) -> None:
        """Let time pass, in each part of which *connection* takes a byte."""
        for _ in range(periods):
            connection.unsent -= 1
            self.clock.advance(PERIOD_S)

    def assert_nothing_left(self) -> None:
        self.assertEqual(0, len(self.lingering))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_takes_nothing(self) -> None:
        """Who takes nothing for a whole period is given up then."""
        connection = Debtor(1000)
        self.lingering.start(connection)
        self.clock.advance(PERIOD_S - 1)
        self.assertEqual(0, connection.given_up)
        self.clock.advance(1)
        self.assertEqual(1, connection.given_up)
        self.assert_nothing_left()

    def test_takes_little(self) -> None:
        """Who takes a byte in each period has many of them, but not for ever."""
        connection = Debtor(1000)
        self.lingering.start(connection)
        self.take_one_byte_each(connection, MOST_PERIODS - 1)
        self.assertEqual((0, 1), (connection.given_up, len(self.lingering)))
        self.take_one_byte_each(connection, 1)
        self.assertEqual(1, connection.given_up)
        self.assert_nothing_left()

    def test_each_has_its_own(self) -> None:
        """What one has used up of its time is no other's loss."""
        first, second = Debtor(1000), Debtor(1000)
        self.lingering.start(first)
        self.take_one_byte_each(first, MOST_PERIODS - 1)
        self.lingering.start(second)
        second.unsent -= 1
        self.take_one_byte_each(first, 1)
        self.assertEqual((1, 0), (first.given_up, second.given_up))
        self.assertEqual([second], list(self.lingering))

    def test_stop(self) -> None:
        """Who is gone is not given up; to say so twice is harmless."""
        connection = Debtor(1000)
        self.lingering.start(connection)
        for _ in range(2):
            self.lingering.stop(connection)
        self.assert_nothing_left()
        self.clock.advance(PERIOD_S)
        self.assertEqual(0, connection.given_up)
