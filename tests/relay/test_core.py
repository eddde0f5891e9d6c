"""What the relay decides, without a socket."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.key_watch import KeyEvent
from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Match, Relay, Wait
from rdserver.relay.limits import Limits
from rdserver.relay.refusals import Refusal, RefusedError
from rdserver.relay.session import Session
from rdserver.relay.tickets import TTL_S, Tickets
from rdserver.relay.usage import EndReason, SessionRecord
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.relay.carrier import FakeCarrier


class Leg:
    """A connection that joins again as soon as its session is announced."""

    def __init__(self, relay: Relay[Leg], host: str = "192.0.2.1") -> None:
        self.relay = relay
        self.address = Address(host, 5001)
        self.outcomes: list[Match[Leg] | Wait | Refusal] = []

    def join(self, uuid: str = "s1", key: str = "") -> Match[Leg] | Wait | Refusal:
        request = pb.RequestRelay(uuid=uuid.encode(), licence_key=key.encode())
        return self.send(pb.RendezvousMessage(request_relay=request))

    def send(self, message: pb.RendezvousMessage) -> Match[Leg] | Wait | Refusal:
        self.message = message
        try:
            outcome: Match[Leg] | Wait | Refusal = self.relay.join(self, message)
        except RefusedError as e:
            outcome = e.reason
        self.outcomes.append(outcome)
        return outcome

    def announced(self) -> None:
        self.send(self.message)


class RelayCase(SynchronousTestCase):
    auth = RelayAuth.OPEN
    key = ""
    old_keys: tuple[str, ...] = ()
    limits = Limits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.tickets = Tickets(self.clock.seconds)
        self.records: list[SessionRecord] = []
        self.relay: Relay[Leg] = Relay(
            self.auth,
            self.key,
            self.tickets,
            old_keys=self.old_keys,
            limits=self.limits,
            now=self.clock.seconds,
            finished=self.records.append,
        )

    def leg(self, host: str = "192.0.2.1") -> Leg:
        return Leg(self.relay, host)

    def pair(self) -> Session:
        self.leg().join()
        match = self.leg("192.0.2.2").join()
        self.assertIsInstance(match, Match)
        return match.session


class OpenTests(RelayCase):
    def test_match(self) -> None:
        """The second with a uuid gets the first, and a session that knows both."""
        first, second = self.leg(), self.leg("192.0.2.2")
        self.assertIs(Wait.FOR_PARTNER, first.join())
        self.assertEqual(1, self.relay.waiting)
        match = second.join()
        self.assertIs(first, match.partner)
        self.assertEqual(
            (first.address, second.address), (match.session.first, match.session.second)
        )
        self.assertEqual(
            ([match.session], 0), (list(self.relay.sessions), self.relay.waiting)
        )

    def test_other_messages(self) -> None:
        """Anything but a RequestRelay is refused."""
        message = pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=b"bob"))
        self.assertIs(Refusal.NOT_A_REQUEST, self.leg().send(message))

    def test_no_uuid(self) -> None:
        """A request without a uuid is refused."""
        self.assertIs(Refusal.NO_UUID, self.leg().join(""))

    def test_withdraw(self) -> None:
        """Who withdraws is nobody's partner; withdrawing twice is harmless."""
        leg = self.leg()
        leg.join()
        self.relay.withdraw(leg)
        self.relay.withdraw(leg)
        self.assertIs(Wait.FOR_PARTNER, self.leg().join())

    def test_finish(self) -> None:
        """A finished session is out of the books and told once, with its figures."""
        session = self.pair()
        session.received[:] = [7, 8]
        self.clock.advance(2)
        self.relay.finish(session, EndReason.CLOSED)
        self.assertEqual([], list(self.relay.sessions))
        [record] = self.records
        self.assertEqual(
            (7, 8, 2.0), (record.first_bytes, record.second_bytes, record.seconds)
        )

    def test_sweep_ends_sessions(self) -> None:
        """A sweep ends what must end, on its data path, and leaves the others."""
        carrier = FakeCarrier()
        self.pair().carrier = carrier
        self.clock.advance(30)
        self.pair().carrier = carrier
        self.relay.sweep()
        self.assertEqual([], carrier.ended)
        self.clock.advance(1)
        self.relay.sweep()
        self.assertEqual([EndReason.SILENT], carrier.ended)

    def test_sweep_in_steps(self) -> None:
        """Many sessions are judged a few at a time; who ends meanwhile is left alone."""
        carrier = FakeCarrier()
        sessions = [self.pair() for _ in range(250)]
        for session in sessions:
            session.carrier = carrier
        self.clock.advance(31)
        steps = self.relay.sweep_in_steps()
        next(steps)
        self.assertIn(len(carrier.ended), range(1, 200))
        self.relay.finish(sessions[-1], EndReason.CLOSED)
        self.assertIn(len(list(steps)), range(1, 10))
        self.assertEqual([EndReason.SILENT] * 249, carrier.ended)

    def test_blacklisted(self) -> None:
        """The session of a blacklisted address is slow from its beginning."""
        self.assertFalse(self.pair().meter.limited)
        self.relay.blacklist.add("192.0.2.2")
        self.assertTrue(self.pair().meter.limited)

    def test_new_limits(self) -> None:
        """The total holds at once, the single limit for new sessions only."""
        old = self.pair()
        self.relay.limits = Limits(single_bandwidth_mbit_per_s=8)
        self.assertEqual((False, True), (old.meter.limited, self.pair().meter.limited))
        self.relay.limits = Limits(total_bandwidth_mbit_per_s=8)
        self.assertTrue(old.meter.limited)
        self.relay.limits = Limits()
        self.assertFalse(old.meter.limited)

    def test_without_a_listener_sessions_are_logged(self) -> None:
        """The record goes to the log: no uuid is in it."""
        relay: Relay[Leg] = Relay(
            RelayAuth.OPEN, "", self.tickets, limits=Limits(), now=self.clock.seconds
        )
        Leg(relay).join("the-uuid")
        match = Leg(relay).join("the-uuid")
        with capturedLogs() as events:
            relay.finish(match.session, EndReason.CLOSED)
        [event] = events
        self.assertIs(LogLevel.info, event["log_level"])
        self.assertNotIn("the-uuid", str(event))


