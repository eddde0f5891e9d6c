"""
A wants to reach B directly: the request, the push to B, B's answers.

Source: protocol.md sections 3.8, 3.11 (c) and (d), 3.18 nos. 2, 3 and 13, 7.4 to 7.7.
"""

from __future__ import annotations

from functools import partial

from rdserver.presence.interface import Peer, Route, StreamRoute
from rdserver.rendezvous.access import Door, Judged
from rdserver.rendezvous.effects import Answer, Close, Effects, Outcome, Stream, push
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.identity import Credential
from rdserver.rendezvous.introductions import (
    BANNED_TEXT,
    Introductions,
    access_request,
    permit,
)
from rdserver.rendezvous.journal import PunchLog
from rdserver.rendezvous.pending import Kind, Pending
from rdserver.wire import pb
from rdserver.wire.address import Address, encode_address, global_ipv6

STORAGE_TEXT = "The ID server cannot read its database"

_FAILURE = pb.PunchHoleResponse
_HIGHEST_PORT = 65535


class Punching:
    """Answers PunchHoleRequest, PunchHoleSent and LocalAddr."""

    def __init__(self, introductions: Introductions, log: PunchLog) -> None:
        self._with = introductions
        self._log = log

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Pass A's request on to B; A hears nothing yet, unless it cannot be."""
        request = message.punch_hole_request
        credential = self._with.admission.admit(request, stream.address)
        if isinstance(credential, pb.PunchHoleResponse):
            return _refuse(stream, credential)
        asked = access_request(Door.PUNCH, request, stream)
        then = partial(self._judged, request, stream, credential)
        return self._with.judge(asked, then)

    def _judged(
        self,
        request: pb.PunchHoleRequest,
        stream: Stream,
        credential: Credential,
        judged: Judged,
    ) -> Outcome:
        if judged.verdict.refusal:
            return _refuse(stream, _FAILURE(other_failure=judged.verdict.refusal.encode()))
        then = partial(self._ask, request, stream, credential, judged)
        failed = partial(_failed, stream)
        return self._with.seek(judged.asked.peer_id, judged.asked.host, then, failed)

    def _ask(
        self,
        request: pb.PunchHoleRequest,
        stream: Stream,
        credential: Credential,
        judged: Judged,
        peer: Peer | None,
    ) -> Effects:
        if peer is None:
            return _refuse(stream, _FAILURE(failure=_FAILURE.ID_NOT_EXIST))
        if peer.id in self._with.banned:
            return _refuse(stream, _FAILURE(other_failure=BANNED_TEXT.encode()))
        route = peer.route
        if route is None or not self._with.presence.is_online(peer):
            return _refuse(stream, _FAILURE(failure=_FAILURE.OFFLINE))
        self._with.pairs.asked(stream.address.host, peer.id, credential)
        pending = self._with.pending.open(stream, peer, Kind.PUNCH, judged, credential)
        if pending is None:
            return ()
        self._log.record(stream.address.host, route.host, peer.id)
        return (push(route, self._push(pending, route, request)),)

    def _push(
        self, pending: Pending, route: Route, request: pb.PunchHoleRequest
    ) -> pb.RendezvousMessage:
        stream, lan, relays = pending.stream, self._with.lan, self._with.relays
        a_in_lan, b_in_lan = stream.address.host in lan, route.host in lan
        forced, relay = relays.always or request.force_relay, relays.choose()
        relayed = forced or a_in_lan != b_in_lan
        if relayed and b_in_lan:
            relay = lan.local_ip
        together = (a_in_lan and b_in_lan) or _share_address(stream.address, route)
        if together and not forced and not _is_by_websocket(stream, route):
            return _fetch_local_addr(pending, relay, request)
        hole = pb.PunchHole(
            socket_addr=pending.disguise,
            relay_server=relay.encode(),
            nat_type=request.nat_type,
            force_relay=forced,
        )
        if relayed or stream.websocket:
            hole.nat_type = pb.SYMMETRIC
        if not forced:
            hole.upnp_port = request.upnp_port
            hole.socket_addr_v6 = global_ipv6(request.socket_addr_v6)
        if not relayed and not stream.websocket:
            hole.udp_port = _port(request.udp_port)
        permit(hole, pending.judged.verdict)
        return pb.RendezvousMessage(punch_hole=hole)

    def sent(self, message: pb.RendezvousMessage, sender: Stream) -> Effects:
        """Give A the address that B has just opened a hole from."""
        sent = message.punch_hole_sent
        pending = self._waiting_for(sent, sender.address)
        if pending is None:
            return self._with.nobody_waits(sender)
        response = self._opened(pending, sent, sender.address)
        return (*self._respond(pending, response), Close(sender.id))

    def sent_by_datagram(self, message: pb.RendezvousMessage, origin: Address) -> Effects:
        """
        Give A the address of B's UDP socket; nothing is ever sent by UDP for it.

        Whoever knows the 32 random bits in A's disguise was told by us.
        """
        sent = message.punch_hole_sent
        pending = self._waiting_for(sent, origin)
        if pending is None:
            self._with.notices.count(Event.FORGED_ANSWER)
            return ()
        response = self._opened(pending, sent, origin)
        response.is_udp = True
        return self._respond(pending, response)

    def _waiting_for(self, sent: pb.PunchHoleSent, origin: Address) -> Pending | None:
        pending = self._with.pending.echoed(sent.socket_addr, origin)
        if pending is None or pending.kind is not Kind.PUNCH:
            return None
        return pending if pending.peer_id.encode() == sent.id else None

    def _opened(
        self, pending: Pending, sent: pb.PunchHoleSent, origin: Address
    ) -> pb.PunchHoleResponse:
        response = pb.PunchHoleResponse(
            socket_addr=encode_address(origin, self._with.random32()),
            pk=self._with.proof(pending, sent.version),
            relay_server=sent.relay_server,
            upnp_port=sent.upnp_port,
            socket_addr_v6=global_ipv6(sent.socket_addr_v6),
        )
        if sent.nat_type in pb.NatType.values():
            response.nat_type = sent.nat_type
        return response

    def local_addr(self, message: pb.RendezvousMessage, sender: Stream) -> Effects:
        """Give A the address of B in the network that they share."""
        local = message.local_addr
        peer_id = pb.text(local.id)
        pending = self._with.pending.re_encoded(local.socket_addr, peer_id, sender.address)
        if pending is None:
            return self._with.nobody_waits(sender)
        response = pb.PunchHoleResponse(
            socket_addr=local.local_addr,
            pk=self._with.proof(pending, local.version),
            relay_server=local.relay_server,
            is_local=True,
            socket_addr_v6=global_ipv6(local.socket_addr_v6),
        )
        return (*self._respond(pending, response), Close(sender.id))

    def _respond(self, pending: Pending, response: pb.PunchHoleResponse) -> Effects:
        trouble = self._with.trouble_with(pending)
        if trouble:
            response = pb.PunchHoleResponse(other_failure=trouble.encode())
        response.feedback = pending.judged.verdict.feedback
        message = pb.RendezvousMessage(punch_hole_response=response)
        return self._with.answer(pending, message, pb.text(response.relay_server))


