"""Tests for :mod:`rdserver.reloading`, alone and in a whole server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.reloading import LOOK_S, Reloadable, Reloading
from rdserver.rendezvous.access import AccessRequest, Door
from rdserver.service import Server
from tests.fakes import FakeReactor
from tests.test_service import ServiceCase


class Counted:
    """Something that is read again."""

    def __init__(self) -> None:
        self.looks = 0
        self.reloads = 0

    def look(self) -> None:
        self.looks += 1

    def reload(self) -> None:
        self.reloads += 1


class Broken:
    """Something with a bug."""

    def look(self) -> None:
        raise RuntimeError("a bug")

    reload = look


def hang_up(case: SynchronousTestCase, reactor: Any) -> list[str]:
    """Send SIGHUP, which the reactor's next turn answers; return what was logged."""
    calls: list[Callable[[], None]] = []
    patch = case.patch(reactor, "callFromThread", calls.append)
    with capturedLogs() as events:
        os.kill(os.getpid(), signal.SIGHUP)
        for call in calls:
            call()
    patch.restore()
    return [str(formatEvent(event)) for event in events]


class ReloadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.found: dict[str, Reloadable] = {}
        self.previous = signal.getsignal(signal.SIGHUP)
        self.addCleanup(signal.signal, signal.SIGHUP, self.previous)
        self.reloading = Reloading(self.reactor, lambda: self.found)

    def test_looks(self) -> None:
        """Each is looked at every minute, until the stop, whatever the others do."""
        one, two = Counted(), Counted()
        self.found.update(one=one, bad=Broken(), two=two)
        self.reloading.startService()
        self.reactor.pump([LOOK_S] * 2)
        self.assertEqual(2, len(self.flushLoggedErrors(RuntimeError)))
        self.successResultOf(self.reloading.stopService())
        self.reactor.advance(LOOK_S)
        self.assertEqual([(2, 0)] * 2, [(n.looks, n.reloads) for n in (one, two)])
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_signal(self) -> None:
        """SIGHUP reads all of them again, also after one that has a bug."""
        one, two = Counted(), Counted()
        self.found.update(one=one, bad=Broken(), two=two)
        self.reloading.startService()
        self.assertEqual(["bad could not be read again"], hang_up(self, self.reactor))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual([(0, 1)] * 2, [(n.looks, n.reloads) for n in (one, two)])
        self.successResultOf(self.reloading.stopService())

    def test_signal_is_given_back(self) -> None:
        """After the stop the signal is whose it was before; stopping twice is harmless."""
        self.reloading.startService()
        self.assertNotEqual(self.previous, signal.getsignal(signal.SIGHUP))
        for _ in range(2):
            self.successResultOf(self.reloading.stopService())
            self.assertEqual(self.previous, signal.getsignal(signal.SIGHUP))

    def test_another_thread(self) -> None:
        """A server in a thread that gets no signals does without."""
        one = self.found["one"] = Counted()
        thread = threading.Thread(target=self.reloading.startService)
        thread.start()
        thread.join()
        self.assertEqual(self.previous, signal.getsignal(signal.SIGHUP))
        self.reactor.advance(LOOK_S)
        self.assertEqual(1, one.looks)
        self.successResultOf(self.reloading.stopService())

    def test_nothing(self) -> None:
        """Where there is nothing to read again the signal says so, and does no harm."""
        self.reloading.startService()
        [line] = hang_up(self, self.reactor)
        self.assertIn("there is no certificate and no access-file", line)
        self.successResultOf(self.reloading.stopService())


class ServerTests(ServiceCase):
    """The access rules of a whole server."""

    def setUp(self) -> None:
        super().setUp()
        self.rules = self.folder / "access.conf"
        self.rules.write_text("deny 1*\n")

    def make_with_rules(self, *more: str) -> Server:
        return self.make("--access-file", str(self.rules), *more)

    def is_refused(self, server: Server, peer_id: str) -> bool:
        request = AccessRequest(door=Door.PUNCH, host="192.0.2.1", peer_id=peer_id)
        return bool(server.access_file.decide(request).refusal)

    def test_rules(self) -> None:
        """They hold from the start, change with the file, and at once on SIGHUP."""
        server = self.make_with_rules()
        self.start(server)
        self.assertTrue(self.is_refused(server, "123456"))
        self.rules.write_text("deny 2* # changed\n")
        self.reactor.advance(LOOK_S)
        self.assertEqual([False, True], [self.is_refused(server, n) for n in ("1", "2")])
        self.rules.write_text("deny 3* # once more\n")
        self.assertIn("hold from now on", "".join(hang_up(self, self.reactor)))
        self.assertEqual([False, True], [self.is_refused(server, n) for n in ("2", "3")])
        self.stop(server)

    def test_bad_rules(self) -> None:
        """A file that is no good stops the start with one sentence."""
        self.rules.write_text("deny\n")
        sentence = f"access-file: {self.rules}, line 1: nothing stands behind deny"
        self.assert_refused(ConfigError, sentence, self.make_with_rules())

    def test_relay_alone(self) -> None:
        """A relay on its own has no use for the file, and does not read it."""
        self.rules.unlink()
        server = self.make_with_rules("--role=relay", "--relay-auth=open")
        self.start(server)
        self.assertIsNone(server.access_file)
        self.stop(server)
