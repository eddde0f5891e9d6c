"""Tests for :mod:`rdserver.presence.untracked`."""

from __future__ import annotations

import gc
import platform
from unittest import mock
from weakref import ref

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.presence import untracked
from rdserver.presence.memory import MemoryPresence
from tests.presence.contract import ALICE, HOME


class Node:
    """Something that can refer to anything."""

    def __init__(self) -> None:
        self.other: object = None


class UntrackTests(SynchronousTestCase):
    def test_out_of_sight(self) -> None:
        """The collector does not see the object; its memory is freed all the same."""
        node = Node()
        gone = ref(node)
        untracked.untrack(node)
        self.assertFalse(gc.is_tracked(node))
        gc.collect()
        self.assertIsNone(node.other)
        del node
        self.assertIsNone(gone())

    def test_twice(self) -> None:
        """An object that is out of sight already may be given again; any object may."""
        for thing in ([], [], "text", 1):
            untracked.untrack(thing)
            untracked.untrack(thing)
            self.assertFalse(gc.is_tracked(thing))

    def test_other_pythons(self) -> None:
        """Where there is no such function nothing happens."""
        with mock.patch.object(platform, "python_implementation", return_value="PyPy"):
            untrack = untracked._chosen()
        things: list[object] = []
        untrack(things)
        self.assertTrue(gc.is_tracked(things))


class DevicesTests(SynchronousTestCase):
    def test_devices(self) -> None:
        """No device is seen, nor a table that holds them, whatever happens to them."""
        clock = Clock()
        presence = MemoryPresence(clock.seconds)
        for n in range(3000):
            peer = presence.remember(evolve(ALICE, id=f"device-{n}"))
            presence.refresh(peer, HOME)
            presence.try_register(peer)
            presence.expect(peer, b"heartbeat %d" % n)
        presence.confirm(evolve(ALICE, id="another"), HOME)
        devices = [peer for shard in presence._shards for peer in shard.values()]
        self.assertEqual(3001, len(devices))
        tables = [table for table in (*presence._shards, presence._expected) if table]
        seen = [thing for thing in (*devices, *tables) if gc.is_tracked(thing)]
        self.assertEqual([], seen)
