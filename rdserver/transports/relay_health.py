"""Connects to each configured relay from time to time, to hand out only those alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from rdserver.rendezvous.routing import Relays
from rdserver.sweeper import Sweeper

EVERY_S = 3.0
TIMEOUT_S = 3.0
DEFAULT_PORT = 21117
_HIGHEST_PORT = 65535


def host_and_port(relay: str) -> tuple[str, int]:
    """Split ``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare IPv6 address."""
    host, colon, port = relay.rpartition(":")
    bracketed = relay.startswith("[")
    if not colon or relay.endswith("]") or (":" in host and not bracketed):
        return relay.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port) if port.isdecimal() else DEFAULT_PORT


class RelayHealth(Service):
    """
    Checks the relays as soon as there is more than one to choose from.

    A check that takes long is not overlapped by the next.

    :param relays: told which are alive.
    :param connect: connects to a host and port and disconnects; its Deferred fails if
        that does not work, and is cancelled after :data:`TIMEOUT_S`.

    Source: protocol.md section 3.9, health check.
    """

    _log = Logger()

    def __init__(
        self,
        relays: Relays,
        connect: Callable[[str, int], Deferred[Any]],
        clock: IReactorTime,
    ) -> None:
        self._relays = relays
        self._connect = connect
        self._clock = clock
        self._loop = Sweeper("relay check", self._check, EVERY_S, clock, at_once=True)
        self._attempts: list[Deferred[bool]] = []
        self._dead: frozenset[str] = frozenset()

    def startService(self) -> None:
        super().startService()
        self._loop.startService()

    def stopService(self) -> Deferred[Any] | None:
        """Give up the check that is under way."""
        super().stopService()
        stopped = self._loop.stopService()
        for attempt in self._attempts:
            attempt.cancel()
        return stopped

    def _check(self) -> Deferred[None]:
        asked = self._relays.configured
        if len(asked) < 2:
            self._dead = frozenset()
            return succeed(None)
        self._attempts = [self._is_alive(relay) for relay in asked]
        return gatherResults(self._attempts).addCallback(
            lambda alive: self._take(asked, alive)
        )

    def _is_alive(self, relay: str) -> Deferred[bool]:
        host, port = host_and_port(relay)
        if not 0 < port <= _HIGHEST_PORT:
            return succeed(False)
        attempt = maybeDeferred(self._connect, host, port)
        # Looking up the name has no end of its own.
        attempt.addTimeout(TIMEOUT_S, self._clock)
        return attempt.addCallbacks(lambda _: True, lambda _: False)

    def _take(self, asked: tuple[str, ...], alive: list[bool]) -> None:
        self._attempts = []
        if not self.running or asked != self._relays.configured:
            return
        found = [relay for relay, answers in zip(asked, alive, strict=True) if answers]
        self._relays.checked(asked, found)
        dead = frozenset(asked).difference(found)
        for relay in sorted(dead - self._dead):
            self._log.warn("relay {relay} does not answer", relay=relay)
        for relay in sorted((self._dead - dead) & frozenset(asked)):
            self._log.info("relay {relay} answers again", relay=relay)
        self._dead = dead
