"""Sessions whose first side always has more to send; for tests of limits."""

from __future__ import annotations

from tests.fakes import READ_BYTES, FakeTCP, TurnClock
from tests.transports.relay_case import RelayCase, hello

STEP_S = 0.005


class PacedCase(RelayCase):
    sessions = 0

    def make_clock(self) -> TurnClock:
        return TurnClock()

    def greedy_pair(self, host: str = "192.0.2.1") -> tuple[FakeTCP, FakeTCP]:
        """Return a session whose first side has endless data."""
        self.sessions += 1
        pair = (
            self.connect(hello(f"s{self.sessions}"), host),
            self.connect(hello(f"s{self.sessions}")),
        )
        pair[0].send(b"x" * 20_000_000)
        return pair

    def run_for(self, seconds: float) -> None:
        """Let time pass in small steps, with a sweep each second."""
        for step in range(round(seconds / STEP_S)):
            self.turn(STEP_S)
            while self.clock.is_due():
                self.turn(0)
            if step % round(1 / STEP_S) == 0:
                self.relay.sweep()

    def turn(self, seconds: float) -> None:
        """One turn of a reactor: first the clock, then every connection."""
        self.clock.advance(seconds)
        for client in self.clients:
            client.turn()

    def assert_rate(self, moved_bytes: int, seconds: float, rate: float) -> None:
        """Not more than *rate* allows and one read, and nearly as much."""
        self.assertLessEqual(moved_bytes, rate * seconds + READ_BYTES)
        self.assertGreater(moved_bytes, rate * seconds * 0.9 - READ_BYTES)
