"""The parts of the benchmark that judge: a wrong verdict would go unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench import build, crowd, plot, relay_rows, run
from bench.devices import own_address
from bench.figures import Goal, Kind, Runs, Spread, judge, short, spread
from bench.load import Figures, LoadError
from bench.row import Row
from bench.rows import ROWS, SWEEPS
from bench.run import outcome
from bench.servers import PEERS, Server
from bench.soak_plan import Ending, fits, new_plan, piece
from bench.svg import bar_chart, line_chart
from bench.table import lines_of, markdown


def word(goal: Goal, ours: float, theirs: float = 0.0) -> str:
    """Return the verdict on one run of each."""
    runs = {"ours": [{"cost": ours}], "T": [{"cost": theirs}]}
    verdict = judge(goal, runs, 1)
    assert verdict is not None
    return verdict.word


def row(*goals: Goal, candidates: tuple[str, ...] = ("ours", "C64")) -> Row:
    """Return a row that measures nothing, for what is done with its runs."""
    return Row("row", "title", candidates, lambda *_: {}, goals)


class FigureTests(SynchronousTestCase):
    """Medians, ratios and what they mean."""

    def test_middle_and_range(self) -> None:
        """One bad run moves the range, not the middle."""
        runs = [{"cost": cost} for cost in (3.0, 1.0, 100.0)]
        self.assertEqual(Spread(3.0, 1.0, 100.0), spread(runs, "cost"))

    def test_ratio_at_its_limits(self) -> None:
        """At the limit a goal is met, above it is not."""
        goal = Goal("cost", "T", must=0.5, aim=0.25)
        self.assertEqual("aim", word(goal, 1.0, 4.0))
        self.assertEqual("must", word(goal, 1.01, 4.0))
        self.assertEqual("must", word(goal, 2.0, 4.0))
        self.assertEqual("MISSED", word(goal, 2.01, 4.0))

    def test_more_is_better(self) -> None:
        """Where a goal is a least value, the limits work the other way."""
        goal = Goal("cost", must=0.8, aim=0.9, kind=Kind.VALUE, at_least=True)
        self.assertEqual("aim", word(goal, 0.9))
        self.assertEqual("must", word(goal, 0.8))
        self.assertEqual("MISSED", word(goal, 0.79))

    def test_ratio_of_which_more_is_better(self) -> None:
        """So many times the other's figure is reached at the limit, and not below it."""
        goal = Goal("cost", "T", must=1.2, aim=3.0, at_least=True)
        self.assertEqual("aim", word(goal, 3.0, 1.0))
        self.assertEqual("must", word(goal, 1.2, 1.0))
        self.assertEqual("MISSED", word(goal, 1.19, 1.0))

    def test_difference(self) -> None:
        """What comes on top of the other one counts."""
        goal = Goal("cost", "T", must=1.0, aim=0.3, kind=Kind.DIFFERENCE)
        self.assertEqual("aim", word(goal, 10.25, 10.0))
        self.assertEqual("MISSED", word(goal, 11.5, 10.0))

    def test_no_limit(self) -> None:
        """A goal without limits is reported, however bad."""
        self.assertEqual("reported", word(Goal("cost", "T"), 99.0, 1.0))

    def test_aim_alone(self) -> None:
        """Who misses a mere aim has missed nothing."""
        goal = Goal("cost", "T", None, 1.0)
        self.assertEqual("reported", word(goal, 2.0, 1.0))
        self.assertEqual("aim", word(goal, 1.0, 1.0))

    def test_candidate_is_missing(self) -> None:
        """Without the other there is no verdict, rather than a good one."""
        self.assertIsNone(judge(Goal("cost", "T", 1.0), {"ours": [{"cost": 0.1}]}, 1))

    def test_worst_run_counts(self) -> None:
        """What must never happen is missed if it happened once, also in many runs."""
        goal = Goal("lost", must=0, kind=Kind.VALUE, worst=True)
        runs = {"ours": [{"lost": 0.0}, {"lost": 0.0}, {"lost": 1.0}]}
        verdict = judge(goal, runs, 3)
        assert verdict is not None
        self.assertEqual(("MISSED", 1.0), (verdict.word, verdict.result))

    def test_worst_is_the_least(self) -> None:
        """Where more is better the least run is the worst."""
        goal = Goal("share", must=0.8, kind=Kind.VALUE, at_least=True, worst=True)
        verdict = judge(goal, {"ours": [{"share": 0.9}, {"share": 0.7}]}, 2)
        assert verdict is not None
        self.assertEqual(("MISSED", 0.7), (verdict.word, verdict.result))

    def test_runs_are_missing(self) -> None:
        """A median of the runs that went well is no verdict, on either side."""
        good, short_of = [{"cost": 1.0}] * 2, [{"cost": 1.0}]
        for ours, theirs in ((short_of, good), (good, short_of), ([], good), (good, [])):
            verdict = judge(Goal("cost", "T", 9.0), {"ours": ours, "T": theirs}, 2)
            assert verdict is not None
            self.assertEqual(("FAILED", None), (verdict.word, verdict.result))

    def test_figure_is_missing(self) -> None:
        """A run without the figure is no run as far as its goal goes."""
        runs = {"ours": [{"cost": 1.0}, {"other": 1.0}]}
        limited, plain = Goal("cost", must=9.0), Goal("cost")
        self.assertEqual("FAILED", getattr(judge(limited, runs, 2), "word", ""))
        self.assertEqual("reported", getattr(judge(plain, runs, 2), "word", ""))
        self.assertIsNone(judge(plain, {"ours": [{}, {}]}, 2))

    def test_short_numbers(self) -> None:
        """As many digits as are worth reading, and no exponents."""
        self.assertEqual("0.123", short(0.12345))
        self.assertEqual("12346", short(12345.6))


