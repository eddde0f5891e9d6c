"""Performs what the ID server decided: datagrams out, frames out, connections closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rdserver.notices import Notices
from rdserver.presence.interface import StreamId
from rdserver.rendezvous.effects import Answer, Effects, Keep, Outcome, Send
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import Happening
from rdserver.wire import pb
from rdserver.wire.address import Address


class OpenStream(Protocol):
    """A connection as the outlet sees it."""

    def send(self, message: pb.RendezvousMessage) -> None:
        """Write one frame."""

    def keep(self, happening: Happening) -> None:
        """Let it live on, with heartbeats."""

    def finish(self) -> None:
        """Close once everything written is out."""

    def abort(self) -> None:
        """Close now, whatever is not out yet."""


class Outlet:
    """
    Knows every open connection and the way out for datagrams.

    :ivar send_datagram: set by the service once the UDP port is open.
    """

    def __init__(self, notices: Notices[Event]) -> None:
        self._notices = notices
        self._streams: dict[StreamId, OpenStream] = {}
        self._next_id = 0
        self.send_datagram: Callable[[bytes, Address], None] = lambda _data, _to: None

    def add(self, stream: OpenStream) -> StreamId:
        """Take in a new connection; the id is never used again."""
        self._next_id += 1
        self._streams[self._next_id] = stream
        return self._next_id

    def remove(self, stream_id: StreamId) -> None:
        """Forget a connection that is gone."""
        del self._streams[stream_id]

    def open_streams(self) -> list[OpenStream]:
        """Return the connections that are open now."""
        return list(self._streams.values())

    def perform(self, effects: Effects) -> None:
        """Perform each effect; one for a connection that is gone does nothing."""
        for effect in effects:
            if isinstance(effect, Send):
                self.send_datagram(pb.encode(effect.message), effect.to)
                continue
            stream = self._streams.get(effect.stream)
            if stream is None:
                continue
            if isinstance(effect, Answer):
                stream.send(effect.message)
            elif isinstance(effect, Keep):
                stream.keep(effect.happening)
            else:
                stream.finish()

    def settle(self, outcome: Outcome) -> Deferred[None] | None:
        """
        Perform *outcome*, now or when it is known.

        :returns: None if it was known at once, else what fires when it is done, or
            fails with what the decision raised.
        """
        if isinstance(outcome, (tuple, list)):
            self.perform(outcome)
            return None
        decided = Deferred.fromCoroutine(outcome)  # type: ignore[arg-type]  # not a sequence
        return decided.addCallback(self.perform)

    def report_bug(self, failure: Failure) -> None:
        """Log what should never happen; it costs one message, never the process."""
        self._notices.error(Event.BUG, "a message was not answered", log_failure=failure)
