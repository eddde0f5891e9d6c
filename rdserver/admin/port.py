"""
What carries console commands: one command and its answer for each connection.

On its Unix socket (``unix.py``) a console needs no more than :class:`ConsoleFactory`.
On a TCP port that it shares with clients, as in the original, stands a
:class:`SniffingFactory` before both.

Source: protocol.md sections 3.13, 3.18 number 12 and 4.7.
"""
# ruff: noqa: N802 - doStart, readConnectionLost and the like are Twisted's names.

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.admin.console import MAX_COMMAND_BYTES, Console
from rdserver.wire.address import source_host

if TYPE_CHECKING:
    from twisted.internet.tcp import Server

COMMAND_S = 1.0
"""Time for a command to begin (protocol.md section 3.13)."""

GRACE_S = 0.1
"""
Time for the rest of a command without a newline.  The original takes what one read
gives, so there are clients that send none.
"""

DRAIN_S = 30.0
"""Time for the answer to leave."""

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\r\n"


@implementer(IHalfCloseableProtocol)
class ConsoleProtocol(Protocol, TimeoutMixin):
    """
    Waits for a command, then writes the whole answer, then closes.

    A command ends at a newline, at the end of what is sent, or :data:`GRACE_S` after
    it began.  One that is too long or no UTF-8 is not answered.
    """

    transport: Server

    def __init__(self, console: Console, clock: IReactorTime) -> None:
        self._console = console
        self._clock = clock
        self._received = b""
        self._answered = False
        self._is_gone = False

    def connectionMade(self) -> None:
        self.setTimeout(COMMAND_S)

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            return
        is_first = not self._received
        self._received += data
        line, newline, _ = self._received.partition(b"\n")
        if len(line) > MAX_COMMAND_BYTES:
            self._finish("")
        elif newline:
            self._answer(line)
        elif is_first:
            self.setTimeout(GRACE_S)

    def readConnectionLost(self) -> None:
        """The other side has said everything; it still reads."""
        if not self._answered:
            self._answer(self._received)

    def writeConnectionLost(self) -> None:
        """Not of interest: we never close one direction alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_gone = True
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        if self._answered:
            self.transport.abortConnection()
        else:
            self._answer(self._received)

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """TimeoutMixin would take the global reactor; use the clock we were given."""
        return self._clock.callLater(period, func)

    def _answer(self, line: bytes) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = ""
        answer = self._console.answer(text) if text else ""
        if isinstance(answer, str):
            self._finish(answer)
            return
        self._answered = True
        self.setTimeout(DRAIN_S)
        Deferred.fromCoroutine(answer).addCallback(self._finish)  # it never fails

    def _finish(self, answer: str) -> None:
        self._answered = True
        if self._is_gone:
            return
        self.setTimeout(DRAIN_S)
        self.transport.write(answer.encode("utf-8", "backslashreplace"))
        self.transport.loseConnection()


class ConsoleFactory(Factory):
    """What all connections to one console share."""

    noisy = False

    def __init__(self, console: Console, clock: IReactorTime) -> None:
        self._console = console
        self._clock = clock

    def buildProtocol(self, addr: Any) -> ConsoleProtocol:
        return ConsoleProtocol(self._console, self._clock)


def is_command(data: bytes) -> bool | None:
    """
    Tell a console command from a client's frame by its first bytes; None: too few.

    What clients send on these ports begins with a frame header of 1 to 4 bytes,
    which may well look like text, and then ``92 01``, ``a2 01`` or ``ba 01``, which
    never does.  So a text longer than the header that it might begin with is a command.

    :param data: at least one byte.
    """
    if data.translate(None, _PRINTABLE):
        return False
    header_bytes = (data[0] & 3) + 1
    return True if len(data) > header_bytes else None


@implementer(IHalfCloseableProtocol)
class Sniffer(Protocol, TimeoutMixin):
    """
    Hands a local connection, with what came so far, to the console or to the clients'
    protocol, and is out of its way from then on.
    """

    transport: Server

    def __init__(
        self,
        address: Any,
        console_factory: IProtocolFactory,
        client_factory: IProtocolFactory,
        clock: IReactorTime,
    ) -> None:
        self._address = address
        self._console_factory = console_factory
        self._client_factory = client_factory
        self._clock = clock
        self._received = b""

    def connectionMade(self) -> None:
        self.setTimeout(COMMAND_S)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        verdict = is_command(self._received)
        if verdict is None:
            self.setTimeout(GRACE_S)  # renewed three times at most, then it is clear
        else:
            self._become(self._console_factory if verdict else self._client_factory)

    def readConnectionLost(self) -> None:
        """Nothing more will come, so this was a short command, or nothing."""
        self.timeoutConnection()

    def writeConnectionLost(self) -> None:
        """Not of interest: we never close one direction alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        if self._received:
            self._received += b"\n"
            self._become(self._console_factory)
        else:
            self.transport.loseConnection()

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """TimeoutMixin would take the global reactor; use the clock we were given."""
        return self._clock.callLater(period, func)

    def _become(self, factory: IProtocolFactory) -> None:
        self.setTimeout(None)
        protocol = factory.buildProtocol(self._address)
        if protocol is None:
            self.transport.abortConnection()
            return
        # The transport asks for its protocol each time, so we are out of the way.
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        if not self.transport.disconnecting:
            protocol.dataReceived(self._received)


class SniffingFactory(Factory):
    """
    A console and a clients' protocol behind one TCP port.

    Peers from elsewhere go straight to the clients' protocol.

    :param is_local: tells from the peer's address, IPv4 as plain IPv4, whether it may
        use the console.
    """

    noisy = False

    def __init__(
        self,
        console_factory: IProtocolFactory,
        client_factory: IProtocolFactory,
        is_local: Callable[[str], bool],
        clock: IReactorTime,
    ) -> None:
        self._console_factory = console_factory
        self._client_factory = client_factory
        self._is_local = is_local
        self._clock = clock

    def doStart(self) -> None:
        super().doStart()
        self._console_factory.doStart()
        self._client_factory.doStart()

    def doStop(self) -> None:
        super().doStop()
        self._console_factory.doStop()
        self._client_factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        if not self._is_local(source_host(addr.host) or ""):
            return self._client_factory.buildProtocol(addr)
        return Sniffer(addr, self._console_factory, self._client_factory, self._clock)
