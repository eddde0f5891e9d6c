"""Connects to each configured relay from time to time, to hand out only those alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from rdserver.rendezvous.routing import Relays

EVERY_S = 3.0
TIMEOUT_S = 3.0
DEFAULT_PORT = 21117


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
    :param connect: connects to a host and port and disconnects; its Deferred fails,
        within :data:`TIMEOUT_S`, if that does not work.

    Source: protocol.md section 3.9, health check.
    """

    _log = Logger()

    def __init__(
        self, relays: Relays, connect: Callable[[str, int], Deferred[Any]], clock: Any
    ) -> None:
        self._relays = relays
        self._connect = connect
        self._loop = LoopingCall(self._check)
        self._loop.clock = clock
        self._dead: frozenset[str] = frozenset()

    def startService(self) -> None:
        super().startService()
        self._loop.start(EVERY_S)

    def stopService(self) -> None:
        super().stopService()
        self._loop.stop()

    def _check(self) -> Deferred[Any] | None:
        asked = self._relays.configured
        if len(asked) < 2:
            return None
        checked = gatherResults([self._is_alive(relay) for relay in asked])
        return checked.addCallback(lambda alive: self._take(asked, alive))

    def _is_alive(self, relay: str) -> Deferred[bool]:
        attempt = self._connect(*host_and_port(relay))
        return attempt.addCallbacks(lambda _: True, lambda _: False)

    def _take(self, asked: tuple[str, ...], alive: list[bool]) -> None:
        found = [relay for relay, answers in zip(asked, alive, strict=True) if answers]
        self._relays.checked(asked, found)
        dead = frozenset(asked).difference(found)
        for relay in sorted(dead - self._dead):
            self._log.warn("relay {relay} does not answer", relay=relay)
        for relay in sorted((self._dead - dead) & frozenset(asked)):
            self._log.info("relay {relay} answers again", relay=relay)
        self._dead = dead
