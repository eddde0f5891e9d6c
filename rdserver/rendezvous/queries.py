"""Small questions with an answer at once: which port am I, who is online."""

from __future__ import annotations

from rdserver.presence.interface import Presence
from rdserver.rendezvous.effects import Answer, Close, Effects, Send, Stream
from rdserver.rendezvous.limits import RateLimit
from rdserver.rendezvous.updates import ServerList
from rdserver.wire import pb
from rdserver.wire.address import Address

MAX_ONLINE_IDS = 4096
"""Ids looked up for one online query; the bits beyond stay 0 (protocol.md 7.11)."""


class NatTest:
    """
    Tells clients the port that we see.

    :param limit: of datagrams that are longer than what they answer.

    Source: protocol.md sections 3.6, 3.7 and 7.4.
    """

    def __init__(self, servers: ServerList, limit: RateLimit) -> None:
        self._servers = servers
        self._limit = limit

    def on_main_port(self, message: pb.RendezvousMessage, stream: Stream) -> Effects:
        """Answer on TCP P, with the server list if the client's is older."""
        update = self._servers.newer_than(message.test_nat_request.serial)
        response = pb.TestNatResponse(port=stream.address.port, cu=update)
        return _last_word(stream, pb.RendezvousMessage(test_nat_response=response))

    def on_nat_port(self, _message: pb.RendezvousMessage, stream: Stream) -> Effects:
        """Answer on TCP P-1."""
        response = pb.TestNatResponse(port=stream.address.port)
        return _last_word(stream, pb.RendezvousMessage(test_nat_response=response))

    def by_datagram(self, _message: pb.RendezvousMessage, origin: Address) -> Effects:
        """Answer on UDP; the answer is longer than the question, so only so often."""
        if not self._limit.admit(origin.host):
            return ()
        response = pb.TestNatResponse(port=origin.port)
        return (Send(origin, pb.RendezvousMessage(test_nat_response=response)),)


class OnlineQuery:
    """
    Tells which of some devices are online.

    Source: protocol.md sections 3.7 and 7.11.
    """

    def __init__(self, presence: Presence) -> None:
        self._presence = presence

    def on_nat_port(self, message: pb.RendezvousMessage, stream: Stream) -> Effects:
        """Answer one bit a device, the first in the highest bit; none is left out."""
        peers = message.online_request.peers
        states = bytearray(-(-len(peers) // 8))
        for i, peer_id in enumerate(peers[:MAX_ONLINE_IDS]):
            if self._is_online(pb.text(peer_id)):
                states[i // 8] |= 0x80 >> i % 8
        answer = pb.RendezvousMessage()
        answer.online_response.states = bytes(states)
        return _last_word(stream, answer)

    def _is_online(self, peer_id: str) -> bool:
        peer = self._presence.get(peer_id)
        return peer is not None and self._presence.is_online(peer)


def _last_word(stream: Stream, message: pb.RendezvousMessage) -> Effects:
    return (Answer(stream.id, message), Close(stream.id))
