"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from bench.figures import Goal, Kind
from bench.load import Figures
from bench.setting import Setting

Measure = Callable[[Setting, str], Figures]


@frozen
class Row:
    """
    One thing that is measured.

    :ivar candidates: who takes part; "ours" or names of bench/servers.py.
    :ivar measure: one run of one candidate, with a fresh server.
    :ivar stand_ins: who takes a candidate's place where that cannot be built.
    :ivar small_packets: MTU 1500 and no offload.
    :ivar ipv6: needs addresses of IPv6.
    """

    name: str
    title: str
    candidates: tuple[str, ...]
    measure: Measure
    goals: tuple[Goal, ...]
    stand_ins: tuple[tuple[str, str], ...] = ()
    small_packets: bool = False
    ipv6: bool = False


def never(figure: str, label: str, of: str = "ours") -> Goal:
    """Return a goal for what must not happen once in any run."""
    return Goal(figure, "", 0, 0, Kind.VALUE, of=of, label=label, worst=True)
