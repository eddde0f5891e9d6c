"""A: asks for a device, and has a session with it."""

from __future__ import annotations

import threading

from attrs import frozen

from tests.integration.peers.attempt import Attempt
from tests.integration.peers.doors import Doors
from tests.integration.peers.probe import NatProbe
from tests.integration.peers.profile import Path, Profile
from tests.integration.peers.race import Reached, first_of
from tests.integration.peers.scope import Scope
from tests.integration.peers.session import TALK_S, SessionError, answer_greeting, talk
from tests.integration.process import Ports


@frozen
class Outcome:
    """
    How a session went.

    :ivar is_proven: whether B proved that it has the key which the server signed.
    """

    path: Path
    is_proven: bool


def call(ports: Ports, profile: Profile, peer_id: str, size: int) -> Outcome:
    """
    Reach the device, exchange *size* bytes both ways, and leave.

    :raises RefusedError: the server says why A cannot reach it.
    :raises NoWayError: no way leads to it.
    :raises SessionError: a way leads to it and does not work.
    """
    scope, is_decided = Scope(), threading.Event()
    doors = Doors(ports, profile)
    try:
        attempts = [
            Attempt(
                doors=doors,
                peer_id=peer_id,
                scope=scope,
                probe=probe,
                is_decided=is_decided,
            )
            for probe in _probes(doors, scope)
        ]
        return _meet(first_of([a.run for a in attempts], scope), peer_id, size)
    finally:
        is_decided.set()
        scope.close()


def _probes(doors: Doors, scope: Scope) -> list[NatProbe | None]:
    """Return what each attempt has: where UDP is punched, one has a socket and one not."""
    profile = doors.profile
    if profile.udp_punch and profile.knows("1.4.1") and not profile.wants_relay:
        return [scope.keep(NatProbe(doors.udp())), None]
    return [None]


def _meet(reached: Reached, peer_id: str, size: int) -> Outcome:
    line = reached.line
    if reached.greets:
        greeting = line.hear(TALK_S)
        if greeting is None:
            raise SessionError("B left without a word")
        answer_greeting(line, greeting, peer_id, reached.proven_pk)
    talk(line, size)
    line.close()
    return Outcome(reached.path, line.channel is not None)
