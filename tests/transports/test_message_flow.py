"""What a direction with messages does in the loop when its sink is lost meanwhile."""

from __future__ import annotations

import socket

from rdserver.wire.transcode import MOST_HEADS
from rdserver.wire.unmasking import FromWebSocket
from tests.transports.message_case import BY_TCP, BY_WEBSOCKET, MessageCase, Speaker
from tests.transports.path_case import Splices
from tests.wire.masked import BINARY, PING, client_frame


class PutOffTests(Splices, MessageCase):
    """Very many frames came by one read, and are taken turn by turn."""

    def lose_sink_meanwhile(self, closes_first: bool) -> None:
        """Let the client by TCP go while what came for it is taken."""
        first, second = self.speakers(BY_WEBSOCKET)
        take = FromWebSocket.take
        self.taken = 0

        def count(transcoder: FromWebSocket, view: memoryview) -> list[bytes | memoryview]:
            self.taken += 1
            if self.taken == 2 and closes_first:
                second.client.socket.shutdown(socket.SHUT_WR)
            if self.taken == 6:
                second.client.reset()
            return take(transcoder, view)

        self.patch(FromWebSocket, "take", count)
        self.say_much(first)
        self.settle()
        first.client.close()
        self.until_gone()

    def say_much(self, first: Speaker) -> None:
        frames = client_frame(BINARY, b"x") * 16 * MOST_HEADS
        first.client.send(frames + client_frame(BINARY, bytes(60_000), fin=False))

    def test_session_is_over(self) -> None:
        """Nothing of the rest is taken for a sink that is gone."""
        self.lose_sink_meanwhile(closes_first=True)
        self.assertLess(self.taken, 12)

    def test_session_is_not_over(self) -> None:
        """So it is if the reset is the first that is known of the end."""
        self.lose_sink_meanwhile(closes_first=False)
        self.assertLess(self.taken, 12)


class PongTests(Splices, MessageCase):
    small = True

    def test_lost_sink(self) -> None:
        """A Pong that waits for a sink to read ends with it, without a word in the log."""
        first, second = self.speakers(BY_TCP)
        second.client.stalled = True
        there, back = self.session.carrier._flows
        while not there.stuck:
            first.say(bytes(5000))
            self.settle()
        second.client.send(client_frame(PING, b"there?"))
        self.until(lambda: there.transcoder.aside)
        second.client.finish()
        self.settle()
        back.give_up()
        second.client.reset()
        self.until_gone()
        self.assertEqual([], self.flushLoggedErrors())
