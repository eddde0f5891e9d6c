"""What this machine calls itself."""

from __future__ import annotations

import socket

# Never sent to: connecting a UDP socket only asks the routing table.
_ANYWHERE = ("192.0.2.1", 9)


def primary_address() -> str:
    """Return the IPv4 address this machine would reach the Internet from."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ANYWHERE)
            return str(probe.getsockname()[0])
    except OSError:  # no route, or no IPv4 at all
        return "127.0.0.1"
