"""
What a connection to the ID server is at the moment: one machine for TCP and WebSocket.

The two tables say all of it.  What carries the connection keeps its time by them, and
shows each payload to :class:`StreamState`, which decrypts it and says what to decide on.

Source: protocol.md sections 7.1 to 7.3 and 7.16.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from attrs import frozen

from rdserver.errors import ProtocolError
from rdserver.wire import pb
from rdserver.wire.secure import KeyOffer, SecureChannel

FRAME_S = 30.0
"""Time for one complete frame to come; each frame starts it again.  protocol.md 3.6."""

LIFE_S = 120.0
"""From then on the next frame is the last.  No client asks for that long (7.16)."""

CLOSING_S = 5.0
"""Time for the last answer to leave (7.16)."""

HEARTBEAT_S = 25.0
"""Below the 60 s after which proxies cut connections, and the client's 90 s (7.3)."""

SILENCE_S = 65.0
"""Two and a half heartbeats without an echo: the client is gone (7.3)."""


class State(Enum):
    """Where a connection is."""

    NEW = auto()
    """Nothing was said.  Who is silent on purpose waits for a key exchange."""
    OFFERED = auto()
    """We began a key exchange."""
    TALKING = auto()
    """Requests are answered, encrypted or not; A waits here for B's answer."""
    REGISTERED = auto()
    """It is how a device is reached."""
    CONTROLLING = auto()
    """A holds it while it controls a device."""


class Happening(Enum):
    """What moves a connection from one state to another."""

    SILENCE = auto()
    REQUEST = auto()
    KEY_EXCHANGE = auto()
    REGISTRATION = auto()
    CONTROL = auto()


@frozen(kw_only=True)
class Rules:
    """
    What holds in one state.

    :ivar silence_s: after so long without a complete frame the connection ends.
    :ivar heartbeat_s: each so long an empty frame is sent, and what comes back is no
        message but a sign of life; None: an empty frame is an error.
    :ivar life_s: how long all may last; None: for ever.
    :ivar takes: the kinds of messages that are decided on, others do nothing; None:
        those that the port serves, and others end the connection.
    """

    silence_s: float = FRAME_S
    heartbeat_s: float | None = None
    life_s: float | None = LIFE_S
    takes: frozenset[str] | None = None


def _kept(*takes: str) -> Rules:
    return Rules(
        silence_s=SILENCE_S,
        heartbeat_s=HEARTBEAT_S,
        life_s=None,
        takes=frozenset(takes),
    )


RULES: dict[State, Rules] = {
    State.NEW: Rules(),
    State.OFFERED: Rules(),
    State.TALKING: Rules(),
    State.REGISTERED: _kept("register_pk", "register_peer"),
    State.CONTROLLING: _kept(),
}

NEXT: dict[tuple[State, Happening], State] = {
    (State.NEW, Happening.SILENCE): State.OFFERED,
    (State.NEW, Happening.REQUEST): State.TALKING,
    (State.OFFERED, Happening.REQUEST): State.TALKING,
    (State.OFFERED, Happening.KEY_EXCHANGE): State.TALKING,
    (State.TALKING, Happening.REQUEST): State.TALKING,
    (State.TALKING, Happening.REGISTRATION): State.REGISTERED,
    (State.TALKING, Happening.CONTROL): State.CONTROLLING,
    (State.REGISTERED, Happening.REQUEST): State.REGISTERED,
    (State.REGISTERED, Happening.REGISTRATION): State.REGISTERED,
    (State.CONTROLLING, Happening.REQUEST): State.CONTROLLING,
}
"""Whatever is not listed is an error, which ends the connection."""


class StreamState:
    """
    One connection's state and encryption.

    :param offer: makes our half of a key exchange, fresh for this connection; None where
        none is ever offered: on WebSocket, on port-1, and without a key to sign with.
    :ivar rules: what holds now.
    """

    def __init__(self, offer: Callable[[], KeyOffer] | None) -> None:
        self._make_offer = offer
        self._offer: KeyOffer | None = None
        self._channel: SecureChannel | None = None
        self.state = State.NEW
        self.rules = RULES[State.NEW]

    @property
    def is_secure(self) -> bool:
        """Whether what is said from now on is encrypted."""
        return self._channel is not None

    @property
    def stays(self) -> bool:
        """Whether it lives on heartbeats."""
        return self.rules.heartbeat_s is not None

    @property
    def is_given_up(self) -> bool:
        """Whether a key exchange was begun and never answered."""
        return self.state is State.OFFERED

    def silence(self) -> bytes | None:
        """Return what to say to a client that says nothing, if anything."""
        if self._make_offer is None or self.state is not State.NEW:
            return None
        self._step(Happening.SILENCE)
        self._offer = self._make_offer()
        return pb.encode(self._offer.message)

    def read(self, payload: bytes) -> pb.RendezvousMessage | None:
        """
        Return the message in a frame's *payload*; None if nothing is to be decided.

        :raises ProtocolError: the connection must be closed.
        """
        rules = self.rules
        # Of one byte: reserved, and never a message (protocol.md section 1.2).
        if len(payload) == 1 or (not payload and self.stays):
            return None
        if self._channel is not None:
            payload = self._channel.open(payload)
        message = pb.decode(payload)
        kind = message.WhichOneof("union")
        if kind == "key_exchange":
            self._exchange(message.key_exchange)
            return None
        if self.state is not State.TALKING:  # where a request changes nothing
            self._step(Happening.REQUEST)
        return message if rules.takes is None or kind in rules.takes else None

    def seal(self, payload: bytes) -> bytes:
        """Return a message's *payload* as it goes out."""
        return payload if self._channel is None else self._channel.seal(payload)

    def keep(self, happening: Happening) -> None:
        """
        Go on as a connection that is kept.

        :raises ProtocolError: it cannot be.
        """
        self._step(happening)

    def _exchange(self, answer: pb.KeyExchange) -> None:
        self._step(Happening.KEY_EXCHANGE)
        if self._offer is not None:
            self._channel = self._offer.accept(answer)
            self._offer = None

    def _step(self, happening: Happening) -> None:
        state = NEXT.get((self.state, happening))
        if state is None:
            raise ProtocolError(f"{happening.name} while {self.state.name}")
        self.state, self.rules = state, RULES[state]
