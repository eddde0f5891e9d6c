"""
"Switch sides": a device invites the one that controls it to be controlled in turn.

Who is controlled asks back with a code that only it was told, inside the session; the
server was told a hash of it.  Such a request is allowed whatever the rules say, once.

Source: protocol.md section 7.7.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256

from rdserver.rendezvous.access import (
    ALLOWED,
    AccessPolicy,
    AccessRequest,
    Decision,
    Verdict,
    once_decided,
)
from rdserver.rendezvous.slices import in_slices
from rdserver.wire.address import address_bucket

TTL_S = 90.0
"""From the grant to its use, which follows at once."""

ATTEMPT_S = 90.0
"""
How long one attempt to connect may last: 18 s of punching, 18 s of trying B's address,
then three relay requests, each after 18 s without an answer.
"""

MAX_IDS = 2500
MAX_PER_ID = 4
"""A person switches one session at a time; more than this is a mistake, or a flood."""

_BASE64_CHARS = 44
"""Of a SHA-256, as codes and verifiers are."""

_DOMAIN = b"switch-grant-verifier\0"


def verifier_of(switch_code: str) -> str:
    """Return what the server is told of a code, which does not tell the code."""
    return b64encode(sha256(_DOMAIN + switch_code.encode()).digest()).decode()


class _Grant:
    """
    One invitation.

    :ivar until_s: when it is forgotten.
    :ivar bucket: whose it is, once somebody has used it; empty before.
    """

    __slots__ = ("bucket", "until_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.bucket = ""


class SwitchGrants:
    """
    The invitations of the last minutes, a few for each device.

    A client asks on two connections at once, repeats itself, and then asks for a relay,
    always with one code: so a grant is used up by one attempt of one asker, not by one
    request.

    :param now: monotonic clock, in seconds.
    :param max_ids: devices that may have some; beyond, the oldest are forgotten.
    """

    def __init__(self, now: Callable[[], float], max_ids: int = MAX_IDS) -> None:
        self._now = now
        self._max_ids = max_ids
        self._by_id: dict[str, dict[str, _Grant]] = {}

    def grant(self, peer_id: str, verifier: str) -> bool:
        """
        Let whoever has the code of *verifier* reach the device *peer_id*, once.

        The caller has checked that the device itself says so.  To say it again changes
        nothing, so a message that somebody recorded is no new grant as long as the old one
        is remembered: :data:`TTL_S` at least.

        :returns: False for what is no verifier.
        """
        if len(verifier) != _BASE64_CHARS:
            return False
        grants = self._still_good(self._by_id.pop(peer_id, {}))
        grants.setdefault(verifier, _Grant(self._now() + TTL_S))
        if len(grants) > MAX_PER_ID:
            del grants[next(iter(grants))]
        self._by_id[peer_id] = grants
        if len(self._by_id) > self._max_ids:
            del self._by_id[next(iter(self._by_id))]
        return True

    def redeem(self, request: AccessRequest) -> bool:
        """
        Return whether *request* shows the code of a grant that is still good.

        The first that does makes the grant its asker's, for as long as an attempt to
        connect lasts; of IPv6 a whole /64 is one asker.
        """
        if len(request.switch_code) != _BASE64_CHARS:
            return False
        grants = self._by_id.get(request.peer_id, {})
        grant = grants.get(verifier_of(request.switch_code))
        if grant is None or grant.until_s <= self._now():
            return False
        bucket = address_bucket(request.host)
        if not grant.bucket:
            grant.bucket = bucket
            grant.until_s = self._now() + ATTEMPT_S
        return grant.bucket == bucket

    def sweep(self) -> Iterator[None]:
        """Forget what is too old, a slice with each step."""
        return in_slices(self._forget_old())

    def _forget_old(self) -> Iterator[str]:
        for peer_id in list(self._by_id):
            # What happens between two slices may have taken the device out.
            grants = self._still_good(self._by_id.get(peer_id, {}))
            if grants:
                self._by_id[peer_id] = grants
            else:
                self._by_id.pop(peer_id, None)
            yield peer_id

    def _still_good(self, grants: dict[str, _Grant]) -> dict[str, _Grant]:
        now = self._now()
        return {one: grant for one, grant in grants.items() if grant.until_s > now}

    def __len__(self) -> int:
        return sum(map(len, self._by_id.values()))


class AfterGrants:
    """
    A policy that allows what another refuses to who was invited.

    :param policy: the other; its permissions count where it allows.
    """

    def __init__(self, policy: AccessPolicy, grants: SwitchGrants) -> None:
        self._policy = policy
        self._grants = grants

    @property
    def is_open(self) -> bool:
        """Whether the other refuses nothing."""
        return self._policy.is_open

    def decide(self, request: AccessRequest) -> Decision:
        """Return the other's verdict, or that it is allowed by a grant."""
        decision = self._policy.decide(request)
        if not request.switch_code:
            return decision

        def overrule(verdict: Verdict) -> Verdict:
            return ALLOWED if verdict.refusal and self._grants.redeem(request) else verdict

        return once_decided(decision, overrule)
