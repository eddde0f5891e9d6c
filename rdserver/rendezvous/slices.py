"""Long housekeeping in short slices: nobody is answered while one lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

SLICE = 1000
"""Steps in a slice: about half a millisecond."""


def in_slices(steps: Iterable[object]) -> Iterator[None]:
    """
    Do the work of *steps* as the result is iterated, :data:`SLICE` of them each time.

    :param steps: looks at one thing with each step, and so must bear that anything
        happens between two.
    """
    for count, _step in enumerate(steps, 1):
        if count % SLICE == 0:
            yield


def at_once(slices: Iterable[None]) -> None:
    """Do all the work of *slices* now."""
    for _slice in slices:
        pass
