"""What the connections through one port share: what stands behind it, and who keeps it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from rdserver.notices import Notices
from rdserver.presence.interface import StreamId
from rdserver.rendezvous.effects import Outcome, Stream
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import FRAME_S
from rdserver.transports.kept import Kept
from rdserver.transports.long_frames import LongFrames
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.secure import KeyOffer


@frozen
class Door:
    """
    What stands behind one listening port.

    :ivar decide: takes a message and its stream, returns what to do.
    :ivar closed: called with each connection's id when it is gone.
    :ivar max_frame_bytes: longer frames close the connection at their header.
    :ivar long_frames: frames of encrypted connections may be longer, and the last answer
        on them; None: never.
    :ivar offer: begins a key exchange with a TCP client that says nothing; None: never.
    :ivar grace_s: for so long it must say nothing.
    """

    decide: Callable[[pb.RendezvousMessage, Stream], Outcome]
    closed: Callable[[StreamId], None]
    max_frame_bytes: int
    long_frames: LongFrames | None = None
    offer: Callable[[], KeyOffer] | None = None
    grace_s: float = 0.0

    @property
    def silence_s(self) -> float:
        """How long nothing is done with a TCP client that has said nothing."""
        return FRAME_S if self.offer is None else self.grace_s


@frozen(kw_only=True)
class Company:
    """
    What all conversations through one port share.

    :ivar now: monotonic clock, in seconds, for a connection's age.
    :ivar kept: those that stay.
    """

    door: Door
    outlet: Outlet
    clock: IReactorTime
    now: Callable[[], float]
    notices: Notices[Event]
    kept: Kept = field(init=False)

    @kept.default
    def _kept(self) -> Kept:
        return Kept(self.clock, self.now)
