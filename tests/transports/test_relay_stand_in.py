"""The contract of the data paths while the loop waits in the reactor's stead."""

from __future__ import annotations

from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_splice import SplicePath
from tests.transports import path_contract as contract
from tests.transports import path_limits as limits
from tests.transports.path_case import Splices

WAIT_S = 0.001


class StandsIn(Splices):
    """
    Lets the loop take the reactor for one that runs.

    :ivar waits: how often the loop waited in its stead.
    """

    def setUp(self) -> None:
        self.waits = 0
        self.naps: list[float] = []
        super().setUp()  # type: ignore[misc]

    def make_path(self, pacer: Pacer) -> SplicePath:
        reactor = self.reactor  # type: ignore[attr-defined]
        real_timeout = reactor.timeout

        def timeout() -> float:
            self.waits += 1
            longest = real_timeout()
            return WAIT_S if longest is None else min(longest, WAIT_S)

        self.patch(reactor, "timeout", timeout)  # type: ignore[attr-defined]
        self.patch(reactor, "running", True)  # type: ignore[attr-defined]
        finish = self.relay.finish  # type: ignore[attr-defined]
        return SplicePath(reactor, pacer, finish, reactor.seconds, self.naps.append)

    def tearDown(self) -> None:
        super().tearDown()  # type: ignore[misc]
        self.assertGreater(self.waits, 0)  # type: ignore[attr-defined]


class BytesTests(StandsIn, contract.BytesContract):
    pass


class PressureTests(StandsIn, contract.PressureContract):
    pass


class EndTests(StandsIn, contract.EndContract):
    pass


class FullTests(StandsIn, contract.FullContract):
    pass


class InterleavingTests(StandsIn, contract.InterleavingContract):
    pass


class SingleLimitTests(StandsIn, limits.SingleLimitContract):
    pass


class TotalLimitTests(StandsIn, limits.TotalLimitContract):
    pass
