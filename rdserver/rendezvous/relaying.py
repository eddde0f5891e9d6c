"""
A and B meet at a relay: A's request for one, and B's answer that names one.

RequestRelay is never passed on as it came: B honours more of it than A may decide
(permissions above all), so a new one is built from the few fields that are A's.

Source: protocol.md sections 3.11 (a) and (b), 3.18 no. 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve

from rdserver.presence.interface import Peer
from rdserver.rendezvous.access import Door, Judged
from rdserver.rendezvous.effects import Answer, Close, Effects, Outcome, Stream, push
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.introductions import (
    BANNED_TEXT,
    OFFLINE_TEXT,
    Introductions,
    access_request,
    permit,
)
from rdserver.rendezvous.pending import Kind, Pending
from rdserver.rendezvous.punch import STORAGE_TEXT
from rdserver.wire import pb
from rdserver.wire.address import global_ipv6

# The client translates this one; the others it shows as they are.
UNKNOWN_TEXT = "ID does not exist"
UNASKED_TEXT = "Not authorised by the ID server: connect again"
FOREIGN_RELAY_TEXT = "The relay is not one of this ID server's"
BAD_SESSION_TEXT = "The relay session has no valid name"

_MAX_UUID_BYTES = 128


class Relaying:
    """
    Answers RequestRelay and RelayResponse.

    :param announce: called with the uuid of each session that two peers were told to
        meet in, before they are; the relay in this process lets those in.
    """

    def __init__(
        self, introductions: Introductions, announce: Callable[[str], None]
    ) -> None:
        self._with = introductions
        self._announce = announce

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Ask B to meet A at a relay, or tell A at once why not."""
        request = message.request_relay
        peer_id, host = pb.text(request.id), stream.address.host
        pairs = self._with.pairs
        if self._with.admission.identity.checks_keys and not pairs.has_asked(host, peer_id):
            return self._refuse(stream, UNASKED_TEXT)
        if not 0 < len(request.uuid) <= _MAX_UUID_BYTES:
            return self._refuse(stream, BAD_SESSION_TEXT)
        if not self._is_ours(pb.text(request.relay_server), host, peer_id):
            return self._refuse(stream, FOREIGN_RELAY_TEXT)
        asked = access_request(Door.RELAY, request, stream)
        return self._with.judge(asked, partial(self._judged, request, stream))

    def _judged(
        self, request: pb.RequestRelay, stream: Stream, judged: Judged
    ) -> Outcome:
        if judged.verdict.refusal:
            return self._refuse(stream, judged.verdict.refusal)
        then = partial(self._ask, request, stream, judged)
        failed = partial(_refusal, stream, STORAGE_TEXT)
        return self._with.seek(judged.asked.peer_id, judged.asked.host, then, failed)

    def _is_ours(self, relay_server: str, host: str, peer_id: str) -> bool:
        """Return whether B may be sent there; empty text leaves the choice to B."""
        return relay_server in (
            "",
            *self._with.pairs.relays(host, peer_id),
            *self._with.relays.configured,
            self._with.lan.local_ip,
        )

    def _ask(
        self,
        request: pb.RequestRelay,
        stream: Stream,
        judged: Judged,
        peer: Peer | None,
    ) -> Effects:
        if peer is None:
            return self._refuse(stream, UNKNOWN_TEXT)
        if peer.id in self._with.banned:
            return self._refuse(stream, BANNED_TEXT)
        route = peer.route
        if route is None or not self._with.presence.is_online(peer):
            return self._refuse(stream, OFFLINE_TEXT)
        credential = self._with.credential(stream.address.host, peer.id)
        pending = self._with.pending.open(stream, peer, Kind.RELAY, judged, credential)
        if pending is None:
            return ()
        pending.uuid = pb.text(request.uuid)
        self._announce(pending.uuid)
        rebuilt = pb.RequestRelay(
            id=request.id,
            uuid=request.uuid,
            socket_addr=pending.disguise,
            relay_server=request.relay_server,
            secure=request.secure,
        )
        permit(rebuilt, judged.verdict)
        return (push(route, pb.RendezvousMessage(request_relay=rebuilt)),)

    def response(self, message: pb.RendezvousMessage, sender: Stream) -> Outcome:
        """Give A the relay and the session that B will be at."""
        response = message.relay_response
        pending = self._with.pending.echoed(response.socket_addr, sender.address)
        if pending is None or not _is_answer_of(pending, response):
            return self._with.nobody_waits(sender)
        then = partial(self._meet, pending, response, sender)
        if pending.kind is Kind.RELAY:  # A was allowed this very session when it asked
            return then(pending.judged)
        return self._with.judge(evolve(pending.judged.asked, door=Door.TICKET), then)

    def _meet(
        self,
        pending: Pending,
        response: pb.RelayResponse,
        sender: Stream,
        judged: Judged,
    ) -> Effects:
        if not self._with.pending.holds(pending):  # another answer came first
            return self._with.nobody_waits(sender)
        refusal = judged.verdict.refusal or self._with.trouble_with(pending)
        if refusal:
            to_a = _refusal_for(pending.kind, refusal)
            return (*self._with.answer(pending, to_a, ""), Close(sender.id))
        relay = self._relay_for(pending, pb.text(response.relay_server))
        if 0 < len(response.uuid) <= _MAX_UUID_BYTES:
            self._announce(pb.text(response.uuid))
        to_a = pb.RendezvousMessage(relay_response=self._answer(pending, response, relay))
        return (*self._with.answer(pending, to_a, relay), Close(sender.id))

    def _answer(
        self, pending: Pending, response: pb.RelayResponse, relay: str
    ) -> pb.RelayResponse:
        answer = pb.RelayResponse(
            uuid=response.uuid,
            relay_server=relay.encode(),
            refuse_reason=response.refuse_reason,
            version=response.version,
            feedback=pending.judged.verdict.feedback,
            socket_addr_v6=global_ipv6(response.socket_addr_v6),
            upnp_port=response.upnp_port,
        )
        if response.id:
            answer.pk = self._with.proof(pending, response.version)
        return answer

    def _relay_for(self, pending: Pending, relay_server: str) -> str:
        """Return the relay's name as A must call it, from inside the LAN or outside."""
        lan = self._with.lan
        if relay_server and pending.stream.address.host in lan:
            return lan.local_ip
        if relay_server and relay_server == lan.local_ip:
            return self._with.relays.choose()
        return relay_server

    def _refuse(self, stream: Stream, reason: str) -> Effects:
        self._with.notices.count(Event.RELAY_REFUSED)
        return _refusal(stream, reason)


def _is_answer_of(pending: Pending, response: pb.RelayResponse) -> bool:
    """Return whether B's answer names the device and, where A chose it, the session."""
    if response.id and pb.text(response.id) != pending.peer_id:
        return False
    return (
        not response.uuid
        or pending.kind is Kind.PUNCH
        or response.uuid == pending.uuid.encode()
    )


def _refusal_for(kind: Kind, reason: str) -> pb.RendezvousMessage:
    """Return what an A understands that has asked so."""
    if kind is Kind.RELAY:
        refusal = pb.RelayResponse(refuse_reason=reason.encode())
        return pb.RendezvousMessage(relay_response=refusal)
    failure = pb.PunchHoleResponse(other_failure=reason.encode())
    return pb.RendezvousMessage(punch_hole_response=failure)


def _refusal(stream: Stream, reason: str) -> Effects:
    refusal = pb.RelayResponse(refuse_reason=reason.encode())
    return (Answer(stream.id, pb.RendezvousMessage(relay_response=refusal)),)
