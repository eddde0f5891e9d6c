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
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import asdict, evolve

from bench import namespace
from bench.build import HERE, available, build, say
from bench.child import ALL_CPUS, leave_server_cpu
from bench.figures import Verdict, judge
from bench.load import Figures, LoadError
from bench.rows import ROWS, SWEEPS, Row
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


def _judge(row: Row, runs: dict[str, list[Figures]]) -> list[Verdict]:
    """Judge all goals, with stand-ins for who is missing; leave out what cannot be."""
    stand_ins = {c: s for c, s in row.stand_ins if c not in runs}
    goals = (evolve(g, against=stand_ins.get(g.against, g.against)) for g in row.goals)
    verdicts = (judge(goal, runs) for goal in goals)
    return [verdict for verdict in verdicts if verdict is not None]


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
        shown = _judge(row, runs)
        for line in lines_of(row.title, shown, runs):
            say(line)
        done[row.name] = {
            "title": row.title,
            "runs": runs,
            "verdicts": [asdict(verdict) for verdict in shown],
        }
    return done


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"\nwritten to {path}")


def _missed(rows: dict[str, Any]) -> int:
    words = [v["word"] for row in rows.values() for v in row["verdicts"]]
    say(", ".join(f"{words.count(word)} {word}" for word in ("aim", "must", "MISSED")))
    return words.count("MISSED")


def main() -> int:
    """Run the benchmark; return the exit status: 1 if a goal was missed."""
    arguments = _arguments()
    rows = _chosen(arguments)
    built = available() if namespace.is_inside() else build()
    in_namespace = namespace.enter("bench.run")
    if not in_namespace:
        rows = [row for row in rows if not row.small_packets]
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
    missed = _missed(done)
    return 0 if arguments.quick or not missed else 1


if __name__ == "__main__":
    sys.exit(main())
