"""Heartbeats and registrations: who is online, and who may call itself what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.directory import MAX_ID_BYTES, Directory
from rdserver.rendezvous.effects import Effects, Outcome, Send
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.journal import AddressChanges
from rdserver.rendezvous.limits import RegistrationLimit
from rdserver.rendezvous.updates import ServerList
from rdserver.storage.interface import PeerStore, StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address, is_loopback

MIN_ID_BYTES = 6
_MAX_UUID_BYTES = 512
_MAX_PK_BYTES = 128
_SETTLED_S = 20.0
"""A device heard of more recently than this does not move to another port unproven."""

_RESULT = pb.RegisterPkResponse


@frozen
class _Claim:
    """Somebody at *origin* says that it is *peer_id*."""

    peer_id: str
    uuid: bytes
    pk: bytes
    origin: Address

    def owns(self, stored: StoredPeer) -> bool:
        return (self.uuid, self.pk) == (stored.uuid, stored.pk)


class Registration:
    """
    Answers RegisterPeer and RegisterPk.

    A heartbeat of a device in memory is answered at once.  Everything that must be
    stored is acknowledged after it is.

    Source: protocol.md sections 3.3 and 3.4, with 3.18 nos. 5, 6 and 8.
    """

    def __init__(
        self,
        *,
        presence: Presence,
        directory: Directory,
        store: PeerStore,
        limit: RegistrationLimit,
        changes: AddressChanges,
        servers: ServerList,
        notices: Notices[Event],
        now: Callable[[], float],
        new_guid: Callable[[], bytes],
    ) -> None:
        self._presence = presence
        self._directory = directory
        self._store = store
        self._limit = limit
        self._changes = changes
        self._servers = servers
        self._notices = notices
        self._now = now
        self._new_guid = new_guid
        self._being_stored: set[str] = set()

    def register_peer(self, message: pb.RendezvousMessage, origin: Address) -> Outcome:
        """Answer a heartbeat: known here, or please register with your key."""
        request = message.register_peer
        if not request.id:
            return ()
        peer_id = pb.text(request.id)
        peer = self._presence.get(peer_id)
        if peer is None and not self._directory.is_missing(peer_id, origin.host):
            return self._first_heartbeat(request, origin)
        return self._heartbeat(peer, request.serial, origin)

    async def _first_heartbeat(self, request: pb.RegisterPeer, origin: Address) -> Effects:
        try:
            peer = await self._directory.find(pb.text(request.id), origin.host)
        except StorageError:
            self._notices.count(Event.STORAGE_FAILED)
            return ()  # it will ask again in three seconds
        return self._heartbeat(peer, request.serial, origin)

    def _heartbeat(self, peer: Peer | None, serial: int, origin: Address) -> Effects:
        request_pk = peer is None or not self.accept(peer, origin)
        response = pb.RegisterPeerResponse(request_pk=request_pk)
        reply = Send(origin, pb.RendezvousMessage(register_peer_response=response))
        return (reply, *self._servers.update_for(serial, origin))

    def accept(self, peer: Peer, origin: Address) -> bool:
        """Take a heartbeat as a sign of life, unless the device must prove itself."""
        if self._must_prove(peer, origin):
            return False
        self._presence.refresh(peer, origin)
        return True

    def _must_prove(self, peer: Peer, origin: Address) -> bool:
        if not peer.has_key:
            return True
        if peer.host != origin.host:
            return not is_loopback(origin.host)
        settled = self._now() - peer.seen_s >= _SETTLED_S
        return peer.port not in (0, origin.port) and not settled

    def register_pk(self, message: pb.RendezvousMessage, origin: Address) -> Outcome:
        """Answer a registration."""
        request = message.register_pk
        if not request.uuid or not request.pk:
            return ()
        if not _is_valid(request):
            self._notices.count(Event.BAD_ID)
            return _answer(origin, _RESULT.INVALID_ID_FORMAT)
        claim = _Claim(pb.text(request.id), request.uuid, request.pk, origin)
        peer = self._presence.get(claim.peer_id)
        if peer is not None and peer.ip == origin.host and claim.owns(peer.stored):
            return _answer(origin, self._renew(peer, claim))
        if claim.peer_id in self._being_stored:
            return ()  # the first of two alike is answered; of two rivals, one must repeat
        if peer is None and self._directory.is_refused(claim.peer_id, origin.host):
            return _answer(origin, self._too_frequent(claim))  # at once: it may be a flood
        return self._register(claim)

    def _renew(self, peer: Peer, claim: _Claim) -> int:
        if not self._presence.try_register(peer):
            return self._too_frequent(claim)
        self._presence.refresh(peer, claim.origin)
        return _RESULT.OK

    async def _register(self, claim: _Claim) -> Effects:
        self._being_stored.add(claim.peer_id)
        try:
            result = await self._decide(claim)
        except StorageError:
            self._notices.count(Event.STORAGE_FAILED)
            result = _RESULT.SERVER_ERROR
        finally:
            self._being_stored.discard(claim.peer_id)
        return _answer(claim.origin, result)

    async def _decide(self, claim: _Claim) -> int:
        peer = await self._directory.find_claimed(claim.peer_id, claim.origin.host)
        is_owner = peer is not None and claim.owns(peer.stored)
        if not is_owner and not self._limit.admit(claim.origin.host, claim.peer_id):
            return self._too_frequent(claim)
        if peer is None:
            return await self._add(claim)
        return await self._change(peer, claim)

    async def _add(self, claim: _Claim) -> int:
        stored = StoredPeer(
            claim.peer_id, self._new_guid(), claim.uuid, claim.pk, claim.origin.host
        )
        await self._store.save(stored)
        self._presence.try_register(self._presence.confirm(stored, claim.origin))
        return _RESULT.OK

    async def _change(self, peer: Peer, claim: _Claim) -> int:
        stored = peer.stored
        moved = bool(stored.uuid) and stored.ip != claim.origin.host
        stranger = bool(stored.uuid) and stored.uuid != claim.uuid
        if stranger or (moved and stored.pk != claim.pk):
            return self._mismatch(claim)
        if not self._presence.try_register(peer):
            return self._too_frequent(claim)
        changed = evolve(stored, uuid=claim.uuid, pk=claim.pk, ip=claim.origin.host)
        if changed != stored:
            await self._store.save(changed)
        if moved:
            self._changes.record(claim.peer_id, claim.origin.host)
        self._presence.confirm(changed, claim.origin)
        return _RESULT.OK

    def _mismatch(self, claim: _Claim) -> int:
        self._notices.warn(
            Event.UUID_MISMATCH,
            "{peer_id} is registered to another machine than {remote}",
            peer_id=shown(claim.peer_id),
            remote=str(claim.origin),
        )
        return _RESULT.UUID_MISMATCH

    def _too_frequent(self, claim: _Claim) -> int:
        self._notices.warn(
            Event.TOO_FREQUENT,
            "{remote} registers too often, now as {peer_id}",
            peer_id=shown(claim.peer_id),
            remote=str(claim.origin),
        )
        return _RESULT.TOO_FREQUENT


def _is_valid(request: pb.RegisterPk) -> bool:
    """Refuse what could only harm: no client sends such ids, uuids or keys."""
    return (
        MIN_ID_BYTES <= len(request.id) <= MAX_ID_BYTES
        and pb.text(request.id).isprintable()
        and len(request.uuid) <= _MAX_UUID_BYTES
        and len(request.pk) <= _MAX_PK_BYTES
    )


def _answer(origin: Address, result: Any) -> Effects:
    response = pb.RegisterPkResponse(result=result)
    return (Send(origin, pb.RendezvousMessage(register_pk_response=response)),)
