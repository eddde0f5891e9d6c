"""Tests for :mod:`rdserver.cli.run`: the lifetime of a service in the foreground."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

import rdserver
from rdserver.cli.run import Foreground
from rdserver.errors import ConfigError, StorageError, UnavailableError

ROOT = Path(rdserver.__file__).resolve().parent.parent
# A server that says when it runs and, a moment after it was asked to stop, that it has
# stopped.  Each line is written whole, so that nothing is left to chance.
SERVER = """
import sys, types
from twisted.application.service import Service
from twisted.internet import reactor, task
from rdserver.cli import run

class Slow(Service):
    def startService(self):
        reactor.callLater(0, print, "running", flush=True)
    def stopService(self):
        return task.deferLater(reactor, 0.05, print, "stopped", flush=True)

for name, content in [
    ("rdserver.service", {"makeService": lambda options: Slow()}),
    ("rdserver.log", {"start": lambda level, format: print(level, format)}),
]:
    sys.modules[name] = module = types.ModuleType(name)
    vars(module).update(content)
    setattr(sys.modules["rdserver"], name.rpartition(".")[2], module)
from rdserver.settings.options import Options
options = Options({})
options.parseOptions(["--log-level=warn", "--log-format=json"])
sys.exit(run.run(options, "test"))
"""


def of_system(number: int) -> ConfigError:
    """Return what is said where the system refused something."""
    error = ConfigError("it cannot be had")
    error.__cause__ = OSError(number, "no")
    return error


class Recorder(Service):
    """Notes its life; optionally one step of it goes wrong."""

    def __init__(self, life: list[str], step: str = "", error: object = None) -> None:
        self.life = life
        self.step = step
        self.error = error

    def _note(self, step: str) -> object:
        self.life.append(step)
        if step == self.step and isinstance(self.error, BaseException):
            raise self.error
        return self.error if step == self.step else None

    def privilegedStartService(self) -> object:
        return self._note("privileged")

    def startService(self) -> object:
        return self._note("start")

    def stopService(self) -> object:
        return self._note("stop")


class StoppingReactor(MemoryReactor):
    """Runs its shutdown triggers when it stops, and refuses to stop twice."""

    stopped = False

    def run(self) -> None:
        self.running = True
        for function, arguments, named in self.whenRunningHooks:
            function(*arguments, **named)

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning()
        self.stopped = True
        for function, arguments, named in self.triggers["before"]["shutdown"]:
            function(*arguments, **named)


class ForegroundTests(SynchronousTestCase):
    """A service is started, stopped, and its failure told in one sentence."""

    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)
        self.reactor = StoppingReactor()
        self.life: list[str] = []

    def run_service(self, service: Service) -> int:
        return Foreground(self.reactor, "test").run(lambda: service)

    def assert_start_fails(self, sentence: str, error: object) -> None:
        """A start that fails ends with the sentence, status 1 and a stopped service."""
        status = self.run_service(Recorder(self.life, "start", error))
        self.assertEqual((1, f"test: {sentence}\n"), (status, self.stderr.getvalue()))
        self.assertEqual(["privileged", "start", "stop"], self.life)
        self.assertTrue(self.reactor.stopped)

    def test_life(self) -> None:
        """Privileged start, start, and stop before the reactor shuts down."""
        status = self.run_service(Recorder(self.life))
        self.assertEqual(["privileged", "start"], self.life)
        self.reactor.stop()
        self.assertEqual(["privileged", "start", "stop"], self.life)
        self.assertEqual((0, ""), (status, self.stderr.getvalue()))

    def test_operator_errors(self) -> None:
        """A wrong setting stops the start."""
        self.assert_start_fails("key is missing", ConfigError("key is missing"))

    def test_storage_errors(self) -> None:
        """So does a database that cannot be opened."""
        self.assert_start_fails("the disk is full", StorageError("the disk is full"))

    def test_exit(self) -> None:
        """So does the text of a SystemExit, which is how twistd is told."""
        self.assert_start_fails("no", SystemExit("no"))

    def test_taken_port(self) -> None:
        """So does a port that somebody else listens on."""
        error = CannotListenError("", 21116, OSError("taken"))
        self.assert_start_fails("Couldn't listen on any:21116: taken.", error)

    def test_later_failure(self) -> None:
        """A start that takes its time may fail later."""
        self.assert_start_fails("too late", fail(ConfigError("too late")))

    def test_much_later_failure(self) -> None:
        """Until it does, the server runs."""
        starting: Deferred[None] = Deferred()
        foreground = Foreground(self.reactor, "test")
        self.assertEqual(0, foreground.run(lambda: Recorder(self.life, "start", starting)))
        self.assertFalse(self.reactor.stopped)
        starting.errback(StorageError("gone"))
        self.assertTrue(self.reactor.stopped)
        self.assertEqual("test: gone\n", self.stderr.getvalue())

    def test_bug(self) -> None:
        """Anything else is logged with its traceback, and ends the process too."""
        self.assert_start_fails(
            "the start failed because of a bug; see the log", ZeroDivisionError()
        )
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_privileged_failure(self) -> None:
        """What fails early is not started further."""
        error = ConfigError("early")
        self.assertEqual(1, self.run_service(Recorder(self.life, "privileged", error)))
        self.assertEqual(["privileged", "stop"], self.life)

    def test_siblings_are_stopped(self) -> None:
        """Services that had started are stopped when a later one fails."""
        both = MultiService()
        Recorder(self.life).setServiceParent(both)
        Recorder(self.life, "start", ConfigError("second")).setServiceParent(both)
        self.assertEqual(1, self.run_service(both))
        self.assertEqual(["start", "start", "stop", "stop"], self.life[2:])

    def test_reactor_that_stops_itself(self) -> None:
        """A service that stops the reactor while its start fails changes nothing."""

        class Impatient(Recorder):
            def startService(inner) -> object:  # noqa: N805 - self is the test's
                self.reactor.stop()
                return super().startService()

        impatient = Impatient(self.life, "start", ConfigError("no"))
        self.assertEqual(1, self.run_service(impatient))

    def test_told_to_a_service_manager(self) -> None:
        """It is told which failures stay, by a status of their own."""
        self.patch(os, "environ", {"NOTIFY_SOCKET": "@manager"})
        for error, status in (
            (ConfigError("no certificate"), os.EX_CONFIG),
            (of_system(errno.ENOENT), os.EX_CONFIG),
            (of_system(errno.EACCES), os.EX_CONFIG),
            (of_system(errno.ENOSPC), 1),
            (of_system(errno.EADDRINUSE), 1),
            (UnavailableError("no key yet"), 1),
            (StorageError("busy"), 1),
        ):
            self.reactor = StoppingReactor()
            self.assertEqual(status, self.run_service(Recorder([], "start", error)))

            def build(error: Exception = error) -> Service:
                raise error

            self.assertEqual(status, Foreground(self.reactor, "test").run(build))

    def test_build_failure(self) -> None:
        """A service that cannot be built never sees the reactor run."""

        def build() -> Service:
            raise ConfigError("wrong")

        self.assertEqual(1, Foreground(self.reactor, "test").run(build))
        self.assertEqual("test: wrong\n", self.stderr.getvalue())
        self.assertFalse(self.reactor.running)


class SignalTests(SynchronousTestCase):
    """A real process and real signals: only they show the exit status."""

    def assert_stops_in_order(self, *signals: signal.Signals) -> None:
        command = [sys.executable, "-c", SERVER]
        with subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True) as server:
            self.addCleanup(server.kill)
            assert server.stdout is not None
            self.assertEqual("warn json\n", server.stdout.readline())
            self.assertEqual("running\n", server.stdout.readline())
            for number in signals:
                server.send_signal(number)
            out, err = server.communicate(timeout=30)
        self.assertEqual(("stopped\n", "", 0), (out, err, server.returncode))

    def test_signals(self) -> None:
        """Each stops the service, waits for it, and gives status 0."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.assert_stops_in_order(number)

    def test_impatience(self) -> None:
        """A second signal changes nothing and complains of nothing."""
        self.assert_stops_in_order(signal.SIGINT, signal.SIGTERM)
