"""Tests for :mod:`rdserver.presence.memory`."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.interface import Presence
from rdserver.presence.memory import MemoryPresence
from tests.presence.contract import ALICE, PresenceContract


class MemoryPresenceTests(PresenceContract, SynchronousTestCase):
    def make_presence(self, clock: Clock) -> Presence:
        return MemoryPresence(clock.seconds)

    def test_one_number(self) -> None:
        """Devices that register within 10 ms share the number that says when."""
        presence = MemoryPresence(self.clock.seconds)
        times = []
        for n in range(4):
            peer = presence.remember(evolve(ALICE, id=f"id-{n}"))
            presence.try_register(peer)
            times.append(peer.tried_s)
            self.clock.advance(0.005)
        self.assertEqual([0, 0, 0.01, 0.01], times)
        self.assertIs(times[0], times[1])
