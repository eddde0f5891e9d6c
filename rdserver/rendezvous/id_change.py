"""A device wants another id: RegisterPk without a key, on a connection."""

from __future__ import annotations

import re
from collections.abc import Container

from attrs import evolve, frozen

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.claim import MAX_UUID_BYTES, register_pk_response
from rdserver.rendezvous.directory import MAX_ID_BYTES, Directory
from rdserver.rendezvous.effects import Effects, Outcome, Stream, last_word
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.limits import RegistrationLimit
from rdserver.storage.interface import PeerStore
from rdserver.wire import pb

_RESULT = pb.RegisterPkResponse
_WELL_FORMED = re.compile(r"[A-Za-z][A-Za-z0-9_-]{5,15}", re.ASCII)


@frozen(kw_only=True)
class IdChange:
    """
    Answers a request for another id; the device registers with it afterwards.

    The row stays the same one: what others noted about the device stays with it.

    :ivar banned: ids that nobody may have.
    :ivar busy: ids whose row is being written; nobody else changes those.

    Source: protocol.md section 7.8.
    """

    presence: Presence
    directory: Directory
    store: PeerStore
    limit: RegistrationLimit
    banned: Container[str]
    busy: set[str]
    notices: Notices[Event]

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Answer one request, and close."""
        request = message.register_pk
        host, new_id = stream.address.host, pb.text(request.id)
        if not self.limit.admit(host, new_id[:MAX_ID_BYTES]):
            self.notices.count(Event.TOO_FREQUENT)
            return _answer(stream, _RESULT.TOO_FREQUENT)
        if not is_well_formed(new_id):
            return _answer(stream, _RESULT.INVALID_ID_FORMAT)
        if not 0 < len(request.uuid) <= MAX_UUID_BYTES:
            return _answer(stream, _RESULT.SERVER_ERROR)
        ids = {new_id, pb.text(request.old_id)} - {""}
        if self.directory.is_refused(new_id, host) or not ids.isdisjoint(self.busy):
            return _answer(stream, _RESULT.TOO_FREQUENT)
        return self._decide(request, ids, stream)

    async def _decide(
        self, request: pb.RegisterPk, ids: set[str], stream: Stream
    ) -> Effects:
        self.busy.update(ids)
        try:
            result = await self._change(request, stream.address.host)
        except StorageError:
            self.notices.count(Event.STORAGE_FAILED)
            result = _RESULT.SERVER_ERROR
        finally:
            self.busy.difference_update(ids)
        return _answer(stream, result)

    async def _change(self, request: pb.RegisterPk, host: str) -> int:
        new_id, old_id = pb.text(request.id), pb.text(request.old_id)
        if new_id in self.banned or old_id in self.banned:
            return _RESULT.NOT_DEPLOYED
        holder = await self.directory.find_claimed(new_id, host)
        if holder is not None:
            # One that was released, or approved before anybody had it, is free.
            is_free = holder.stored.uuid in (b"", request.uuid)
            return _RESULT.OK if is_free else _RESULT.ID_EXISTS
        peer = await self.directory.find_claimed(old_id, host)
        if peer is None:
            return _RESULT.OK
        if peer.stored.uuid != request.uuid:
            return _RESULT.UUID_MISMATCH
        await self._rename(peer, new_id)
        return _RESULT.OK

    async def _rename(self, peer: Peer, new_id: str) -> None:
        old_id, stored = peer.id, peer.stored
        if stored.guid:
            # Of two who want one id the second fails here: ids are unique.
            await self.store.save(evolve(stored, id=new_id))
        self.presence.drop(old_id)


def is_well_formed(new_id: str) -> bool:
    """Return whether an id that somebody chose is one that clients take."""
    return _WELL_FORMED.fullmatch(new_id) is not None


def _answer(stream: Stream, result: int) -> Effects:
    return last_word(stream, register_pk_response(result))