class RowTests(SynchronousTestCase):
    """The table of what is measured."""

    def test_everybody_is_known(self) -> None:
        """Candidates, and those whom goals name, take part and can be started."""
        known = {"ours", "stored", "empty", *PEERS}
        for row in (*ROWS, *SWEEPS):
            self.assertLessEqual(set(row.candidates), known, row.name)
            for goal in row.goals:
                self.assertIn(goal.of, row.candidates, row.name)
                self.assertIn(goal.against, ("", *row.candidates), row.name)

    def test_websocket_goals(self) -> None:
        """Each size counts, in the two directions that have a goal."""
        limits = {
            row.name: row.goals[0].must
            for row in ROWS
            if row.name.endswith(("-1k", "-16k", "-256k"))
        }
        expected = {"ws-to-tcp": 3.0, "tcp-to-ws": 1.2, "ws-to-ws": None}
        for name, times in expected.items():
            for size in ("1k", "16k", "256k"):
                self.assertEqual(times, limits.pop(f"{name}-{size}"), name)
        self.assertEqual({}, limits)

    def test_names_are_single(self) -> None:
        """A row can be chosen by its name."""
        names = [row.name for row in (*ROWS, *SWEEPS)]
        self.assertEqual(len(names), len(set(names)))

    def test_line_of_text(self) -> None:
        """A verdict's line has the figures, the limits and the word."""
        runs = {"ours": [{"cost": 1.0}], "C64": [{"cost": 4.0}]}
        (line,) = lines_of(outcome(row(Goal("cost", "C64", 0.5, 0.2)), runs, 1))
        for part in ("title", "1 [1-1]", "4 [4-4]", "0.25x", "<=0.5", "<=0.2", "must"):
            self.assertIn(part, line)

    def test_lines_of_failed_runs(self) -> None:
        """Neither the table nor the page passes over runs that failed."""
        runs: Runs = {"ours": [], "C64": [{"cost": 4.0}]}
        shown = outcome(row(Goal("cost", "C64", 0.5)), runs, 1)
        line, reason = lines_of(shown)
        self.assertIn("FAILED", line)
        self.assertIn("ours: 0 of 1 runs", reason)
        self.assertIn("| FAILED |", markdown({"rows": {"row": shown}}))


