"""Ids that two machines claim at the same time: each is worth a line, once."""

from __future__ import annotations

from rdserver.notices import Notices
from rdserver.presence.interface import Peer
from rdserver.rendezvous.events import Event, shown
from rdserver.wire.address import Address

_MAX_IDS = 10_000


class Clones:
    """
    Tells the operator of ids behind which there seem to be two machines.

    A disk image that was copied with a client's settings in it makes such: both machines
    have one id, each with a uuid of its own.

    Source: protocol.md section 7.8.
    """

    def __init__(self, notices: Notices[Event]) -> None:
        self._notices = notices
        self._told: dict[str, None] = {}

    def suspect(self, owner: Peer, other: Address) -> bool:
        """
        Note that *other* claims the id of *owner*, which is online.

        :returns: whether it was for the first time.
        """
        if owner.id in self._told:
            self._notices.count(Event.CLONE)
            return False
        self._told[owner.id] = None
        if len(self._told) > _MAX_IDS:
            del self._told[next(iter(self._told))]
        self._notices.warn(
            Event.CLONE,
            "{peer_id} is online at {host}, and another machine at {remote} claims the "
            "same id: is it a copy?",
            peer_id=shown(owner.id),
            host=owner.host,
            remote=str(other),
        )
        return True
