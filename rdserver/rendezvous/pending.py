"""
Who waits for an answer of B's, and how that answer is told from a forged one.

B answers on a new connection, so all it can show is what it was sent.  For an
IPv4 A that is the disguised address with 32 random bits in it; where the bits do
not come back (LocalAddr, IPv6) the answer must come from B's own address, soon.

Source: protocol.md section 3.18 nos. 2 and 3, 7.16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto

from rdserver.presence.interface import Peer, StreamId
from rdserver.rendezvous.access import Judged
from rdserver.rendezvous.effects import Stream
from rdserver.rendezvous.identity import Credential
from rdserver.rendezvous.slices import in_slices
from rdserver.wire.address import (
    Address,
    address_bucket,
    decode_address,
    encode_address,
    same_host,
)

_ANSWER_S = 30.0
_KEPT_S = 150.0
_FORWARD_BURST = 3
_FORWARD_EVERY_S = 1.0


class Kind(Enum):
    """What A asked for."""

    PUNCH = auto()
    RELAY = auto()


class _Pace:
    """How much one connection made us send to devices lately."""

    __slots__ = ("count", "since_s")

    def __init__(self) -> None:
        self.count = 0
        self.since_s = float("-inf")

    def admit(self, now: float) -> bool:
        """Count one more push, unless A asks faster than any client does."""
        if now - self.since_s >= _FORWARD_EVERY_S:
            self.count, self.since_s = 0, now
        self.count += 1
        return self.count <= _FORWARD_BURST


class Pending:
    """
    One connection of A's that waits.

    :ivar pace: the connection's, whomever it asks for.
    :ivar disguise: A's address as B is shown it.
    :ivar address: the same as everybody reads it.
    :ivar peer_host: where B was registered when it was asked.
    :ivar uuid: the session A chose; empty until B chooses one.
    :ivar judged: what the access policy was asked, and said.
    :ivar credential: which key A has, and so which must sign what A is told of B.
    """

    __slots__ = (
        "address",
        "credential",
        "disguise",
        "forwarded_s",
        "judged",
        "kind",
        "pace",
        "peer_host",
        "peer_id",
        "stream",
        "uuid",
    )

    judged: Judged
    credential: Credential

    def __init__(
        self, stream: Stream, peer_id: str, kind: Kind, pace: _Pace, disguise: bytes
    ) -> None:
        self.stream = stream
        self.peer_id = peer_id
        self.kind = kind
        self.pace = pace
        self.disguise = disguise
        self.address = decode_address(disguise)
        self.peer_host = ""
        self.uuid = ""
        self.forwarded_s = float("-inf")


class PendingTable:
    """
    The connections that wait, at most one entry each; it ends with the connection.

    :param now: monotonic clock, in seconds.
    :param random32: returns 32 unpredictable bits.
    """

    def __init__(self, now: Callable[[], float], random32: Callable[[], int]) -> None:
        self._now = now
        self._random32 = random32
        self._by_stream: dict[StreamId, Pending] = {}
        self._by_address: dict[Address, dict[StreamId, Pending]] = {}

    def open(
        self,
        stream: Stream,
        peer: Peer,
        kind: Kind,
        judged: Judged,
        credential: Credential,
    ) -> Pending | None:
        """
        Let *stream* wait for *peer*; the same request again keeps its cookie.

        :returns: None if the connection asks too fast for it to be passed on.
        """
        peer_id = peer.id
        pending = self._by_stream.get(stream.id)
        pace = _Pace() if pending is None else pending.pace
        if not pace.admit(self._now()):
            return None
        if pending is None or (pending.peer_id, pending.kind) != (peer_id, kind):
            pending = self._add(stream, peer_id, kind, pace)
        pending.forwarded_s = self._now()
        pending.peer_host = "" if peer.route is None else peer.host
        pending.judged = judged
        pending.credential = credential
        return pending

    def holds(self, pending: Pending) -> bool:
        """Return whether *pending* still waits."""
        return self._by_stream.get(pending.stream.id) is pending

    def echoed(self, disguise: bytes, sender: Address) -> Pending | None:
        """Return the entry that *disguise* was made for, if *sender* may answer it."""
        waiting = self._by_address.get(decode_address(disguise), {})
        for pending in waiting.values():
            if pending.disguise != disguise:
                continue
            if ":" not in pending.stream.address.host or self._is_from_peer(
                pending, sender
            ):
                return pending
        return None

    def re_encoded(self, disguise: bytes, peer_id: str, sender: Address) -> Pending | None:
        """Return the entry of the address in *disguise* that waits to reach *peer_id*."""
        waiting = self._by_address.get(decode_address(disguise), {})
        for pending in waiting.values():
            if (pending.kind, pending.peer_id) != (Kind.PUNCH, peer_id):
                continue
            if self._is_from_peer(pending, sender):
                return pending
        return None

    def close(self, stream_id: StreamId) -> None:
        """Forget the entry of a connection: it was answered, or it is gone."""
        pending = self._by_stream.pop(stream_id, None)
        if pending is None:
            return
        waiting = self._by_address[pending.address]
        del waiting[stream_id]
        if not waiting:
            del self._by_address[pending.address]

    def sweep(self) -> Iterator[None]:
        """
        Forget who waits longer than any connection may, a slice with each step.

        A connection that was gone before its device was looked up leaves such an entry.
        """
        return in_slices(self._forget_old())

    def _forget_old(self) -> Iterator[StreamId]:
        for stream_id in list(self._by_stream):
            pending = self._by_stream.get(stream_id)
            if pending is not None and pending.forwarded_s < self._now() - _KEPT_S:
                self.close(stream_id)
            yield stream_id

    def _add(self, stream: Stream, peer_id: str, kind: Kind, pace: _Pace) -> Pending:
        # Replaces an older entry in both tables: a connection has one address.
        disguise = encode_address(stream.address, self._random32())
        pending = Pending(stream, peer_id, kind, pace, disguise)
        self._by_stream[stream.id] = pending
        self._by_address.setdefault(pending.address, {})[stream.id] = pending
        return pending

    def _is_from_peer(self, pending: Pending, sender: Address) -> bool:
        if self._now() - pending.forwarded_s > _ANSWER_S:
            return False
        # Of IPv6 the /64: with privacy extensions a device's new connection comes from
        # another address than its old socket.
        return same_host(pending.peer_host, sender.host) or (
            address_bucket(pending.peer_host) == address_bucket(sender.host)
        )

    def __len__(self) -> int:
        return len(self._by_stream)
