"""What every data path keeps: bytes, back-pressure, ends, books."""

from __future__ import annotations

import gc
from random import Random

from rdserver.relay.limits import LINGER_S, SILENCE_S
from rdserver.relay.usage import EndReason
from rdserver.transports.relay_tcp import FLUSH_S
from tests.transports.path_case import PathCase
from tests.transports.relay_case import hello
from tests.transports.stepped import Client

MIB = 1 << 20
FULL_TURNS = 250
"""Turns of a millisecond: what the kernel leaves lying it has sent after 40 of them."""

AT_MOST_HELD = MIB
"""What a path and two small sockets may hold of one direction, generously."""


def noise(size: int, seed: int = 1) -> bytes:
    """Return *size* bytes that are easily told from others."""
    return Random(seed).randbytes(size)


class BytesContract(PathCase):
    def test_both_ways(self) -> None:
        """Bytes cross unchanged both ways, also what looks like an empty frame."""
        first, second = self.pair()
        first.send(b"\x00\x01")
        second.send(b"\x02\x00")
        self.until(lambda: len(first.received) + len(second.received) == 4)
        self.assertEqual((b"\x02\x00", b"\x00\x01"), (first.received, second.received))

    def test_early_bytes(self) -> None:
        """What both sides sent behind their first frames comes first, and in order."""
        for size in (1, 5000, 60_000, 200_000):
            name, early = f"s{size}", (noise(size, 1), noise(size, 2))
            first = self.connect(hello(name) + early[0])
            self.until(lambda: self.relay.waiting)
            second = self.connect(hello(name) + early[1])
            first.send(b"more")
            second.send(b"else")
            self.until_got(size + 4, first, second)
            self.assertEqual(early[1] + b"else", first.received)
            self.assertEqual(early[0] + b"more", second.received)

    def test_every_split(self) -> None:
        """Wherever the network cuts the first bytes, all arrive."""
        for at in range(1, len(hello("s10") + b"early")):
            name = f"s{at:02}"
            whole = hello(name) + b"early"
            pair = self.connect(whole[:at]), self.connect(whole[:at])
            self.settle()
            for client in pair:
                client.send(whole[at:])
                self.turn(0.001)
            self.until_got(5, *pair)
            self.assertEqual([b"early"] * 2, [client.received for client in pair])

    def test_much_both_ways_at_once(self) -> None:
        """25 MiB each way, at the same time."""
        pair = first, second = self.pair()
        data = noise(25 * MIB, 1), noise(25 * MIB, 2)
        first.send(data[0])
        second.send(data[1])
        self.until_got(25 * MIB, *pair)
        self.assertTrue(first.received == data[1] and second.received == data[0])
        self.assertEqual([25 * MIB] * 2, self.session.received)

    def test_small_after_much(self) -> None:
        """Messages of all sizes, one after the other, arrive as they are sent."""
        first, second = self.pair()
        sizes = [1, 100_000, 1, 8191, 8192, 1, 65_535, 65_536, 65_537, 131_072, 131_073]
        for size in sizes + sizes[::-1]:
            data = noise(size)
            first.send(data)
            self.until_got(size, second)
            self.assertEqual(data, second.received)
            second.received.clear()

    def test_many_at_once(self) -> None:
        """Sessions do not mix."""
        pairs = [self.pair(f"s{number}") for number in range(20)]
        for number, (first, second) in enumerate(pairs):
            first.send(noise(300_000, number))
            second.send(noise(3, number))
        self.until_got(300_000, *(second for _, second in pairs))
        for number, (first, second) in enumerate(pairs):
            self.assertEqual(noise(300_000, number), second.received)
            self.assertEqual(noise(3, number), first.received)


