"""
Who may reach which device: the one question that every door asks.

Whoever knows accounts, groups or rules answers it; without such a policy everybody may.

Source: protocol.md section 7.7.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import frozen


class Door(Enum):
    """Where a request comes in; its text is for log lines."""

    PUNCH = "connection"
    RELAY = "relay"
    ONLINE = "online query"
    TICKET = "relay session"
    CONTROL = "health check"
    """A, while it controls a device, holds a connection for that (section 7.9)."""


@frozen(kw_only=True)
class AccessRequest:
    """
    What is known when somebody wants something.

    :ivar host: the asker's address, normalised.
    :ivar peer_id: the device that is asked for; empty at :attr:`Door.CONTROL`.  Whatever
        A wrote, so of any length; it is nobody's if no device is registered so.
    :ivar conn_type: what kind of session A wants, a number of ``ConnType``.
    :ivar token: of A's signed-in user; empty if there is none.
    :ivar switch_code: shows that B had invited A to control it; nearly always empty.
    """

    door: Door
    host: str
    peer_id: str = ""
    conn_type: int = 0
    token: str = ""
    switch_code: str = ""


@frozen(kw_only=True)
class Verdict:
    """
    What a policy decided.

    :ivar refusal: why not, a sentence that A's user is shown; empty: it is allowed.
    :ivar permissions: what B is to allow in this session whatever its own settings say,
        two bits for each permission (protocol.md section 2.4); 0 leaves all to B.
    :ivar audit_ref: what B puts into its audit posts about this session.
    :ivar feedback: not 0: A is to hold a connection while it controls B.
    """

    refusal: str = ""
    permissions: int = 0
    audit_ref: str = ""
    feedback: int = 0


@frozen
class Judged:
    """A request and what came of it."""

    asked: AccessRequest
    verdict: Verdict


Decision: TypeAlias = Verdict | Coroutine[Any, Any, Verdict]
"""Known at once, or once somebody else has been asked."""

ALLOWED = Verdict()

NO_USERS = Verdict(refusal="This server knows no users")
"""At :attr:`Door.CONTROL`, of a policy for which no token can be valid."""

T = TypeVar("T")


def once_decided(
    decision: Decision, go_on: Callable[[Verdict], T | Coroutine[Any, Any, T]]
) -> T | Coroutine[Any, Any, T]:
    """
    Return what *go_on* makes of the verdict: at once, if it is there at once.

    Otherwise a coroutine that waits for the verdict, and for what *go_on* waits for.
    """
    if isinstance(decision, Verdict):
        return go_on(decision)
    return _once_awaited(decision, go_on)


async def _once_awaited(
    decision: Coroutine[Any, Any, Verdict],
    go_on: Callable[[Verdict], T | Coroutine[Any, Any, T]],
) -> T:
    result = go_on(await decision)
    return await result if isinstance(result, Coroutine) else result


class AccessPolicy(Protocol):
    """
    Decides on requests; asked for each one, so it must be quick or wait elsewhere.

    :ivar is_open: whether it refuses nothing but :attr:`Door.CONTROL`, so that it need not
        be asked for each of some thousand devices.
    """

    @property
    def is_open(self) -> bool: ...

    def decide(self, request: AccessRequest) -> Decision:
        """Return the verdict on *request*."""


class AllowAll:
    """The policy of a server that knows no users: everybody may reach every device."""

    is_open = True

    def decide(self, request: AccessRequest) -> Verdict:
        """Allow; but nobody has a token that could be valid."""
        return NO_USERS if request.door is Door.CONTROL else ALLOWED
