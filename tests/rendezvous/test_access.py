"""Tests for :mod:`rdserver.rendezvous.access`."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.access import (
    ALLOWED,
    NO_USERS,
    AccessRequest,
    AllowAll,
    Door,
    Verdict,
    once_decided,
)

REFUSED = Verdict(refusal="no")


class AllowAllTests(SynchronousTestCase):
    def test_everybody(self) -> None:
        """Without rules everybody may reach every device; nobody is signed in."""
        for door in Door:
            request = AccessRequest(door=door, host="192.0.2.1", peer_id="123456")
            expected = NO_USERS if door is Door.CONTROL else ALLOWED
            self.assertEqual(expected, AllowAll().decide(request))
        self.assertTrue(NO_USERS.refusal)


class OnceDecidedTests(SynchronousTestCase):
    """What is done with a verdict, whenever it comes."""

    async def ask(self, answer: Deferred[Verdict]) -> Verdict:
        return await answer

    async def look_up(self, verdict: Verdict) -> str:
        return f"looked up: {verdict.refusal}"

    def finish(self, waiting: Any) -> Deferred[str]:
        self.assertIsInstance(waiting, Coroutine)
        return Deferred.fromCoroutine(waiting)

    def test_at_once(self) -> None:
        """A verdict that is known is used now."""
        self.assertEqual("no", once_decided(REFUSED, lambda verdict: verdict.refusal))

    def test_at_once_then_later(self) -> None:
        """What waits after a verdict that is known is the caller's to wait for."""
        looked_up = self.finish(once_decided(REFUSED, self.look_up))
        self.assertEqual("looked up: no", self.successResultOf(looked_up))

    def test_later(self) -> None:
        """A verdict that is waited for is used when it comes, also for more waiting."""
        for go_on, expected in (
            (lambda verdict: verdict.refusal, "no"),
            (self.look_up, "looked up: no"),
        ):
            answer: Deferred[Verdict] = Deferred()
            result = self.finish(once_decided(self.ask(answer), go_on))
            self.assertNoResult(result)
            answer.callback(REFUSED)
            self.assertEqual(expected, self.successResultOf(result))
