"""Heartbeats, answered with as little as possible: by sight, or read by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from rdserver.presence.interface import Peer, Presence
from rdserver.rendezvous.directory import Directory
from rdserver.rendezvous.updates import ServerList
from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.heartbeat import read_heartbeat


class Reading(Enum):
    """What one look at a datagram says: the answer, if nothing more is to be done."""

    KNOWN = auto()
    """A sign of life of a device that we know."""

    ASKED = auto()
    """Whoever sent it is asked for its key."""

    UNREAD = auto()
    """It must be read and decided on like any other message; nothing was done."""


class Heartbeats:
    """
    Knows heartbeats by their bytes and where these came from.

    A device sends the same datagram from the same address all day.  After one was
    accepted, and nothing was to be sent beside the answer, the next one like it means
    the same, until the device proves itself anew, moves, or is forgotten (its presence
    sees to that), or the server list gets a higher number (this object does).

    :param accept: decides on one heartbeat; see :meth:`Registration.accept`.
    :ivar known: the answer to a heartbeat that was accepted, always.
    :ivar asked: the answer to one that was not.

    Source: protocol.md section 3.3.
    """

    def __init__(
        self,
        presence: Presence,
        servers: ServerList,
        directory: Directory,
        accept: Callable[[Peer, Address], bool],
    ) -> None:
        self._presence = presence
        self._servers = servers
        self._directory = directory
        self._accept = accept
        self._serial = servers.serial
        self.known, self.asked = _answer(request_pk=False), _answer(request_pk=True)

    def recognise(self, heartbeats: Sequence[bytes], first: int) -> int:
        """
        Take those from index *first* on as signs of life, up to one that is not known.

        :returns: the index of that one, or how many there are.
        """
        if self._serial != self._servers.serial:
            self._serial = self._servers.serial
            self._presence.expect_nothing()
        return self._presence.hear(heartbeats, first)

    def learn(self, heartbeat: bytes, datagram: bytes, origin: Address) -> Reading:
        """
        Take *datagram* as a sign of life, and know *heartbeat* from now on.

        A flood of ids that nobody has is answered here as well, so it costs little more
        than the heartbeats of devices.

        :param heartbeat: no other datagram, and none from elsewhere, has the same; if
            it is empty, the next one like it is read again.
        """
        read = read_heartbeat(datagram)
        if read is None or not origin.port or self._servers.serial > read[1]:
            return Reading.UNREAD
        peer_id = read[0]
        peer = self._presence.get(peer_id)
        if peer is None:
            is_missing = self._directory.is_missing(peer_id, origin.host)
            return Reading.ASKED if is_missing else Reading.UNREAD
        if not self._accept(peer, origin):
            return Reading.ASKED
        if heartbeat:
            self._presence.expect(peer, heartbeat)
        return Reading.KNOWN


def _answer(*, request_pk: bool) -> bytes:
    response = pb.RegisterPeerResponse(request_pk=request_pk)
    return pb.encode(pb.RendezvousMessage(register_peer_response=response))
