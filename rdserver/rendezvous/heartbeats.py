"""Heartbeats, answered with as little as possible: by sight, or read by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.updates import ServerList
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.heartbeat import read_heartbeat


class Heartbeats:
    """
    Knows heartbeats by their bytes and where these came from.

    A device sends the same datagram from the same address all day.  After one was
    accepted, and nothing was to be sent beside the answer, the next one like it means
    the same, until the device proves itself anew, moves, or is forgotten (its presence
    sees to that), or the server list gets a higher number (this object does).

    :param accept: decides on one heartbeat; see :meth:`Registration.accept`.
    :ivar answer: to a heartbeat that was accepted, always.

    Source: protocol.md section 3.3.
    """

    def __init__(
        self,
        presence: Presence,
        servers: ServerList,
        accept: Callable[[Peer, Address], bool],
    ) -> None:
        self._presence = presence
        self._servers = servers
        self._accept = accept
        self._serial = servers.serial
        response = pb.RegisterPeerResponse(request_pk=False)
        self.answer = pb.encode(pb.RendezvousMessage(register_peer_response=response))

    def recognise(self, heartbeats: Sequence[bytes], first: int) -> int:
        """
        Take those from index *first* on as signs of life, up to one that is not known.

        :returns: the index of that one, or how many there are.
        """
        if self._serial != self._servers.serial:
            self._serial = self._servers.serial
            self._presence.expect_nothing()
        return self._presence.hear(heartbeats, first)

    def learn(self, heartbeat: bytes, datagram: bytes, origin: Address) -> bool:
        """
        Take *datagram* as a sign of life, and know *heartbeat* from now on.

        :param heartbeat: no other datagram, and none from elsewhere, has the same.
        :returns: False if nothing was done, because this must be read and decided on
            like any other message.
        """
        read = read_heartbeat(datagram)
        if read is None:
            return False
        peer_id, serial = read
        peer = self._presence.get(peer_id)
        if peer is None or self._servers.serial > serial:
            return False
        if not self._accept(peer, origin):
            return False
        self._presence.expect(peer, heartbeat)
        return True
