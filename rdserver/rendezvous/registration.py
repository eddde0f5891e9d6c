"""Heartbeats and registrations: who is online, and who may call itself what."""

from __future__ import annotations

from collections.abc import Callable, Container

from attrs import evolve

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence, StreamRoute
from rdserver.rendezvous.claim import Claim, claim_in, is_valid, stream_route
from rdserver.rendezvous.clones import Clones
from rdserver.rendezvous.directory import Directory
from rdserver.rendezvous.effects import (
    Answer,
    Close,
    Effects,
    Outcome,
    Send,
    Stream,
    push,
)
from rdserver.rendezvous.enrolment import Enrolment
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.journal import AddressChanges
from rdserver.rendezvous.limits import RegistrationLimit
from rdserver.rendezvous.updates import ServerList
from rdserver.storage.interface import PeerStore, StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address, is_loopback

_SETTLED_S = 20.0
"""A device heard of more recently than this does not move to another port unproven."""

_LOWEST_SERIAL = 3
"""Of a client's server list (protocol.md section 2.3)."""

_RESULT = pb.RegisterPkResponse


class Registration:
    """
    Answers RegisterPeer and RegisterPk.

    A heartbeat of a device in memory is answered at once.  Everything that must be
    stored is acknowledged after it is.  The newest registration of a device counts,
    by whatever it came; a connection that another one replaces is closed.

    :param banned: ids that nobody may have.
    :param busy: ids whose row is being written; nobody else changes those.
    :param keep_alive_s: what devices that hold a connection are told; 0: nothing.

    Source: protocol.md sections 3.3, 3.4 and 7.3, with 3.18 nos. 5, 6 and 8.
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
        enrolment: Enrolment,
        banned: Container[str],
        busy: set[str],
        keep_alive_s: int = 0,
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
        self._enrolment = enrolment
        self._banned = banned
        self._keep_alive_s = keep_alive_s
        self._clones = Clones(notices)
        self._busy = busy

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
        if not peer.has_key or peer.held is not None or peer.id in self._banned:
            return True
        if peer.host != origin.host:
            return not is_loopback(origin.host)
        settled = self._now() - peer.seen_s >= _SETTLED_S
        return peer.port not in (0, origin.port) and not settled

    def heartbeat_on_stream(self, message: pb.RendezvousMessage, stream: Stream) -> Effects:
        """Answer a RegisterPeer of whoever has registered there, and needs none."""
        peer = self._presence.registered_on(stream.id)
        if peer is None:
            return (Close(stream.id),)
        is_known = peer.id == pb.text(message.register_peer.id)
        response = pb.RegisterPeerResponse(request_pk=not is_known)
        reply = pb.RendezvousMessage(register_peer_response=response)
        return (Answer(stream.id, reply),)

    def register_pk(self, message: pb.RendezvousMessage, origin: Address) -> Outcome:
        """Answer a registration by datagram."""
        request = message.register_pk
        if not request.uuid or not request.pk:
            return ()
        return self._claimed(request, claim_in(request, origin, origin))

    def register_on_stream(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Answer a registration on a connection, by which the device is reached then."""
        request = message.register_pk
        if not request.uuid:
            return (Close(stream.id),)
        claim = claim_in(request, stream.address, stream_route(stream))
        return self._claimed(request, claim)

    def _claimed(self, request: pb.RegisterPk, claim: Claim) -> Outcome:
        if not is_valid(request):
            self._notices.count(Event.BAD_ID)
            return claim.answer(_RESULT.INVALID_ID_FORMAT)
        if claim.peer_id in self._banned:
            return self._not_deployed(claim)
        peer, host = self._presence.get(claim.peer_id), claim.origin.host
        if peer is not None and peer.ip == host and claim.owns(peer.stored):
            return self._renew(peer, claim)
        if claim.peer_id in self._busy:
            return ()  # the first of two alike is answered; of two rivals, one must repeat
        if peer is None and self._directory.is_refused(claim.peer_id, host):
            return self._too_frequent(claim)  # at once: it may be a flood
        return self._register(claim)

    def _renew(self, peer: Peer, claim: Claim) -> Effects:
        if not self._presence.try_register(peer):
            return self._too_frequent(claim)
        return self._accept(claim, peer.stored)

    async def _register(self, claim: Claim) -> Effects:
        self._busy.add(claim.peer_id)
        try:
            return await self._decide(claim)
        except StorageError:
            self._notices.count(Event.STORAGE_FAILED)
            return claim.answer(_RESULT.SERVER_ERROR)
        finally:
            self._busy.discard(claim.peer_id)

    async def _decide(self, claim: Claim) -> Effects:
        peer = await self._directory.find_claimed(claim.peer_id, claim.origin.host)
        is_owner = peer is not None and claim.owns(peer.stored)
        if not is_owner and not self._limit.admit(claim.origin.host, claim.peer_id):
            return self._too_frequent(claim)
        if peer is None and not self._enrolment.admits(claim):
            return self._not_deployed(claim)
        if peer is None:
            return await self._add(claim)
        return await self._change(peer, claim)

    async def _add(self, claim: Claim) -> Effects:
        guid = self._guid_for(claim)
        stored = StoredPeer(claim.peer_id, guid, claim.uuid, claim.pk, claim.origin.host)
        if guid:
            await self._store.save(stored)
        self._presence.try_register(self._presence.remember(stored))
        return self._accept(claim, stored)

    async def _change(self, peer: Peer, claim: Claim) -> Effects:
        stored = peer.stored
        moved = bool(stored.uuid) and stored.ip != claim.origin.host
        stranger = bool(stored.uuid) and stored.uuid != claim.uuid
        if stranger or (moved and stored.pk != claim.pk):
            is_live = stranger and self._presence.is_online(peer)
            return self._mismatch(claim, peer if is_live else None)
        if not self._presence.try_register(peer):
            return self._too_frequent(claim)
        changed = evolve(
            stored,
            guid=stored.guid or self._guid_for(claim),
            uuid=claim.uuid,
            pk=claim.pk,
            ip=claim.origin.host,
        )
        if changed != stored and changed.guid:
            await self._store.save(changed)
        if moved:
            self._changes.record(claim.peer_id, claim.origin.host)
        return self._accept(claim, changed)

    def _guid_for(self, claim: Claim) -> bytes:
        """Return the identity of a new row; without one, a device is in memory only."""
        return b"" if claim.is_unlisted else self._new_guid()

    def _accept(self, claim: Claim, stored: StoredPeer) -> Effects:
        """Take the device in where it is now."""
        if claim.peer_id in self._banned:  # meanwhile
            return self._not_deployed(claim)
        peer = self._presence.get(claim.peer_id)
        replaced = None if peer is None else peer.held
        self._presence.confirm(stored, claim.route)
        answer = (*claim.answer(_RESULT.OK, self._keep_alive_s), *self._update_for(claim))
        if replaced is None or replaced == claim.route:
            return answer
        return (*answer, Close(replaced.stream))

    def _update_for(self, claim: Claim) -> Effects:
        """Return what tells a device on a connection of a newer server list."""
        # It does not say which list it has, but none has an older one (protocol.md 7.3).
        update = self._servers.newer_than(_LOWEST_SERIAL)
        if update is None or not isinstance(claim.route, StreamRoute):
            return ()
        return (push(claim.route, pb.RendezvousMessage(configure_update=update)),)

    def _mismatch(self, claim: Claim, owner: Peer | None) -> Effects:
        """Refuse a claim; *owner* is another machine that is online with this id."""
        answer = claim.answer(_RESULT.UUID_MISMATCH)
        if owner is not None and self._clones.suspect(owner, claim.origin):
            self._notices.count(Event.UUID_MISMATCH)
            return answer
        self._notices.warn(
            Event.UUID_MISMATCH,
            "{peer_id} is registered to another machine than {remote}",
            peer_id=shown(claim.peer_id),
            remote=str(claim.origin),
        )
        return answer

    def _not_deployed(self, claim: Claim) -> Effects:
        """Refuse a device that the operator has to let in, or has shut out."""
        self._notices.count(Event.NOT_DEPLOYED)
        return claim.answer(_RESULT.NOT_DEPLOYED)

    def _too_frequent(self, claim: Claim) -> Effects:
        self._notices.warn(
            Event.TOO_FREQUENT,
            "{remote} registers too often, now as {peer_id}",
            peer_id=shown(claim.peer_id),
            remote=str(claim.origin),
        )
        return claim.answer(_RESULT.TOO_FREQUENT)
