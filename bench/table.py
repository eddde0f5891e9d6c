"""The table of goals, as text for a terminal and as Markdown for the documentation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.build import say
from bench.figures import Goal, Kind, Runs, Spread, Verdict, short, spread

_FORMAT = "{:<52} {:<22} {:<11} {:<22} {:>8} {:>8} {:>8}  {}"
HEADING = _FORMAT.format(
    "measure", "ours", "against", "theirs", "result", "must", "aim", "verdict"
)


def _limit(goal: Goal, limit: float | None) -> str:
    if limit is None:
        return "-"
    return (">=" if goal.at_least else "<=") + f"{limit:g}"


def _result(verdict: Verdict) -> str:
    if verdict.result is None:
        return "-"
    suffix = "x" if verdict.theirs and verdict.goal.kind is Kind.RATIO else ""
    return short(verdict.result) + suffix


def _cells(title: str, verdict: Verdict) -> tuple[str, ...]:
    goal = verdict.goal
    return (
        title,
        str(verdict.ours or "-"),
        goal.against,
        str(verdict.theirs or ""),
        _result(verdict),
        _limit(goal, goal.must),
        _limit(goal, goal.aim),
        verdict.word,
    )


def _rows(row: Mapping[str, Any]) -> list[tuple[str, ...]]:
    verdicts = [_verdict(data) for data in row["verdicts"]]
    return [
        _cells(_title(row["title"], i, verdict.goal), verdict)
        for i, verdict in enumerate(verdicts)
    ]


def lines_of(row: Mapping[str, Any]) -> list[str]:
    """
    Return a row of the benchmark as lines of text.

    :param row: as it is in a result file.
    """
    lines = [_FORMAT.format(*cells) for cells in _rows(row)]
    lines = lines or [row["title"], *_plain(row["runs"])]
    return lines + [f"  FAILED: {what}" for what in row["failed"]]


def _title(title: str, place: int, goal: Goal) -> str:
    if goal.label:
        return "  " + goal.label
    return title if place == 0 else "  the same"


def _plain(runs: Runs) -> list[str]:
    """Return lines for a row without goals: what was measured of each candidate."""
    lines = []
    for candidate, measured in runs.items():
        for figure in ("cpu_s_per_gb", "cpu_us_each", "mb_s"):
            found = spread(measured, figure)
            if found is not None:
                lines.append(f"  {candidate:<20} {found} {figure}")
    return lines


def _verdict(data: Mapping[str, Any]) -> Verdict:
    goal = Goal(**{**data["goal"], "kind": Kind(data["goal"]["kind"])})
    ours, theirs = (
        Spread(**data[who]) if data[who] else None for who in ("ours", "theirs")
    )
    return Verdict(goal, ours, theirs, data["result"], data["word"])


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of a result file as Markdown."""
    head = ("Measure", "Ours", "Against", "Theirs", "Result", "Must", "Aim", "")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in result["rows"].values():
        for cells in _rows(row):
            lines.append("| " + " | ".join(cell.strip() for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    say(markdown(json.loads(Path(sys.argv[1]).read_text())))
