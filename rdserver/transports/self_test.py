"""Asks the server's own UDP port a question from time to time, as a client would."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from rdserver.notices import Notices
from rdserver.sweeper import Sweeper
from rdserver.wire import pb

if TYPE_CHECKING:
    from twisted.internet.udp import Port

EVERY_S = 5.0
SILENCE_S = 13.0
"""Without an answer for this long the server counts as deaf.  protocol.md 3.14."""

_QUESTION = pb.encode(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()))
_UNSPECIFIED = ("0.0.0.0", "::")
# A socket of ours that is bound to :: serves IPv4 too.
_LOOPBACK = "127.0.0.1"


class Health(StrEnum):
    """What the self test found."""

    DEAF = "no answer from the own UDP port"
    RECOVERED = "the own UDP port answers again"


class SelfTest(Service, DatagramProtocol):
    """
    Warns once when the ID server stops answering, and says when it answers again.

    Unlike the reference's it never ends the process: a firewall rule on this machine
    must not take down a server that everybody else can reach.

    :param target: IP address and port to ask; an unspecified address is this machine.
    :param reactor: an ``IReactorUDP`` and ``IReactorTime``.
    :param now: monotonic clock, in seconds.
    """

    transport: Port | None  # only while the port is open
    noisy = False
    _log = Logger()

    def __init__(
        self, target: tuple[str, int], reactor: Any, now: Callable[[], float]
    ) -> None:
        host, port = target
        self._target = (_LOOPBACK if host in _UNSPECIFIED else host, port)
        self._reactor = reactor
        self._now = now
        self._port: Any = None
        self._loop = Sweeper("self test", self._ask, EVERY_S, reactor, at_once=True)
        self._unanswered_since: float | None = None
        self._deaf = False
        self.notices = Notices(self._log, Health, now)

    def startService(self) -> None:
        super().startService()
        interface = "::" if ":" in self._target[0] else "0.0.0.0"
        try:
            self._port = self._reactor.listenUDP(0, self, interface=interface)
        except CannotListenError as e:
            self._log.error("self test: it cannot run: {reason}", reason=str(e))
            return
        self._loop.startService()

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        port, self._port = self._port, None
        self._unanswered_since = None
        stopped = [maybeDeferred(self._loop.stopService)]
        if port is not None:
            stopped.append(maybeDeferred(port.stopListening))
        return gatherResults(stopped)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._unanswered_since = None
        if self._deaf:
            self._deaf = False
            self.notices.warn(
                Health.RECOVERED,
                "self test: answered again by {remote}",
                remote=f"{addr[0]} port {addr[1]}",
            )

    def _ask(self) -> None:
        # Not since the last answer: all of it may have been asleep in between.
        if self._unanswered_since is None:
            self._unanswered_since = self._now()
        silent_s = self._now() - self._unanswered_since
        if silent_s >= SILENCE_S and not self._deaf:
            self._deaf = True
            self.notices.error(
                Health.DEAF,
                "self test: no answer from {remote} for {seconds:.0f} s",
                remote=f"{self._target[0]} port {self._target[1]}",
                seconds=silent_s,
            )
        self._send()

    def _send(self) -> None:
        if self.transport is None:
            return
        try:
            self.transport.write(_QUESTION, self._target)
        except (OSError, ValueError) as e:  # no route, a firewall; a zone in the address
            self._log.debug("self test: {error}", error=str(e))
