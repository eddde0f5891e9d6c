"""Tests for :mod:`rdserver.transports.relay_health`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.routing import Relays
from rdserver.transports.relay_health import EVERY_S, TIMEOUT_S, RelayHealth, host_and_port


class HostAndPortTests(SynchronousTestCase):
    """How an operator may write a relay."""

    def test_names_and_ipv4(self) -> None:
        """The port may be left out, and is then the relay's usual one."""
        for text, expected in {
            "relay.example.org": ("relay.example.org", 21117),
            "relay.example.org:5": ("relay.example.org", 5),
            "192.0.2.1": ("192.0.2.1", 21117),
            "192.0.2.1:443": ("192.0.2.1", 443),
        }.items():
            self.assertEqual(expected, host_and_port(text))

    def test_ipv6(self) -> None:
        """An IPv6 address needs brackets only where a port follows."""
        for text, expected in {
            "2001:db8::1": ("2001:db8::1", 21117),
            "::1": ("::1", 21117),
            "[2001:db8::1]": ("2001:db8::1", 21117),
            "[2001:db8::1]:443": ("2001:db8::1", 443),
        }.items():
            self.assertEqual(expected, host_and_port(text))

    def test_not_a_port(self) -> None:
        """What is no number is no port."""
        for text in ("relay.example.org:", "relay.example.org:x", "relay.example.org:-5"):
            self.assertEqual(("relay.example.org", 21117), host_and_port(text))