class KeyTests(RelayCase):
    auth = RelayAuth.KEY
    key = "the-key"

    def test_key(self) -> None:
        """Only who has the key comes in, announced or not."""
        self.assertIs(Wait.FOR_PARTNER, self.leg().join(key="the-key"))
        self.assertIs(Refusal.BAD_KEY, self.leg().join(key="another"))
        self.assertIs(Refusal.BAD_KEY, self.leg().join())

    def test_log_line(self) -> None:
        """A wrong key gives the words that log watchers look for, and no key."""
        for host, shown in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]")]:
            with capturedLogs() as events:
                self.leg(host).join(key="wrong-key")
            [event] = events
            text = event["log_format"].format(**event)
            self.assertEqual(
                f"Relay authentication failed from {shown}:5001 - invalid key", text
            )
            self.assertIs(LogLevel.warn, event["log_level"])
            self.assertNotIn("wrong-key", str(event))

    def test_counters(self) -> None:
        """Every refusal is counted; of a flood only a few lines are logged."""
        with capturedLogs() as events:
            for n in range(100):
                self.leg(f"192.0.2.{n}").join("")
        self.assertEqual(100, self.relay.notices.counts[Refusal.BAD_KEY])
        self.assertLess(len(events), 20)

    def test_quiet_refusals(self) -> None:
        """Who said nothing, or found nobody, is counted without a line."""
        with capturedLogs() as events:
            self.relay.refuse(self.leg().address, Refusal.NO_PARTNER)
            self.relay.refuse(self.leg().address, Refusal.NO_FIRST_FRAME)
        self.assertEqual([], events)
        self.assertEqual(1, self.relay.notices.counts[Refusal.NO_PARTNER])

    def test_line_names_the_reason(self) -> None:
        """Any other refusal says from whom and why."""
        with capturedLogs() as events:
            self.relay.refuse(self.leg().address, Refusal.NO_UUID)
        text = events[0]["log_format"].format(**events[0])
        self.assertEqual("relay connection from 192.0.2.1:5001 refused: no uuid", text)


class OldKeyTests(RelayCase):
    """A client that still has a key of former times."""

    auth = RelayAuth.KEY
    key = "the-key"
    old_keys = ("the-old-key",)

    def test_served(self) -> None:
        """It comes in, and meets one with the key in force."""
        self.assertIs(Wait.FOR_PARTNER, self.leg().join(key="the-old-key"))
        self.assertIsInstance(self.leg().join(key="the-key"), Match)

    def test_noted(self) -> None:
        """Its first use is a line with the beginning of the key, all are counted."""
        with capturedLogs() as events:
            for n in range(3):
                self.leg().join(f"s{n}", key="the-old-key")
            self.leg().join("s4", key="the-key")
        line = "relay: 192.0.2.1 still has the old key the-old-"
        self.assertEqual([line], [formatEvent(event) for event in events])
        self.assertEqual(3, self.relay.keys.notices.counts[KeyEvent.OLD_KEY])

    def test_forgotten(self) -> None:
        """The sweep forgets it after a day."""
        self.leg().join(key="the-old-key")
        self.clock.advance(86_400)
        self.relay.sweep()
        self.assertEqual([0], [use.addresses for use in self.relay.keys.use.uses()])


