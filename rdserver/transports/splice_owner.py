"""The seam between a flow, which moves bytes, and what decides about its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rdserver.transports.loop_flow import LoopFlow


class Owner(Protocol):
    """Who decides what the news of a flow mean."""

    def source_ended(self, flow: LoopFlow) -> None:
        """The source has closed its side, and everything from it was read."""

    def source_broke(self, flow: LoopFlow) -> None:
        """The source cannot be read any more."""

    def sink_broke(self, flow: LoopFlow) -> None:
        """The sink takes nothing any more."""

    def flushed(self, flow: LoopFlow) -> None:
        """After :attr:`LoopFlow.over`: the sink has got everything."""

    def failed(self, flow: LoopFlow) -> None:
        """There is a bug, and its exception is being handled."""

    def give_up(self, flow: LoopFlow) -> None:
        """The time for the sink to take everything is over."""