def _share_address(a: Address, route: Route) -> bool:
    """
    Return whether A and B seem to be behind one router.

    With IPv6 clients would go to the relay then, and have no need to: each has an address
    of its own, and one machine can reach itself (protocol.md section 3.17, W-S27).
    """
    return a.host == route.host and ":" not in a.host


def _is_by_websocket(stream: Stream, route: Route) -> bool:
    """Return whether A or B can only be reached through a server."""
    return stream.websocket or (isinstance(route, StreamRoute) and route.websocket)


def _port(number: int) -> int:
    """Return a port, or 0 for what is none."""
    return number if 0 < number <= _HIGHEST_PORT else 0


def _fetch_local_addr(
    pending: Pending, relay: str, request: pb.PunchHoleRequest
) -> pb.RendezvousMessage:
    fetch = pb.FetchLocalAddr(
        socket_addr=pending.disguise,
        relay_server=relay.encode(),
        socket_addr_v6=global_ipv6(request.socket_addr_v6),
    )
    permit(fetch, pending.judged.verdict)
    return pb.RendezvousMessage(fetch_local_addr=fetch)


def _failed(stream: Stream) -> Effects:
    return _refuse(stream, _FAILURE(other_failure=STORAGE_TEXT.encode()))


def _refuse(stream: Stream, response: pb.PunchHoleResponse) -> Effects:
    return (Answer(stream.id, pb.RendezvousMessage(punch_hole_response=response)),)
