"""What the console shows of the past: changed addresses, and who asked for whom."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice

from attrs import frozen

from rdserver.rendezvous.slices import in_slices

_RESTART_S = 180.0
_KEEP_S = 360.0
_MAX_DEVICES = 100_000
_MAX_ADDRESSES = 64
_REPEAT_S = 60.0
_REPEAT_SCAN = 30
_MAX_PUNCHES = 10_000


class AddressChanges:
    """
    Devices that register from changing addresses.

    :param now: monotonic clock, in seconds.

    Source: protocol.md section 3.10.  Ours: at most 100 000 devices with 64
    addresses each; a device over that pushes out the one not heard of longest.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._changes: OrderedDict[str, tuple[float, dict[str, int]]] = OrderedDict()

    def record(self, peer_id: str, host: str) -> None:
        """Note that the device now registers from *host*."""
        since, hosts = self._changes.get(peer_id, (float("-inf"), {}))
        if self._now() - since > _RESTART_S:
            since, hosts = self._now(), {}
        if host in hosts or len(hosts) < _MAX_ADDRESSES:
            hosts[host] = hosts.get(host, 0) + 1
        self._changes[peer_id] = (since, hosts)
        self._changes.move_to_end(peer_id)
        if len(self._changes) > _MAX_DEVICES:
            self._changes.popitem(last=False)

    def purge(self) -> None:
        """Forget what is six minutes old, and devices with one new address only."""
        for peer_id, (since, hosts) in list(self._changes.items()):
            if not self._is_young(since) or len(hosts) == 1:
                del self._changes[peer_id]

    def sweep(self) -> Iterator[None]:
        """
        Forget what is six minutes old, a slice with each step.

        A device that was heard of after another that is kept may be kept as well.
        """
        return in_slices(self._forget_old())

    def _forget_old(self) -> Iterator[str]:
        while self._changes:
            peer_id, (since, _hosts) = next(iter(self._changes.items()))
            if self._is_young(since):
                return
            del self._changes[peer_id]
            yield peer_id

    def remove(self, peer_id: str) -> None:
        """Forget one device."""
        self._changes.pop(peer_id, None)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each device with ``<age>s {"<ip>": <count>, ...}``."""
        for peer_id in self._changes:
            yield peer_id, self.describe(peer_id) or ""

    def describe(self, peer_id: str) -> str | None:
        """Return ``<age>s {"<ip>": <count>, ...}`` of one device, or None."""
        change = self._changes.get(peer_id)
        if change is None:
            return None
        since, hosts = change
        listed = ", ".join(f'"{host}": {count}' for host, count in hosts.items())
        return f"{int(self._now() - since)}s {{{listed}}}"

    def _is_young(self, since: float) -> bool:
        return self._now() - since < _KEEP_S

    def __len__(self) -> int:
        return len(self._changes)


@frozen
class Punch:
    """
    One connection request.

    :ivar at: wall clock, in seconds since 1970.
    """

    at: float
    from_host: str
    to_host: str
    to_id: str


class PunchLog:
    """
    The last 10 000 connection requests, oldest first; repeats are left out.

    :param wall: wall clock, in seconds since 1970; the console shows dates.

    Source: protocol.md section 3.8 step 4.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._punches: deque[Punch] = deque(maxlen=_MAX_PUNCHES)

    def record(self, from_host: str, to_host: str, to_id: str) -> None:
        """Note one request, unless the same one came less than a minute ago."""
        punch = Punch(self._wall(), from_host, to_host, to_id)
        last = self._last(from_host, to_id)
        if last is None or not 0 <= punch.at - last.at < _REPEAT_S:
            self._punches.append(punch)

    def page(self, start: int, count: int) -> list[Punch]:
        """Return *count* requests from the one at index *start* on."""
        return list(islice(self._punches, start, start + count))

    def clear(self) -> None:
        """Forget all of them."""
        self._punches.clear()

    def _last(self, from_host: str, to_id: str) -> Punch | None:
        for punch in islice(reversed(self._punches), _REPEAT_SCAN):
            if (punch.from_host, punch.to_id) == (from_host, to_id):
                return punch
        return None

    def __len__(self) -> int:
        return len(self._punches)
