"""Frames in, frames out, on the ID server's TCP ports; decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import (
    IAddress,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.notices import Notices
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import FRAME_S
from rdserver.transports.admission import Admission
from rdserver.transports.conversation import Conversation
from rdserver.transports.door import Company, Door
from rdserver.transports.outlet import Outlet
from rdserver.transports.timed import Timed
from rdserver.wire.address import Address, source_host
from rdserver.wire.foreign import foreign
from rdserver.wire.framing import FrameDecoder, encode_frame

if TYPE_CHECKING:
    from twisted.internet.tcp import Server


@implementer(IPushProducer)
class RendezvousStream(Protocol, Timed):
    """
    One TCP connection to the ID server.

    It is registered as its own transport's producer, and so learns when a client lets
    its answers pile up: such a connection is cut.

    :param address: the client's.
    :param clock: for the deadlines.
    :ivar has_spoken: whether anything has come; to be set before the connection is made if
        somebody else has read it.
    """

    transport: Server

    def __init__(self, address: Address, company: Company, clock: IReactorTime) -> None:
        self._address = address
        self._company = company
        self.clock = clock
        self._decoder = FrameDecoder(company.door.max_frame_bytes, self._may_be_long)
        self.has_spoken = False
        self._is_known = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._conversation = Conversation(
            self,
            self._company,
            self._address,
            websocket=False,
            has_spoken=self.has_spoken,
        )

    def take_over(self, data: bytes, waited_s: float) -> None:
        """
        Go on with a connection that has said *data* in its first *waited_s* seconds.

        If that is nothing, it was all the time that it has for its first word.
        """
        if not data:
            self._conversation.late()
            return
        if waited_s:
            self.wait(max(FRAME_S - waited_s, 0.0))
        self.dataReceived(data)

    def dataReceived(self, data: bytes) -> None:
        if not self.has_spoken:
            self.has_spoken = True
            self._conversation.spoke()
        if not self._is_known:
            self._is_known = True
            self._refuse_foreign(foreign(data))
        if self._conversation.is_open:
            frames = self._decoder.feed(data)
            if self._conversation.is_listening:
                self._conversation.take(frames)

    def _may_be_long(self, size: int) -> bool:
        return self._conversation.may_be_long(size)

    def _refuse_foreign(self, what: str) -> None:
        if what:
            self._company.notices.warn(
                Event.FOREIGN,
                "{what} from {remote} on the ID server's plain port: browsers and clients "
                "that use WebSocket belong on port+2, or with tls-cert on https-port",
                what=what,
                remote=self._address,
            )
            self._conversation.finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        self.factory.left(self._address.host)
        self._conversation.lost()

    # What the conversation asks for.

    def write(self, payload: bytes) -> None:
        self.transport.write(encode_frame(payload))

    def close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def cut(self) -> None:
        self.transport.abortConnection()

    def pause(self) -> None:
        self.transport.pauseProducing()

    def go_on(self) -> None:
        self.transport.resumeProducing()
        self._conversation.take(self._decoder.feed(b""))

    def let_pile_up(self) -> None:
        self.transport.unregisterProducer()

    def hold(self) -> None:
        self.setTimeout(None)
        self.transport.setTcpKeepAlive(True)

    # What Twisted calls.

    def timeoutConnection(self) -> None:
        self._conversation.late()

    def pauseProducing(self) -> None:
        """Called when answers pile up because the client does not read them."""
        self._conversation.abort()

    def resumeProducing(self) -> None:
        """Called when the transport has room again: nothing to do."""

    def stopProducing(self) -> None:
        """Called when the connection ends while we are registered: nothing to do."""


class RendezvousFactory(Factory):
    """What the connections to one port share."""

    noisy = False

    def __init__(
        self,
        *,
        door: Door,
        outlet: Outlet,
        admission: Admission,
        clock: IReactorTime,
        now: Callable[[], float],
        notices: Notices[Event],
    ) -> None:
        self._company = Company(
            door=door, outlet=outlet, clock=clock, now=now, notices=notices
        )
        self._admission = admission
        self._clock = clock
        self._notices = notices

    def buildProtocol(self, addr: IAddress | None) -> RendezvousStream | None:
        """Return None, which makes Twisted close, where one is not admitted."""
        host = self.admit(getattr(addr, "host", ""))
        if host is None:
            return None
        address = Address(host, getattr(addr, "port", 0))
        stream = RendezvousStream(address, self._company, self._clock)
        stream.factory = self
        return stream

    def admit(self, host: str) -> str | None:
        """Count a connection from *host* in; return that normalised, None to close it."""
        plain = source_host(host)
        if plain is None:
            self._notices.count(Event.IMPOSSIBLE_SOURCE)
            return None
        if not self._admission.enter(plain):
            self._notices.warn(
                Event.CONNECTION_REFUSED, "too many connections from {remote}", remote=plain
            )
            return None
        return plain

    def left(self, host: str) -> None:
        """Note that a connection from *host* is gone."""
        self._admission.leave(host)
