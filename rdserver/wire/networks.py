"""Sets of addresses that an operator names by networks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_REMEMBERED = 4096
LONGEST_HOST = 64
"""An IPv6 address with the zone of any interface is shorter."""


class Networks:
    """
    Some networks of both families.

    :param networks: IPv4 also in the form of IPv6, such as ``::ffff:10.0.0.0/104``.
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(map(plain_network, networks))
        # To take an address apart costs more than all the rest of an accept.
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._contains)

    def __contains__(self, host: object) -> bool:
        """
        Return whether *host* is in one of them, wherever its zone is; a name is in none.

        IPv4 mapped into IPv6 is IPv4, as elsewhere; ``::a.b.c.d`` is not, see
        :func:`rdserver.wire.address.source_host`.
        """
        text = str(host)
        if not self._networks or len(text) > LONGEST_HOST:
            return False
        return self._remembered(text)

    def _contains(self, host: str) -> bool:
        address = plain_address(host)
        if address is None:
            return False
        return any(address in network for network in self._networks)


def plain_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that *host* means, IPv4 if it is mapped; None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def one_address(host: str) -> str:
    """Return *host* if it is an address, and not the one that stands for all; else ""."""
    address = plain_address(host)
    return "" if address is None or address.is_unspecified else host


def plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return *network*, as IPv4 if that is what it means: hosts are written so."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
