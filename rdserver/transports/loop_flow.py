"""
One direction of a session in the loop: what all kinds of it have in common.

That is the two ends, what the limits allow, and what is paid for.  How a chunk gets from
one to the other is for the kinds to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from socket import SocketType

from rdserver.relay.limiter import Meter
from rdserver.relay.limits import MAX_DISCARDED_BYTES
from rdserver.relay.session import Session
from rdserver.transports.splice_owner import Owner
from rdserver.transports.splice_tools import BUFFER_BYTES, Tools
from rdserver.wire.address import Address

CHUNK_BYTES = 192 * 1024
"""Most that one turn moves: some tens of microseconds, which is how long others wait."""

UNPAID_BYTES = 64 * 1024
"""While no limit is near, what small messages add up to before it is looked for."""


class LoopFlow(ABC):
    """
    What *source* sends goes to *sink*.

    :param side: whose bytes these are in the session's books, 0 or 1.
    :ivar closing, queued, readable, stuck: see
        :class:`rdserver.transports.splice_loop.Flow`.
    :ivar over: nothing more is wanted from the source: what was read is still flushed,
        what comes is thrown away.
    :ivar heard_all: the source has closed its side; for the owner.
    :ivar said_all: the sink has got everything, and our side is closed; for the owner.
    """

    __slots__ = (
        "_discarded",
        "_held",
        "_is_far",
        "_owner",
        "_received",
        "_tools",
        "_unpaid",
        "closing",
        "heard_all",
        "over",
        "queued",
        "readable",
        "said_all",
        "session",
        "side",
        "sink",
        "source",
        "stuck",
    )

    def __init__(
        self,
        tools: Tools,
        owner: Owner,
        session: Session,
        *,
        side: int,
        source: SocketType,
        sink: SocketType,
    ) -> None:
        self._tools = tools
        self._owner = owner
        self.session = session
        self._received = session.received
        self.side = side
        self.source = source
        self.sink = sink
        self._is_far = False
        self._unpaid = 0
        self._discarded = 0
        self._held = False
        self.stuck = False
        self.queued = False
        self.readable = False
        self.closing = False
        self.over = False
        self.heard_all = False
        self.said_all = False

    @abstractmethod
    def begin(self, early: bytes) -> None:
        """Send first of all *early*, which was read before the socket came here."""

    @abstractmethod
    def turn(self) -> None:
        """Move at most one chunk; never raises."""

    @abstractmethod
    def drop(self) -> None:
        """Forget what the sink did not take: it is gone."""

    @abstractmethod
    def unsent_bytes(self) -> int:
        """Return how much of what was read the sink's client has not taken yet."""

    @property
    def meter(self) -> Meter:
        """For the pacer."""
        return self.session.meter

    def hold(self) -> None:
        """Read nothing until :meth:`release`: a limit is reached."""
        self._held = True
        self.session.held += 1

    def release(self) -> None:
        """Go on reading, now: who waits behind it goes by what it has moved."""
        self._held = False
        self.session.held -= 1
        if not self.queued:
            self.turn()

    def _allowed(self) -> int:
        self.settle()
        meter = self.session.meter
        if not meter.limited:
            self._is_far = True
            return CHUNK_BYTES
        want = meter.grant(CHUNK_BYTES, self._tools.now())
        self._is_far = want == CHUNK_BYTES and not meter.contended
        return want

    def _receive(self, size: int) -> int:
        """Return how much was read into the shared buffer."""
        try:
            received = self.source.recv_into(self._tools.buffer, size)
        except OSError as e:
            self._not_received(e)
            return 0
        if not received:
            self._received_all()
        return received

    def _not_received(self, error: OSError) -> None:
        self.readable = False
        # Nothing to read, of one that was said to be broken: then it broke otherwise.
        if self.closing or not isinstance(error, BlockingIOError):
            self._owner.source_broke(self)

    def _received_all(self) -> None:
        self.readable = False
        self._owner.source_ended(self)

    def _not_sent(self, error: OSError, size: int) -> int:
        """Return how much counts as sent: of what a broken sink was to get, everything."""
        if isinstance(error, BlockingIOError):
            return 0
        self._owner.sink_broke(self)
        return size

    def _wind_up(self) -> None:
        self._owner.flushed(self)
        # Until it has closed too: else the kernel would reset it, and what it was sent
        # last be lost.  Of who goes on and on nothing more is read, and its time ends.
        if self.readable and self._discarded < MAX_DISCARDED_BYTES:
            self._discarded += self._receive(BUFFER_BYTES)
            if self.readable:
                self._tools.loop.queue(self)

    @property
    def address(self) -> Address:
        """The sink's client."""
        return self.session.first if self.side else self.session.second

    def give_up(self) -> None:
        """The time for the sink to take everything is over."""
        self._owner.give_up(self)

    def _account(self, size: int) -> None:
        self._received[self.side] += size
        self._tools.loop.moved_bytes += size
        if not self._is_far:
            self._tools.pacer.moved(self, size)
            return
        self._unpaid += size
        if self.session.meter.take(size) or self._unpaid >= UNPAID_BYTES:
            self.settle()

    def settle(self) -> None:
        """Pay for what was moved, and ask the limits again before the next chunk."""
        if self._unpaid:
            self.session.meter.settle(self._unpaid)
            self._unpaid = 0
        self._is_far = False