class PressureContract(PathCase):
    small = True

    def test_stalled_reader(self) -> None:
        """Who stops reading stops its partner's sending, and nothing else."""
        first, second = self.pair()
        second.stalled = True
        first.send(noise(5 * MIB))
        second.send(noise(MIB, 2))
        self.until_got(MIB, first)
        self.settle()
        self.assertLess(self.session.received[0], AT_MOST_HELD)
        self.assertGreater(self.session.carrier.unsent_bytes(), 0)
        second.stalled = False
        self.until_got(5 * MIB, second)
        self.assertTrue(second.received == noise(5 * MIB))
        self.settle()
        self.assertEqual(0, self.session.carrier.unsent_bytes())

    def test_trickle(self) -> None:
        """Many small messages to a reader that does not read are held up like few large."""
        first, second = self.pair()
        second.stalled = True
        for number in range(512):
            first.send(noise(4096, number))
            self.turn(0.0005)
        self.settle()
        self.assertLess(self.session.received[0], AT_MOST_HELD)
        second.stalled = False
        self.until_got(2 * MIB, second)
        whole = b"".join(noise(4096, number) for number in range(512))
        self.assertTrue(second.received == whole)

    def test_early_bytes_to_a_stalled_reader(self) -> None:
        """What came before the pairing waits as well, and is first in order."""
        first = self.connect(hello() + noise(2 * MIB))
        self.until(lambda: self.relay.waiting)
        self.settle()
        second = self.connect(hello())
        second.stalled = True
        self.settle()
        self.assertLess(self.session.received[0], AT_MOST_HELD)
        for _ in range(100):
            second.stalled = False
            second.turn(10_000)
            second.stalled = True
            self.turn(0.0005)
        second.stalled = False
        first.send(b"more")
        self.until_got(2 * MIB + 4, second)
        self.assertTrue(second.received == noise(2 * MIB) + b"more")

    def test_both_stalled(self) -> None:
        """Two that do not read are bounded on both sides, and go on afterwards."""
        pair = self.pair()
        for client in pair:
            client.stalled = True
            client.send(noise(2 * MIB))
        self.settle()
        self.assertLess(max(self.session.received), AT_MOST_HELD)
        for client in pair:
            client.stalled = False
        self.until_got(2 * MIB, *pair)
        for client in pair:
            self.assertTrue(client.received == noise(2 * MIB))

    def test_one_stalled_among_many(self) -> None:
        """A reader that stops holds up no other session."""
        stalled, other = self.pair("s1"), self.pair("s2")
        stalled[1].stalled = True
        stalled[0].send(noise(2 * MIB))
        other[0].send(noise(2 * MIB, 2))
        self.until_got(2 * MIB, other[1])
        self.assertTrue(other[1].received == noise(2 * MIB, 2))

    def test_stop_and_go(self) -> None:
        """A reader that stops again and again misses nothing."""
        first, second = self.pair()
        first.send(noise(MIB))
        while len(second.received) < MIB:
            second.stalled = True
            self.settle()
            second.stalled = False
            second.turn(100_000)
        self.assertTrue(second.received == noise(MIB))

    def test_slow_reader_is_not_silent(self) -> None:
        """While a reader takes what it was sent its session goes on."""
        first, second = self.pair()
        second.stalled = True
        first.send(noise(2 * MIB))
        self.settle()
        for _ in range(8):
            self.relay.sweep()
            self.reactor.now_s += SILENCE_S
            second.stalled = False
            second.turn(64_000)
            second.stalled = True
            self.settle()
        self.assertEqual([], self.records)
        for _ in range(2):
            self.relay.sweep()
            self.reactor.now_s += SILENCE_S + 1
        self.relay.sweep()
        self.assertEqual([EndReason.SILENT], [record.reason for record in self.records])


