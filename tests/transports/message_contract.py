"""What both data paths keep where a side is a WebSocket."""

from __future__ import annotations

import gc

from rdserver.relay.limits import Limits
from rdserver.relay.usage import EndReason
from tests.transports.message_case import BOTH, BY_TCP, BY_WEBSOCKET, MessageCase, Speaker
from tests.transports.path_contract import AT_MOST_HELD, MIB, noise
from tests.transports.path_limits import BYTES_PER_S, MBIT, LimitedCase
from tests.wire.masked import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    client_frame,
    server_frames,
)

SIZES = (1, 63, 64, 125, 126, 1024, 16_384, 65_535, 65_536, 300_000)


class MessageBytesContract(MessageCase):
    def test_messages(self) -> None:
        """Messages of all sizes cross one to one, both ways, whoever came how."""
        payloads = [noise(size, size) for size in SIZES]
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            first.say(*payloads)
            second.say(*payloads[::-1])
            self.until_heard(second, sum(SIZES))
            self.until_heard(first, sum(SIZES))
            self.settle()
            self.assertTrue(second.heard == payloads, kinds)
            self.assertTrue(first.heard == payloads[::-1], kinds)

    def test_early(self) -> None:
        """What was said before the partner came is heard first."""
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            name = f"s{kinds}"
            early = [b"one", noise(20_000), b"three"]
            framer = Speaker(None, kinds[0])  # type: ignore[arg-type]
            first = self.join(name, kinds[0], b"".join(map(framer.framed, early)))
            self.until(lambda: self.relay.waiting)
            self.settle()
            second = self.join(name, kinds[1])
            first.say(b"four")
            self.until_heard(second, 20_013)
            self.settle()
            self.assertTrue(second.heard == [*early, b"four"])

    def test_many_small(self) -> None:
        """Thousands of small messages at once stay apart."""
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            payloads = [noise(number % 7 + 1, number) for number in range(5000)]
            first.say(*payloads)
            self.until_heard(second, sum(map(len, payloads)) + 5000)
            self.settle()
            self.assertTrue(second.heard == payloads)

    def test_signs_of_life(self) -> None:
        """Empty messages, Text and Ping are not passed on; the session stays."""
        first, second = self.speakers(BY_WEBSOCKET)
        for opcode in (BINARY, TEXT, PING):
            first.client.send(client_frame(opcode))
        second.say(b"")
        first.say(b"end")
        self.until_heard(second, 4)
        self.settle()
        self.assertEqual([b"end"], second.heard)
        self.assertEqual([], first.heard)
        self.assertEqual([(0x8A, b"")], first.control)

    def test_in_parts(self) -> None:
        """A message in parts is one frame for TCP, and stays in parts for a WebSocket."""
        data = client_frame(BINARY, b"one", fin=False) + client_frame(CONTINUATION, b"two")
        first, second = self.speakers(BY_WEBSOCKET)
        first.client.send(data)
        self.until_heard(second, 7)
        self.assertEqual([b"onetwo"], second.heard)
        first, second = self.speakers(BOTH, "s2")
        first.client.send(data)
        self.until_heard(second, 10)
        frames = list(server_frames(bytes(second.client.received)))
        self.assertEqual([(0x02, b"one"), (0x80, b"two")], frames)

    def test_ping_during_a_transfer(self) -> None:
        """A Ping is answered between two messages while the other side sends much."""
        first, second = self.speakers(BOTH)
        second.say(*[noise(100_000)] * 20)
        self.until_heard(first, 150_000)
        first.client.send(client_frame(PING, b"still there?"))
        self.until_heard(first, 20 * 100_010 + 14)
        self.settle()
        self.assertEqual([(0x8A, b"still there?")], first.control)
        self.assertTrue(first.heard == [noise(100_000)] * 20)

    def test_books(self) -> None:
        """What both sides sent is counted to the byte, as it came."""
        first, second = self.speakers(BY_TCP)
        first.say(noise(1000))
        second.say(noise(70_000))
        self.until_heard(second, 1004)
        self.until_heard(first, 70_003)
        self.assertEqual([1002, 70_014], self.session.received)


