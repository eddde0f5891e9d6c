"""The plain data path: both directions, their back-pressure, and their end."""

from __future__ import annotations

from random import Random

from twisted.internet.error import ConnectionLost

from rdserver.relay.limits import LINGER_S, SILENCE_S
from rdserver.relay.usage import EndReason
from tests.fakes import BUFFER_BYTES, READ_BYTES, FakeTCP
from tests.transports.relay_case import RelayCase, hello

AT_MOST_BUFFERED = BUFFER_BYTES + READ_BYTES


class CopyTests(RelayCase):
    def test_both_ways(self) -> None:
        """Bytes cross unchanged both ways, also what looks like an empty frame."""
        first, second = self.pair()
        first.send(b"\x00\x01")
        second.send(b"\x02\x00")
        self.settle()
        self.assertEqual((b"\x02\x00", b"\x00\x01"), (first.read(), second.read()))

    def test_books(self) -> None:
        """Each direction is counted to the byte, early bytes included."""
        first = self.connect(hello() + b"12")
        second = self.connect(hello() + b"345")
        first.send(b"6")
        self.settle()
        second.close()
        self.settle()
        [record] = self.records
        self.assertEqual((3, 3), (record.first_bytes, record.second_bytes))

    def test_stalled_reader(self) -> None:
        """Who stops reading stops its partner's sending, and nothing else."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x" * 1_000_000)
        second.send(b"y" * 1_000_000)
        self.settle()
        self.assertEqual(b"y" * 1_000_000, first.read())
        self.assertLessEqual(second.buffered_bytes(), AT_MOST_BUFFERED)
        self.assertEqual((False, True), (first.reading, second.reading))
        second.window_bytes = 2**40
        self.settle()
        self.assertEqual(b"x" * 1_000_000, second.read())

    def test_both_stalled(self) -> None:
        """Two that do not read are bounded on both sides, and go on afterwards."""
        first, second = self.pair(window_bytes=0)
        first.window_bytes = 0
        for client in (first, second):
            client.send(b"z" * 500_000)
        self.settle()
        for client in (first, second):
            self.assertLessEqual(client.buffered_bytes(), AT_MOST_BUFFERED)
            client.window_bytes = 2**40
        self.settle()
        self.assertEqual((500_000, 500_000), (len(first.read()), len(second.read())))


class EndTests(RelayCase):
    def test_one_closes(self) -> None:
        """When one side closes the other is closed, and the session is over, once."""
        first, second = self.pair()
        first.close()
        self.settle()
        self.assertEqual((False, False), (first.connected, second.connected))
        self.assertEqual([EndReason.CLOSED], [record.reason for record in self.records])
        self.assertFalse(second.aborted)
        self.assert_nothing_left()

    def test_ended_twice(self) -> None:
        """Ending a session that is over is harmless."""
        self.pair()
        session = next(self.relay.sessions)
        session.end(EndReason.STOPPED)
        session.end(EndReason.BLOCKED)
        self.settle()
        self.assertEqual([EndReason.STOPPED], [record.reason for record in self.records])
        self.assert_nothing_left()

    def test_both_close(self) -> None:
        """Two ends at the same time are one end."""
        for client in self.pair():
            client.close()
        self.settle()
        self.assertEqual(1, len(self.records))
        self.assert_nothing_left()

    def test_everything_received_is_delivered(self) -> None:
        """What a side sent before it closed arrives, however slowly the other reads."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x" * 300_000)
        first.close()
        received = b""
        while second.connected:
            second.window_bytes = 10_000
            self.settle()
            received += second.read()
        self.assertEqual(b"x" * 300_000, received + second.read())
        self.assert_nothing_left()

    def test_lost_while_its_partner_is_paused(self) -> None:
        """A paused producer does not keep the survivor from being closed."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x" * 300_000)
        self.settle()
        self.assertFalse(first.reading)
        first.lose(ConnectionLost())
        second.window_bytes = 2**40
        self.settle()
        self.assertFalse(second.connected)
        self.assertLessEqual(len(second.read()), AT_MOST_BUFFERED)
        self.assert_nothing_left()

    def test_reader_lost_while_its_source_is_paused(self) -> None:
        """When a stalled reader is lost its paused source is closed too."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x" * 300_000)
        self.settle()
        second.lose(ConnectionLost())
        self.settle()
        self.assertFalse(first.connected)
        self.assert_nothing_left()

    def test_linger(self) -> None:
        """Who does not take the rest in time is cut."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x")
        first.close()
        self.settle()
        self.advance(LINGER_S - 0.1)
        self.assertTrue(second.connected)
        self.advance(0.1)
        self.assertEqual((False, True), (second.connected, second.aborted))
        self.assert_nothing_left()

    def test_stalled_at_the_end(self) -> None:
        """Who stalls at the end, no longer than a session may be silent, loses nothing."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x" * 50_000)
        first.close()
        self.settle()
        self.advance(SILENCE_S - 1)
        second.window_bytes = 2**40
        self.settle()
        self.assertEqual((b"x" * 50_000, False), (second.read(), second.aborted))
        self.assert_nothing_left()

    def test_slow_at_the_end(self) -> None:
        """Who takes some of the rest in each of those times is not cut."""
        first, second = self.pair(window_bytes=0)
        unsent = [3000, 2000, 1000, 1000]
        second.protocol.unsent_bytes = lambda: unsent.pop(0)
        first.send(b"x")
        first.close()
        self.settle()
        for _ in range(2):
            self.advance(LINGER_S)
            self.assertTrue(second.connected)
        self.advance(LINGER_S)
        self.assertEqual(([], False), (unsent, second.connected))
        self.assert_nothing_left()

    def test_slow_reader(self) -> None:
        """While a reader takes what it was sent its session is not silent."""
        first, second = self.pair(window_bytes=0)
        unsent = iter(range(2**20, 0, -1))
        second.protocol.unsent_bytes = lambda: next(unsent)
        first.send(b"x" * 300_000)
        self.settle()
        for _ in range(100):
            self.relay.sweep()
            self.advance(1)
        self.assertEqual([], self.records)
        second.window_bytes = 2**40
        self.settle()
        self.assertEqual(b"x" * 300_000, second.read())
        for _ in range(33):
            self.relay.sweep()
            self.advance(1)
        self.assertEqual([EndReason.SILENT], [record.reason for record in self.records])

    def test_what_comes_after_the_end(self) -> None:
        """What a side sends when its session is over is thrown away."""
        first, second = self.pair(window_bytes=0)
        first.send(b"x")
        first.close()
        self.settle()
        second.protocol.dataReceived(b"too late")
        self.assertEqual(0, self.records[0].second_bytes)

    def test_silence(self) -> None:
        """31 to 35 seconds after the last byte a sweep each second ends both."""
        first, second = self.pair()
        seconds = 0
        while first.connected or second.connected:
            self.relay.sweep()
            self.advance(1)
            seconds += 1
        self.assertIn(seconds, range(31, 36))
        self.assertEqual([EndReason.SILENT], [record.reason for record in self.records])
        self.assert_nothing_left()

    def test_blocked(self) -> None:
        """A session ends when either side comes on the blocklist."""
        for client in self.pair():
            client.send(b"x")
        self.relay.blocklist.add("192.0.2.1")
        self.advance(1)
        self.relay.sweep()
        self.settle()
        self.assertEqual([EndReason.BLOCKED], [record.reason for record in self.records])
        self.assert_nothing_left()

    def test_lost_in_the_moment_of_pairing(self) -> None:
        """A side that turns out to be dead at the first write ends the session."""
        first = self.connect(hello())
        write = first.write

        def broken(data: bytes) -> None:
            first.lose(ConnectionLost())
            write(data)

        first.write = broken
        second = self.connect(hello() + b"early", "192.0.2.2")
        self.assertEqual((False, False), (first.connected, second.connected))
        self.assertEqual(1, len(self.records))
        self.assert_nothing_left()


