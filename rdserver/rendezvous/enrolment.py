"""Which devices may join, and who may not be here at all."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256

from attrs import frozen

from rdserver.notices import Notices
from rdserver.rendezvous.claim import Claim
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.slices import in_slices
from rdserver.wire.address import address_bucket

_NAME_CHARS = 16

MAX_APPLICANTS = 1000
MAX_PER_ADDRESS = 20
KEPT_S = 3600.0
"""Clients ask every 30 s at least: who was not heard of for so long has given up."""


@frozen
class Applicant:
    """
    A machine that wants to join.

    :ivar at_s: when it asked last, on the monotonic clock.
    """

    claim: Claim
    at_s: float

    @property
    def machine(self) -> str:
        """What the machine is called: it tells nothing, and nobody else can have it."""
        return sha256(self.claim.uuid).hexdigest()[:_NAME_CHARS]


class Enrolment:
    """
    Decides on devices that are not stored; who is stored has been approved.

    :param needs_approval: whether an operator must let each one in.
    :param notices: is told of who waits, once.
    :param now: monotonic clock, in seconds.

    Source: protocol.md section 7.8, NOT_DEPLOYED.
    """

    def __init__(
        self, needs_approval: bool, notices: Notices[Event], now: Callable[[], float]
    ) -> None:
        self._needs_approval = needs_approval
        self._notices = notices
        self._now = now
        self._applicants: OrderedDict[tuple[str, bytes], Applicant] = OrderedDict()
        self._per_address: Counter[str] = Counter()

    def admits(self, claim: Claim) -> bool:
        """Return whether a device that is not stored may join now; if not, it waits."""
        if not self._needs_approval:
            return True
        if (claim.peer_id, claim.uuid) not in self._applicants:
            # Nothing to copy into a shell: the id is a stranger's.
            self._notices.warn(
                Event.APPLICANT,
                "{peer_id} at {remote} wants to join, and waits for: rustdesk-utils admin "
                "id approve",
                peer_id=shown(claim.peer_id),
                remote=claim.origin.host,
            )
        self._remember(claim)
        return False

    def waiting(self, peer_id: str | None = None) -> list[Applicant]:
        """Return who waits, for one id or for all, in no order that would last."""
        return [
            applicant
            for (waiting_id, _uuid), applicant in self._applicants.items()
            if peer_id in (None, waiting_id)
        ]

    def forget(self, peer_id: str) -> None:
        """Forget whoever waits for an id."""
        for applicant in self.waiting(peer_id):
            self._remove(applicant.claim.peer_id, applicant.claim.uuid)

    def sweep(self) -> Iterator[None]:
        """Forget who has given up, a slice with each step."""
        return in_slices(self._forget_old())

    def _forget_old(self) -> Iterator[None]:
        while self._applicants:
            key, applicant = next(iter(self._applicants.items()))
            if self._now() - applicant.at_s < KEPT_S:
                return
            self._remove(*key)
            yield

    def _remember(self, claim: Claim) -> None:
        self._remove(claim.peer_id, claim.uuid)
        bucket = address_bucket(claim.origin.host)
        if self._per_address[bucket] >= MAX_PER_ADDRESS:
            # Machines that are there ask again soon; inventions in their name may not.
            self._remove(*self._oldest_of(bucket))
        self._applicants[claim.peer_id, claim.uuid] = Applicant(claim, self._now())
        self._per_address[bucket] += 1
        if len(self._applicants) > MAX_APPLICANTS:
            self._remove(*next(iter(self._applicants)))

    def _oldest_of(self, bucket: str) -> tuple[str, bytes]:
        return next(
            key
            for key, applicant in self._applicants.items()
            if address_bucket(applicant.claim.origin.host) == bucket
        )

    def _remove(self, peer_id: str, uuid: bytes) -> None:
        applicant = self._applicants.pop((peer_id, uuid), None)
        if applicant is None:
            return
        bucket = address_bucket(applicant.claim.origin.host)
        self._per_address[bucket] -= 1
        if not self._per_address[bucket]:
            del self._per_address[bucket]

    def __len__(self) -> int:
        return len(self._applicants)
