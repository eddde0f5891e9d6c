"""What one session of the soak does: sizes, stalls, and how it ends.  No I/O here."""

from __future__ import annotations

from enum import StrEnum
from math import log
from random import Random

from attrs import frozen

_PATTERN_BYTES = 4_194_301  # a prime: no chunk size divides it
_LARGEST = 8 << 20
_LARGEST_CHUNK = 1 << 18
_MOST_CHUNKS = 500
_LONGEST_STALL_S = 5.0
_LONGEST_PAUSE_S = 20.0
_LONGEST_WAIT_S = 1.0

_PATTERN = Random(20).randbytes(_PATTERN_BYTES)
_TWICE = _PATTERN * 2
_VIEW = memoryview(_TWICE)
MOST_AT_ONCE = _PATTERN_BYTES
"""Bytes that :func:`piece` and :func:`fits` can handle at a time."""


def piece(base: int, position: int, size: int) -> memoryview:
    """Return *size* bytes of the stream *base*, from *position* on."""
    start = (base + position) % _PATTERN_BYTES
    return _VIEW[start : start + size]


def fits(data: bytes, base: int, position: int) -> bool:
    """Return whether *data* is what the stream *base* has at *position*."""
    return _TWICE.startswith(data, (base + position) % _PATTERN_BYTES)


class Ending(StrEnum):
    """How a session ends, and what must have arrived by then."""

    ORDERLY = "orderly"
    """Both have everything; then one closes.  Not a byte may be missing."""
    HALF_CLOSE = "half-close"
    """One has sent all and says so: the other gets all of it, then the end."""
    RESET = "reset"
    """One resets the connection: the other gets nothing wrong, and soon the end."""
    DROP = "drop"
    """One closes with data unread: the same."""


_ENDINGS = (
    *(Ending.ORDERLY,) * 5,
    *(Ending.HALF_CLOSE,) * 2,
    Ending.RESET,
    Ending.DROP,
)


@frozen
class SidePlan:
    """
    What one side does.

    :ivar base: which stream it sends.
    :ivar size: how many bytes of it.
    :ivar chunk: at most so many at a time.
    :ivar stall_at: having received so many it stops reading; -1 for never.
    :ivar stall_s: for so long.
    :ivar pause_at: having sent so many it has nothing to say.
    :ivar pause_s: for so long.
    """

    base: int
    size: int
    chunk: int
    stall_at: int
    stall_s: float
    pause_at: int
    pause_s: float


@frozen
class Plan:
    """
    What both sides do; side 0 is A.

    :ivar closer: the side that ends the session.
    :ivar cut_at: where a reset or drop cuts its stream, in bytes sent.
    :ivar wait_s: from B's coming to A's.
    """

    ending: Ending
    sides: tuple[SidePlan, SidePlan]
    closer: int
    cut_at: int
    wait_s: float


def _log_uniform(random: Random, most: int) -> int:
    """Return from 1 to *most*, each order of magnitude as likely as another."""
    return int(2.718281828 ** random.uniform(0, log(most)))


def _side(random: Random) -> SidePlan:
    size = _log_uniform(random, _LARGEST)
    stalls = random.random() < 0.3
    return SidePlan(
        base=random.randrange(_PATTERN_BYTES),
        size=size,
        chunk=max(_log_uniform(random, _LARGEST_CHUNK), size // _MOST_CHUNKS + 1),
        stall_at=random.randrange(size + 1) if stalls else -1,
        stall_s=random.uniform(0.1, _LONGEST_STALL_S),
        pause_at=random.randrange(size),
        pause_s=random.uniform(0, _LONGEST_PAUSE_S),
    )


def new_plan(random: Random) -> Plan:
    """Make up a session."""
    sides = _side(random), _side(random)
    closer = random.randrange(2)
    return Plan(
        ending=random.choice(_ENDINGS),
        sides=sides,
        closer=closer,
        cut_at=random.randrange(sides[closer].size + 1),
        wait_s=random.uniform(0, _LONGEST_WAIT_S),
    )
