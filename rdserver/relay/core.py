"""What the relay decides: whom it serves, who belongs together, and until when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import Generic, Protocol, TypeVar

from attrs import frozen
from twisted.logger import Logger

from rdserver.key_watch import KeyWatch
from rdserver.notices import Notices
from rdserver.relay.admission import KeyCheck, RelayAuth
from rdserver.relay.limiter import Meter
from rdserver.relay.limits import Limits, bits_per_s
from rdserver.relay.lists import AddressList
from rdserver.relay.pairing import PairingTable
from rdserver.relay.refusals import QUIET, Refusal, RefusedError
from rdserver.relay.session import Session
from rdserver.relay.tickets import Tickets
from rdserver.relay.total import Total
from rdserver.relay.usage import EndReason, SessionLog, SessionRecord
from rdserver.wire import pb
from rdserver.wire.address import Address

_SESSIONS_A_STEP = 100
_ADDRESSES_A_STEP = 1000


class RelayLeg(Protocol):
    """A connection as the relay sees it."""

    @property
    def address(self) -> Address: ...

    def announced(self) -> None:
        """The session it waits for leave for is known now: it must ask to join again."""


Leg = TypeVar("Leg", bound=RelayLeg)


class Wait(Enum):
    """What a connection waits for."""

    FOR_TICKET = "ticket"
    FOR_PARTNER = "partner"


@frozen
class Match(Generic[Leg]):
    """A connection's *partner*, the one that waited, and their session."""

    partner: Leg
    session: Session


