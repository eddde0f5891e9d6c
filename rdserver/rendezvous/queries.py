"""Small questions with an answer at once: which port am I, who is online."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from rdserver.presence.interface import Presence
from rdserver.rendezvous.access import (
    AccessPolicy,
    AccessRequest,
    Decision,
    Door,
    Verdict,
)
from rdserver.rendezvous.effects import Effects, Outcome, Send, Stream, last_word
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
        return last_word(stream, pb.RendezvousMessage(test_nat_response=response))

    def on_nat_port(self, _message: pb.RendezvousMessage, stream: Stream) -> Effects:
        """Answer on TCP P-1."""
        response = pb.TestNatResponse(port=stream.address.port)
        return last_word(stream, pb.RendezvousMessage(test_nat_response=response))

    def by_datagram(self, _message: pb.RendezvousMessage, origin: Address) -> Effects:
        """Answer on UDP; the answer is longer than the question, so only so often."""
        if not self._limit.admit(origin.host):
            return ()
        response = pb.TestNatResponse(port=origin.port)
        return (Send(origin, pb.RendezvousMessage(test_nat_response=response)),)


class OnlineQuery:
    """
    Tells which of some devices are online.

    Who may not reach a device is not told that it is there.

    Source: protocol.md sections 3.7 and 7.11.
    """

    def __init__(self, presence: Presence, access: AccessPolicy) -> None:
        self._presence = presence
        self._access = access

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Answer one bit a device, the first in the highest bit; none is left out."""
        peers = message.online_request.peers
        online = [
            (index, pb.text(peer_id))
            for index, peer_id in enumerate(peers[:MAX_ONLINE_IDS])
            if self._is_online(pb.text(peer_id))
        ]
        if self._access.is_open or not online:
            return _states(stream, len(peers), [index for index, _peer_id in online])
        return self._judge(stream, len(peers), online)

    def _judge(self, stream: Stream, count: int, online: _Online) -> Outcome:
        allowed = set()
        for peer_id in {peer_id for _index, peer_id in online}:
            decision = self._decide(peer_id, stream)
            if not isinstance(decision, Verdict):
                decision.close()
                return self._wait(stream, count, online)
            if not decision.refusal:
                allowed.add(peer_id)
        return _shown(stream, count, online, allowed)

    async def _wait(self, stream: Stream, count: int, online: _Online) -> Effects:
        """As :meth:`_judge`, where the policy must ask somebody."""
        allowed = set()
        for peer_id in {peer_id for _index, peer_id in online}:
            decision = self._decide(peer_id, stream)
            verdict = decision if isinstance(decision, Verdict) else await decision
            if not verdict.refusal:
                allowed.add(peer_id)
        return _shown(stream, count, online, allowed)

    def _decide(self, peer_id: str, stream: Stream) -> Decision:
        return self._access.decide(
            AccessRequest(door=Door.ONLINE, host=stream.address.host, peer_id=peer_id)
        )

    def _is_online(self, peer_id: str) -> bool:
        peer = self._presence.get(peer_id)
        return peer is not None and self._presence.is_online(peer)


_Online: TypeAlias = list[tuple[int, str]]


def _shown(stream: Stream, count: int, online: _Online, allowed: set[str]) -> Effects:
    return _states(stream, count, [i for i, peer_id in online if peer_id in allowed])


def _states(stream: Stream, count: int, online: Iterable[int]) -> Effects:
    states = bytearray(-(-count // 8))
    for index in online:
        states[index // 8] |= 0x80 >> index % 8
    answer = pb.RendezvousMessage()
    answer.online_response.states = bytes(states)
    return last_word(stream, answer)