class EndContract(PathCase):
    def test_one_closes(self) -> None:
        """The other gets all data and then the end; then both are gone."""
        for size in (0, 1, 70_000, 3 * MIB):
            first, second = self.pair()
            first.send(noise(size))
            first.finish()
            self.until_ended(second)
            self.assertTrue(second.received == noise(size))
            second.close()
            self.until_ended(first)
            self.until_gone()
        self.assertEqual([EndReason.CLOSED] * 4, [record.reason for record in self.records])

    def test_half_close(self) -> None:
        """Who closes only its sending still gets what the other had sent by then."""
        first, second = self.pair()
        second.send(b"answer")
        self.until(lambda: self.session.received[1] == 6)
        first.finish()
        self.until_ended(first, second)
        self.assertEqual(b"answer", first.received)
        self.assertFalse(first.was_reset or second.was_reset)
        second.finish()
        self.assert_over(EndReason.CLOSED)

    def test_end_is_there_already(self) -> None:
        """Data and the end, all there before the path looks, arrive."""
        for size in (0, 1, 9000, 70_000, 200_000):
            name = f"s{size}"
            early = hello(name) + noise(70_000)  # so much that the relay reads no more
            first = self.connect(early)
            self.until(lambda: self.relay.waiting)
            self.settle()
            first.send(noise(size, 2))
            first.finish()
            second = self.connect(hello(name))
            self.until_ended(second)
            self.assertTrue(second.received == noise(70_000) + noise(size, 2))
            second.finish()
            self.until_ended(first)
            self.until_gone()

    def test_end_right_behind_data(self) -> None:
        """Data and the end at once, in a session that was quiet, of each size."""
        for size in (1, 8192, 65_535, 65_536, 65_537, 131_072, 400_000):
            first, second = self.pair()
            self.settle()
            first.send(noise(size))
            first.finish()
            self.until_ended(first, second)
            self.assertTrue(second.received == noise(size), size)
            second.close()
            self.until_gone()

    def test_both_end_at_once(self) -> None:
        """Two orderly ends at the same time are one, and reset nobody."""
        pair = self.pair()
        for client in pair:
            client.send(b"last words")
            client.finish()
        self.until_ended(*pair)
        self.assert_over(EndReason.CLOSED)
        for client in pair:
            self.assertTrue(b"last words".startswith(client.received))

    def test_survivor_was_sending(self) -> None:
        """What a survivor has sent and nobody read does not cost it a byte of its own."""
        first, second = self.pair()
        second.stalled = True
        first.send(noise(3 * MIB))
        first.finish()
        self.settle()
        second.send(b"unread")
        self.settle()
        second.stalled = False
        for _ in range(20):
            second.turn(1000)
            second.send(b"unread too")
            self.reactor.turn()
        self.until_ended(second)
        self.assertTrue(second.received == noise(3 * MIB))
        second.finish()
        self.assert_over(EndReason.CLOSED)

    def test_reset(self) -> None:
        """A reset of one side ends the other in order, after what was received."""
        for stalled in (False, True):
            first, second = self.pair()
            second.stalled = stalled
            first.send(noise(100_000))
            self.until(lambda: self.received_by_relay() == 100_000)
            first.reset()
            self.settle()
            second.stalled = False
            self.until_ended(second)
            self.assertEqual(noise(100_000), second.received)
            second.close()
            self.until_gone()
        self.assertEqual([100_000] * 2, [record.first_bytes for record in self.records])

    def received_by_relay(self) -> int:
        return sum(self.session.received)

    def test_both_reset(self) -> None:
        """Two resets at once are one end."""
        for client in self.pair():
            client.reset()
        self.assert_over(EndReason.CLOSED)

    def test_stopped_by_the_relay(self) -> None:
        """A session that the relay ends, twice, is closed on both sides, once."""
        pair = self.pair()
        session = self.session
        session.end(EndReason.STOPPED)
        session.end(EndReason.BLOCKED)
        self.until_ended(*pair)
        self.assertEqual(2, self.factory.connections)
        self.assertEqual(2, len(self.admission))
        for client in pair:
            client.close()
        self.assert_over(EndReason.STOPPED)
        session.end(EndReason.BLOCKED)

    def test_silence(self) -> None:
        """31 to 35 seconds after the last byte a sweep each second ends both."""
        first, second = self.pair()
        first.send(b"x")
        self.until(lambda: second.received)
        seconds = 0
        while not (first.ended and second.ended):
            self.relay.sweep()
            self.advance(1)
            seconds += 1
        self.assertIn(seconds, range(31, 36))
        for client in (first, second):
            client.close()
        self.assert_over(EndReason.SILENT)

    def test_blocked(self) -> None:
        """A session ends when either side comes on the blocklist."""
        for side, host in enumerate(("127.0.0.7", "127.0.0.8")):
            pair = self.pair(hosts=("127.0.0.7", "127.0.0.8"))
            self.relay.blocklist.add(host)
            self.advance(1)
            self.relay.sweep()
            self.until_ended(*pair)
            self.relay.blocklist.remove(host)
            for client in pair:
                client.close()
            self.assert_over(*[EndReason.BLOCKED] * (side + 1))

    def test_books(self) -> None:
        """Each direction is counted to the byte, early bytes included."""
        first = self.connect(hello() + b"12")
        self.until(lambda: self.relay.waiting)
        second = self.connect(hello() + b"345")
        first.send(noise(100_000))
        first.finish()
        self.until_ended(second)
        second.finish()
        self.assert_over(EndReason.CLOSED)
        [record] = self.records
        self.assertEqual((100_002, 3), (record.first_bytes, record.second_bytes))

    def test_nothing_for_the_collector(self) -> None:
        """What a session was made of is free as soon as its connections are gone."""
        first, second = self.pair()
        first.send(b"x")
        self.until_got(1, second)
        gc.collect()
        self.addCleanup(gc.garbage.clear)
        self.addCleanup(gc.set_debug, gc.get_debug())
        gc.set_debug(gc.DEBUG_SAVEALL)
        first.finish()
        self.until_ended(second)
        second.finish()
        self.until_gone()
        gc.collect()
        ours = [type(thing) for thing in gc.garbage]
        self.assertEqual([], [kind for kind in ours if kind.__module__.startswith("rds")])

    def test_flood_after_the_end(self) -> None:
        """Who goes on sending when all is over is not read for ever, and is cut in time."""
        first, second = self.pair()
        first.finish()
        self.until_ended(second)
        second.send(bytes(80 * MIB))
        self.settle()
        self.assertGreater(len(second.to_send), 20 * MIB)
        self.linger()
        self.until_gone()

    def test_what_comes_after_the_end(self) -> None:
        """What a side sends when its session is over is thrown away, and not counted."""
        first, second = self.pair()
        self.session.end(EndReason.STOPPED)
        second.send(noise(300_000))
        second.finish()
        first.finish()
        self.assert_over(EndReason.STOPPED)
        self.assertEqual((b"", 0), (bytes(first.received), self.records[0].second_bytes))
        self.assertFalse(first.was_reset or second.was_reset)