class Relay(Generic[Leg]):
    """
    The relay without its sockets.

    :param auth: whom to serve.
    :param key: the key that clients present, or empty for none.
    :param tickets: what the ID server announces; asked only with ``RelayAuth.TICKET``.
    :param old_keys: public keys of former times, which some clients still have.
    :param limits: as they are at the start.
    :param now: monotonic clock, in seconds.
    :param finished: called with each session that is over; without it they are logged.
    :ivar blacklist: addresses whose sessions are slowed down.
    :ivar blocklist: addresses that are not served.
    :ivar keys: wrong and old keys.
    :ivar notices: counters of refusals.
    :ivar total: the limit all sessions share.
    :raises ValueError: *auth* rests on a key and there is none.

    Source: protocol.md section 4.
    """

    _log = Logger()

    def __init__(
        self,
        auth: RelayAuth,
        key: str,
        tickets: Tickets,
        *,
        old_keys: Iterable[str] = (),
        limits: Limits,
        now: Callable[[], float],
        finished: Callable[[SessionRecord], None] | None = None,
    ) -> None:
        self._check = KeyCheck(auth, key, old_keys)
        self._asks_tickets = auth is RelayAuth.TICKET
        self._tickets = tickets
        self._limits = limits
        self._single, self._slow = _session_rates(limits)
        self._sessions: dict[int, Session] = {}
        self._begun = 0
        self._finished = finished or SessionLog(now).write
        self.now = now
        self.keys = KeyWatch("relay", self._check.old_keys, now)
        self.blacklist = AddressList("blacklist")
        self.blocklist = AddressList("blocklist")
        self.notices: Notices[Refusal] = Notices(self._log, Refusal, now)
        self.total = Total(_rate(limits.total_bandwidth_mbit_per_s), now())
        self._pairs: PairingTable[Leg] = PairingTable(
            limits.waiting_per_address, limits.waiting_total
        )

    @property
    def limits(self) -> Limits:
        """
        The limits in force.

        A new total holds at once; the single and the slow limit for new sessions; how
        many may wait is fixed.
        """
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        old, self._limits = self._limits, limits
        self._single, self._slow = _session_rates(limits)
        if limits.total_bandwidth_mbit_per_s != old.total_bandwidth_mbit_per_s:
            self.total.set_rate(_rate(limits.total_bandwidth_mbit_per_s), self.now())

    @property
    def waiting(self) -> int:
        """How many connections wait."""
        return len(self._pairs)

    @property
    def sessions(self) -> Iterator[Session]:
        """The sessions that are going on."""
        return iter(self._sessions.values())

    def refuse(self, address: Address, reason: Refusal) -> None:
        """Count a connection that is not served, and log a few of them."""
        if reason in QUIET:
            self.notices.count(reason)
        elif reason is Refusal.BAD_KEY:
            # Word for word what fail2ban and its like look for (section 3.16).
            self.notices.warn(
                reason,
                "Relay authentication failed from {remote} - invalid key",
                remote=address,
            )
        else:
            self.notices.warn(
                reason, "relay connection from {remote} refused: {reason}", remote=address
            )

    def refuse_foreign(self, address: Address, what: str) -> None:
        """Count a connection that began with *what*, and say where that belongs."""
        self.notices.warn(
            Refusal.FOREIGN,
            "{what} from {remote} on the relay's plain port: browsers and clients that use "
            "WebSocket belong on relay-port+2, or with tls-cert on https-port",
            what=what,
            remote=address,
        )

    def join(self, leg: Leg, message: pb.RendezvousMessage) -> Match[Leg] | Wait:
        """
        Let *leg*, whose first frame was *message*, into its session.

        While it waits it must :meth:`withdraw` when it ends or waited long enough.

        :raises RefusedError: *leg* is to be closed; that is counted and logged already.
        """
        try:
            return self._join(leg, message)
        except RefusedError as e:
            self.refuse(leg.address, e.reason)
            raise

    def _join(self, leg: Leg, message: pb.RendezvousMessage) -> Match[Leg] | Wait:
        if message.WhichOneof("union") != "request_relay":
            raise RefusedError(Refusal.NOT_A_REQUEST)
        request = message.request_relay
        if self._check.asks(request.licence_key):
            self._check_key(request.licence_key, leg.address.host)
        uuid = pb.text(request.uuid)
        if not uuid:
            raise RefusedError(Refusal.NO_UUID)
        if not self._may_pair(uuid):
            self._pairs.hold(uuid, leg)
            self._tickets.wait_for(uuid, leg.announced)
            return Wait.FOR_TICKET
        partner = self._pairs.offer(uuid, leg)
        if partner is None:
            return Wait.FOR_PARTNER
        self._tickets.consume(uuid)
        return Match(partner, self._begin(partner.address, leg.address))

    def _check_key(self, licence_key: bytes, host: str) -> None:
        if self.keys.wait_s(host):
            raise RefusedError(Refusal.PENALISED)
        old_name = self._check.find(licence_key)
        if old_name is None:
            self.keys.wrong(host)
            raise RefusedError(Refusal.BAD_KEY)
        if old_name:
            self.keys.old(old_name, host)

    def _may_pair(self, uuid: str) -> bool:
        if not self._asks_tickets:
            return True
        # Whoever waits already came with the ticket, which may be too old by now.
        return uuid in self._pairs or self._tickets.is_announced(uuid)

    def withdraw(self, leg: Leg) -> None:
        """Forget that *leg* waits, if it does."""
        uuid = self._pairs.withdraw(leg)
        if uuid is not None:
            self._tickets.stop_waiting(uuid, leg.announced)

    def _begin(self, first: Address, second: Address) -> Session:
        self._begun += 1
        now_s = self.now()
        meter = Meter(self.total, self._single, self._slow, now_s)
        session = Session(self._begun, first, second, meter, now_s)
        session.check_speed(self.blacklist, now_s)
        self._sessions[session.number] = session
        return session

    def finish(self, session: Session, reason: EndReason) -> None:
        """Take *session* out of the books; the data path says so, once."""
        del self._sessions[session.number]
        self._finished(session.record(reason, self.now()))

    def sweep(self) -> None:
        """Do :meth:`sweep_in_steps` in one."""
        deque(self.sweep_in_steps(), maxlen=0)

    def sweep_in_steps(self) -> Iterator[None]:
        """
        Judge every session, forget old tickets and keys; to be called every second.

        Thousands of sessions take tens of milliseconds: too long for who clicks.
        """
        self._tickets.sweep()
        sessions = iter(list(self._sessions.values()))
        while step := list(islice(sessions, _SESSIONS_A_STEP)):
            self._judge(step)
            yield
        forgotten = self.keys.forget_old()
        while list(islice(forgotten, _ADDRESSES_A_STEP)):
            yield

    def _judge(self, sessions: list[Session]) -> None:
        now_s = self.now()
        for session in sessions:
            if session.number not in self._sessions:
                continue  # it has ended since the sweep began
            reason = session.tick(now_s, self._limits, self.blacklist, self.blocklist)
            if reason is not None:
                session.end(reason)


def _rate(mbit_per_s: float | None) -> float | None:
    return None if mbit_per_s is None else bits_per_s(mbit_per_s)


def _session_rates(limits: Limits) -> tuple[float | None, float]:
    """Return the single and the slow rate, which all sessions can share."""
    return _rate(limits.single_bandwidth_mbit_per_s), bits_per_s(
        limits.limit_speed_mbit_per_s
    )
