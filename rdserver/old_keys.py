"""
Old keys of the server: telling a key from the others, and who still uses an old one.

Lives outside the rooms because the ID server and the relay use it.  It does no I/O.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import frozen

from rdserver.wire.address import address_bucket

KEPT_S = 86_400.0
"""So long an address counts after it used an old key."""

_NAME_CHARS = 8

Meaning = TypeVar("Meaning")


def key_name(public_text: str) -> str:
    """Return what a key is called in lists and lines: the beginning of its public text."""
    return public_text[:_NAME_CHARS]


def match(known: Mapping[bytes, Meaning], presented: bytes) -> Meaning | None:
    """
    Return what the key *presented* means; None: it is none of those *known*.

    All of them are compared whatever comes, each in a time that does not tell where it
    differs, so that nobody learns how close a guess is or which key it is close to.
    """
    found = None
    for key, meaning in known.items():
        if hmac.compare_digest(key, presented):
            found = meaning
    return found


@frozen
class Use:
    """
    Who uses one old key.

    :ivar addresses: IPv4 addresses and IPv6 /64s that did in the last day.
    :ivar idle_s: seconds since its last use; None: not since the start.
    """

    name: str
    addresses: int
    idle_s: float | None


class OldKeyUse:
    """
    Which addresses used which old key in the last day.

    :param names: of the old keys, as :func:`key_name` gives them.
    :param now: monotonic clock, in seconds.
    :param max_addresses: remembered of each key; beyond, the one that used it longest ago
        is forgotten.
    """

    def __init__(
        self,
        names: Iterable[str],
        now: Callable[[], float],
        max_addresses: int = 10_000,
    ) -> None:
        self._now = now
        self._max = max_addresses
        self._used: dict[str, OrderedDict[str, float]] = {
            name: OrderedDict() for name in names
        }
        self._last_s: dict[str, float] = {}

    def note(self, name: str, host: str) -> bool:
        """Note that *host* used a key; return whether it had not in the last day."""
        bucket, now_s = address_bucket(host), self._now()
        used = self._used[name]
        is_first = now_s - used.get(bucket, float("-inf")) >= KEPT_S
        used[bucket] = self._last_s[name] = now_s
        used.move_to_end(bucket)
        if len(used) > self._max:
            used.popitem(last=False)
        return is_first

    def uses(self) -> list[Use]:
        """Return the use of each old key, in their order."""
        return [
            Use(name, len(used), self._idle_s(name)) for name, used in self._used.items()
        ]

    def _idle_s(self, name: str) -> float | None:
        last_s = self._last_s.get(name)
        return None if last_s is None else self._now() - last_s

    def forget_old(self) -> Iterator[str]:
        """Forget what is too old: an address with each step, between which others come."""
        for used in self._used.values():
            while used:
                bucket, at_s = next(iter(used.items()))
                if self._now() - at_s < KEPT_S:
                    break
                del used[bucket]
                yield bucket
