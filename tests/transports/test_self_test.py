"""Tests for :mod:`rdserver.transports.self_test`."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.self_test import EVERY_S, SILENCE_S, Health, SelfTest
from rdserver.wire import pb
from tests.fakes import FakePort, FakeReactor

TARGET = ("127.0.0.1", 21116)
ANSWER = b"\xa2\x01\x02\x08\x05"


class SelfTestTests(SynchronousTestCase):
    """Asks its own port every five seconds."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.logged: list[dict[str, Any]] = []
        self.patch(SelfTest, "_log", Logger("self test", observer=self.logged.append))

    def start(self, target: tuple[str, int] = TARGET) -> SelfTest:
        """Return a self test that runs."""
        test = SelfTest(target, self.reactor, self.reactor.seconds)
        test.startService()
        return test

    def stop(self, test: SelfTest) -> None:
        """Stop it; nothing is left open, and nothing to be called."""
        self.successResultOf(test.stopService())
        self.assertEqual(([], []), (self.reactor.ports, self.reactor.getDelayedCalls()))

    def port(self, test: SelfTest) -> FakePort:
        """Return the port it asks from."""
        port = test.transport
        assert isinstance(port, FakePort)
        return port

    def wait(self, seconds: float, test: SelfTest, answered: bool = False) -> None:
        """Let time pass, with or without an answer to each question."""
        for _ in range(int(seconds / EVERY_S)):
            self.reactor.advance(EVERY_S)
            if answered:
                test.datagramReceived(ANSWER, TARGET)

    def lines(self) -> list[str]:
        """Return what was logged since the last call."""
        lines = [formatEvent(event) for event in self.logged]
        self.logged.clear()
        return lines

    def test_question(self) -> None:
        """It asks what a client asks, at once and then every five seconds."""
        test = self.start()
        self.assertEqual("test_nat_request", self.question(test))
        self.assertEqual(TARGET, self.port(test).sent[0][1])
        self.wait(2 * EVERY_S, test)
        self.assertEqual(3, len(self.port(test).sent))
        self.stop(test)

    def question(self, test: SelfTest) -> str | None:
        """Return the kind of the first question."""
        kind: str | None = pb.decode(self.port(test).sent[0][0]).WhichOneof("union")
        return kind

    def test_unspecified(self) -> None:
        """Where all addresses are meant, loopback is asked."""
        for host in ("0.0.0.0", "::"):
            test = self.start((host, 9))
            self.assertEqual(("127.0.0.1", 9), self.port(test).sent[0][1])
            self.stop(test)

    def test_family(self) -> None:
        """It asks from the family of the address."""
        for host, interface in (("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")):
            test = self.start((host, 9))
            self.assertEqual(interface, self.reactor.ports[0].interface)
            self.stop(test)

    def test_healthy(self) -> None:
        """As long as answers come there is nothing to say."""
        test = self.start()
        test.datagramReceived(ANSWER, TARGET)
        self.wait(1000, test, answered=True)
        self.assertEqual([], self.lines())
        self.stop(test)

    def test_deaf(self) -> None:
        """After 13 seconds without an answer that is said, once."""
        test = self.start()
        while self.reactor.seconds() + EVERY_S < SILENCE_S:
            self.wait(EVERY_S, test)
        self.assertEqual([], self.lines())
        self.wait(EVERY_S, test)
        self.assertEqual(LogLevel.error, self.logged[0]["log_level"])
        self.assertEqual(
            ["self test: no answer from 127.0.0.1 port 21116 for 15 s"], self.lines()
        )
        self.wait(1000, test)
        self.assertEqual(([], 1), (self.lines(), test.notices.counts[Health.DEAF]))
        self.stop(test)

    def test_recovers(self) -> None:
        """When an answer comes that is said too, and a next silence again."""
        test = self.start()
        self.wait(100, test)
        self.lines()
        test.datagramReceived(ANSWER, TARGET)
        test.datagramReceived(ANSWER, TARGET)
        self.assertEqual(
            ["self test: answered again by 127.0.0.1 port 21116"], self.lines()
        )
        self.wait(100, test)
        self.assertEqual(1, len(self.lines()))
        self.assertEqual({Health.DEAF: 2, Health.RECOVERED: 1}, test.notices.counts)
        self.stop(test)

    def test_machine_asleep(self) -> None:
        """A machine that slept for an hour did not fall deaf."""
        test = self.start()
        test.datagramReceived(ANSWER, TARGET)
        self.reactor.advance(3600)
        test.datagramReceived(ANSWER, TARGET)
        self.wait(100, test, answered=True)
        self.assertEqual([], self.lines())
        self.stop(test)

    def test_cannot_send(self) -> None:
        """A question that does not go out is one without an answer, nothing worse."""
        test = self.start()
        for error in (
            PermissionError(errno.EPERM, "Operation not permitted"),
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            InvalidAddressError("fe80::1%eth9", "not an address"),
        ):
            self.port(test).error = error
            self.wait(EVERY_S, test)
        levels = [event["log_level"] for event in self.logged]
        self.assertEqual([LogLevel.debug, LogLevel.debug, LogLevel.error], levels[:3])
        self.port(test).error = None
        self.wait(EVERY_S, test)
        self.assertEqual(2, len(self.port(test).sent))
        self.stop(test)

    def test_no_port(self) -> None:
        """Without a port to ask from the server runs without a self test."""

        def refuse(*_: object, **__: object) -> None:
            raise CannotListenError("::", 0, OSError(errno.EAFNOSUPPORT, "no IPv6"))

        self.patch(self.reactor, "listenUDP", refuse)
        test = self.start(("2001:db8::1", 9))
        self.assertIn("self test: it cannot run: Couldn't listen on", self.lines()[0])
        self.stop(test)

    def test_port_lost(self) -> None:
        """Should the port close by itself, the silence is reported as any other."""
        test = self.start()
        self.port(test).stopListening()
        self.patch(test, "_port", None)
        self.wait(100, test)
        self.assertEqual(1, len(self.lines()))
        self.stop(test)

    def test_stop_without_start(self) -> None:
        """A start that failed elsewhere stops it before it ran."""
        test = SelfTest(TARGET, self.reactor, self.reactor.seconds)
        self.stop(test)

    def test_start_again(self) -> None:
        """After a stop and a start the silence begins anew."""
        test = self.start()
        self.wait(EVERY_S * 2, test)
        self.stop(test)
        test.startService()
        self.wait(EVERY_S * 2, test)
        self.assertEqual([], self.lines())
        self.stop(test)
