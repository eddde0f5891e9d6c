"""
Measures our server beside its peers and prints the table of goals.

``python -m bench.run --help`` says how; bench/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import asdict, evolve

from bench import namespace
from bench.build import HERE, available, build, say
from bench.child import ALL_CPUS, leave_server_cpu
from bench.figures import Runs, Verdict, judge
from bench.load import Figures, LoadError
from bench.row import Row
from bench.rows import ROWS, SWEEPS
from bench.servers import PEERS, add_build_options, chosen_build
from bench.setting import Setting
from bench.table import HEADING, lines_of

RESULTS = HERE / "results"
LAST = RESULTS / "last.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    names = ", ".join(row.name for row in (*ROWS, *SWEEPS))
    parser.add_argument("--only", action="append", metavar="ROW", help=f"of: {names}")
    parser.add_argument("--quick", action="store_true", help="a smoke test, no figures")
    parser.add_argument("--sweeps", action="store_true", help="also what the plots need")
    parser.add_argument("--repeats", type=int, default=0, help="runs each (5)")
    parser.add_argument("--seconds", type=float, default=0, help="length of a run (1.5)")
    add_build_options(parser)
    parser.add_argument("--output", type=Path, help="JSON file (bench/results/DATE.json)")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> list[Row]:
    rows = [*ROWS, *(SWEEPS if arguments.sweeps else ())]
    if not arguments.only:
        return rows
    known = {row.name: row for row in (*ROWS, *SWEEPS)}
    unknown = set(arguments.only) - set(known)
    if unknown:
        raise SystemExit(f"there is no row {', '.join(sorted(unknown))}")
    return [known[name] for name in arguments.only]


def _is_possible(row: Row, in_namespace: bool) -> bool:
    possible = in_namespace or not row.small_packets
    possible = possible and (namespace.has_ipv6() or not row.ipv6)
    if not possible:
        say(f"left out, for want of a network that can do it: {row.title}")
    return possible


def _taking_part(row: Row, built: set[str]) -> tuple[str, ...]:
    stand_ins = dict(row.stand_ins)

    def is_there(candidate: str) -> bool:
        return candidate not in PEERS or PEERS[candidate][0] in built

    wanted = (c if is_there(c) else stand_ins.get(c, c) for c in row.candidates)
    return tuple(candidate for candidate in wanted if is_there(candidate))


def _measure(
    row: Row, setting: Setting, candidates: Sequence[str], repeats: int
) -> dict[str, list[Figures]]:
    """Run all candidates in turn, to and fro, so that drift meets each alike."""
    runs: dict[str, list[Figures]] = {candidate: [] for candidate in candidates}
    around = namespace.small_packets() if row.small_packets else nullcontext()
    with around:
        for turn in range(repeats):
            for candidate in candidates[:: -1 if turn % 2 else 1]:
                try:
                    runs[candidate].append(row.measure(setting, candidate))
                except (LoadError, RuntimeError) as e:
                    say(f"  {row.name}, {candidate}: {e}")
    return runs


def _judge(row: Row, runs: Runs, repeats: int) -> list[Verdict]:
    """Judge all goals, with stand-ins for who is missing; leave out what cannot be."""
    stand_ins = {c: s for c, s in row.stand_ins if c not in runs}
    goals = (evolve(g, against=stand_ins.get(g.against, g.against)) for g in row.goals)
    verdicts = (judge(goal, runs, repeats) for goal in goals)
    return [verdict for verdict in verdicts if verdict is not None]


def _failed(runs: Runs, repeats: int) -> list[str]:
    """Return what to say of our own server's runs that are missing."""
    own = {name: len(each) for name, each in runs.items() if name not in PEERS}
    return [f"{name}: {n} of {repeats} runs" for name, n in own.items() if n < repeats]


def outcome(row: Row, runs: Runs, repeats: int) -> dict[str, Any]:
    """
    Return a row as it is written to the result file.

    :param repeats: how many runs of each candidate there should be.
    """
    return {
        "title": row.title,
        "failed": _failed(runs, repeats),
        "runs": runs,
        "verdicts": [asdict(verdict) for verdict in _judge(row, runs, repeats)],
    }


def _describe_machine(in_namespace: bool) -> dict[str, Any]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "cpu": model,
        "cpus": len(ALL_CPUS),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": version("Twisted"),
        "namespace": in_namespace,
        "congestion_control": namespace.congestion_control(),
        "load_before": os.getloadavg()[0],
    }


def _run_rows(
    rows: Sequence[Row], setting: Setting, built: set[str], repeats: int
) -> dict[str, Any]:
    done: dict[str, Any] = {}
    say(HEADING)
    for row in rows:
        runs = _measure(row, setting, _taking_part(row, built), repeats)
        done[row.name] = outcome(row, runs, repeats)
        for line in lines_of(done[row.name]):
            say(line)
    return done


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"\nwritten to {path}")


def exit_status(rows: Mapping[str, Any], quick: bool) -> int:
    """
    Return 1 if a goal was missed, or could not be judged because runs failed.

    :param quick: the figures mean nothing; that every run goes well still does.
    """
    words = [v["word"] for row in rows.values() for v in row["verdicts"]]
    shown = ("aim", "must", "MISSED", "FAILED")
    say(", ".join(f"{words.count(word)} {word}" for word in shown))
    failed = "FAILED" in words or any(row["failed"] for row in rows.values())
    return int(failed or ("MISSED" in words and not quick))


def main() -> int:
    """Run the benchmark; return the exit status."""
    arguments = _arguments()
    rows = _chosen(arguments)
    built = available() if namespace.is_inside() else build()
    in_namespace = namespace.enter("bench.run")
    rows = [row for row in rows if _is_possible(row, in_namespace)]
    leave_server_cpu()
    repeats = arguments.repeats or (1 if arguments.quick else 5)
    with tempfile.TemporaryDirectory(prefix="bench-store-") as store:
        setting = Setting(
            seconds=arguments.seconds or (0.4 if arguments.quick else 1.5),
            quick=arguments.quick,
            build=chosen_build(arguments),
            options=tuple(arguments.server_option),
            store=Path(store),
        )
        machine = _describe_machine(in_namespace)
        done = _run_rows(rows, setting, built, repeats)
    method = {"repeats": repeats, "seconds": setting.seconds, "quick": setting.quick}
    name = machine["date"].replace(":", "").replace("+0000", "Z") + ".json"
    result = {"machine": machine, "method": method, "rows": done}
    _write(arguments.output or RESULTS / name, result)
    return exit_status(done, arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
