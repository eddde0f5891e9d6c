"""What this machine calls itself."""

from __future__ import annotations

import socket

from rdserver.wire.networks import one_address

# Never sent to: connecting a UDP socket only asks the routing table.
_ANYWHERE = ("192.0.2.1", 9)


def shown_address(bind: str) -> str:
    """
    Return the address that clients are told of.

    :param bind: the one that is listened on; empty, or one that stands for all: see
        :func:`primary_address`.
    """
    return one_address(bind) or primary_address()


def primary_address() -> str:
    """Return the IPv4 address this machine would reach the Internet from."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ANYWHERE)
            return str(probe.getsockname()[0])
    except OSError:  # no route, or no IPv4 at all
        return "127.0.0.1"
