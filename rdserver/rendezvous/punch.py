"""
A wants to reach B directly: the request, the push to B, B's answers.

Source: protocol.md sections 3.8, 3.11 (c) and (d), 3.18 nos. 2, 3 and 13.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.directory import Directory
from rdserver.rendezvous.effects import Answer, Close, Effects, Outcome, Send, Stream
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.identity import Identity
from rdserver.rendezvous.journal import PunchLog
from rdserver.rendezvous.pending import Kind, PairMemory, Pending, PendingTable
from rdserver.rendezvous.routing import Lan, Relays
from rdserver.wire import pb
from rdserver.wire.address import encode_address

STORAGE_TEXT = "The ID server cannot read its database"

_FAILURE = pb.PunchHoleResponse


@frozen(kw_only=True)
class Introductions:
    """
    What introducing A to B needs, shared by punching and relaying.

    :ivar random32: returns 32 unpredictable bits.
    """

    presence: Presence
    directory: Directory
    identity: Identity
    pending: PendingTable
    pairs: PairMemory
    relays: Relays
    lan: Lan
    notices: Notices[Event]
    random32: Callable[[], int]

    def proof(self, peer_id: str, version: bytes) -> bytes:
        """Return the signed ``IdPk`` of B; only for an A that waits for it."""
        return self.identity.prove(self.presence.get(peer_id), version)

    def answer(
        self, pending: Pending, sender: Stream, message: pb.RendezvousMessage, relay: str
    ) -> Effects:
        """Give A the answer it waited for, once, and remember the relay it names."""
        host = pending.stream.address.host
        self.pairs.told(host, pending.peer_id, relay)
        self.pending.close(pending.stream.id)
        return (Answer(pending.stream.id, message), Close(sender.id))

    def nobody_waits(self, sender: Stream) -> Effects:
        """Drop an answer that is late, repeated or forged."""
        self.notices.count(Event.FORGED_ANSWER)
        return (Close(sender.id),)


class Punching:
    """Answers PunchHoleRequest, PunchHoleSent and LocalAddr."""

    def __init__(self, introductions: Introductions, log: PunchLog) -> None:
        self._with = introductions
        self._log = log

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Pass A's request on to B; A hears nothing yet, unless it cannot be."""
        request = message.punch_hole_request
        if not self._with.identity.accepts(request.licence_key):
            return self._wrong_key(request, stream)
        peer = self._with.directory.get(pb.text(request.id))
        return (
            self._look_up(request, stream)
            if peer is None
            else self._ask(peer, request, stream)
        )

    async def _look_up(self, request: pb.PunchHoleRequest, stream: Stream) -> Effects:
        try:
            peer = await self._with.directory.find_called(
                pb.text(request.id), stream.address.host
            )
        except StorageError:
            self._with.notices.count(Event.STORAGE_FAILED)
            return _refuse(stream, _FAILURE(other_failure=STORAGE_TEXT.encode()))
        if peer is None:
            return _refuse(stream, _FAILURE(failure=_FAILURE.ID_NOT_EXIST))
        return self._ask(peer, request, stream)

    def _ask(self, peer: Peer, request: pb.PunchHoleRequest, stream: Stream) -> Effects:
        route = peer.route
        if route is None or not self._with.presence.is_online(peer):
            return _refuse(stream, _FAILURE(failure=_FAILURE.OFFLINE))
        peer_id = peer.id
        self._with.pairs.asked(stream.address.host, peer_id)
        pending = self._with.pending.open(stream, peer, Kind.PUNCH)
        if pending is None:
            return ()
        self._log.record(stream.address.host, route.host, peer_id)
        return (Send(route, self._push(pending, route.host, request)),)

    def _push(
        self, pending: Pending, b_host: str, request: pb.PunchHoleRequest
    ) -> pb.RendezvousMessage:
        stream, lan, relays = pending.stream, self._with.lan, self._with.relays
        a_in_lan, b_in_lan = stream.address.host in lan, b_host in lan
        forced = relays.always or request.force_relay
        nat_type, relay = request.nat_type, relays.choose()
        if forced or a_in_lan != b_in_lan:
            nat_type = pb.SYMMETRIC
            relay = lan.local_ip if b_in_lan else relay
        together = (a_in_lan and b_in_lan) or stream.address.host == b_host
        if together and not forced and not stream.websocket:
            return _fetch_local_addr(pending, relay)
        hole = pb.PunchHole(
            socket_addr=pending.disguise,
            relay_server=relay.encode(),
            nat_type=nat_type,
            force_relay=forced,
        )
        return pb.RendezvousMessage(punch_hole=hole)

    def sent(self, message: pb.RendezvousMessage, sender: Stream) -> Effects:
        """Give A the address that B has just opened a hole from."""
        sent = message.punch_hole_sent
        pending = self._with.pending.echoed(sent.socket_addr, sender.address)
        if pending is None or not _is_answer_of(pending, sent.id):
            return self._with.nobody_waits(sender)
        response = pb.PunchHoleResponse(
            socket_addr=encode_address(sender.address, self._with.random32()),
            pk=self._with.proof(pending.peer_id, sent.version),
            relay_server=sent.relay_server,
        )
        if sent.nat_type in pb.NatType.values():
            response.nat_type = sent.nat_type
        return self._respond(pending, sender, response)

    def local_addr(self, message: pb.RendezvousMessage, sender: Stream) -> Effects:
        """Give A the address of B in the network that they share."""
        local = message.local_addr
        peer_id = pb.text(local.id)
        pending = self._with.pending.re_encoded(local.socket_addr, peer_id, sender.address)
        if pending is None:
            return self._with.nobody_waits(sender)
        response = pb.PunchHoleResponse(
            socket_addr=local.local_addr,
            pk=self._with.proof(pending.peer_id, local.version),
            relay_server=local.relay_server,
            is_local=True,
        )
        return self._respond(pending, sender, response)

    def _respond(
        self, pending: Pending, sender: Stream, response: pb.PunchHoleResponse
    ) -> Effects:
        message = pb.RendezvousMessage(punch_hole_response=response)
        return self._with.answer(pending, sender, message, pb.text(response.relay_server))

    def _wrong_key(self, request: pb.PunchHoleRequest, stream: Stream) -> Effects:
        # These words are what fail2ban and crowdsec look for (protocol.md 3.16).
        self._with.notices.warn(
            Event.BAD_KEY,
            "Authentication failed from {remote} for peer {peer_id} - invalid key",
            remote=str(stream.address),
            peer_id=shown(pb.text(request.id)),
        )
        return _refuse(stream, _FAILURE(failure=_FAILURE.LICENSE_MISMATCH))


def _is_answer_of(pending: Pending, peer_id: bytes) -> bool:
    return pending.kind is Kind.PUNCH and pending.peer_id.encode() == peer_id


def _fetch_local_addr(pending: Pending, relay: str) -> pb.RendezvousMessage:
    fetch = pb.FetchLocalAddr(socket_addr=pending.disguise, relay_server=relay.encode())
    return pb.RendezvousMessage(fetch_local_addr=fetch)


def _refuse(stream: Stream, response: pb.PunchHoleResponse) -> Effects:
    return (Answer(stream.id, pb.RendezvousMessage(punch_hole_response=response)),)
