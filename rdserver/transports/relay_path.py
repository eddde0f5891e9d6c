"""The seam between pairing and what moves the bytes afterwards."""

from __future__ import annotations

from collections.abc import Callable
from socket import SocketType
from typing import TYPE_CHECKING, Protocol

from rdserver.relay.session import Session
from rdserver.relay.usage import EndReason
from rdserver.transports.lingering import Lingering, Owed
from rdserver.wire.address import Address

if TYPE_CHECKING:
    from twisted.internet.tcp import Server


Finished = Callable[[Session, EndReason], None]


class Detached(Owed, Protocol):
    """A connection that has left Twisted, as the relay's tables keep it."""

    @property
    def address(self) -> Address: ...


class Farewell(Protocol):
    """Where the end of detached connections is told."""

    @property
    def linger(self) -> Lingering:
        """Those whose session is over; it gives up those that take too long."""

    def gone(self, connection: Detached) -> None:
        """Note that the socket is closed."""


class PathEnd(Protocol):
    """
    One of the two connections, as a data path may use it.

    :ivar transport: the path may use it, unless it detaches.
    :ivar is_websocket: its bytes are frames of WebSocket, else those of TCP.
    """

    transport: Server
    is_websocket: bool

    def take_early(self) -> bytes:
        """Return, once, what came behind the first frame."""

    def divert(self, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        """
        From now on give all data to *received*, and say *ended* once.

        *ended* is called when the other side has closed, or the connection is lost; not
        after :meth:`finish`.
        """

    def detach(self) -> tuple[SocketType, Farewell]:
        """
        Take the socket out of Twisted: from now on the path reads, writes and closes it.

        The transport must be :func:`rdserver.transports.detach.is_detachable`; it and
        this are gone afterwards.
        """

    def finish(self) -> None:
        """
        Send what is buffered, then close; what still comes in is thrown away.

        A deadline is set.  Nothing happens if the connection is lost already.
        """

    def unsent_bytes(self) -> int:
        """Return how much of what was sent its client has not taken yet."""


class DataPath(Protocol):
    """
    Moves bytes between two connections and keeps the session's books.

    It counts what was received in ``session.received``, puts the session's part of itself
    in ``session.carrier``, obeys ``session.meter``, and tells the relay once that the
    session is finished.
    """

    def begin(self, session: Session, first: PathEnd, second: PathEnd) -> None:
        """Take both connections over.  They may be paused, and may have early data."""

    def sweep(self) -> None:
        """Let go of what nobody has used for a while; to be called every second."""

    def close(self) -> None:
        """Let go of everything; all connections have ended."""