class InterleavingTests(RelayCase):
    """Seeded sequences of sends, reads, turns and closes of many sessions at once."""

    connections = per_address = 1000
    SESSIONS = 12

    def play(self, seed: int) -> None:
        self.random = Random(seed)
        self.sent: dict[FakeTCP, bytes] = {}
        self.got: dict[FakeTCP, bytes] = {}
        self.closers: dict[int, FakeTCP] = {}
        self.partners: dict[FakeTCP, FakeTCP] = {}
        sides = [n for n in range(self.SESSIONS) for _ in range(2)]
        self.random.shuffle(sides)
        waiting: dict[int, FakeTCP] = {}
        for number in sides:
            client = self.arrive(number)
            partner = waiting.setdefault(number, client)
            self.partners[client], self.partners[partner] = partner, client
            self.play_some(200)
        self.play_some(2000)
        self.come_to_an_end(waiting)

    def arrive(self, number: int) -> FakeTCP:
        client = self.connect(window_bytes=self.random.choice([1000, 100_000, 2**40]))
        early = self.random.randbytes(self.random.choice([0, 1, 5000, 150_000]))
        self.sent[client], self.got[client] = early, b""
        first = hello(f"s{number}")
        split = self.random.randrange(len(first))
        client.send(first[:split])
        client.turn()
        client.send(first[split:] + early)
        return client

    def play_some(self, steps: int) -> None:
        for _ in range(steps):
            client = self.random.choice(list(self.sent))
            action = self.random.choice([self.say, self.listen, FakeTCP.turn, FakeTCP.turn])
            action(client)

    def say(self, client: FakeTCP) -> None:
        data = self.random.randbytes(self.random.choice([1, 60, 3000, 70_000]))
        self.sent[client] += data
        client.send(data)

    def listen(self, client: FakeTCP) -> None:
        self.got[client] += client.read(self.random.choice([10, 5000, 200_000]))

    def come_to_an_end(self, waiting: dict[int, FakeTCP]) -> None:
        """One side of each session closes; everybody reads what there is."""
        closers = [self.random.choice([c, self.partners[c]]) for c in waiting.values()]
        for client in closers:
            client.close()
            self.play_some_turns()
        for client in self.sent:
            client.window_bytes = 2**40
        self.settle()
        for client in self.sent:
            self.got[client] += client.read()
        for closer in closers:
            survivor = self.partners[closer]
            self.assertEqual(self.sent[closer], self.got[survivor])
            self.assertTrue(self.sent[survivor].startswith(self.got[closer]))

    def play_some_turns(self) -> None:
        for client in self.random.choices(list(self.sent), k=20):
            client.turn()
            self.listen(client)

    def test_nothing_lost_nothing_doubled(self) -> None:
        """What was sent before an orderly close arrives exactly once, in order."""
        for seed in range(5):
            self.play(seed)
            self.assertEqual(self.SESSIONS * (seed + 1), len(self.records))
            self.assert_nothing_left()
