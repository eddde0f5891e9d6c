"""Asks the server's own UDP port a question from time to time, as a client would."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from rdserver.notices import Notices
from rdserver.wire import pb

if TYPE_CHECKING:
    from twisted.internet.udp import Port

EVERY_S = 5.0
SILENCE_S = 13.0
"""Without an answer for this long the server counts as deaf.  protocol.md 3.14."""

_QUESTION = pb.encode(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()))


class Health(StrEnum):
    """What the self test found."""

    DEAF = "no answer from the own UDP port"
    RECOVERED = "the own UDP port answers again"


class SelfTest(Service, DatagramProtocol):
    """
    Warns once when the ID server stops answering, and says when it answers again.

    Unlike the reference's it never ends the process: a firewall rule on this machine
    must not take down a server that everybody else can reach.

    :param target: IP address and port to ask.
    :param reactor: an ``IReactorUDP`` and ``IReactorTime``.
    :param now: monotonic clock, in seconds.
    """

    transport: Port
    noisy = False
    _log = Logger()

    def __init__(
        self, target: tuple[str, int], reactor: Any, now: Callable[[], float]
    ) -> None:
        self._target = target
        self._reactor = reactor
        self._now = now
        self._port: Any = None
        self._loop = LoopingCall(self._ask)
        self._loop.clock = reactor
        self._heard_s = 0.0
        self._deaf = False
        self.notices = Notices(self._log, Health, now)

    def startService(self) -> None:
        super().startService()
        interface = "::" if ":" in self._target[0] else "0.0.0.0"
        self._port = self._reactor.listenUDP(0, self, interface=interface)
        self._heard_s = self._now()
        self._loop.start(EVERY_S)

    def stopService(self) -> Any:
        super().stopService()
        self._loop.stop()
        port, self._port = self._port, None
        return port.stopListening()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._heard_s = self._now()
        if self._deaf:
            self._deaf = False
            self.notices.warn(
                Health.RECOVERED,
                "self test: answered again by {remote}",
                remote=f"{addr[0]} port {addr[1]}",
            )

    def _ask(self) -> None:
        silent_s = self._now() - self._heard_s
        if silent_s >= SILENCE_S and not self._deaf:
            self._deaf = True
            self.notices.error(
                Health.DEAF,
                "self test: no answer from {remote} for {seconds:.0f} s",
                remote=f"{self._target[0]} port {self._target[1]}",
                seconds=silent_s,
            )
        try:
            self.transport.write(_QUESTION, self._target)
        except OSError as e:
            self._log.debug("self test: {error}", error=str(e))
