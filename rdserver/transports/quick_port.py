"""
A listening port that answers short requests itself, with one read and one write.

Most connections to the ID server's ports ask one question (NAT test, who is online) or
none at all (latency probes), and are gone.  For those a protocol, a transport and their
timers would cost more than the answer.  Every other connection is handed to Twisted with
what it said so far, and nothing of it is decided here.
"""

from __future__ import annotations

import errno
import select
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ProtocolError
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Answer, Stream
from rdserver.rendezvous.events import Event
from rdserver.transports.admission import Admission
from rdserver.transports.door import Door
from rdserver.transports.quick_caller import Caller, Handover
from rdserver.transports.relay_deadlines import Deadlines
from rdserver.transports.tcp import RendezvousFactory
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.framing import encode_frame, sole_frame

AVAILABLE = hasattr(select, "epoll")

QUICK = frozenset({"test_nat_request", "online_request"})
"""Kinds of messages that are always answered at once, and then the connection is closed."""

READ_BYTES = 4096
"""A longer request is handed to Twisted; nearly none is a tenth of it."""

ACCEPTS = 64
"""In one turn, as is the next; then the reactor serves others."""

EVENTS = 256

TURN_S = 0.001
"""After this what is left of them waits for the next turn."""

REST_S = 1.0
"""How long no connection is accepted after one could not be (no descriptors left)."""


