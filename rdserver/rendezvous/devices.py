"""What an operator may do with devices: let them in, set their ids free, shut them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from attrs import evolve, frozen

from rdserver.presence.interface import Presence
from rdserver.rendezvous.claim import MIN_ID_BYTES, Claim, is_possible_id
from rdserver.rendezvous.directory import MAX_ID_BYTES
from rdserver.rendezvous.effects import Close, Effects
from rdserver.rendezvous.enrolment import Applicant, Enrolment
from rdserver.rendezvous.id_change import is_well_formed
from rdserver.storage.interface import PeerStore, StoredPeer


class DeviceError(Exception):
    """It cannot be done; ``str(self)`` is a sentence for the operator."""


@frozen
class Device:
    """
    One device of a list.

    :ivar ip: where it registered from last, empty if it has not yet.
    """

    id: str
    ip: str
    is_online: bool
    is_banned: bool
    is_claimed: bool


@frozen(kw_only=True)
class Devices:
    """
    All devices that are stored, as an operator deals with them.

    Everything may raise ``StorageError``, and :class:`DeviceError`.

    :ivar banned: the ids that are, in memory; storage has them as well.
    :ivar busy: ids whose row is being written; nobody else changes those.
    :ivar perform: closes connections of devices that may not be here any more.
    """

    presence: Presence
    store: PeerStore
    enrolment: Enrolment
    banned: set[str]
    busy: set[str]
    new_guid: Callable[[], bytes]
    perform: Callable[[Effects], None]

    async def page(self, after: str, count: int) -> list[Device]:
        """Return up to *count* devices whose ids follow *after*."""
        return [self._device(stored) for stored in await self.store.page(after, count)]

    def waiting(self) -> Sequence[Applicant]:
        """Return the machines that wait for approval."""
        return self.enrolment.waiting()

    async def approve(self, peer_id: str, machine: str = "") -> None:
        """
        Let a device in: the one that waits, or whichever asks first.

        :param machine: which one, if several machines wait for the same id.
        """
        self._check_free(peer_id)
        with self._alone_with(peer_id):
            if await self.store.find(peer_id) is not None:
                raise DeviceError(f"{peer_id} is approved already")
            claim = self._chosen(peer_id, machine)
            stored = StoredPeer(peer_id, self.new_guid(), b"", b"", "")
            if claim is not None:
                stored = evolve(
                    stored, uuid=claim.uuid, pk=claim.pk, ip=claim.origin.host
                )
            await self.store.save(stored)
        self.enrolment.forget(peer_id)

    async def release(self, peer_id: str) -> None:
        """Let the next machine that asks for this id have it."""
        with self._alone_with(peer_id):
            stored = await self._stored(peer_id)
            await self.store.save(evolve(stored, uuid=b"", pk=b""))
            self._drop(peer_id)

    async def ban(self, peer_id: str) -> None:
        """Let nobody use this id, whether a device has it or not."""
        _check_id(peer_id)
        await self.store.ban(peer_id)
        self.banned.add(peer_id)
        self._drop(peer_id)

    async def unban(self, peer_id: str) -> None:
        """Let it be used again."""
        if peer_id not in self.banned:
            raise DeviceError(f"{peer_id} is not banned")
        await self.store.unban(peer_id)
        self.banned.discard(peer_id)

    async def rename(self, old_id: str, new_id: str) -> None:
        """Give a stored device another id; the device itself must be told as well."""
        if not is_well_formed(new_id):
            raise DeviceError(
                f"{new_id} is no id: a letter, then 5 to 15 letters, digits, _ or -"
            )
        self._check_free(new_id)
        with self._alone_with(old_id, new_id):
            stored = await self._stored(old_id)
            if await self.store.find(new_id) is not None:
                raise DeviceError(f"{new_id} belongs to another device")
            await self.store.save(evolve(stored, id=new_id))
            self._drop(old_id)

    @contextmanager
    def _alone_with(self, *peer_ids: str) -> Iterator[None]:
        """Let nobody else change these rows meanwhile."""
        ids = set(peer_ids)
        if not ids.isdisjoint(self.busy):
            raise DeviceError("the device registers at this very moment: try again")
        self.busy.update(ids)
        try:
            yield
        finally:
            self.busy.difference_update(ids)

    async def _stored(self, peer_id: str) -> StoredPeer:
        stored = await self.store.find(peer_id)
        if stored is None:
            raise DeviceError(f"there is no device {peer_id}")
        return stored

    def _check_free(self, peer_id: str) -> None:
        """Refuse an id that nobody may have, or that is only in memory."""
        _check_id(peer_id)
        if peer_id in self.banned:
            raise DeviceError(f"{peer_id} is banned")
        peer = self.presence.get(peer_id)
        if peer is not None and not peer.stored.guid:
            raise DeviceError(f"{peer_id} is a device that asked not to be listed")

    def _chosen(self, peer_id: str, machine: str) -> Claim | None:
        waiting = self.enrolment.waiting(peer_id)
        if machine:
            waiting = [one for one in waiting if one.machine == machine]
            if not waiting:
                raise DeviceError(f"no machine {machine} waits for {peer_id}")
        if len(waiting) > 1:
            machines = ", ".join(sorted(one.machine for one in waiting))
            raise DeviceError(
                f"several machines ask for {peer_id}; say which one behind it: {machines}"
            )
        return waiting[0].claim if waiting else None

    def _drop(self, peer_id: str) -> None:
        held = self.presence.drop(peer_id)
        if held is not None:
            self.perform((Close(held.stream),))

    def _device(self, stored: StoredPeer) -> Device:
        peer = self.presence.get(stored.id)
        return Device(
            id=stored.id,
            ip=stored.ip,
            is_online=peer is not None and self.presence.is_online(peer),
            is_banned=stored.id in self.banned,
            is_claimed=bool(stored.uuid),
        )


def _check_id(peer_id: str) -> None:
    if not is_possible_id(peer_id):
        raise DeviceError(f"an id has {MIN_ID_BYTES} to {MAX_ID_BYTES} bytes")
