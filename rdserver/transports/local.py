"""What this machine calls itself."""

from __future__ import annotations

import socket

# Never sent to: connecting a UDP socket only asks the routing table.
_ANYWHERE = ("192.0.2.1", 9)


def primary_address() -> str:
    """Return the IPv4 address this machine would reach the Internet from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
