"""What an operator may replace while the server runs: read again when asked, or changed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rdserver.sweeper import Sweeper

LOOK_S = 60.0
"""So often each file's date is looked at."""


class Reloadable(Protocol):
    """What was read from files of the operator's, and stays if they turn bad."""

    def look(self) -> None:
        """Take what has changed; called every minute."""

    def reload(self) -> None:
        """Read again, changed or not, and say what came of it: somebody has asked."""


class Reloading(MultiService):
    """
    Reads files again when they have changed, and all of them on SIGHUP.

    :param reactor: the reactor that runs.
    :param reloadable: called at the start; returns what there is, by its name in the log.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, reloadable: Callable[[], Mapping[str, Reloadable]]
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._find = reloadable
        self._reloadable: Mapping[str, Reloadable] = {}
        self._previous: Any = None

    def startService(self) -> None:
        """Watch the files, and listen to the signal."""
        self._reloadable = self._find()
        for name, one in self._reloadable.items():
            look = Sweeper(name, one.look, LOOK_S, self._reactor)
            look.setServiceParent(self)
        self._listen_to_signal()
        super().startService()

    def _listen_to_signal(self) -> None:
        try:
            self._previous = signal.signal(signal.SIGHUP, self._hang_up)
        except ValueError:  # this is not the main thread, which alone gets signals
            self._previous = None

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Read everything again, the rest too if one has a bug."""
        if not self._reloadable:
            self._log.info(
                "asked to read files again: there is no certificate and no access-file"
            )
        for name, one in self._reloadable.items():
            try:
                one.reload()
            except Exception:
                self._log.failure("{name} could not be read again", name=name)

    def stopService(self) -> Deferred[Any]:
        """Leave the signal to whom it was before."""
        if self._previous is not None:
            signal.signal(signal.SIGHUP, self._previous)
            self._previous = None
        stopped: Deferred[Any] = super().stopService()
        return stopped
