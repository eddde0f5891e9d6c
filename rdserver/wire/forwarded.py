"""
Who a client is behind proxies that speak HTTP.

Source: protocol.md sections 1.4 and 3.18 no. 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rdserver.wire.claimed import claimed_host
from rdserver.wire.networks import Networks

MAX_PROXIES = 20
"""No chain is longer; what stands before that is not looked at."""

_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([^:]+):[0-9]{1,5}")


def client_host(peer: str, headers: Mapping[str, str], trusted: Networks) -> str:
    """
    Return the host that the client connects from.

    Only a trusted proxy is believed.  Each proxy adds who connected to it behind what is
    there, so the right-most address that is no trusted proxy's is the client's; what
    stands before it, the client may have said itself.

    :param peer: normalised host of the connection.
    :param headers: of the request, names in lower case.
    """
    if peer not in trusted:
        return peer
    named = _host(headers.get("x-real-ip", ""))
    if named:
        return named
    return _nearest(peer, headers.get("x-forwarded-for", ""), trusted)


def _nearest(peer: str, chain: str, trusted: Networks) -> str:
    for text in reversed(chain.rsplit(",", MAX_PROXIES)[-MAX_PROXIES:]):
        host = _host(text)
        if not host:
            return peer  # whoever wrote that is the last one who is known
        peer = host
        if host not in trusted:
            return host
    return peer


def _host(text: str) -> str:
    """Return the normalised address that *text* is, without a port, or nothing."""
    text = text.strip()
    match = _WITH_PORT.fullmatch(text)
    if match:
        text = match[1] or match[2]
    return claimed_host(text) or ""