class BuildTests(SynchronousTestCase):
    """What cannot be built is left out with a word."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(build, "say", self.said.append)
        self.patch(build, "BUILD", Path(self.mktemp()))

    def test_no_cargo(self) -> None:
        """Without cargo there are no peers in Rust, and each of them is named."""
        self.patch(shutil, "which", lambda _name: None)
        for name in ("tokio_peer", "tokio_ws_peer"):
            build._build_crate(name)
            self.assertIn(name, self.said.pop())
        self.assertEqual(set(), build.available())

    def test_each_has_a_place(self) -> None:
        """No peer is built over another one."""
        places = {build.program(binary) for binary, *_ in PEERS.values()}
        self.assertEqual(len({binary for binary, *_ in PEERS.values()}), len(places))


class ExitStatusTests(SynchronousTestCase):
    """Whether ``make bench`` says that all is well."""

    def assert_status(
        self, expected: int, ours: list[Figures], *goals: Goal, quick: bool = False
    ) -> None:
        """Check the status after two runs of each were asked for."""
        said: list[str] = []
        self.patch(run, "say", said.append)
        runs = {"ours": ours, "C64": [{"cost": 2.0}] * 2}
        rows = {"row": outcome(row(*goals), runs, 2)}
        self.assertEqual(expected, run.exit_status(rows, quick))
        self.assertEqual(1, len(said))

    def test_good(self) -> None:
        """All runs are there and the goal is met."""
        self.assert_status(0, [{"cost": 1.0}] * 2, Goal("cost", "C64", 1.0))

    def test_missed(self) -> None:
        """A missed goal is a failure, but of a smoke test, whose figures mean nothing."""
        ours, goal = [{"cost": 3.0}] * 2, Goal("cost", "C64", 1.0)
        self.assert_status(1, ours, goal)
        self.assert_status(0, ours, goal, quick=True)

    def test_no_run_went_well(self) -> None:
        """That there is nothing to judge is a failure, of a smoke test too."""
        goal = Goal("cost", "C64", 1.0)
        self.assert_status(1, [], goal)
        self.assert_status(1, [], goal, quick=True)

    def test_some_runs_failed(self) -> None:
        """That the remaining runs reach the goal does not help."""
        self.assert_status(1, [{"cost": 1.0}], Goal("cost", "C64", 1.0))

    def test_row_without_limits(self) -> None:
        """Where nothing is demanded, our runs have to go well all the same."""
        self.assert_status(1, [{"cost": 1.0}], Goal("cost", "C64"))
        self.assert_status(1, [{"cost": 1.0}])
        self.assert_status(0, [{"cost": 1.0}] * 2)

    def test_peer_failed_a_comparison_without_limits(self) -> None:
        """A peer's failure where nothing depends on it is not ours."""
        runs: Runs = {"ours": [{"cost": 1.0}], "C64": []}
        rows = {"row": outcome(row(Goal("cost", "C64")), runs, 1)}
        self.patch(run, "say", lambda _: None)
        self.assertEqual(0, run.exit_status(rows, False))


class DeviceTests(SynchronousTestCase):
    """Devices that the server has stored, as the generator plays them."""

    def test_addresses(self) -> None:
        """IPv4 counts addresses, IPv6 networks, as load/common.c does."""
        self.assertEqual("127.20.0.16", own_address("127.20.0.1", 15))
        self.assertEqual("127.20.1.0", own_address("127.20.0.1", 255))
        self.assertEqual("fd20:0:0:f::1", own_address("fd20::1", 15))


