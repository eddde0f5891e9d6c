"""The relay's TCP connections until they are paired, and their orderly end."""

from __future__ import annotations

from collections.abc import Callable
from socket import SocketType

from attrs import frozen
from twisted.internet import tcp
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.errors import ProtocolError
from rdserver.relay.core import Match, Relay, Wait
from rdserver.relay.limits import (
    EARLY_BYTES,
    FIRST_FRAME_BYTES,
    MAX_DISCARDED_BYTES,
)
from rdserver.relay.refusals import Refusal, RefusedError
from rdserver.transports.detach import detach
from rdserver.transports.lingering import Lingering
from rdserver.transports.relay_deadlines import Deadlines
from rdserver.transports.relay_path import DataPath, Detached
from rdserver.transports.unsent import unsent_bytes
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.foreign import foreign
from rdserver.wire.framing import FrameDecoder
from rdserver.wire.websocket import NORMAL, REFUSED, CloseWatch, close_frame


def _discard(data: bytes) -> None:
    """Nobody is told of these bytes."""


def _nothing() -> None:
    """The end of this connection is no news."""


def _can_half_close(transport: object) -> bool:
    # Over TLS half a close would cut the encrypted stream in the middle of a record.
    return isinstance(transport, tcp.Connection)


def _unsent_bytes(transport: object) -> int:
    # Only a socket can tell: what lies over one has it below, what replaces it has none.
    while not isinstance(transport, tcp.Connection):
        transport = getattr(transport, "transport", None)
        if transport is None:
            return 0
    buffered_bytes = len(transport.dataBuffer) - transport.offset
    return buffered_bytes + unsent_bytes(transport.fileno())


