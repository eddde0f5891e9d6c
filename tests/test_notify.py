"""Tests for :mod:`rdserver.notify`, with a socket in the place of systemd's."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.notify import Manager, Notifier

PID = 42


class NotifyCase(SynchronousTestCase):
    """Tests with a service manager's socket at a path."""

    def setUp(self) -> None:
        """Make the socket; trial's own folder has a path that is too long."""
        folder = Path(tempfile.mkdtemp(prefix="rdserver-"))
        self.addCleanup(shutil.rmtree, folder)
        self.path = str(folder / "notify")
        self.socket = self.listen(self.path)

    def listen(self, address: str | bytes) -> socket.socket:
        """Return a socket at *address* that never waits."""
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ours.close)
        ours.setblocking(False)
        ours.bind(address)
        return ours

    def heard(self) -> list[str]:
        """Return what has been told since the last call."""
        lines = []
        while True:
            try:
                lines.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return lines


class ManagerTests(NotifyCase):
    """Who is told, and how."""

    def test_path(self) -> None:
        """A path names a socket in the file system."""
        Manager(self.path).tell("READY=1")
        self.assertEqual(["READY=1"], self.heard())

    def test_abstract_name(self) -> None:
        """A name that begins with @ has no file."""
        name = self.path + "-abstract"
        self.socket = self.listen(b"\0" + name.encode())
        Manager("@" + name).tell("READY=1")
        self.assertEqual(["READY=1"], self.heard())

    def test_nobody(self) -> None:
        """Started by hand there is nobody to tell, and no watchdog either."""
        manager = Manager.named_in({"WATCHDOG_USEC": "1000000"}, PID)
        self.assertEqual(Manager("", 0.0), manager)
        manager.tell("READY=1")
        self.assertEqual([], self.heard())

    def test_address_of_another_kind(self) -> None:
        """What is neither path nor abstract name (a vsock, say) is left alone."""
        self.assertEqual(Manager(), Manager.named_in({"NOTIFY_SOCKET": "vsock:2:1"}, PID))

    def test_watchdog(self) -> None:
        """The time comes in microseconds, and counts for the process it was given to."""
        for expected, text, pid in (
            (30.0, "30000000", None),
            (30.0, "30000000", "42"),
            (0.0, "30000000", "43"),
            (0.0, "soon", None),
            (0.0, "-1", None),
        ):
            environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": text}
            if pid is not None:
                environ["WATCHDOG_PID"] = pid
            self.assertEqual(
                Manager("/run/notify", expected), Manager.named_in(environ, PID)
            )

    def test_never_waits(self) -> None:
        """A manager that reads nothing makes telling fail, not the server hang."""
        manager = Manager(self.path)
        with self.assertRaises(OSError):
            for _ in range(100_000):
                manager.tell("WATCHDOG=1")


class NotifierTests(NotifyCase):
    """What the manager is told in the life of a server."""

    def setUp(self) -> None:
        """Have a reactor that does not run yet."""
        super().setUp()
        self.reactor = MemoryReactorClock()

    def notifier(self, watchdog_s: float = 0.0) -> Notifier:
        """Return a service that is not started."""
        return Notifier(Manager(self.path, watchdog_s), self.reactor)

    def run_reactor(self) -> None:
        """Make the calls for when it runs; the fake one keeps them."""
        for call, arguments, keywords in self.reactor.whenRunningHooks:
            call(*arguments, **keywords)

    def test_ready_when_the_reactor_runs(self) -> None:
        """Under twistd services are started before it, and answer nobody until then."""
        self.notifier().startService()
        self.assertEqual([], self.heard())
        self.run_reactor()
        self.assertEqual(["READY=1"], self.heard())

    def test_stop(self) -> None:
        """The stop is told once, at its beginning."""
        notifier = self.notifier()
        notifier.startService()
        self.run_reactor()
        self.heard()
        notifier.stopService()
        notifier.stopService()
        self.assertEqual(["STOPPING=1"], self.heard())

    def test_start_that_failed(self) -> None:
        """What was never started is stopped without a word."""
        self.notifier().stopService()
        self.assertEqual([], self.heard())

    def test_stopped_before_the_reactor_ran(self) -> None:
        """What is stopping does not become ready."""
        notifier = self.notifier()
        notifier.startService()
        notifier.stopService()
        self.run_reactor()
        self.assertEqual(["STOPPING=1"], self.heard())

    def test_watchdog(self) -> None:
        """It hears of us twice in its time, until the stop."""
        notifier = self.notifier(watchdog_s=30.0)
        notifier.startService()
        self.run_reactor()
        self.heard()
        self.reactor.pump([15.0, 14.0, 1.0])
        self.assertEqual(["WATCHDOG=1"] * 2, self.heard())
        self.successResultOf(notifier.stopService())
        self.reactor.advance(60.0)
        self.assertEqual(["STOPPING=1"], self.heard())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_no_watchdog(self) -> None:
        """Nothing ticks where nobody waits for it."""
        self.notifier().startService()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_manager_that_is_gone(self) -> None:
        """That readiness was not heard is logged; a lost sign of life or stop is not."""
        self.socket.close()
        Path(self.path).unlink()
        notifier = self.notifier(watchdog_s=30.0)
        with capturedLogs() as events:
            notifier.startService()
            self.run_reactor()
            self.reactor.advance(15.0)
            notifier.stopService()
        (line,) = map(formatEvent, events)
        self.assertIn("the service manager cannot be told: ", line)