class PenaltyTests(RelayCase):
    """An address that presents wrong keys."""

    auth = RelayAuth.KEY
    key = "the-key"

    def guess(self, times: int = 20) -> None:
        for n in range(times):
            self.assertIs(Refusal.BAD_KEY, self.leg().join(key=f"guess {n}"))

    def test_penalty(self) -> None:
        """After twenty it is closed for ten seconds, whatever key it presents."""
        self.guess()
        self.clock.advance(9.9)
        for key in ("the-key", "another", ""):
            self.assertIs(Refusal.PENALISED, self.leg().join(key=key))
        self.assertIs(Wait.FOR_PARTNER, self.leg("192.0.2.2").join("s2", key="the-key"))
        self.clock.advance(0.1)
        self.assertIs(Wait.FOR_PARTNER, self.leg().join(key="the-key"))

    def test_lines(self) -> None:
        """Each wrong key has its line still, the penalty one, what it refuses none."""
        for times in (9, 10):  # more of them at once are not logged
            self.guess(times)
            self.clock.advance(10)
        with capturedLogs() as events:
            self.guess(1)
            self.leg().join(key="another")
        penalty, wrong = [formatEvent(event) for event in events]
        self.assertTrue(penalty.startswith("relay: 192.0.2.1 presented 20 wrong keys"))
        failed = "Relay authentication failed from 192.0.2.1:5001 - invalid key"
        self.assertEqual(failed, wrong)
        self.assertEqual(1, self.relay.notices.counts[Refusal.PENALISED])

    def test_forgotten(self) -> None:
        """The sweep forgets many a few at a time, an hour after their last offence."""
        for n in range(2001):
            for _ in range(20):
                self.relay.keys.penalties.wrong(f"10.0.{n >> 8}.{n & 255}")
        self.clock.advance(3600)
        steps = self.relay.sweep_in_steps()
        next(steps)
        self.assertIn(len(self.relay.keys.penalties), range(1, 2000))
        self.assertEqual(2, len(list(steps)))
        self.assertEqual(0, len(self.relay.keys.penalties))


class TicketPenaltyTests(RelayCase):
    auth = RelayAuth.TICKET
    key = "the-key"

    def test_no_key_is_no_attempt(self) -> None:
        """Where a ticket is enough, who presents no key is served during a penalty too."""
        self.tickets.announce("s1")
        for _ in range(20):
            self.leg().join(key="wrong")
        self.assertIs(Refusal.PENALISED, self.leg().join(key="the-key"))
        self.assertIs(Wait.FOR_PARTNER, self.leg().join())


class TicketTests(RelayCase):
    auth = RelayAuth.TICKET
    key = "the-key"
    limits = Limits(waiting_per_address=2)

    def test_announced(self) -> None:
        """What was announced is paired, once."""
        self.tickets.announce("s1")
        self.pair()
        self.assertIs(Wait.FOR_TICKET, self.leg().join())

    def test_key_where_one_is_sent(self) -> None:
        """A ticket is enough, but a wrong key is still wrong."""
        self.tickets.announce("s1")
        self.assertIs(Refusal.BAD_KEY, self.leg().join(key="x"))
        self.assertIs(Wait.FOR_PARTNER, self.leg().join(key="the-key"))

    def test_announced_a_moment_later(self) -> None:
        """Who comes before the announcement goes on at the moment it comes."""
        first, second = self.leg(), self.leg()
        self.assertIs(Wait.FOR_TICKET, first.join())
        self.assertIs(Wait.FOR_TICKET, second.join())
        self.tickets.announce("s1")
        self.assertIs(Wait.FOR_PARTNER, first.outcomes[-1])
        self.assertIs(first, second.outcomes[-1].partner)
        self.assertEqual(
            (0, 0, 0), (len(self.tickets), self.tickets.waiting, self.relay.waiting)
        )

    def test_held_takes_a_place(self) -> None:
        """Waiting for a ticket counts like waiting for a partner."""
        self.leg().join("s1")
        self.leg().join("s2")
        self.assertIs(Refusal.WAITING_PER_ADDRESS, self.leg().join("s3"))

    def test_withdrawn_while_held(self) -> None:
        """Who left while it waited for its ticket is not told, and has no place."""
        leg = self.leg()
        leg.join()
        self.relay.withdraw(leg)
        self.tickets.announce("s1")
        self.assertEqual(([Wait.FOR_TICKET], 0), (leg.outcomes, self.relay.waiting))

    def test_partner_of_an_old_ticket(self) -> None:
        """Who waits already had its ticket; its partner needs no second one."""
        self.tickets.announce("s1")
        self.clock.advance(TTL_S - 1)
        self.leg().join()
        self.clock.advance(2)
        self.relay.sweep()
        self.assertEqual(0, len(self.tickets))
        self.assertIsInstance(self.leg().join(), Match)

    def test_back_after_a_failed_try(self) -> None:
        """A ticket is good until the pairing: who lost its connection may come back."""
        self.tickets.announce("s1")
        leg = self.leg()
        leg.join()
        self.relay.withdraw(leg)
        self.assertIs(Wait.FOR_PARTNER, self.leg().join())
