"""Datagrams in, datagrams out: the thin edge around ``rdserver.rendezvous.core``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from rdserver.errors import ProtocolError
from rdserver.notices import Notices
from rdserver.rendezvous.effects import Outcome
from rdserver.rendezvous.events import Event
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.address import Address, source_host

if TYPE_CHECKING:
    from twisted.internet.udp import Port


class RendezvousDatagrams(DatagramProtocol):
    """
    Feeds datagrams to the core.

    IPv4 peers of a dual-stack socket wear an IPv6 disguise; it is taken off on the
    way in and put on again on the way out, so that nobody else knows of it.

    :param decide: the core's door for datagrams.
    :param dual_stack: whether the socket is IPv6 and serves IPv4 too.
    :ivar received: datagrams so far.  Counted, not logged: logging costs as much as
        answering.
    """

    transport: Port | None  # None again once the port is closed
    noisy = False

    def __init__(
        self,
        decide: Callable[[pb.RendezvousMessage, Address], Outcome],
        outlet: Outlet,
        notices: Notices[Event],
        *,
        dual_stack: bool,
    ) -> None:
        self._decide = decide
        self._outlet = outlet
        self._notices = notices
        self._dual_stack = dual_stack
        self.received = 0

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.take(datagram, self.origin(*addr))

    def origin(self, host: str, port: int) -> Address:
        """Return where a datagram came from; port 0 means that it is to be dropped."""
        plain = source_host(host)
        if plain is None:
            self._notices.count(Event.IMPOSSIBLE_SOURCE)
            return Address(host, 0)
        return Address(plain, port)

    def take(self, datagram: bytes, origin: Address) -> None:
        """As :meth:`datagramReceived`, with the address as :meth:`origin` returns it."""
        self.received += 1
        if not datagram or not origin.port:
            return
        try:
            settled = self._outlet.settle(self._decide(pb.decode(datagram), origin))
        except ProtocolError:
            self._notices.count(Event.BAD_MESSAGE)
        except Exception:
            self._outlet.report_bug(Failure())
        else:
            if settled is not None:
                settled.addErrback(self._outlet.report_bug)

    def answered(self, count: int, refused: int) -> None:
        """Count datagrams that the port itself has answered, of some in vain."""
        self.received += count
        self._notices.count(Event.UNSENT, refused)

    def report_bug(self, failure: Failure) -> None:
        """Log what should never happen; it costs what came with it, never the port."""
        self._outlet.report_bug(failure)

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram; what the system refuses is that datagram's loss alone."""
        if self.transport is None or not to.port:
            return
        host = f"::ffff:{to.host}" if self._dual_stack and ":" not in to.host else to.host
        try:
            self.transport.write(data, (host, to.port))
        # No route, a firewall; a family that is not served here; too long.
        except (OSError, ValueError, MessageLengthError):
            self._notices.count(Event.UNSENT)