class WholeTests(SynchronousTestCase):
    """Nothing is divided by more than there is."""

    def test_idle_sessions(self) -> None:
        """Memory per session counts if all of them are open."""
        server = Server(1, 2, 3, 4, Path())
        self.patch(relay_rows, "descriptors", lambda _pid: {"socket": 9, "pipe": 9})
        relay_rows._expect(server, 9)
        self.assertRaises(LoadError, relay_rows._expect, server, 10)

    def test_crowd(self) -> None:
        """As many devices take part as processes and sockets can share."""
        shared = [crowd._shared(count, 3, 16) for count in (1, 48, 95, 96, 100_000)]
        self.assertEqual([48, 48, 48, 96, 99_984], shared)


class SoakPlanTests(SynchronousTestCase):
    """The streams of the soak, by which every byte is checked."""

    def test_stream_is_found_again(self) -> None:
        """What a stream has somewhere fits there, also where it repeats."""
        for position in (0, 1, 4_194_300, 9_000_000):
            self.assertTrue(fits(bytes(piece(77, position, 1000)), 77, position))

    def test_wrong_bytes_are_seen(self) -> None:
        """A missing, a doubled and a changed byte do not fit."""
        data = bytes(piece(77, 5000, 1000))
        self.assertFalse(fits(data[1:], 77, 5000))
        self.assertFalse(fits(data[:1] + data, 77, 5000))
        self.assertFalse(fits(data[:500] + b"?!" + data[502:], 77, 5000))
        self.assertFalse(fits(data, 78, 5000))

    def test_plans_are_possible(self) -> None:
        """Every ending comes up, and no plan asks for more than it sends."""
        plans = [new_plan(Random(number)) for number in range(300)]
        self.assertEqual(set(Ending), {plan.ending for plan in plans})
        for plan in plans:
            self.assertLessEqual(plan.cut_at, plan.sides[plan.closer].size)
            for side in plan.sides:
                self.assertGreater(side.size, side.pause_at)


class ChartTests(SynchronousTestCase):
    """Plots are well-formed, and their marks stay inside."""

    def assert_drawing(self, text: str, *words: str) -> None:
        """Check that *text* is SVG with these *words* in it."""
        root = ElementTree.fromstring(text)
        self.assertTrue(root.tag.endswith("svg"))
        written = [element.text for element in root.iter() if element.text]
        for expected in words:
            self.assertIn(expected, written)
        for element in root.iter():
            for name in ("x", "y", "cx", "cy"):
                self.assertTrue(0 <= float(element.get(name, 0)) <= 720)

    def test_bars(self) -> None:
        """Groups, series and values are written."""
        groups = {
            "few": {"ours & co": Spread(10, 5, 40), "T": Spread(20, 19, 21)},
            "many": {"T": Spread(7, 7, 7)},
        }
        for logarithmic in (False, True):
            text = bar_chart("Title", "us", groups, logarithmic=logarithmic)
            self.assert_drawing(text, "few", "many", "ours & co", "T", "20", "Title (us)")

    def test_lines(self) -> None:
        """Every place on the axis is written, also if there is only one."""
        series = {"ours": {1.0: 0.5, 100.0: 0.7}, "T": {10.0: 1.5}}
        self.assert_drawing(line_chart("Cost", "s", "sessions", series), "1", "10", "100")
        self.assert_drawing(line_chart("Cost", "s", "n", {"ours": {5.0: 1.0}}), "5")

    def test_websocket(self) -> None:
        """Each direction and size that was measured has its bars, the others have none."""
        runs = {"ours": [{"mb_s": 20.0}], "tungstenite": [{"mb_s": 10.0}]}
        text = plot.websocket({"ws-to-tcp-1k": {"runs": runs}})
        self.assert_drawing(text, "ws to tcp, 1K", "20", "10", "tokio, tungstenite")
        self.assertNotIn("256K", text)
        self.assertRaises(ValueError, plot.websocket, {})

    def test_nothing(self) -> None:
        """Without figures there is no plot."""
        self.assertRaises(ValueError, bar_chart, "Title", "us", {})
        self.assertRaises(ValueError, line_chart, "Title", "us", "x", {})
