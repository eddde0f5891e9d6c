"""Addresses that somebody names for somebody else, as proxies do for their clients."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from rdserver.wire.address import source_host


def claimed_host(said: str | bytes) -> str | None:
    """
    Return the normalised host that is named as a client's, or None if it cannot be one.

    A zone is refused: it means something on the proxy's machine only, may be of any
    length, and would bring any text into our log.

    :param said: the address as text, or its 4 or 16 bytes.
    """
    try:
        address = ip_address(said)
    except ValueError:
        return None
    mapped = None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        mapped = address.ipv4_mapped
    plain = mapped or address
    return None if plain.is_unspecified else source_host(str(plain))