class RelayHealthTests(SynchronousTestCase):
    """Two relays, r1 and r2, and a network that answers when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.relays = Relays(("r1", "r2"))
        self.attempts: dict[str, Deferred[None]] = {}
        self.asked: list[tuple[str, int]] = []
        self.logged: list[dict[str, Any]] = []
        self.patch(RelayHealth, "_log", Logger("health", observer=self.logged.append))
        self.health = RelayHealth(self.relays, self.connect, self.clock)

    def connect(self, host: str, port: int) -> Deferred[None]:
        self.asked.append((host, port))
        self.attempts[host] = Deferred()
        return self.attempts[host]

    def answer(self, **alive: bool) -> None:
        """Let the connections under way succeed or fail."""
        for host, is_alive in alive.items():
            attempt = self.attempts.pop(host)
            if is_alive:
                attempt.callback(None)
            else:
                attempt.errback(ConnectionRefusedError())

    def check(self, **alive: bool) -> None:
        """Let one check begin and end."""
        self.clock.advance(EVERY_S)
        self.answer(**alive)

    def start(self, **alive: bool) -> None:
        """Start, and let the first check end."""
        self.health.startService()
        self.answer(**alive)

    def stop(self) -> None:
        """Stop; nothing is left to be called."""
        self.successResultOf(self.health.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())

    def lines(self) -> list[str]:
        """Return what was logged since the last call."""
        lines = [formatEvent(event) for event in self.logged]
        self.logged.clear()
        return lines

    def test_all_alive(self) -> None:
        """The first check is at the start, then one every three seconds."""
        self.start(r1=True, r2=True)
        self.clock.advance(EVERY_S - 0.1)
        self.assertEqual([("r1", 21117), ("r2", 21117)], self.asked)
        self.clock.advance(0.1)
        self.assertEqual(4, len(self.asked))
        self.answer(r1=True, r2=True)
        self.assertEqual((("r1", "r2"), []), (self.relays.usable, self.lines()))
        self.stop()

    def test_one_dead(self) -> None:
        """Only the one alive is handed out; that one died is said once."""
        self.start(r1=False, r2=True)
        self.check(r1=False, r2=True)
        self.assertEqual(("r2",), self.relays.usable)
        self.assertEqual(["relay r1 does not answer"], self.lines())
        self.stop()

    def test_alive_again(self) -> None:
        """It is handed out again, in the configured order, and that is said."""
        self.start(r1=False, r2=True)
        self.lines()
        self.check(r1=True, r2=True)
        self.assertEqual(("r1", "r2"), self.relays.usable)
        self.assertEqual(["relay r1 answers again"], self.lines())
        self.stop()

    def test_order_of_answers(self) -> None:
        """The order in which relays answer means nothing."""
        self.start(r2=True, r1=True)
        self.assertEqual(("r1", "r2"), self.relays.usable)
        self.stop()

    def test_all_dead(self) -> None:
        """When none answers the last list remains."""
        self.start(r1=False, r2=True)
        self.check(r1=False, r2=False)
        self.assertEqual(("r2",), self.relays.usable)
        self.assertEqual(
            ["relay r1 does not answer", "relay r2 does not answer"], self.lines()
        )
        self.stop()

    def test_one_relay(self) -> None:
        """A single relay, or none, is never asked."""
        for configured in (("r1",), ()):
            self.relays.replace(configured)
            self.health.startService()
            self.clock.pump([EVERY_S] * 3)
            self.assertEqual(([], configured), (self.asked, self.relays.usable))
            self.stop()

    def test_silence(self) -> None:
        """Who does not answer within three seconds is dead; none is waited for longer."""
        self.health.startService()
        self.answer(r1=True)
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertEqual([], self.lines())
        self.clock.advance(0.1)
        self.assertEqual(("r1",), self.relays.usable)
        self.stop()

    def test_no_overlap(self) -> None:
        """The next check begins when the last has ended."""
        self.health.startService()
        self.answer(r1=True)
        self.clock.advance(EVERY_S - 0.1)
        self.assertEqual(2, len(self.asked))
        self.clock.advance(0.1)
        self.clock.advance(EVERY_S)
        self.assertEqual(4, len(self.asked))
        self.stop()

    def test_list_replaced_meanwhile(self) -> None:
        """The result of a check is of no use for another list, and not told of it."""
        self.health.startService()
        self.relays.replace(("r3", "r4"))
        self.answer(r1=False, r2=True)
        self.assertEqual((("r3", "r4"), []), (self.relays.usable, self.lines()))
        self.check(r3=True, r4=False)
        self.assertEqual(("r3",), self.relays.usable)
        self.assertEqual(["relay r4 does not answer"], self.lines())
        self.stop()

    def test_dead_one_taken_away(self) -> None:
        """A dead relay that comes back to the list later is reported anew."""
        self.start(r1=False, r2=True)
        self.relays.replace(("r2",))
        self.clock.advance(EVERY_S)
        self.relays.replace(("r1", "r2"))
        self.lines()
        self.check(r1=False, r2=True)
        self.assertEqual(["relay r1 does not answer"], self.lines())
        self.stop()

    def test_same_relay_twice(self) -> None:
        """An operator may give a relay twice the share of the others."""
        self.relays.replace(("r1", "r1"))
        self.health.startService()
        self.attempts["r1"].callback(None)
        self.clock.advance(TIMEOUT_S)
        self.assertEqual(("r1", "r1"), self.relays.usable)
        self.stop()

    def test_impossible_port(self) -> None:
        """A port that cannot be is dead, and not tried."""
        self.relays.replace(("r1:65535", "r2:65536", "r3:0"))
        self.start(r1=True)
        self.assertEqual([("r1", 65535)], self.asked)
        self.assertEqual(("r1:65535",), self.relays.usable)
        self.stop()

    def test_connecting_raises(self) -> None:
        """A name that cannot even be tried is dead; the checks go on."""
        connect = self.connect

        def picky(host: str, port: int) -> Deferred[None]:
            if host == "r1":
                raise UnicodeError("label too long")
            return connect(host, port)

        self.patch(self.health, "_connect", picky)
        self.start(r2=True)
        self.check(r2=True)
        self.assertEqual(("r2",), self.relays.usable)
        self.stop()

    def test_check_fails(self) -> None:
        """A bug in a check is logged, and the next check comes."""

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(self.relays, "checked", broken)
        self.start(r1=True, r2=True)
        self.check(r1=True, r2=True)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.stop()

    def test_stop_meanwhile(self) -> None:
        """Stopping gives up the check under way, and no relay is called dead for it."""
        self.health.startService()
        attempts = list(self.attempts.values())
        self.stop()
        self.assertEqual((("r1", "r2"), []), (self.relays.usable, self.lines()))
        for attempt in attempts:
            self.assertTrue(attempt.called)
        self.assertEqual([], self.flushLoggedErrors(CancelledError))

    def test_stop_without_start(self) -> None:
        """A start that failed elsewhere stops it before it ran."""
        self.assertIsNone(self.health.stopService())
