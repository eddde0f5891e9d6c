"""
The ID server: each message to the one method that decides on it.

A new message type is one line in a table here and one method in the module that
it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from attrs import frozen

from rdserver.presence.interface import Presence, StreamId
from rdserver.rendezvous.controlling import Controlling
from rdserver.rendezvous.effects import Close, Outcome, Stream
from rdserver.rendezvous.http_proxying import HttpProxying
from rdserver.rendezvous.id_change import IdChange
from rdserver.rendezvous.pending import PendingTable
from rdserver.rendezvous.punch import Punching
from rdserver.rendezvous.queries import NatTest, OnlineQuery
from rdserver.rendezvous.registration import Registration
from rdserver.rendezvous.relaying import Relaying
from rdserver.rendezvous.updates import ServerList, Software
from rdserver.wire import pb
from rdserver.wire.address import Address

DatagramDecision: TypeAlias = Callable[[pb.RendezvousMessage, Address], Outcome]
FrameDecision: TypeAlias = Callable[[pb.RendezvousMessage, Stream], Outcome]


@frozen(kw_only=True)
class Decisions:
    """The parts that the tables below point into."""

    presence: Presence
    registration: Registration
    id_change: IdChange
    punching: Punching
    relaying: Relaying
    nat_test: NatTest
    online: OnlineQuery
    controlling: Controlling
    http_proxying: HttpProxying
    servers: ServerList
    software: Software
    pending: PendingTable


class Rendezvous:
    """
    The doors of the ID server.

    Each takes a decoded message and where it came from, and returns what to do, or
    a coroutine that will.  What has no line in a door's table is not served there:
    a datagram gets no answer, a connection is closed.

    Source: protocol.md sections 3.3 to 3.7 (which message is served where).
    """

    def __init__(self, decisions: Decisions) -> None:
        self._pending = decisions.pending
        self._presence = decisions.presence
        self._datagrams = _datagram_table(decisions)
        self._main = _main_table(decisions)
        self._nat = _nat_table(decisions)

    def datagram(self, message: pb.RendezvousMessage, origin: Address) -> Outcome:
        """Decide on one datagram to UDP P."""
        decide = self._datagrams.get(message.WhichOneof("union") or "")
        return () if decide is None else decide(message, origin)

    def main_frame(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Decide on one frame on TCP P, or one message on WebSocket P+2."""
        return _frame(self._main, message, stream)

    def nat_frame(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Decide on the only frame of a connection to TCP P-1."""
        return _frame(self._nat, message, stream)

    def stream_closed(self, stream_id: StreamId) -> None:
        """Note that nobody waits on this connection any more, nor is reached by it."""
        self._pending.close(stream_id)
        self._presence.stream_closed(stream_id)


def _frame(
    table: dict[str, FrameDecision], message: pb.RendezvousMessage, stream: Stream
) -> Outcome:
    decide = table.get(message.WhichOneof("union") or "")
    return (Close(stream.id),) if decide is None else decide(message, stream)


def _datagram_table(decisions: Decisions) -> dict[str, DatagramDecision]:
    # PunchHoleRequest and LocalAddr are not here on purpose: their answers would go to
    # whoever a forged source address names.  That to PunchHoleSent goes to a connection.
    return {
        "punch_hole_sent": decisions.punching.sent_by_datagram,
        "register_peer": decisions.registration.register_peer,
        "register_pk": decisions.registration.register_pk,
        "test_nat_request": decisions.nat_test.by_datagram,
        "configure_update": decisions.servers.configure_update,
        "software_update": decisions.software.software_update,
    }


def _main_table(decisions: Decisions) -> dict[str, FrameDecision]:
    return {
        "punch_hole_request": decisions.punching.request,
        "punch_hole_sent": decisions.punching.sent,
        "local_addr": decisions.punching.local_addr,
        "request_relay": decisions.relaying.request,
        "relay_response": decisions.relaying.response,
        "test_nat_request": decisions.nat_test.on_main_port,
        "register_pk": partial(_register_pk, decisions),
        "register_peer": decisions.registration.heartbeat_on_stream,
        "online_request": decisions.online.request,
        "hc": decisions.controlling.begin,
        "http_proxy_request": decisions.http_proxying.request,
    }


def _nat_table(decisions: Decisions) -> dict[str, FrameDecision]:
    return {
        "test_nat_request": decisions.nat_test.on_nat_port,
        "online_request": decisions.online.request,
    }


def _register_pk(
    decisions: Decisions, message: pb.RendezvousMessage, stream: Stream
) -> Outcome:
    if message.register_pk.pk:
        return decisions.registration.register_on_stream(message, stream)
    return decisions.id_change.request(message, stream)
