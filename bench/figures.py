"""Medians, goals and verdicts: what a row of measurements is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median

from attrs import frozen

from bench.load import Figures

Runs = Mapping[str, Sequence[Figures]]
"""All runs of one row, by candidate."""


class Kind(StrEnum):
    """How a goal looks at two candidates."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    VALUE = "value"


@frozen
class Goal:
    """
    What one figure of our server has to be.

    :ivar figure: its name.
    :ivar against: the candidate that it is measured by; empty for a plain value.
    :ivar must: the worst that will do; None if it is only reported.
    :ivar aim: what we want.
    :ivar at_least: more is better.
    :ivar of: whose figure it is.
    :ivar worst: our worst run counts, not the median: what must never happen.
    """

    figure: str
    against: str = ""
    must: float | None = None
    aim: float | None = None
    kind: Kind = Kind.RATIO
    at_least: bool = False
    of: str = "ours"
    label: str = ""
    worst: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether it can be missed, or said to be reached."""
        return self.must is not None or self.aim is not None


@frozen
class Spread:
    """Some runs of one figure."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{short(self.middle)} [{short(self.least)}-{short(self.most)}]"


def short(value: float) -> str:
    """Return *value* with as many digits as are worth reading."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@frozen
class Verdict:
    """
    A goal, what came out, and whether that is good.

    :ivar word: aim, must or MISSED; "reported" where there is no limit to reach; FAILED
        if runs are missing, since the median of those that went well proves nothing.
    """

    goal: Goal
    ours: Spread | None
    theirs: Spread | None
    result: float | None
    word: str


def spread(runs: Sequence[Figures], figure: str) -> Spread | None:
    """Return median and range of a figure; None if no run has it."""
    values = [run[figure] for run in runs if figure in run]
    return Spread(median(values), min(values), max(values)) if values else None


def judge(goal: Goal, runs: Runs, repeats: int) -> Verdict | None:
    """
    Return how *goal* was met; None if one of the candidates took no part.

    :param repeats: how many runs of each there should be.
    """
    ours = spread(runs.get(goal.of, ()), goal.figure)
    theirs = spread(runs.get(goal.against, ()), goal.figure)
    if goal.of not in runs or (goal.against and goal.against not in runs):
        return None
    if goal.is_limited and _is_incomplete(goal, runs, repeats):
        return Verdict(goal, ours, theirs, None, "FAILED")
    if ours is None or (goal.against and theirs is None):
        return None
    result = _result(goal, ours, theirs)
    return Verdict(goal, ours, theirs, result, _word(goal, result))


def _is_incomplete(goal: Goal, runs: Runs, repeats: int) -> bool:
    """Return whether a run is missing, or one without the figure in question."""
    measured = (runs[name] for name in (goal.of, goal.against) if name)
    return any(sum(goal.figure in run for run in each) < repeats for each in measured)


def _result(goal: Goal, ours: Spread, theirs: Spread | None) -> float:
    value = ours.middle
    if goal.worst:
        value = ours.least if goal.at_least else ours.most
    if theirs is None:
        return value
    if goal.kind is Kind.DIFFERENCE:
        return value - theirs.middle
    return value / theirs.middle if theirs.middle else float("nan")


def _word(goal: Goal, result: float) -> str:
    def reaches(limit: float) -> bool:
        return result >= limit if goal.at_least else result <= limit

    if goal.aim is not None and reaches(goal.aim):
        return "aim"
    if goal.must is None:
        return "reported"
    return "must" if reaches(goal.must) else "MISSED"