@implementer(IReadDescriptor)
class QuickPort:
    """
    Accepts, and answers what can be answered at once.

    Accepted sockets stay blocking, to save a call to the system for each: whatever is
    done to one must say MSG_DONTWAIT.

    :param listener: bound and listening; this makes a duplicate.
    :param factory: makes the protocols of all other connections.
    :param admission: the factory's.
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
        self._now = now
        self._notices = notices
        self._waiting: dict[int, Caller] = {}
        self._silent: Deadlines[Caller] = Deadlines(
            reactor, now, door.silence_s, self._be_silent
        )
        self._resting: IDelayedCall | None = None
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._events: deque[tuple[int, int]] = deque()
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Serve who is there, but only so long that others have their turn."""
        if not self._events:
            self._events.extend(self._epoll.poll(0, EVENTS))
        until_s = self._now() + TURN_S
        while self._events:
            # An event from the last turn may be of one who is gone, and its descriptor
            # another's: who is called for nothing waits on.
            descriptor, _event = self._events.popleft()
            caller = self._waiting.get(descriptor)
            if caller is None:  # it is the listening socket's
                self._accept_some()
            else:
                self._serve(caller)
            if self._now() > until_s:
                return

    def _accept_some(self) -> None:
        """Let callers in, then serve them: most have said something by then."""
        callers = []
        for _ in range(ACCEPTS):
            try:
                accepted, peer = self._listener.accept()
            except BlockingIOError:
                break
            except (ConnectionAbortedError, PermissionError):  # that one; others wait
                continue
            except OSError as e:
                self._rest(e)
                break
            host = self._factory.admit(peer[0])
            if host is None:
                accepted.close()
            else:
                callers.append(Caller(accepted, Address(host, peer[1])))
        for caller in callers:
            self._serve(caller)

    def _serve(self, caller: Caller) -> None:
        """Read once; if something was said, that is the end of the caller here."""
        try:
            data = caller.socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._wait_for(caller)
            return
        except OSError:
            data = b""  # it has gone
        self._part(caller, partial(self._reply, caller, data) if data else None)

    def _part(self, caller: Caller, last: Callable[[], None] | None) -> None:
        """Be done with *caller* here, once *last* is done."""
        self._forget(caller)
        try:
            if last:
                last()
        except Exception:
            self._notices.error(
                Event.BUG, "a message was not answered", log_failure=Failure()
            )
        finally:
            caller.socket.close()

    def _wait_for(self, caller: Caller) -> None:
        if caller.since_s is not None:  # it was called for nothing
            return
        if not self._door.silence_s:
            self._be_silent(caller)
            return
        try:
            self._epoll.register(caller.socket, select.EPOLLIN)
        except OSError as e:  # no memory, or the limit of what all epolls may watch
            self._rest(e)
            self._end(caller)
            return
        caller.since_s = self._now()
        self._waiting[caller.socket.fileno()] = caller
        self._silent.start(caller)

    def _reply(self, caller: Caller, data: bytes) -> None:
        answer = self._answer(data, caller.address)
        if answer is None:
            self._hand_over(caller, data)
        elif answer:
            with suppress(OSError):  # it has gone; for any answer a new socket has room
                # Answer and end leave together in one packet: half the work.
                caller.socket.send(answer, socket.MSG_DONTWAIT | socket.MSG_MORE)
                caller.socket.shutdown(socket.SHUT_WR)

    def _answer(self, data: bytes, address: Address) -> bytes | None:
        """Return what to say to *data*, or None if that is not for here."""
        frame = sole_frame(data)
        if frame is None:
            return None
        try:
            message = pb.decode(frame)
        except ProtocolError:
            return None  # who it is handed to refuses it, and counts
        if message.WhichOneof("union") not in QUICK:
            return None
        outcome = self._door.decide(message, Stream(0, address))
        if isinstance(outcome, Coroutine):  # an access policy that must ask somebody
            outcome.close()
            return None
        answers = [effect.message for effect in outcome if isinstance(effect, Answer)]
        return b"".join([encode_frame(pb.encode(answer)) for answer in answers])

    def _hand_over(self, caller: Caller, data: bytes) -> None:
        waited_s = 0.0
        if caller.since_s is not None:
            waited_s = self._now() - caller.since_s
            self._epoll.unregister(caller.socket)  # our closing it is not its end
        handover = Handover(self._factory, bool(data))
        family = caller.socket.family
        try:  # the reactor makes a duplicate of the socket
            self._reactor.adoptStreamConnection(caller.socket.fileno(), family, handover)
        except OSError as e:
            if e.errno != errno.ENOTCONN:  # it has not gone: we have no descriptor left
                self._rest(e)
            return
        if handover.protocol is not None:
            handover.protocol.take_over(data, waited_s)

    def _forget(self, caller: Caller) -> None:
        self._admission.leave(caller.address.host)
        if caller.since_s is not None:
            # The epoll forgets it too, when it is closed.
            del self._waiting[caller.socket.fileno()]
            self._silent.stop(caller)

    def _be_silent(self, caller: Caller) -> None:
        """Let Twisted begin a key exchange, if that is offered here."""
        if self._door.offer is None:
            self._end(caller)
            return
        self._part(caller, partial(self._hand_over, caller, b""))

    def _end(self, caller: Caller) -> None:
        self._forget(caller)
        caller.socket.close()

    def _rest(self, why: OSError) -> None:
        """Accept nothing for a while: it would be tried again and again at once."""
        self._notices.error(
            Event.CONNECTION_REFUSED, "no connection can be accepted: {why}", why=str(why)
        )
        if self._resting is None:
            self._listen_for(0)
            self._resting = self._reactor.callLater(REST_S, self._resume)

    def _resume(self) -> None:
        self._resting = None
        self._listen_for(select.EPOLLIN)

    def _listen_for(self, events: int) -> None:
        # It stays registered: to register it again would take memory, and may fail.
        self._epoll.modify(self._listener, events)

    def stopListening(self) -> None:
        """Close the port, and the connections that have said nothing yet."""
        if self._epoll.closed:
            return
        self._reactor.removeReader(self)
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._events.clear()
        for caller in list(self._waiting.values()):
            self._end(caller)
        self._epoll.close()
        self._listener.close()

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "quick"

    def connectionLost(self, reason: Failure) -> None:
        """Close: the reactor ends."""
        self.stopListening()
