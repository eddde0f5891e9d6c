"""What somebody says who registers, and how that is answered where it was said."""

from __future__ import annotations

from attrs import frozen

from rdserver.presence.interface import Route, StreamRoute
from rdserver.rendezvous.directory import MAX_ID_BYTES
from rdserver.rendezvous.effects import Effects, Keep, Stream, push
from rdserver.rendezvous.stream_state import Happening
from rdserver.storage.interface import StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address

MIN_ID_BYTES = 6
MAX_UUID_BYTES = 512
_MAX_PK_BYTES = 128


@frozen(kw_only=True)
class Claim:
    """
    Somebody at *origin* says that it is *peer_id*.

    :ivar route: how it will be reached if that is true.
    :ivar is_unlisted: it is not to be stored (protocol.md section 7.8).
    """

    peer_id: str
    uuid: bytes
    pk: bytes
    origin: Address
    route: Route
    is_unlisted: bool = False

    def owns(self, stored: StoredPeer) -> bool:
        """Return whether it is known with this machine and key."""
        return (self.uuid, self.pk) == (stored.uuid, stored.pk)

    def answer(self, result: int, keep_alive_s: int = 0) -> Effects:
        """
        Tell what came of it; a connection is kept if that is OK.

        :param keep_alive_s: means nothing to a device that sends datagrams.
        """
        if not isinstance(self.route, StreamRoute) or result != pb.RegisterPkResponse.OK:
            return (push(self.route, register_pk_response(result)),)
        kept = Keep(self.route.stream, Happening.REGISTRATION)
        return (push(self.route, register_pk_response(result, keep_alive_s)), kept)


def register_pk_response(result: int, keep_alive_s: int = 0) -> pb.RendezvousMessage:
    """Return the answer to a RegisterPk, whatever was wanted by it."""
    response = pb.RegisterPkResponse(
        result=result,  # type: ignore[arg-type]  # an enum
        keep_alive=keep_alive_s,
    )
    return pb.RendezvousMessage(register_pk_response=response)


def claim_in(request: pb.RegisterPk, origin: Address, route: Route) -> Claim:
    """Return what a RegisterPk says."""
    return Claim(
        peer_id=pb.text(request.id),
        uuid=request.uuid,
        pk=request.pk,
        origin=origin,
        route=route,
        is_unlisted=request.no_register_device,
    )


def stream_route(stream: Stream) -> StreamRoute:
    """Return how a device is reached that registers on *stream*."""
    return StreamRoute(stream.address.host, stream.id, stream.websocket)


def is_valid(request: pb.RegisterPk) -> bool:
    """Refuse what could only harm: no client sends such ids, uuids or keys."""
    return (
        is_possible_id(pb.text(request.id))
        and len(request.uuid) <= MAX_UUID_BYTES
        and len(request.pk) <= _MAX_PK_BYTES
    )


def is_possible_id(peer_id: str) -> bool:
    """Return whether a device may be called so."""
    is_printable = peer_id.isprintable()
    return is_printable and MIN_ID_BYTES <= len(peer_id.encode()) <= MAX_ID_BYTES
