"""What all WebSocket connections of one port share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from rdserver.transports.admission import Admission
from rdserver.wire.address import Address


class Silence:
    """A log for Autobahn: what strangers do wrong is counted elsewhere, if at all."""

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


@frozen(kw_only=True)
class Environment:
    """
    What all WebSocket connections of one port share.

    :ivar purpose: a sentence for people who come with a browser.
    :ivar admission: how many connections there may be.
    :ivar now: monotonic clock, in seconds, for a connection's age.
    :ivar real_host: returns the client's host by the host that connected and the
        request's headers, which are named in lower case.
    :ivar refused: told of who speaks another protocol, and which.
    :ivar flooded: called for each connection that is cut because of too many frames.
    :ivar report_bug: logs what should never happen.
    """

    purpose: str
    admission: Admission
    clock: IReactorTime
    now: Callable[[], float]
    real_host: Callable[[str, Mapping[str, str]], str]
    refused: Callable[[Address, str], None]
    flooded: Callable[[], None]
    report_bug: Callable[[Failure], None]


@implementer(IPushProducer)
class Overflow:
    """Learns that a client does not read what it is sent, and cuts it."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut

    def pauseProducing(self) -> None:
        self._cut()

    def resumeProducing(self) -> None:
        """There is room again: nothing to do."""

    def stopProducing(self) -> None:
        """The connection ends: nothing to do."""
