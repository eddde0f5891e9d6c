"""Tests for :mod:`rdserver.presence.memory`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence.interface import Presence
from rdserver.presence.memory import MemoryPresence
from tests.presence.contract import PresenceContract


class MemoryPresenceTests(PresenceContract, SynchronousTestCase):
    def make_presence(self, clock: Clock) -> Presence:
        return MemoryPresence(clock.seconds)
