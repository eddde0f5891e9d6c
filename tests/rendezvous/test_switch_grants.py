"""Tests for :mod:`rdserver.rendezvous.switch_grants`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.access import (
    ALLOWED,
    AccessPolicy,
    AccessRequest,
    Decision,
    Door,
    Verdict,
)
from rdserver.rendezvous.access_rules import AccessRules
from rdserver.rendezvous.slices import at_once
from rdserver.rendezvous.switch_grants import (
    ATTEMPT_S,
    MAX_PER_ID,
    TTL_S,
    AfterGrants,
    SwitchGrants,
    verifier_of,
)

PEER, OTHER = "123456789", "987654321"
ONE, TWO = "192.0.2.1", "192.0.2.2"
REFUSED = Verdict(refusal="no")


def code(number: int = 0) -> str:
    """Return a code as long as a client's."""
    return f"{number:043}="


def asks(
    number: int = 0, peer_id: str = PEER, host: str = ONE, door: Door = Door.PUNCH
) -> AccessRequest:
    return AccessRequest(door=door, host=host, peer_id=peer_id, switch_code=code(number))


class VerifierTests(SynchronousTestCase):
    def test_vector(self) -> None:
        """The verifier of a code is that of the specification."""
        expected = "dMIn3uiPe77XodFB5IKi7PrKJ7l7+zVquNn0ObSaHQc="
        self.assertEqual(expected, verifier_of("code-abc"))


class GrantsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.grants = SwitchGrants(self.clock.seconds, max_ids=10)

    def grant(self, number: int = 0, peer_id: str = PEER) -> None:
        self.assertTrue(self.grants.grant(peer_id, verifier_of(code(number))))

    def assert_redeemed(self, *requests: AccessRequest) -> None:
        for request in requests:
            self.assertTrue(self.grants.redeem(request), request)

    def assert_denied(self, *requests: AccessRequest) -> None:
        for request in requests:
            self.assertFalse(self.grants.redeem(request), request)


class GrantTests(GrantsCase):
    """Who may come in with which code, and when."""

    def test_code(self) -> None:
        """A code is good for the device that granted it; no other is, nor is none."""
        self.grant()
        self.assert_denied(asks(1), asks(0, OTHER), asks(0, ""))
        for text in ("", code()[:-1], code() + "x", verifier_of(code()), "x" * 100_000):
            request = AccessRequest(
                door=Door.PUNCH, host=ONE, peer_id=PEER, switch_code=text
            )
            self.assert_denied(request)
        self.assert_redeemed(asks())

    def test_one_attempt(self) -> None:
        """All requests of one attempt to connect are let in, and none after it."""
        self.grant()
        relay = asks(door=Door.RELAY)
        self.assert_redeemed(asks(), asks())
        self.clock.advance(ATTEMPT_S - 0.1)
        self.assert_redeemed(asks(), relay)
        self.clock.advance(0.1)
        self.assert_denied(asks(), relay)

    def test_one_asker(self) -> None:
        """The first to come is the only one, of IPv6 the whole network."""
        self.grant()
        self.assert_redeemed(asks(host=ONE))
        self.assert_denied(asks(host=TWO))
        self.assert_redeemed(asks(host=ONE))
        self.grant(1)
        self.assert_redeemed(asks(1, host="2001:db8::1"), asks(1, host="2001:db8::2"))
        self.assert_denied(asks(1, host="2001:db8:0:1::1"), asks(1, host=ONE))

    def test_unused(self) -> None:
        """A grant that nobody uses ends; used just before, it lasts for the attempt."""
        self.grant(1)
        self.grant(2)
        self.clock.advance(TTL_S - 0.1)
        self.assert_redeemed(asks(1))
        self.clock.advance(0.1)
        self.assert_redeemed(asks(1))
        self.assert_denied(asks(2))

    def test_said_again(self) -> None:
        """A grant that is said again, by whomever, is no second one."""
        self.grant()
        self.assert_redeemed(asks())
        self.clock.advance(ATTEMPT_S - 1)
        self.grant()
        self.assert_denied(asks(host=TWO))
        self.clock.advance(1)
        self.assert_denied(asks())

    def test_after_the_end(self) -> None:
        """Once it is over the device can grant the same anew."""
        self.grant()
        self.clock.advance(TTL_S)
        self.assert_denied(asks())
        self.grant()
        self.assert_redeemed(asks(host=TWO))

    def test_no_verifier(self) -> None:
        """What no client sends is not kept."""
        for text in ("", "c1", "x" * 100_000):
            self.assertFalse(self.grants.grant(PEER, text))
        self.assertEqual(0, len(self.grants))