class FullContract(PathCase):
    """Ends while a reader has stopped."""

    small = True

    def stall(self, size: int = 2 * MIB) -> tuple[Client, Client]:
        """Return a session whose second side does not read, until nothing moves."""
        first, second = self.pair()
        second.stalled = True
        first.send(noise(size))
        # On a busy machine nothing may move for a while, and yet not all be full.
        self.settle(FULL_TURNS)
        return first, second

    def read_slowly(self, client: Client) -> None:
        """Let it read a little, and nothing more until it is asked again."""
        client.stalled = False
        client.turn(5000)
        client.stalled = True

    def test_closed_when_full(self) -> None:
        """What was received before an orderly end arrives, however slowly it is read."""
        first, second = self.stall(200_000)
        first.finish()
        self.settle()
        self.until(lambda: self.read_slowly(second) or second.ended)
        self.assertEqual(noise(200_000), second.received)
        second.close()
        self.assert_over(EndReason.CLOSED)

    def test_source_reset_when_full(self) -> None:
        """What the relay had received of a side that broke off arrives."""
        first, second = self.stall()
        first.reset()
        self.settle()
        second.stalled = False
        self.until_ended(second)
        second.close()
        self.assert_over(EndReason.CLOSED)
        [record] = self.records
        self.assertEqual(record.first_bytes, len(second.received))
        self.assertEqual(noise(2 * MIB)[: record.first_bytes], second.received)

    def test_sink_reset_when_full(self) -> None:
        """A stalled reader that breaks off leaves nothing behind."""
        first, second = self.stall()
        second.reset()
        self.until(lambda: first.ended or first.was_reset)
        first.close()
        self.assert_over(EndReason.CLOSED)

    def test_sink_closes_when_full(self) -> None:
        """One that closes only its sending ends the session too."""
        first, second = self.stall()
        second.finish()
        self.until_ended(first)
        first.close()
        second.close()
        self.assert_over(EndReason.CLOSED)

    def test_both_leave_when_full(self) -> None:
        """What one had still to get hides from nobody that the other has left too."""
        first, second = self.stall()
        self.session.end(EndReason.STOPPED)
        self.settle()
        first.close()
        self.settle()
        second.reset()
        self.assert_over(EndReason.STOPPED)

    def test_deadline(self) -> None:
        """Who takes nothing until the deadline gets a reset, the other an orderly end."""
        first, second = self.stall()
        self.session.end(EndReason.STOPPED)
        self.settle()
        self.linger()
        self.assert_over(EndReason.STOPPED)
        second.stalled = False
        self.until(lambda: second.was_reset and (first.ended or first.was_reset))
        self.assertTrue(first.ended and not second.ended)

    def test_deadline_of_the_idle(self) -> None:
        """Who got everything but does not close is closed without a reset."""
        pair = first, second = self.pair()
        first.send(b"last words")
        self.until(lambda: second.received)
        self.session.end(EndReason.STOPPED)
        self.settle()
        self.linger()
        self.assert_over(EndReason.STOPPED)
        self.until_ended(*pair)

    def test_slow_at_the_end(self) -> None:
        """Who takes some of the rest in each of those times is not cut."""
        first, second = self.stall()
        first.finish()
        for _ in range(6):
            self.reactor.now_s += LINGER_S - 1
            second.stalled = False
            second.turn(10_000)
            second.stalled = True
            self.settle()
        second.stalled = False
        self.until_ended(second)
        self.assertEqual(noise(2 * MIB)[: self.received()], second.received)
        self.assertFalse(second.was_reset)

    def test_stop(self) -> None:
        """A stopping server flushes for a while, then resets who did not take it."""
        _, second = self.stall()
        other = self.pair("s2")
        other[0].send(b"last words")
        self.until(lambda: other[1].received)
        stopped = self.stop()
        for client in other:
            client.finish()
        self.until_ended(*other)
        self.settle()
        self.assertNoResult(stopped)
        self.advance(FLUSH_S)
        self.successResultOf(stopped)
        second.stalled = False
        self.until(lambda: second.was_reset)
        self.assert_over(*[EndReason.STOPPED] * 2)


