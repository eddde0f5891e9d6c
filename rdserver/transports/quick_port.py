"""
A listening port that answers short requests itself, with one read and one write.

Most connections to the ID server's ports ask one question (NAT test, who is online) or
none at all (latency probes), and are gone.  For those a protocol, a transport and their
timers would cost more than the answer.  Every other connection is handed to Twisted with
what it said so far.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ProtocolError
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Answer, Stream
from rdserver.rendezvous.events import Event
from rdserver.transports.admission import Admission
from rdserver.transports.relay_deadlines import Deadlines
from rdserver.transports.tcp import FRAME_S, Door, RendezvousFactory
from rdserver.wire import pb
from rdserver.wire.address import Address, v4_normalise
from rdserver.wire.framing import FrameDecoder, encode_frame

AVAILABLE = hasattr(select, "epoll")

QUICK = frozenset({"test_nat_request", "online_request"})
"""Kinds of messages that are always answered at once, and then the connection is closed."""

_READ_BYTES = 4096
_ACCEPTS = 64
_EVENTS = 256
_REST_S = 1.0
"""How long no connection is accepted after one could not be (no descriptors left)."""


class _Caller:
    """A connection that has said nothing whole yet."""

    __slots__ = ("address", "socket")

    def __init__(self, accepted: socket.socket, address: Address) -> None:
        self.socket = accepted
        self.address = address


class _Handover:
    """Lets the reactor make a transport, and remembers the protocol on it."""

    def __init__(self, factory: RendezvousFactory) -> None:
        self._factory = factory
        self.protocol: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        self.protocol = self._factory.buildProtocol(addr)
        return self.protocol


@implementer(IReadDescriptor)
class QuickPort:
    """
    Accepts, and answers what can be answered at once.

    :param listener: bound and listening; this makes a duplicate.
    :param factory: makes the protocols of all other connections.
    :param reactor: an ``IReactorFDSet``, ``IReactorSocket`` and ``IReactorTime``.
    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        door: Door,
        factory: RendezvousFactory,
        admission: Admission,
        reactor: Any,
        now: Callable[[], float],
        notices: Notices[Event],
    ) -> None:
        self._listener = listener.dup()
        self._listener.setblocking(False)
        self._door = door
        self._factory = factory
        self._admission = admission
        self._reactor = reactor
        self._notices = notices
        self._callers: dict[int, _Caller] = {}
        self._silent: Deadlines[_Caller] = Deadlines(reactor, now, FRAME_S, self._close)
        self._resting: IDelayedCall | None = None
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Serve who is there."""
        listening = self._listener.fileno()
        for descriptor, _events in self._epoll.poll(0, _EVENTS):
            if descriptor == listening:
                self._accept_some()
                continue
            caller = self._callers.get(descriptor)
            if caller is not None:
                self._serve(caller)

    def _accept_some(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # without a rest it would be tried again and again at once
                self._rest()
                return
            self._take(accepted, Address(v4_normalise(address[0]), address[1]))

    def _take(self, accepted: socket.socket, address: Address) -> None:
        if not self._admission.enter(address.host):
            self._notices.warn(
                Event.CONNECTION_REFUSED,
                "too many connections from {remote}",
                remote=address.host,
            )
            accepted.close()
            return
        accepted.setblocking(False)
        caller = _Caller(accepted, address)
        self._callers[accepted.fileno()] = caller
        self._epoll.register(accepted, select.EPOLLIN)
        self._silent.start(caller)

    def _serve(self, caller: _Caller) -> None:
        try:
            data = caller.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        answer = self._answer(data, caller.address) if data else b""
        if answer is None:
            self._hand_over(caller, data)
            return
        with suppress(OSError):  # it has gone; a socket this new has room for any answer
            caller.socket.send(answer)
        self._close(caller)

    def _answer(self, data: bytes, address: Address) -> bytes | None:
        """Return what to say to *data*, or None if that is not for here."""
        try:
            frame = next(FrameDecoder(self._door.max_frame_bytes).feed(data), None)
            if frame is None:
                return None
            message = pb.decode(frame)
            if message.WhichOneof("union") not in QUICK:
                return None
            outcome = self._door.decide(message, Stream(0, address))
        except ProtocolError:
            return None  # who it is handed to refuses it, and counts
        if not isinstance(outcome, Sequence):  # no quick kind asks storage
            raise TypeError(f"{message.WhichOneof('union')} is not answered at once")
        answers = [effect.message for effect in outcome if isinstance(effect, Answer)]
        return b"".join(encode_frame(pb.encode(answer)) for answer in answers)

    def _hand_over(self, caller: _Caller, data: bytes) -> None:
        handover = _Handover(self._factory)
        self._forget(caller)
        self._reactor.adoptStreamConnection(
            caller.socket.fileno(), caller.socket.family, handover
        )
        caller.socket.close()  # the reactor has its own duplicate
        if handover.protocol is not None:
            handover.protocol.dataReceived(data)

    def _forget(self, caller: _Caller) -> None:
        self._silent.stop(caller)
        del self._callers[caller.socket.fileno()]
        self._epoll.unregister(caller.socket)
        self._admission.leave(caller.address.host)

    def _close(self, caller: _Caller) -> None:
        self._forget(caller)
        caller.socket.close()

    def _rest(self) -> None:
        self._notices.error(
            Event.CONNECTION_REFUSED, "no descriptors left: no connection can be accepted"
        )
        self._epoll.unregister(self._listener)
        self._resting = self._reactor.callLater(_REST_S, self._resume)

    def _resume(self) -> None:
        self._resting = None
        self._epoll.register(self._listener, select.EPOLLIN)

    def stopListening(self) -> None:
        """Close the port, and the connections that have said nothing yet."""
        self._reactor.removeReader(self)
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        for caller in list(self._callers.values()):
            self._close(caller)
        self._epoll.close()
        self._listener.close()

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "quick"

    def connectionLost(self, reason: Failure) -> None:
        """For the reactor, which is ending."""
