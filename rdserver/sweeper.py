"""Regular housekeeping that survives its own failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, LoopingCall
from twisted.logger import Logger


class Sweeper(Service):
    """
    Runs a housekeeping job every *interval_s* seconds while the service runs.

    A job that fails is logged and runs again next time.  (LoopingCall alone would
    stop at the first exception, and the table it sweeps would grow.)  One that takes
    longer is not overlapped by the next.  One that returns an iterator is done when
    that ends; each of its steps has a reactor turn of its own.

    :param at_once: whether the first run is at the start already.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        job: Callable[[], object],
        interval_s: float,
        clock: IReactorTime,
        *,
        at_once: bool = False,
    ) -> None:
        self._job_name = name
        self._job = job
        self._interval_s = interval_s
        self._at_once = at_once
        self._loop = LoopingCall(self._run_once)
        self._loop.clock = clock
        self._stopped: Deferred[Any] | None = None
        self._steps = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,  # one step a turn
            scheduler=lambda turn: clock.callLater(0, turn),
        )

    def startService(self) -> None:
        super().startService()
        self._stopped = self._loop.start(self._interval_s, now=self._at_once)

    def stopService(self) -> Deferred[Any] | None:
        """Return a Deferred that fires once a job now running has ended."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        return self._stopped

    def _run_once(self) -> Deferred[Any]:
        return (
            maybeDeferred(self._job)
            .addCallback(self._finish)
            .addErrback(
                lambda f: self._log.failure(
                    "{job} failed, will run again", f, job=self._job_name
                )
            )
        )

    def _finish(self, result: object) -> Deferred[Any] | None:
        return self._steps.coiterate(result) if isinstance(result, Iterator) else None
