"""
Tells the service manager how the server is: the protocol of systemd's ``sd_notify``.

A datagram to the socket that the manager named in the environment; where it named none,
nothing is sent.  No library is needed for it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rdserver.sweeper import Sweeper

_WORD = "utf-8", "surrogateescape"  # as Python reads the environment


@frozen
class Manager:
    """
    The service manager that started this process.

    :ivar address: its socket: a path, or an abstract name that begins with ``@``.
        Empty: there is none.
    :ivar watchdog_s: it kills a process from which it has heard nothing for so long;
        0: it does not.
    """

    address: str = ""
    watchdog_s: float = 0.0

    @classmethod
    def named_in(cls, environ: Mapping[str, str], pid: int) -> Manager:
        """
        Return the one that *environ* names.

        :param pid: of this process; the watchdog may be meant for another one, which
            passed its environment on.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        meant_for_us = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        text = environ.get("WATCHDOG_USEC", "") if meant_for_us else ""
        return cls(address, int(text) / 1e6 if text.isdecimal() else 0.0)

    def tell(self, state: str) -> None:
        """
        Send *state*, ``NAME=value`` on each line, without ever waiting.

        :raises OSError: it could not be sent.
        """
        if not self.address:
            return
        name = self.address.encode(*_WORD)
        if name.startswith(b"@"):
            name = b"\0" + name[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            ours.sendto(state.encode(), name)


class Notifier(MultiService):
    """
    Tells *manager* when the server is ready, that it lives, and when it stops.

    To be started last: it says that everything before it has been.

    :param reactor: the reactor that runs.  It is the one that proves that it lives.
    """

    _log = Logger()

    def __init__(self, manager: Manager, reactor: Any) -> None:
        super().__init__()
        self._manager = manager
        self._reactor = reactor
        if manager.watchdog_s:
            interval_s = manager.watchdog_s / 2
            Sweeper("watchdog", self._alive, interval_s, reactor).setServiceParent(self)

    def startService(self) -> None:
        """Report readiness as soon as the reactor runs: before, nobody is answered."""
        super().startService()
        self._reactor.callWhenRunning(self._ready)

    def stopService(self) -> Deferred[Any]:
        """Report the stop; what was never ready says nothing."""
        if self.running:
            with suppress(OSError):  # whoever ordered the stop sees it anyway
                self._manager.tell("STOPPING=1")
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def _ready(self) -> None:
        if not self.running:  # stopped before the reactor ran
            return
        try:
            self._manager.tell("READY=1")
        except OSError as e:
            self._log.error("the service manager cannot be told: {reason}", reason=str(e))

    def _alive(self) -> None:
        # Lost ones are made up for by the next, and must not fill the log.
        with suppress(OSError):
            self._manager.tell("WATCHDOG=1")
