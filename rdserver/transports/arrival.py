"""
When a connection came: what its first protocol has of a time, the next one has less.

It is noted at the connection itself, where every protocol that it is given to finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def arrival_s(transport: Any, now: Callable[[], float]) -> float:
    """
    Return when a connection came, or when that was asked for the first time.

    :param transport: the reactor's, or TLS over it, which has its attributes too.
    :param now: monotonic clock, in seconds.
    """
    if getattr(transport, "arrived_s", None) is None:
        transport.arrived_s = now()
    arrived_s: float = transport.arrived_s
    return arrived_s


def left_s(transport: Any, now: Callable[[], float], time_s: float) -> float:
    """Return how much is left of a connection's first *time_s* seconds."""
    return max(0.0, arrival_s(transport, now) + time_s - now())
