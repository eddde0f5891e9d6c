"""What the tests of the ID server's edges share: decisions to order, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from rdserver.notices import Notices
from rdserver.rendezvous.effects import Answer, Effects, Outcome
from rdserver.rendezvous.events import Event
from rdserver.transports.outlet import Outlet
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame

Message = pb.RendezvousMessage


def question(number: int) -> Message:
    """Return a request that can be told from others."""
    return Message(test_nat_request=pb.TestNatRequest(serial=number))


def frame(number: int) -> bytes:
    """Return :func:`question` as it comes over TCP."""
    return encode_frame(pb.encode(question(number)))


def answer_to(message: Message, size_bytes: int = 0) -> Message:
    """Return an answer with the number of the request, about as long as wanted."""
    update = pb.ConfigUpdate(rendezvous_servers=[bytes(size_bytes)] if size_bytes else [])
    number = message.test_nat_request.serial
    return Message(test_nat_response=pb.TestNatResponse(port=number, cu=update))


class ForwardClock(Clock):
    """
    A clock whose timers can be put off but not brought forward.

    The reactor can do it, but it searches all its timers for that one: 10 ms with
    100,000 connections.
    """

    def callLater(
        self, when: float, what: Callable[..., object], *args: Any, **kwargs: Any
    ) -> DelayedCall:
        call = super().callLater(when, what, *args, **kwargs)
        put_off = call.reset

        def reset(delay_s: float) -> None:
            if self.seconds() + delay_s < call.getTime():
                raise AssertionError("a timer was brought forward")
            put_off(delay_s)

        call.reset = reset
        return call


class Core:
    """
    Decides as it is told, and remembers what it was asked.

    :ivar decide: takes a message and where it came from.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.closed: list[int] = []
        self.decide: Callable[[Message, Any], Outcome] = lambda _message, _origin: ()

    def __call__(self, message: Message, origin: Any) -> Outcome:
        self.asked.append(message.test_nat_request.serial)
        return self.decide(message, origin)

    def echo(self, message: Message, stream: Any) -> Effects:
        """Answer with the number that was asked."""
        return (Answer(stream.id, answer_to(message)),)

    def after(
        self, storage: Deferred[None], decide: Callable[[Message, Any], Effects]
    ) -> None:
        """Let every decision wait for *storage*."""

        async def wait(message: Message, origin: Any) -> Effects:
            await storage
            return decide(message, origin)

        self.decide = wait


class EdgeCase(SynchronousTestCase):
    """
    Base of the tests.

    :ivar logged: the events of the edge, which do not reach the test's own log.
    """

    def setUp(self) -> None:
        self.clock = ForwardClock()
        self.logged: list[dict[str, Any]] = []
        log = Logger("edge", observer=self.logged.append)
        self.notices = Notices(log, Event, self.clock.seconds)
        self.outlet = Outlet(self.notices)
        self.core = Core()

    def counted(self) -> dict[Event, int]:
        """Return the events that were counted."""
        return {event: n for event, n in self.notices.counts.items() if n}

    def assert_bugs(self, *kinds: type[Exception]) -> None:
        """Assert that exactly these exceptions were logged, and nothing else was."""
        self.assertEqual(kinds, tuple(event["log_failure"].type for event in self.logged))
        self.assertEqual({Event.BUG: len(kinds)}, self.counted())
