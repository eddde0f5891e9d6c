"""What introducing A to B needs, whether they shall punch holes or meet at a relay."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeAlias

from attrs import frozen

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.access import (
    AccessPolicy,
    AccessRequest,
    Door,
    Judged,
    Verdict,
    once_decided,
)
from rdserver.rendezvous.admission import Admission
from rdserver.rendezvous.directory import Directory
from rdserver.rendezvous.effects import Answer, Close, Effects, Outcome, Stream
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.identity import Credential
from rdserver.rendezvous.pair_memory import PairMemory
from rdserver.rendezvous.pending import Pending, PendingTable
from rdserver.rendezvous.routing import Lan, Relays
from rdserver.wire import pb

OFFLINE_TEXT = "Remote desktop is offline"
"""The client translates it."""

BANNED_TEXT = "This device is disabled on the ID server"

Ruled: TypeAlias = Callable[[Judged], Outcome]
"""Goes on with a request that was judged, whatever the verdict."""

Found: TypeAlias = Callable[[Peer | None], Effects]
"""Goes on with a device, or None: nobody has that id."""

Failed: TypeAlias = Callable[[], Effects]

Push: TypeAlias = pb.PunchHole | pb.FetchLocalAddr | pb.RequestRelay


@frozen(kw_only=True)
class Introductions:
    """
    The tables that punching and relaying share.

    :ivar admission: asks for a key, before anything else is done.
    :ivar access: is asked before A hears anything of a device, even that it is there.
    :ivar banned: ids that nobody is introduced to.
    :ivar random32: returns 32 unpredictable bits.
    """

    presence: Presence
    directory: Directory
    admission: Admission
    pending: PendingTable
    pairs: PairMemory
    relays: Relays
    lan: Lan
    access: AccessPolicy
    banned: Container[str]
    notices: Notices[Event]
    random32: Callable[[], int]

    def judge(self, request: AccessRequest, then: Ruled) -> Outcome:
        """Go on with what the access policy says, now or when it knows."""
        return once_decided(
            self.access.decide(request),
            lambda verdict: then(self._judged(request, verdict)),
        )

    def _judged(self, request: AccessRequest, verdict: Verdict) -> Judged:
        if verdict.refusal:
            self.notices.warn(
                Event.ACCESS_REFUSED,
                "{door} from {remote} is refused: {why}",
                door=f"{request.door.value} {shown(request.peer_id)}".rstrip(),
                remote=request.host,
                why=verdict.refusal,
            )
        return Judged(request, verdict)

    def seek(self, peer_id: str, host: str, then: Found, failed: Failed) -> Outcome:
        """
        Go on as soon as it is known whether there is such a device.

        :param failed: says what to do if storage cannot tell.
        """
        peer = self.directory.get(peer_id)
        return self._look_up(peer_id, host, then, failed) if peer is None else then(peer)

    async def _look_up(
        self, peer_id: str, host: str, then: Found, failed: Failed
    ) -> Effects:
        try:
            peer = await self.directory.find_called(peer_id, host)
        except StorageError:
            self.notices.count(Event.STORAGE_FAILED)
            return failed()
        return then(peer)

    def credential(self, host: str, peer_id: str) -> Credential:
        """Return what *host* has shown when it asked for the device, if it had to."""
        shown_key = self.pairs.credential(host, peer_id)
        return shown_key or self.admission.identity.current

    def proof(self, pending: Pending, version: bytes) -> bytes:
        """Return the signed ``IdPk`` of B for an A that waits for it."""
        return pending.credential.prove(self.presence.get(pending.peer_id), version)

    def trouble_with(self, pending: Pending) -> str:
        """Return why A cannot have a device that has answered, empty if it can."""
        if pending.peer_id in self.banned:
            return BANNED_TEXT
        # Without it there is no proof of its key, and A would go on without encryption.
        return "" if self.presence.get(pending.peer_id) else OFFLINE_TEXT

    def answer(
        self, pending: Pending, message: pb.RendezvousMessage, relay: str
    ) -> Effects:
        """Give A the answer it waited for, once, and remember the relay it names."""
        host = pending.stream.address.host
        self.pairs.told(host, pending.peer_id, relay)
        self.pending.close(pending.stream.id)
        return (Answer(pending.stream.id, message),)

    def nobody_waits(self, sender: Stream) -> Effects:
        """Drop an answer that is late, repeated or forged."""
        self.notices.count(Event.FORGED_ANSWER)
        return (Close(sender.id),)


def access_request(
    door: Door, request: pb.PunchHoleRequest | pb.RequestRelay, stream: Stream
) -> AccessRequest:
    """Return what the access policy is asked about A's *request*."""
    return AccessRequest(
        door=door,
        host=stream.address.host,
        peer_id=pb.text(request.id),
        conn_type=request.conn_type,
        token=pb.text(request.token),
        switch_code=pb.text(request.switch_code),
    )


def permit(push: Push, verdict: Verdict) -> None:
    """
    Tell B what the policy lets A do, and what to call this session.

    Nothing of it is ever A's word (protocol.md section 3.17, W-S11).
    """
    if verdict.permissions:
        push.control_permissions.permissions = verdict.permissions
    if verdict.audit_ref:
        push.controlled_context.conn_audit_ref = verdict.audit_ref.encode()