class TableTests(GrantsCase):
    """The table stays small."""

    def test_per_device(self) -> None:
        """A device has a few grants; a further one ends the oldest."""
        for number in range(MAX_PER_ID + 1):
            self.grant(number)
        self.assertEqual(MAX_PER_ID, len(self.grants))
        self.assert_denied(asks(0))
        self.assert_redeemed(asks(1), asks(MAX_PER_ID))

    def test_old_ones_make_room(self) -> None:
        """Grants that are over are not counted."""
        for number in range(MAX_PER_ID - 1):
            self.grant(number)
        self.clock.advance(TTL_S - 1)
        self.grant(7)
        self.clock.advance(1)
        for number in range(10, 10 + MAX_PER_ID - 1):
            self.grant(number)
        self.assert_redeemed(asks(7))

    def test_devices(self) -> None:
        """However many devices grant, the last ten are known."""
        for number in range(1000):
            self.grant(peer_id=str(number))
        self.assertEqual(10, len(self.grants))
        self.assert_redeemed(*(asks(peer_id=str(number)) for number in range(990, 1000)))
        self.assert_denied(asks(peer_id="989"))

    def test_device_that_grants_again(self) -> None:
        """The device that has been silent longest is forgotten first."""
        for number in range(10):
            self.grant(peer_id=str(number))
        self.grant(1, peer_id="0")
        self.grant(peer_id="10")
        self.assert_redeemed(asks(peer_id="0"), asks(peer_id="10"))
        self.assert_denied(asks(peer_id="1"))

    def test_sweep(self) -> None:
        """A sweep forgets what is over, and nothing else."""
        self.grant(1)
        self.grant(1, OTHER)
        self.clock.advance(1)
        self.grant(2)
        self.clock.advance(TTL_S - 1)
        at_once(self.grants.sweep())
        self.assertEqual(1, len(self.grants))
        self.assert_redeemed(asks(2))
        self.clock.advance(ATTEMPT_S)
        at_once(self.grants.sweep())
        self.assertEqual((0, {}), (len(self.grants), self.grants._by_id))

    def test_sweep_amid_grants(self) -> None:
        """Devices that come and go between two slices are no trouble to a sweep."""
        grants = SwitchGrants(self.clock.seconds)
        for number in range(2500):
            grants.grant(str(number), verifier_of(code()))
        slices = grants.sweep()
        next(slices)
        for number in range(2500, 5000):
            grants.grant(str(number), verifier_of(code()))
        at_once(slices)
        self.assertEqual(2500, len(grants))


class Later:
    """A policy that refuses when it is told to."""

    def __init__(self) -> None:
        self.told: Deferred[Verdict] = Deferred()

    async def _wait(self) -> Verdict:
        return await self.told

    def decide(self, _request: AccessRequest) -> Decision:
        return self._wait()


class AfterGrantsTests(GrantsCase):
    """A grant stands above the rules."""

    def after(self, policy: AccessPolicy) -> AfterGrants:
        return AfterGrants(policy, self.grants)

    def test_once(self) -> None:
        """What is refused is allowed with a grant, once (statement 239)."""
        self.grant()
        policy = self.after(AccessRules([], REFUSED))
        plain = AccessRequest(door=Door.PUNCH, host=ONE, peer_id=PEER)
        self.assertEqual(REFUSED, policy.decide(plain))
        self.assertEqual(REFUSED, policy.decide(asks(1)))
        self.assertEqual(ALLOWED, policy.decide(asks()))
        self.assertEqual(ALLOWED, policy.decide(asks(door=Door.RELAY)))
        self.assertEqual(REFUSED, policy.decide(asks(host=TWO)))
        self.clock.advance(ATTEMPT_S)
        self.assertEqual(REFUSED, policy.decide(asks()))

    def test_not_needed(self) -> None:
        """What is allowed anyway leaves the grant alone, and keeps its permissions."""
        self.grant()
        limited = Verdict(permissions=1)
        self.assertEqual(limited, self.after(AccessRules([], limited)).decide(asks()))
        self.assert_redeemed(asks(host=TWO))

    def test_later(self) -> None:
        """So it is with a policy that has to ask elsewhere first."""
        self.grant()
        for number, verdict, expected in (
            (0, REFUSED, ALLOWED),
            (1, REFUSED, REFUSED),
            (0, Verdict(permissions=1), Verdict(permissions=1)),
        ):
            policy = Later()
            decision = self.after(policy).decide(asks(number))
            decided = Deferred.fromCoroutine(decision)
            self.assertNoResult(decided)
            policy.told.callback(verdict)
            self.assertEqual(expected, self.successResultOf(decided))

    def test_later_without_code(self) -> None:
        """Who has no code waits for the other policy as before."""
        policy = Later()
        request = AccessRequest(door=Door.ONLINE, host=ONE, peer_id=PEER)
        decided = Deferred.fromCoroutine(self.after(policy).decide(request))
        policy.told.callback(REFUSED)
        self.assertEqual(REFUSED, self.successResultOf(decided))
