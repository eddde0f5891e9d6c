"""A data path's part that carries nothing, for tests of sessions."""

from __future__ import annotations

from rdserver.relay.usage import EndReason


class FakeCarrier:
    """
    Remembers why it was to end.

    :ivar settled: how often it was to pay.
    :ivar unsent: what it says waits for a slow reader, in bytes.
    """

    def __init__(self) -> None:
        self.ended: list[EndReason] = []
        self.settled = 0
        self.unsent = 0

    def end(self, reason: EndReason) -> None:
        self.ended.append(reason)

    def settle(self) -> None:
        self.settled += 1

    def unsent_bytes(self) -> int:
        return self.unsent
