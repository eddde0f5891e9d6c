"""
WebSocket connections: Autobahn's, with our deadlines, bounds and guards around them.

Autobahn swallows what its callbacks raise, takes the global reactor for its timers, and
logs what strangers do wrong, without a bound.  So its callbacks are guarded here, its
timers are off and ours run instead, and its log is silent.

Source: RFC 6455; protocol.md section 1.4.
"""
# ruff: noqa: N802 - onConnect, sendCloseFrame and the like are Autobahn's names.

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from rdserver.relay.limits import MAX_DISCARDED_BYTES
from rdserver.transports.arrival import left_s
from rdserver.transports.timed import Timed
from rdserver.transports.websocket_environment import Environment, Overflow, Silence
from rdserver.transports.websocket_head import harmless_head
from rdserver.wire.address import Address
from rdserver.wire.foreign import foreign
from rdserver.wire.websocket import GOING_AWAY

UPGRADE_S = 10.0
"""Time from the connection to the end of the upgrade (protocol.md statement 23)."""

CLOSING_S = 5.0
"""Time for the last messages to leave and the other side to close."""

MAX_HEAD_BYTES = 8192

FRAMES_AT_ONCE, FRAMES_PER_S = 128, 10
"""
What a connection may bring, signs of life too; more is a flood, for Autobahn takes as long
for each as a session takes for fifty.  No client sends a dozen (protocol.md 7.16).
"""

