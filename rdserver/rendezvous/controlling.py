"""A holds a connection while it controls a device, so that the server knows."""

from __future__ import annotations

from functools import partial

from rdserver.rendezvous.access import AccessRequest, Door, Judged
from rdserver.rendezvous.effects import Close, Effects, Keep, Outcome, Stream
from rdserver.rendezvous.introductions import Introductions
from rdserver.rendezvous.stream_state import Happening
from rdserver.wire import pb


class Controlling:
    """
    Answers HealthCheck: with nothing but heartbeats, or the end of the connection.

    Source: protocol.md section 7.9.
    """

    def __init__(self, introductions: Introductions) -> None:
        self._with = introductions

    def begin(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Keep the connection of a user whose token is good."""
        asked = AccessRequest(
            door=Door.CONTROL, host=stream.address.host, token=pb.text(message.hc.token)
        )
        return self._with.judge(asked, partial(_judged, stream))


def _judged(stream: Stream, judged: Judged) -> Effects:
    if judged.verdict.refusal:
        return (Close(stream.id),)
    return (Keep(stream.id, Happening.CONTROL),)
