"""The table in which a connection waits for its partner."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from rdserver.relay.refusals import Refusal, RefusedError
from rdserver.wire.address import Address, address_bucket


class Addressed(Protocol):
    """All that the table must know of a connection."""

    @property
    def address(self) -> Address: ...


Leg = TypeVar("Leg", bound=Addressed)


class PairingTable(Generic[Leg]):
    """
    Connections that wait for their partner, or for leave to look for it, by uuid.

    :param per_address: how many of one IPv4 address or IPv6 /64 may wait.
    :param total: how many of everybody.
    """

    def __init__(self, per_address: int, total: int) -> None:
        self._per_address = per_address
        self._total = total
        self._waiting: dict[str, Leg] = {}
        self._uuids: dict[Leg, str] = {}
        self._per_bucket: dict[str, int] = {}

    def hold(self, uuid: str, leg: Leg) -> None:
        """
        Give *leg* a place without offering it to anybody yet.

        :raises RefusedError: there is none left, for its address or for all.
        """
        if leg in self._uuids:
            return
        bucket = address_bucket(leg.address.host)
        here = self._per_bucket.get(bucket, 0)
        if here >= self._per_address:
            raise RefusedError(Refusal.WAITING_PER_ADDRESS)
        if len(self._uuids) >= self._total:
            raise RefusedError(Refusal.WAITING_TOTAL)
        self._per_bucket[bucket] = here + 1
        self._uuids[leg] = uuid

    def offer(self, uuid: str, leg: Leg) -> Leg | None:
        """
        Return the partner that waits for *uuid*, or let *leg* wait and return None.

        Either way in this one step.  Of a pair neither waits afterwards.

        :raises RefusedError: as :meth:`hold`.
        """
        partner = self._waiting.get(uuid)
        if partner is None or partner is leg:
            self.hold(uuid, leg)
            self._waiting[uuid] = leg
            return None
        self.withdraw(partner)
        self.withdraw(leg)
        return partner

    def withdraw(self, leg: Leg) -> str | None:
        """Free the place of *leg* and return its uuid; None if it has no place."""
        uuid = self._uuids.pop(leg, None)
        if uuid is None:
            return None
        if self._waiting.get(uuid) is leg:
            del self._waiting[uuid]
        bucket = address_bucket(leg.address.host)
        self._per_bucket[bucket] -= 1
        if not self._per_bucket[bucket]:
            del self._per_bucket[bucket]
        return uuid

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._waiting

    def __len__(self) -> int:
        return len(self._uuids)
