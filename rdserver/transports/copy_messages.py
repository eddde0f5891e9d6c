"""A session with a WebSocket in it on the plain data path."""

from __future__ import annotations

from collections.abc import Callable

from rdserver.relay.messages import Transcoders
from rdserver.relay.session import Session
from rdserver.relay.usage import EndReason
from rdserver.transports.copy_pair import CopyFlow, CopyPair
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import Finished, PathEnd
from rdserver.wire.transcode import Transcoder
from rdserver.wire.websocket import GOING_AWAY, NORMAL


class MessageCopyFlow(CopyFlow):
    """
    One direction through *transcoder*.

    :param replied: takes a control frame that is to go back to the source.
    :param ended: called when the source has said that it closes.
    """

    def __init__(
        self,
        session: Session,
        side: int,
        source: PathEnd,
        sink: PathEnd,
        *,
        pacer: Pacer,
        transcoder: Transcoder,
        replied: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(session, side, source, sink, pacer)
        self._transcoder = transcoder
        self._replied = replied
        self._ended = ended

    def _pass_on(self, data: bytes) -> None:
        view = memoryview(data)
        self._pass_part(view)
        while self._transcoder.unread:
            self._pass_part(view[-self._transcoder.unread :])

    def _pass_part(self, view: memoryview) -> None:
        transcoder = self._transcoder
        pieces = transcoder.take(view)
        if pieces:
            self._sink.transport.write(b"".join(pieces))
        if transcoder.reply:
            reply, transcoder.reply = transcoder.reply, b""
            self._replied(reply)
        if transcoder.closed:
            self._ended()

    def say(self, frame: bytes) -> None:
        """Send a control frame of our own as soon as it may stand there."""
        self._transcoder.aside = frame
        if not self._full:
            self._pass_on(b"")

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._transcoder.aside:
            self._pass_on(b"")

    def say_goodbye(self, code: int) -> None:
        """Close the sink if it is a WebSocket: nothing else will be said."""
        frame = self._transcoder.farewell(code)
        if frame:
            self._sink.transport.write(frame)
        self._transcoder.forget()


class MessageCopyPair(CopyPair):
    """
    The two directions of a session with a WebSocket in it.

    :param transcoders: from the first side and from the second.
    """

    def __init__(
        self, session: Session, pacer: Pacer, finished: Finished, transcoders: Transcoders
    ) -> None:
        super().__init__(session, pacer, finished)
        self._transcoders = transcoders

    def _flow(self, side: int, source: PathEnd, sink: PathEnd) -> CopyFlow:
        return MessageCopyFlow(
            self._session,
            side,
            source,
            sink,
            pacer=self._pacer,
            transcoder=self._transcoders[side],
            replied=lambda frame: self._reply(1 - side, frame),
            ended=self._one_ended,
        )

    def _reply(self, back: int, frame: bytes) -> None:
        flow = self._flows[back]
        if isinstance(flow, MessageCopyFlow) and not self._over:
            flow.say(frame)

    def _finish(self, reason: EndReason) -> None:
        usual = GOING_AWAY if reason is EndReason.STOPPED else NORMAL
        for side, flow in enumerate(self._flows):
            if isinstance(flow, MessageCopyFlow):
                flow.say_goodbye(self._transcoders[1 - side].code or usual)
        super()._finish(reason)
        self._flows = ()