@implementer(IHalfCloseableProtocol)
class RelayConnection(Protocol):
    """
    One side of a session.

    It goes from its first frame over waiting to a data path and to its end, each with
    its own deadline.  Which it is says *who* receives its bytes, and who is told that
    the other side has closed.  Not one byte of our own is ever sent, but for the Close
    frames of WebSocket.

    :ivar address: the client's, IPv4 never in an IPv6 disguise.
    :ivar is_websocket: somebody else has read its first message, and calls
        :meth:`take_over`; here it begins behind that.
    :ivar ending: it is being closed, or lost.
    """

    transport: tcp.Server

    def __init__(
        self, address: Address, shared: Shared, is_websocket: bool = False
    ) -> None:
        self.address = address
        self.is_websocket = is_websocket
        self._shared = shared
        self._decoder = FrameDecoder(FIRST_FRAME_BYTES)
        self._early = bytearray()
        self._closing = CloseWatch() if is_websocket else None
        self._received: Callable[[bytes], None] = self._receive_first_bytes
        self._ended: Callable[[], None] = self.drop
        self.ending = False
        self._discarded = 0
        self._gone = self._read_closed = self._write_closed = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._shared.first_frame.start(self)

    def dataReceived(self, data: bytes) -> None:
        """What bytes mean depends on the state, so the state is who receives them."""
        self._received(data)

    def _receive_first_bytes(self, data: bytes) -> None:
        what = foreign(data)
        if what:
            self._shared.relay.refuse_foreign(self.address, what)
            self.drop()
            return
        self._received = self._receive_first_frame
        self._receive_first_frame(data)

    def _receive_first_frame(self, data: bytes) -> None:
        try:
            frame = next(self._decoder.feed(data), None)
        except ProtocolError:
            self.refuse(Refusal.FRAME_TOO_LONG)
            return
        if frame is not None:
            self.take_over(frame, self._decoder.take_rest())

    def take_over(self, frame: bytes, rest: bytes) -> None:
        """Join the session that the first *frame* asks for; *rest* came behind it."""
        try:
            self._request = pb.decode(frame)
        except ProtocolError:
            self.refuse(Refusal.NOT_A_REQUEST)
            return
        self._received = self._keep
        self._keep(rest)
        if not self.ending:
            self._join()

    def _join(self) -> None:
        self._stop_deadlines()
        try:
            outcome = self._shared.relay.join(self, self._request)
        except RefusedError:  # counted and logged where it was decided
            self.drop(REFUSED)
            return
        if isinstance(outcome, Match):
            self._shared.path.begin(outcome.session, outcome.partner, self)
        elif outcome is Wait.FOR_TICKET:
            self._shared.ticket.start(self)
        else:
            self._shared.partner.start(self)

    def announced(self) -> None:
        """The ID server has announced the session: go on where it was missing."""
        self._join()

    def _keep(self, data: bytes) -> None:
        """Hold, unparsed, what comes before the partner; it is still read, so as to see
        that the client has gone."""
        self._early += data
        if self._closing is not None and self._closing.sees_close(data):
            self.drop()
        elif len(self._early) >= EARLY_BYTES:
            self.transport.pauseProducing()

    def take_early(self) -> bytes:
        """Return, once, what came behind the first frame."""
        early, self._early = bytes(self._early), bytearray()
        return early

    def divert(self, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        """Give data and the news of the end to a data path; see :class:`PathEnd`."""
        self._stop_deadlines()
        self._received, self._ended = received, ended

    def detach(self) -> tuple[SocketType, Shared]:
        """Take the socket out of Twisted; see :class:`PathEnd`."""
        self._stop_deadlines()
        self._received, self._ended = _discard, _nothing
        self._shared.detached(self)
        return detach(self.transport), self._shared

    def refuse(self, reason: Refusal) -> None:
        """Close without a word, and keep the reason."""
        self._shared.relay.refuse(self.address, reason)
        self.drop(REFUSED)

    def drop(self, code: int = NORMAL) -> None:
        """
        Close without a word.

        :param code: for a WebSocket, which is owed one.
        """
        if self._begin_end():
            if self.is_websocket:
                self.transport.write(close_frame(code))
            self.transport.loseConnection()

    def finish(self) -> None:
        """
        Send what is buffered, then close; see :class:`PathEnd`.

        A TCP connection is closed for writing first, and fully when the other side has
        closed too.  Closing it at once would, with any unread byte on it, make the
        kernel reset it and throw away what it has not sent yet.
        """
        if not self._begin_end():
            return
        # With a paused producer still registered no close would ever finish.
        self.transport.unregisterProducer()
        if not _can_half_close(self.transport):
            self.transport.loseConnection()
            return
        self.transport.loseWriteConnection()
        if not self._read_closed:
            self.transport.resumeProducing()

    def unsent_bytes(self) -> int:
        """Return what is still held for the client, here and in the kernel."""
        return _unsent_bytes(self.transport)

    def _begin_end(self) -> bool:
        """Leave every table; return whether there is still a connection to close."""
        self._shared.relay.withdraw(self)
        self._stop_deadlines()
        self.ending = True
        self._received, self._ended = self._discard, _nothing
        self._early.clear()
        if not self._gone:
            # Before closing, which may end at once.
            self._shared.linger.start(self)
        return not self._gone

    def _discard(self, data: bytes) -> None:
        """Read on until the other side has closed too, but not for ever."""
        self._discarded += len(data)
        if self._discarded >= MAX_DISCARDED_BYTES:
            self.transport.pauseProducing()

    def give_up(self) -> None:
        """The time for an orderly end is over."""
        if self._write_closed:
            self.transport.loseConnection()  # the kernel still sends what it has
        else:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:  # noqa: N802  (Twisted calls it so)
        self._read_closed = True
        self._ended()
        self._close_if_both_closed()

    def writeConnectionLost(self) -> None:  # noqa: N802
        self._write_closed = True
        self._close_if_both_closed()

    def _close_if_both_closed(self) -> None:
        if self._read_closed and self._write_closed:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        ended = self._ended
        self._begin_end()
        self._received = _discard  # or it would hold itself
        ended()
        self._shared.gone(self)

    def _stop_deadlines(self) -> None:
        shared = self._shared
        for deadlines in (shared.first_frame, shared.ticket, shared.partner):
            deadlines.stop(self)
        shared.linger.stop(self)


@frozen
class Shared:
    """
    What all connections of one relay share.

    :ivar linger: from the end of a session, or a refusal, to the last resort.
    :ivar gone: told of each connection that is lost, once.
    :ivar detached: told of each connection that leaves Twisted; what replaces it will be
        gone in its place.
    """

    relay: Relay[RelayConnection]
    path: DataPath
    first_frame: Deadlines[RelayConnection]
    ticket: Deadlines[RelayConnection]
    partner: Deadlines[RelayConnection]
    linger: Lingering
    gone: Callable[[Detached], None]
    detached: Callable[[RelayConnection], None]
