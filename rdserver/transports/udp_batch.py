"""
The UDP port of the ID server where the system takes and sends datagrams in batches.

Stands in for Twisted's port, in front of the same protocol.  Moves bytes; which of them
are heartbeats that need no reading is for ``rdserver.rendezvous.heartbeats`` to say.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ConfigError
from rdserver.rendezvous.heartbeats import Heartbeats, Reading
from rdserver.transports import mmsg
from rdserver.transports.udp import RendezvousDatagrams

_BATCHES_A_TURN = 4
"""Then the reactor serves others: 256 heartbeats take about half a millisecond."""

_TURN_S = 0.001
"""After this no other batch is begun: strangers' datagrams take longer."""


def takes_batches(udp_path: str) -> bool:
    """
    Return whether batches are wanted (by *auto* or *batch*, not *plain*) and possible.

    :raises ConfigError: they must be taken, and this system cannot.
    """
    if udp_path == "plain":
        return False
    if mmsg.is_available():
        return True
    if udp_path == "batch":
        raise ConfigError("udp-path: this system has no recvmmsg; use auto or plain")
    return False


@implementer(IReadDescriptor)
class BatchPort:
    """
    Receives in batches, and answers heartbeats in batches.

    Everything else goes to the protocol, in the order in which it came, and the answer
    to what came before is sent before.

    :param bound: a UDP socket, which is ours from now on.
    :param reactor: an ``IReactorFDSet``.
    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self,
        bound: socket.socket,
        protocol: RendezvousDatagrams,
        heartbeats: Heartbeats,
        reactor: Any,
        now: Callable[[], float],
    ) -> None:
        self._socket = bound
        self._protocol = protocol
        self._heartbeats = heartbeats
        self._reactor = reactor
        self._now = now
        self._batch = mmsg.DatagramBatch(bound, heartbeats.known, heartbeats.asked)
        self._is_open = True

    def start(self) -> BatchPort:
        """Serve from now on."""
        self._protocol.makeConnection(self)  # type: ignore[arg-type]  # it only writes
        self._reactor.addReader(self)
        return self

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted calls it
        return "UDP in batches"

    def doRead(self) -> None:  # noqa: N802 - Twisted calls it
        """Serve what has come, but only so much that others have their turn."""
        until_s = self._now() + _TURN_S
        for _ in range(_BATCHES_A_TURN):
            count = self._batch.receive()
            try:
                self._serve(self._batch.keys(count))
            except Exception:
                # Twisted would stop reading from a descriptor that raises.
                self._protocol.report_bug(Failure())
            if count < mmsg.SLOTS or not self._is_open or self._now() > until_s:
                return

    def _serve(self, keys: Sequence[bytes]) -> None:
        """Answer the heartbeats; give the rest to the protocol, in order."""
        answered, seen, count = 0, 0, len(keys)
        while self._is_open and answered < count:
            seen = self._heartbeats.recognise(keys, seen)
            if seen == count:
                self._answer(answered, seen)
                return
            datagram = self._batch.datagram(seen)
            origin = self._protocol.origin(*self._batch.source(seen))
            reading = self._heartbeats.learn(keys[seen], datagram, origin)
            if reading is Reading.ASKED:
                self._batch.answer_otherwise(seen)
            elif reading is Reading.UNREAD:
                self._answer(answered, seen)
                self._protocol.take(datagram, origin)
                answered = seen + 1
            seen += 1

    def _answer(self, first: int, end: int) -> None:
        if first < end:
            refused = self._batch.answer(first, end)
            self._protocol.answered(end - first, refused)

    def write(self, data: bytes, to: tuple[str, int]) -> None:
        """
        Send one datagram.

        :raises OSError: the system refuses, or *to* is not a numeric address of the
            socket's family.
        """
        family, (host, port) = self._socket.family, to
        host, _, scope = host.partition("%")
        socket.inet_pton(family, host)  # else the system would ask a name server
        more = (0, int(scope)) if scope else ()
        self._socket.sendto(data, (host, port, *more))

    def stopListening(self) -> None:
        """Close the socket."""
        if not self._is_open:
            return
        self._is_open = False
        self._reactor.removeReader(self)
        self._socket.close()
        self._protocol.doStop()

    def connectionLost(self, _reason: Failure) -> None:
        """Close: the reactor ends."""
        self.stopListening()
