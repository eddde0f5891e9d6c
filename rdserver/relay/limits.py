"""The relay's limits as values.  What they do is said beside each and done elsewhere."""

from __future__ import annotations

from attrs import frozen

BITS_PER_MEGABIT = 1024 * 1024
"""What the reference and its users mean by one Mb (protocol.md section 4.2)."""

FIRST_FRAME_S = 30.0
"""Time for the first frame to come (section 4.4 no. 1)."""

FIRST_FRAME_BYTES = 4096
"""The longest first frame.  A RequestRelay has some 200 bytes (section 4.9)."""

TICKET_WAIT_S = 5.0
"""How long a connection may be here before the ID server has announced its session."""

PARTNER_WAIT_S = 30.0
"""How long a connection waits for its partner (section 4.4 no. 4)."""

MAX_DISCARDED_BYTES = 32 * 1024 * 1024
"""
Read of a source and thrown away when the session is over, without any limit of speed.
That is more than all that systems hold of what a client had sent by then.
"""

EARLY_BYTES = 64 * 1024
"""When a waiting connection has sent this much it is not read further (section 4.9)."""

LINGER_S = 30.0
"""
After a session ended: time for the rest to leave and for the other side to close.

As long as a session may be silent, for cutting a reader that only stalls (a phone
between two cells) costs it all that the kernel still holds, which may be megabytes.
"""

SILENCE_S = 30
"""A session ends after more than so many whole seconds without a byte (section 4.5)."""


@frozen
class Limits:
    """
    What an operator sets, at start and on the console.

    :ivar total_bandwidth_mbit_per_s: for all sessions together; None is no limit.
    :ivar single_bandwidth_mbit_per_s: for both directions of one session together,
        fixed when it begins; None is no limit.
    :ivar limit_speed_mbit_per_s: the same for downgraded and blacklisted sessions.
    :ivar downgrade_threshold: the part of its single limit that a session may use on
        average; counted in whole percent.  Without a single limit nothing is downgraded.
    :ivar downgrade_start_check_s: the age from which that is looked at.
    :ivar waiting_per_address: connections of one IPv4 address or IPv6 /64 that may wait.
    :ivar waiting_total: connections of everybody that may wait.

    Source: protocol.md section 4.2.
    """

    total_bandwidth_mbit_per_s: float | None = None
    single_bandwidth_mbit_per_s: float | None = None
    limit_speed_mbit_per_s: float = 32.0
    downgrade_threshold: float = 0.66
    downgrade_start_check_s: int = 1800
    waiting_per_address: int = 100
    waiting_total: int = 10000

    @property
    def downgrade_percent(self) -> int:
        """The threshold in whole percent: 0.666 is 66."""
        # 0.57 * 100 is 56.99999999999999, and means 57.
        return int(self.downgrade_threshold * 100 + 1e-6)


def bits_per_s(mbit_per_s: float) -> float:
    """Return a setting's megabits per second as bits per second."""
    return mbit_per_s * BITS_PER_MEGABIT
