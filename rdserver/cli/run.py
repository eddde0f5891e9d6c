"""
Runs a service in the foreground, without ``twistd``.

``twistd`` dies of the signal that stopped it, and Debian 12's reports success when an
option is wrong.  Our own programs end with status 0 and 1.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from rdserver.errors import ConfigError, StorageError, UnavailableError
from rdserver.settings.options import ProgramOptions

# What stops a start with a sentence for the operator; anything else is a bug.
_REFUSALS = (ConfigError, StorageError, CannotListenError, SystemExit)
# What the system says of names and rights.  All else may pass by itself: a full disk, a
# port that is taken, an address that comes later than we.
_LASTING = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL),
)
_STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def run(options: ProgramOptions, name: str) -> int:
    """
    Run the server that ``options`` describe until a signal stops it.

    ``name`` begins what is written to stderr.  Returns the exit status: 0 after an
    orderly stop, that of :func:`refused_status` or 1 when the server could not start.
    """
    from twisted.internet import reactor

    from rdserver import log
    from rdserver.service import makeService

    log.start(options.config.log_level, options.config.log_format)
    core, threads = IReactorCore(reactor), IReactorFromThreads(reactor)
    # Behind the reactor's own handlers, which know no SIGQUIT.
    core.callWhenRunning(_on_signals, lambda: threads.callFromThread(_stop, core))
    return Foreground(core, name).run(lambda: makeService(options))


def refused_status() -> int:
    """
    Return the status for settings that are wrong: 1, as the original's.

    A service manager is told what it need not try again: wrong settings stay wrong.
    """
    return os.EX_CONFIG if os.environ.get("NOTIFY_SOCKET") else 1


def _on_signals(stop: Callable[[], object]) -> None:
    for number in _STOPPING_SIGNALS:
        signal.signal(number, lambda _number, _frame: stop())


def _stop(reactor: IReactorCore) -> None:
    # A second signal finds a reactor that is stopping already.
    with suppress(ReactorNotRunning):
        reactor.stop()


class Foreground:
    """
    The lifetime of one service in a reactor of its own.

    The service is also stopped when its start failed halfway: what it had opened is
    closed.  ``startService`` may return a Deferred; if that fails, the start failed.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorCore, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._status = 0

    def run(self, build: Callable[[], IService]) -> int:
        """Build a service, run it until the reactor stops, and return the exit status."""
        try:
            service = build()
        except _REFUSALS as e:
            self._report(str(e))
            return _status_for(e)
        self._reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        self._reactor.callWhenRunning(self._start, service)
        self._reactor.run()
        return self._status

    def _start(self, service: IService) -> None:
        maybeDeferred(_start_in_order, service).addErrback(self._start_failed)

    def _start_failed(self, failure: Failure) -> None:
        self._status = _status_for(failure.value)
        if failure.check(*_REFUSALS):
            self._report(str(failure.value))
        else:
            self._log.failure("The start failed because of a bug", failure)
            self._report("the start failed because of a bug; see the log")
        _stop(self._reactor)

    def _report(self, sentence: str) -> None:
        sys.stderr.write(f"{self._name}: {sentence}\n")


def _status_for(error: BaseException | None) -> int:
    if not isinstance(error, ConfigError) or isinstance(error, UnavailableError):
        return 1
    cause = error.__cause__
    passes = isinstance(cause, OSError) and cause.errno not in _LASTING
    return 1 if passes else refused_status()


def _start_in_order(service: IService) -> object:
    service.privilegedStartService()
    return service.startService()
