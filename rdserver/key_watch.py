"""
What comes of the keys that clients present: who must wait, and who has an old one.

Lives outside the rooms because the ID server and the relay each have one.  It does no
I/O of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from twisted.logger import Logger

from rdserver.notices import Notices
from rdserver.old_keys import OldKeyUse, key_name
from rdserver.penalty import WRONG_KEYS, KeyPenalties
from rdserver.wire.address import address_bucket

REPORT_S = 3600.0
"""How often it is logged who still has old keys."""


class KeyEvent(StrEnum):
    """Counter label and log field alike."""

    OLD_KEY = "old key"
    PENALTY = "penalty for wrong keys"
    PENALISED = "refused during a penalty"


class KeyWatch:
    """
    The memory of one server for wrong and old keys.

    :param server: what its lines in the log begin with.
    :param old_keys: the texts of the old public keys.
    :param now: monotonic clock, in seconds.
    :ivar penalties: addresses that must wait, or soon.
    :ivar use: who has old keys.
    :ivar notices: counters.
    """

    _log = Logger()

    def __init__(
        self, server: str, old_keys: Iterable[str], now: Callable[[], float]
    ) -> None:
        self._server = server
        self.penalties = KeyPenalties(now)
        self.use = OldKeyUse(map(key_name, old_keys), now)
        self.notices: Notices[KeyEvent] = Notices(self._log, KeyEvent, now)

    def wait_s(self, host: str) -> float:
        """Return for how many seconds no key of *host* is compared; 0: it may try."""
        wait_s = self.penalties.wait_s(host)
        if wait_s:
            self.notices.count(KeyEvent.PENALISED)
        return wait_s

    def wrong(self, host: str) -> None:
        """Note that *host* presented a wrong key; whoever compared it has logged that."""
        penalty_s = self.penalties.wrong(host)
        if penalty_s:
            self.notices.warn(
                KeyEvent.PENALTY,
                "{server}: {remote} presented {count} wrong keys within a minute, and is "
                "refused for {seconds:.0f} s; the console command key-failures lifts that",
                server=self._server,
                remote=address_bucket(host),
                count=WRONG_KEYS,
                seconds=penalty_s,
            )

    def old(self, name: str, host: str) -> None:
        """Note that *host* presented the old key called *name*."""
        if self.use.note(name, host):
            self.notices.warn(
                KeyEvent.OLD_KEY,
                "{server}: {remote} still has the old key {key}",
                server=self._server,
                remote=host,
                key=name,
            )
        else:
            self.notices.count(KeyEvent.OLD_KEY)

    def report(self) -> None:
        """Log how many still have old keys, if anybody has, every :data:`REPORT_S`."""
        used = [f"{use.name} {use.addresses}" for use in self.use.uses() if use.addresses]
        if used:
            self._log.info(
                "{server}: addresses that had an old key in the last day: {used}",
                server=self._server,
                used=", ".join(used),
            )

    def forget_old(self) -> Iterator[str]:
        """Forget what is too old, a little with each step."""
        yield from self.penalties.forget_old()
        yield from self.use.forget_old()