class MessagePressureContract(MessageCase):
    small = True

    def test_stalled_reader(self) -> None:
        """Who stops reading stops its partner's sending, and nothing else."""
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            second.client.stalled = True
            messages = [noise(50_000, number) for number in range(60)]
            first.say(*messages)
            second.say(b"still here")
            self.until_heard(first, 11)
            self.settle()
            session = list(self.relay.sessions)[-1]
            self.assertLess(session.received[0], AT_MOST_HELD)
            self.assertGreater(session.carrier.unsent_bytes(), 0)
            second.client.stalled = False
            self.until_heard(second, 3_000_000)
            self.settle()
            self.assertTrue(second.heard == messages)

    def test_pings_of_a_stalled_reader(self) -> None:
        """Who pings and does not read is answered once: nothing piles up."""
        first, second = self.speakers(BOTH)
        first.client.stalled = True
        second.say(noise(3 * MIB))
        self.settle()
        before = self.session.carrier.unsent_bytes()
        for number in range(20_000):
            first.client.send(client_frame(PING, b"%d" % number))
            if number % 500 == 0:
                self.settle()
        self.settle()
        self.assertLessEqual(self.session.carrier.unsent_bytes(), before + MIB // 2)
        first.client.stalled = False
        self.until_heard(first, 3 * MIB + 10)
        self.settle()
        self.assertLess(len(first.control), 20)
        self.assertIn((0x8A, b"19999"), first.control)


class MessageEndContract(MessageCase):
    def closes(self, first: Speaker, second: Speaker) -> None:
        """Let both take note of the end."""
        self.until_ended(first.client, second.client)
        first.client.close()
        second.client.close()
        self.until_gone()

    def test_close_frame(self) -> None:
        """A Close ends the session: both are told so, after what was said before."""
        for kinds in (BOTH, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            first.say(noise(200_000))
            first.client.send(client_frame(CLOSE, b"\x03\xe8"))
            self.until_ended(first.client, second.client)
            self.assertTrue(second.heard == [noise(200_000)])
            self.assertEqual([(0x88, b"\x03\xe8")], first.control)
            if second.is_websocket:
                self.assertEqual([(0x88, b"\x03\xe8")], second.control)
            self.closes(first, second)
        reasons = {record.reason for record in self.records}
        self.assertEqual({EndReason.CLOSED}, reasons)

    def test_connection_ends(self) -> None:
        """Who goes without a word ends it too; a WebSocket that stays is told."""
        for kinds in (BOTH, BY_TCP):
            first, second = self.speakers(kinds, f"s{kinds}")
            first.say(b"last")
            first.client.finish()
            self.until_ended(second.client)
            self.assertEqual([b"last"], second.heard)
            self.assertEqual([(0x88, b"\x03\xe8")], second.control)
            self.closes(first, second)

    def test_many_and_the_end(self) -> None:
        """Thousands of messages that came just before the end are all passed on."""
        payloads = [b"%d" % number for number in range(5000)]
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            for goodbye in (b"", client_frame(CLOSE)) if kinds[0] else (b"",):
                first, second = self.speakers(kinds, f"s{kinds}{goodbye!r}")
                first.say(*payloads)
                first.client.send(goodbye)
                first.client.finish()
                self.until_ended(second.client)
                self.assertTrue(second.heard == payloads)
                self.closes(first, second)

    def test_ends_inside_a_message(self) -> None:
        """A Close frame never stands inside a message that will not be whole."""
        first, second = self.speakers(BY_TCP)
        first.client.send(first.framed(noise(1000))[:500])
        first.client.finish()
        self.until_ended(second.client)
        self.assertEqual(b"\x82\x7e\x03\xe8" + noise(1000)[:498], second.client.received)
        self.closes(first, second)

    def test_breaks_a_rule(self) -> None:
        """Who breaks a rule is told with its code; the other hears what came before."""
        wrong = {1002: b"\x82\x01xxxxx", 1009: b"\x82\xff" + b"\x7f" * 12}
        for code, data in wrong.items():
            first, second = self.speakers(BOTH, f"s{code}")
            first.say(b"before")
            first.client.send(data)
            self.until_ended(first.client, second.client)
            self.assertEqual([b"before"], second.heard)
            self.assertEqual([(0x88, code.to_bytes(2, "big"))], first.control)
            self.assertEqual([(0x88, b"\x03\xe8")], second.control)
            self.closes(first, second)

    def test_stopped(self) -> None:
        """A relay that stops says so."""
        first, second = self.speakers(BOTH)
        self.session.end(EndReason.STOPPED)
        self.until_ended(first.client, second.client)
        for speaker in (first, second):
            self.assertEqual([(0x88, b"\x03\xe9")], speaker.control)

    def test_reset(self) -> None:
        """A reset of one side ends the other in order."""
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            first.say(b"x")
            self.until(lambda second=second: second.client.received)
            first.client.reset()
            self.until_ended(second.client)
            second.client.close()
            self.until_gone()

    def test_early_close(self) -> None:
        """A Close that was there before the partner came ends the waiting at once."""
        waiting = self.join("s1", True)
        self.until(lambda: self.relay.waiting)
        waiting.client.send(client_frame(CLOSE))
        self.until_ended(waiting.client)
        self.assertEqual(0, self.relay.waiting)
        self.assertEqual([(0x88, b"\x03\xe8")], waiting.control)
        waiting.client.close()
        self.until_gone()

    def test_silence(self) -> None:
        """A Ping counts as a sign of life, and silence ends it."""
        first, second = self.speakers(BY_WEBSOCKET)
        for _ in range(3):
            self.advance(25)
            first.client.send(client_frame(PING))
            self.settle()
            self.relay.sweep()
        self.assertEqual([], self.records)
        self.advance(32)
        self.relay.sweep()
        self.until_ended(first.client, second.client)
        self.assertEqual([EndReason.SILENT], [record.reason for record in self.records])

    def test_nothing_for_the_collector(self) -> None:
        """What a session was made of is free as soon as its connections are gone."""
        first, second = self.speakers(BOTH)
        first.say(b"x")
        self.until(lambda: second.client.received)
        gc.collect()
        self.addCleanup(gc.garbage.clear)
        self.addCleanup(gc.set_debug, gc.get_debug())
        gc.set_debug(gc.DEBUG_SAVEALL)
        first.client.finish()
        self.until_ended(second.client)
        second.client.finish()
        self.until_gone()
        gc.collect()
        ours = [type(thing) for thing in gc.garbage]
        self.assertEqual([], [kind for kind in ours if kind.__module__.startswith("rds")])


class MessageLimitContract(MessageCase, LimitedCase):
    limits = Limits(single_bandwidth_mbit_per_s=MBIT)

    def test_limit(self) -> None:
        """Sessions with a WebSocket keep their limit, and wait without polling."""
        for kinds in (BOTH, BY_TCP, BY_WEBSOCKET):
            first, second = self.speakers(kinds, f"s{kinds}")
            first.say(*[bytes(100_000)] * 100)
            self.run_for(3)
            self.assert_rate(self.take(second.client), 3, BYTES_PER_S)
            first.client.close()
            second.client.close()
            self.until_gone()
