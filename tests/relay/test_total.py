"""The limit all sessions share, and the order in which they wait for it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.total import Total

RATE = 8e6
CHUNK_BITS = 8 * 64 * 1024


class Payer:
    served = 0.0


class TotalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.total = Total(RATE, 0.0)
        self.now_s = 0.0

    def serve(self) -> object:
        """Let the time pass until somebody's turn; return who it is."""
        self.now_s += (self.total.wait_s(self.now_s) or 0.0) + 1e-6
        return self.total.serve(self.now_s)

    def test_nobody(self) -> None:
        """An empty line has no next, and nothing to wait for."""
        self.assertIsNone(self.total.wait_s(0.0))
        self.assertIsNone(self.total.serve(60.0))

    def test_in_turn(self) -> None:
        """Nobody is served before there is enough; then the first who came."""
        a, b = Payer(), Payer()
        self.total.join("a", a, CHUNK_BITS)
        self.total.join("b", b, CHUNK_BITS)
        self.assertIsNone(self.total.serve(0.0))
        self.assertEqual("a", self.serve())
        self.total.pay(a, CHUNK_BITS)
        self.assertIsNone(self.total.serve(self.now_s))
        self.assertEqual("b", self.serve())
        self.assertEqual(0, len(self.total))

    def test_joined_twice(self) -> None:
        """Who stands in the line already is not in it twice."""
        self.total.join("a", Payer(), CHUNK_BITS)
        self.total.join("a", Payer(), CHUNK_BITS)
        self.assertEqual("a", self.serve())
        self.assertIsNone(self.total.wait_s(self.now_s))

    def test_least_served_first(self) -> None:
        """Who asks for little goes before who had much, whoever came first."""
        greedy, modest = Payer(), Payer()
        self.total.join("someone", Payer(), CHUNK_BITS)
        self.total.pay(greedy, 10 * CHUNK_BITS)
        self.total.pay(modest, 800)
        self.total.join("greedy", greedy, CHUNK_BITS)
        self.total.join("modest", modest, 800)
        self.assertEqual(["modest", "someone", "greedy"], [self.serve() for _ in range(3)])

    def test_little_before_much(self) -> None:
        """Among equally served ones who will want little goes first."""
        self.total.join("transfer", Payer(), CHUNK_BITS)
        self.total.join("click", Payer(), 40)
        self.assertEqual(["click", "transfer"], [self.serve(), self.serve()])

    def test_nobody_starves(self) -> None:
        """Whoever wants little again and again has no more than an equal share."""
        little, much = Payer(), Payer()
        self.total.join("much", much, CHUNK_BITS)
        self.total.join("little", little, 4000)
        turns = 0
        while self.serve() == "little":
            self.total.pay(little, 4000)
            self.total.join("little", little, 4000)
            turns += 1
        self.assertEqual(round(CHUNK_BITS / 4000), turns)

    def test_equal_shares(self) -> None:
        """Who takes more each time is served less often: bytes are shared, not turns."""
        payers = {"small": Payer(), "big": Payer()}
        sizes = {"small": CHUNK_BITS / 4, "big": CHUNK_BITS}
        moved = dict.fromkeys(payers, 0.0)
        for name, payer in payers.items():
            self.total.join(name, payer, sizes[name])
        for _ in range(1000):
            name = str(self.serve())
            self.total.pay(payers[name], sizes[name])
            moved[name] += sizes[name]
            self.total.join(name, payers[name], sizes[name])
        self.assertAlmostEqual(1.0, moved["small"] / moved["big"], 2)

    def test_the_past_is_forgotten(self) -> None:
        """What was moved while nobody had to wait is not held against anybody."""
        old, new = Payer(), Payer()
        self.total.pay(old, 1000 * CHUNK_BITS)
        self.total.join("old", old, CHUNK_BITS)
        self.total.join("new", new, CHUNK_BITS)
        self.assertEqual(["old", "new"], [self.serve(), self.serve()])

    def test_leave(self) -> None:
        """Who left is not served; leaving without standing in the line is harmless."""
        self.total.join("a", Payer(), CHUNK_BITS)
        self.total.join("b", Payer(), CHUNK_BITS)
        self.total.leave("a")
        self.total.leave("x")
        self.assertEqual("b", self.serve())

    def test_back_in_line(self) -> None:
        """Who left and came back stands where it came back."""
        a, b = Payer(), Payer()
        self.total.join("a", a, CHUNK_BITS)
        self.total.join("b", b, CHUNK_BITS)
        self.total.leave("a")
        self.total.join("a", a, CHUNK_BITS)
        self.assertEqual(["b", "a"], [self.serve(), self.serve()])

    def test_those_who_left_take_no_memory(self) -> None:
        """However many came and went, what is kept stays small."""
        self.total.join("patient", Payer(), CHUNK_BITS)
        for number in range(1000):
            self.total.join(number, Payer(), CHUNK_BITS)
            self.total.leave(number)
        self.assertLess(len(self.total._heap), 100)
        self.assertEqual("patient", self.serve())

    def test_limit_removed(self) -> None:
        """Without a limit who still waits is served at once, and nothing is counted."""
        payer = Payer()
        self.total.pay(payer, 10**12)
        self.total.join("a", payer, CHUNK_BITS)
        self.total.set_rate(None, 0.0)
        self.assertEqual(0.0, self.total.wait_s(0.0))
        self.assertEqual("a", self.total.serve(0.0))
        before = payer.served
        self.total.pay(payer, CHUNK_BITS)
        self.assertEqual(before, payer.served)

    def test_limit_changed(self) -> None:
        """A change holds at once, and whoever serves the line is told."""
        changes: list[str] = []
        self.total.changed = lambda: changes.append("changed")
        self.total.pay(Payer(), RATE)
        self.total.join("a", Payer(), CHUNK_BITS)
        slow = self.total.wait_s(0.0)
        self.total.set_rate(4 * RATE, 0.0)
        self.assertLess(self.total.wait_s(0.0), slow / 3)
        self.total.set_rate(None, 0.0)
        self.total.set_rate(RATE, 0.0)
        self.assertEqual(0, self.total.bucket.level(0.0))
        self.assertEqual(["changed"] * 3, changes)