_FORBIDDEN, _UPGRADE_REQUIRED, _BUG, _TOO_MANY = 403, 426, 500, 503

Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Let an exception of *method* be seen, and close the connection: it is a bug."""

    @wraps(method)
    def guard(self: GuardedWebSocket, *args: Any) -> Any:
        try:
            return method(self, *args)
        except Exception:
            self.report_bug(Failure())
            return None

    return guard  # type: ignore[return-value]  # the same, but for the guard


class GuardedWebSocket(WebSocketServerProtocol, Timed):
    """
    One connection, from its upgrade on.

    Subclasses say what a message means, in :meth:`received`.

    :ivar address: the client's, once the upgrade is complete: the host may be one that a
        trusted proxy names, the port is that of the connection itself.
    """

    log = Silence()
    data: bytes  # what Autobahn has not looked at yet

    def __init__(self, address: Address, environment: Environment) -> None:
        super().__init__()
        self.address = address
        self._environment = environment
        self.clock = environment.clock
        self._head: bytes | None = b""
        self._frames = 0.0  # less those that time has made good
        self._frames_s = environment.now()
        self._late_bytes = 0  # which came when we had closed our side
        self._admitted = address.host

    # For subclasses.

    def opened(self) -> None:
        """The upgrade is complete."""
        raise NotImplementedError

    def received(self, payload: bytes, is_binary: bool) -> None:
        """A whole message has come."""
        raise NotImplementedError

    def heard(self) -> None:
        """A Ping or Pong has come."""

    def late(self) -> None:
        """The time that was set with ``setTimeout`` is over, and nobody is closing."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone."""

    def is_welcome(self, address: Address) -> bool:
        """Return whether the client may connect at all."""
        return True

    def finish(self, code: int) -> None:
        """Say that the connection ends, and with which code; cut if that takes long."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code)
        elif self.state == self.STATE_CONNECTING:
            self.abort()

    def stop(self) -> None:
        """The server stops."""
        self.finish(GOING_AWAY)

    def abort(self) -> None:
        """Close now, whatever is not out yet."""
        if self.state == self.STATE_CLOSED:  # closing slowly, perhaps
            self.transport.abortConnection()
        else:
            self.dropConnection(abort=True)

    def give_away(self) -> bytes:
        """
        Let go of the transport for whoever takes it; return what was read and not used.

        To be called while a message is received; nothing here is called afterwards.
        """
        self.setTimeout(None)
        self.transport.unregisterProducer()
        rest, self.data = bytes(self.data), b""
        self._leave()
        return rest

    def report_bug(self, failure: Failure) -> None:
        """Log what should never happen; it costs one connection, never the process."""
        self._environment.report_bug(failure)
        self.abort()

    # What Twisted calls.

    def connectionMade(self) -> None:
        self.setTimeout(left_s(self.transport, self._environment.now, UPGRADE_S))
        super().connectionMade()
        self.transport.registerProducer(Overflow(self.abort), True)

    def dataReceived(self, data: bytes) -> None:
        if self.state in (self.STATE_CLOSING, self.STATE_CLOSED):
            self._late_bytes += len(data)
            if self._late_bytes > MAX_DISCARDED_BYTES:
                self.abort()
        if self.state == self.STATE_CLOSED:
            return  # while it closes slowly; Autobahn would keep all that comes
        if self._head is not None:
            data = self._take_head(self._head + data)
        try:
            if data:
                super().dataReceived(data)
        except Exception:
            self.report_bug(Failure())

    def _take_head(self, data: bytes) -> bytes:
        """Return nothing until the request's head is whole, then all for Autobahn."""
        if foreign(data) == "TLS":
            self._environment.refused(self.address, "TLS")
            self.abort()
            return b""
        head, end, rest = data.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            self.abort()
            return b""
        self._head = None if end else head
        return harmless_head(head) + end + rest if end else b""

    @guarded
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        self._leave()
        self.factory.left(self)
        super().connectionLost(reason)
        self.lost()

    @guarded
    def timeoutConnection(self) -> None:
        if self.state == self.STATE_OPEN:
            self.late()
        else:
            self.transport.abortConnection()

    # What Autobahn calls.

    def onFrameBegin(self) -> None:
        super().onFrameBegin()
        self._frames += 1
        if self._frames > FRAMES_AT_ONCE and self._is_flood():
            self._environment.flooded()
            self.abort()

    def _is_flood(self) -> bool:
        now_s = self._environment.now()
        good = FRAMES_PER_S * (now_s - self._frames_s)
        self._frames, self._frames_s = max(0.0, self._frames - good), now_s
        return self._frames > FRAMES_AT_ONCE

    def onConnect(self, request: Any) -> None:
        try:
            self._judge(request)
        except ConnectionDeny:
            raise
        except Exception as e:
            self._environment.report_bug(Failure())
            raise ConnectionDeny(_BUG, "bug") from e

    def _judge(self, request: Any) -> None:
        host = self._environment.real_host(self.address.host, request.headers)
        if host != self.address.host:
            self.address = Address(host, self.address.port)
            self._leave()
            if not self._environment.admission.enter(host):
                raise ConnectionDeny(_TOO_MANY, "too many connections")
            self._admitted = host
        if not self.is_welcome(self.address):
            raise ConnectionDeny(_FORBIDDEN, "not welcome")

    @guarded
    def succeedHandshake(self, res: Any) -> None:
        super().succeedHandshake(res)  # and onOpen(), and what has come behind the request

    @guarded
    def onOpen(self) -> None:
        self.opened()

    @guarded
    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N803
        if self.state == self.STATE_OPEN:
            self.received(payload, isBinary)

    @guarded
    def onPing(self, payload: bytes) -> None:
        super().onPing(payload)
        self._hear()

    @guarded
    def onPong(self, payload: bytes) -> None:
        self._hear()

    def _hear(self) -> None:
        # Who has been sent a Close, for breaking a rule perhaps, gets no more time by this.
        if self.state == self.STATE_OPEN:
            self.heard()

    def failHandshake(
        self, reason: str, code: int = 400, responseHeaders: Any = None  # noqa: N803
    ) -> None:
        """Refuse the upgrade with a sentence, for whoever looks with a browser."""
        text = f"{self._environment.purpose}\n".encode()
        fields = [
            ("Connection", "close"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", len(text)),
            *(responseHeaders or ()),
        ]
        if code == _UPGRADE_REQUIRED:
            fields.append(("Upgrade", "websocket"))
        lines = [f"HTTP/1.1 {code} Refused", *(f"{n}: {value}" for n, value in fields)]
        head = "\r\n".join([*lines, "", ""])
        self.wasNotCleanReason = reason
        self.transport.write(head.encode() + text)
        self.dropConnection(abort=False)

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:
        super().sendCloseFrame(*args, **options)
        self._limit_closing()

    def dropConnection(self, abort: bool = False) -> None:
        super().dropConnection(abort)
        if not abort:
            self._limit_closing()

    def _limit_closing(self) -> None:
        if self.transport.connected:
            self.wait(CLOSING_S)

    def _leave(self) -> None:
        if self._admitted:
            self._environment.admission.leave(self._admitted)
            self._admitted = ""
