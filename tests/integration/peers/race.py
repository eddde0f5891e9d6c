"""Several ways at once, of which the first that leads somewhere is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Queue
from typing import TypeAlias

from attrs import frozen

from tests.integration.peers.line import Line
from tests.integration.peers.profile import Path
from tests.integration.peers.scope import Scope

RACE_S = 60.0


class NoWayError(Exception):
    """None of the ways leads anywhere."""


@frozen
class Reached:
    """
    A way that leads to B.

    :ivar proven_pk: B's public key as the server signed it; empty: there is no proof.
    :ivar greets: whether B says who it is.
    """

    path: Path
    line: Line
    proven_pk: bytes
    greets: bool = True


Way: TypeAlias = Callable[[], Reached]
"""Returns what it reached, or raises an error."""


def first_of(ways: Sequence[Way], scope: Scope) -> Reached:
    """
    Return what the first of *ways* reached; what the others reach is closed.

    :param scope: what the ways belong to.
    :raises NoWayError: no way leads anywhere; the first error is its cause.
    :raises RefusedError: the server refuses A, at once.
    """
    return _Race().run(ways, scope)


class RefusedError(Exception):
    """The server says why A cannot reach B; a client shows it."""


class _Race:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_over = False
        self._results: Queue[Reached | Exception] = Queue()

    def run(self, ways: Sequence[Way], scope: Scope) -> Reached:
        for way in ways:
            scope.start(partial(self._try, way))
        errors = []
        for _ in ways:
            result = self._results.get(timeout=RACE_S)
            if isinstance(result, Reached):
                return result
            if isinstance(result, RefusedError):
                raise result
            errors.append(result)
        raise NoWayError(repr(errors)) from errors[0]

    def _try(self, way: Way) -> None:
        try:
            reached = way()
        except Exception as e:  # whatever it is, it ends this way only
            self._results.put(e)
            return
        with self._lock:
            is_first, self._is_over = not self._is_over, True
        if is_first:
            self._results.put(reached)
        else:
            reached.line.close()