class InterleavingContract(PathCase):
    """Seeded sequences of sends, reads, stalls and ends of many sessions at once."""

    SESSIONS = 8
    seeds = range(6)

    def play(self, seed: int) -> None:
        self.small = bool(seed % 2)
        self.random = Random(seed)
        self.sent: dict[Client, bytearray] = {}
        self.partner: dict[Client, Client] = {}
        self.closers: list[Client] = []
        self.broken: set[Client] = set()
        pairs = [self.arrive(f"s{seed}-{number}") for number in range(self.SESSIONS)]
        for _ in range(600):
            self.act(self.random.choice(list(self.sent)))
        for pair in pairs:
            self.end(self.random.choice(pair))
        for client in self.sent:
            client.stalled = False
        self.until_ended(*set(self.sent) - self.broken)
        for client in self.sent:
            client.close()
        self.until_gone()
        self.check()

    def arrive(self, name: str) -> tuple[Client, Client]:
        pair = []
        for _ in range(2):
            early = self.random.randbytes(self.random.choice([0, 1, 5000, 150_000]))
            first_bytes = hello(name)
            cut = self.random.randrange(1, len(first_bytes))
            client = self.connect(first_bytes[:cut])
            self.sent[client] = bytearray(early)
            self.turn()
            client.send(first_bytes[cut:] + early)
            pair.append(client)
            self.turn()
        self.partner[pair[0]], self.partner[pair[1]] = pair[1], pair[0]
        return pair[0], pair[1]

    def act(self, client: Client) -> None:
        """Do something, mostly nothing much."""
        match self.random.randrange(12):
            case 0 | 1 | 2 | 3:
                data = self.random.randbytes(self.random.choice([1, 60, 3000, 70_000]))
                if client not in self.closers:
                    self.sent[client] += data
                    client.send(data)
            case 4:
                client.stalled = not client.stalled
            case 5 if self.random.random() < 0.05:
                self.end(client)
            case _:
                client.turn(self.random.choice([10, 5000, 200_000]))
                self.reactor.turn()

    def end(self, client: Client) -> None:
        """Let it close its side, behind all it sent, unless its session is ending."""
        if client not in self.closers and self.partner[client] not in self.closers:
            self.closers.append(client)
            client.finish()

    def check(self) -> None:
        for closer in self.closers:
            survivor = self.partner[closer]
            self.assertTrue(self.sent[closer].startswith(survivor.received))
            self.assertTrue(self.sent[survivor].startswith(closer.received))
            self.assertTrue(survivor.ended)
            if closer not in self.broken:
                self.assertEqual(len(self.sent[closer]), len(survivor.received))

    def test_nothing_lost_nothing_doubled(self) -> None:
        """What was sent before an orderly close arrives exactly once, in order."""
        for seed in self.seeds:
            self.play(seed)
        self.assertEqual(self.SESSIONS * len(self.seeds), len(self.records))


class BrokenContract(InterleavingContract):
    """The same, with sessions that break off as well."""

    seeds = range(100, 112)

    def end(self, client: Client) -> None:
        if client in self.closers or self.partner[client] in self.closers:
            return
        if self.random.random() < 0.5:
            super().end(client)
        else:
            self.closers.append(client)
            self.broken.add(client)
            client.reset()
