"""
Addresses that present wrong keys, and how long they must wait for the next attempt.

Nobody guesses a key of 32 bytes; but one that is a word of the operator's can be guessed,
and each attempt costs a connection and a line of the log.

Lives outside the rooms because the ID server and the relay use it.  It does no I/O.

Source: protocol.md section 8, statement 240.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator

from attrs import frozen

from rdserver.wire.address import address_bucket

WRONG_KEYS = 20
"""
So many within a minute are an offence.  A client presents two with each attempt to
connect, so this is a user who tries every six seconds, or several behind one address.
"""

WITHIN_S = 60.0
FIRST_PENALTY_S = 10.0
LONGEST_PENALTY_S = 600.0

FORGOTTEN_S = 3600.0
"""From an address's last offence on; the next one is its first again."""


@frozen
class _Offender:
    """An address with a penalty, now or lately; times are on the monotonic clock."""

    offences: int
    since_s: float
    penalty_s: float

    @property
    def until_s(self) -> float:
        """When the penalty ends."""
        return self.since_s + self.penalty_s


class KeyPenalties:
    """
    Wrong keys by address, of IPv6 by /64, and the penalties for them.

    Each offence costs twice as long as the one before, and the counting of wrong keys
    starts over.  Beyond the bound the address that came first is forgotten.

    :param now: monotonic clock, in seconds.
    :param max_addresses: remembered with wrong keys, and as many again with penalties.
    """

    def __init__(self, now: Callable[[], float], max_addresses: int = 50_000) -> None:
        self._now = now
        self._max = max_addresses
        # Of each address the times of its wrong keys; 19 floats would take four times
        # as much.  The last heard of is at the end of both.
        self._recent: OrderedDict[str, array[float]] = OrderedDict()
        self._offenders: OrderedDict[str, _Offender] = OrderedDict()

    def wait_s(self, host: str) -> float:
        """Return how long *host* must wait, in seconds; 0: its key may be compared."""
        if not self._offenders:
            return 0.0
        offender = self._offenders.get(address_bucket(host))
        return 0.0 if offender is None else max(offender.until_s - self._now(), 0.0)

    def wrong(self, host: str) -> float:
        """Note a wrong key; return the seconds of the penalty that begins, 0: none."""
        bucket = address_bucket(host)
        times = self._times(bucket)
        times.append(self._now())
        if len(times) >= WRONG_KEYS:
            self._recent.pop(bucket, None)
            return self._punish(bucket)
        self._recent[bucket] = times
        self._recent.move_to_end(bucket)
        if len(self._recent) > self._max:
            self._recent.popitem(last=False)
        return 0.0

    def _times(self, bucket: str) -> array[float]:
        """Return when the address presented wrong keys in the last minute."""
        since_s = self._now() - WITHIN_S
        return array("d", (at for at in self._recent.get(bucket, ()) if at > since_s))

    def _punish(self, bucket: str) -> float:
        now_s = self._now()
        before = self._offenders.get(bucket)
        offences, penalty_s = 1, FIRST_PENALTY_S
        if before is not None and now_s - before.since_s < FORGOTTEN_S:
            offences = before.offences + 1
            penalty_s = min(2 * before.penalty_s, LONGEST_PENALTY_S)
        self._offenders[bucket] = _Offender(offences, now_s, penalty_s)
        self._offenders.move_to_end(bucket)
        if len(self._offenders) > self._max:
            self._offenders.popitem(last=False)
        return penalty_s

    def lift(self, bucket: str) -> None:
        """Forget one address, given as :meth:`rows` shows it."""
        self._recent.pop(bucket, None)
        self._offenders.pop(bucket, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._recent.clear()
        self._offenders.clear()

    def forget_old(self) -> Iterator[str]:
        """Forget what is too old: an address with each step, between which others come."""
        while self._recent:
            bucket, times = next(iter(self._recent.items()))
            if self._now() - times[-1] < WITHIN_S:
                break
            del self._recent[bucket]
            yield bucket
        while self._offenders:
            bucket, offender = next(iter(self._offenders.items()))
            if self._now() - offender.since_s < FORGOTTEN_S:
                break
            del self._offenders[bucket]
            yield bucket

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each address and what there is to say of it, first those with penalties."""
        for bucket in self._offenders:
            yield bucket, self.describe(bucket) or ""
        for bucket in self._recent:
            if bucket not in self._offenders:
                yield bucket, self.describe(bucket) or ""

    def describe(self, bucket: str) -> str | None:
        """Return what there is to say of one address, or None if that is nothing."""
        offender = self._offenders.get(bucket)
        wrong = f"{len(self._times(bucket))} wrong keys in the last minute"
        if offender is None:
            return wrong if bucket in self._recent else None
        left_s = max(offender.until_s - self._now(), 0.0)
        return f"{wrong}, penalty {offender.offences}, refused for {left_s:.0f}s"

    def __len__(self) -> int:
        return len(self._recent.keys() | self._offenders.keys())
