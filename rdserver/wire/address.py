"""
Socket addresses: one text form for each, and the wire's reversible disguise.

AddrMangle hides an address from NAT boxes that would rewrite it.  For IPv4 it
mixes in 32 bits of the encoder's choice, which every decoder ignores: we put a
random cookie there and recognise it when B echoes the bytes (section 3.18).
"""

from __future__ import annotations

import socket
from typing import NamedTuple

_MASK32 = 0xFFFFFFFF
_LOOPBACK6 = bytes(15) + b"\x01"
_IPV4_PREFIXES = (bytes(12), bytes(10) + b"\xff\xff")  # compatible, mapped
_IPV6_BYTES = 18


class Address(NamedTuple):
    """A host as text (IPv4 never in an IPv6 disguise) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def v4_normalise(host: str) -> str:
    """
    Return the plain IPv4 text of a mapped or compatible IPv6 *host*.

    ``::1`` stays, in that spelling; anything else comes back unchanged.  The
    kernel's form ``::ffff:a.b.c.d`` is cut without parsing: this runs for every
    datagram.

    Source: protocol.md section 1.6.
    """
    if not host.startswith(("::", "0")):
        return host
    rest = host[7:]
    if host.startswith("::ffff:") and "." in rest and ":" not in rest:
        return rest
    packed = _packed_ipv6(host)
    if packed is None or packed[:12] not in _IPV4_PREFIXES:
        return host
    return "::1" if packed == _LOOPBACK6 else socket.inet_ntoa(packed[12:])


def source_host(host: str) -> str | None:
    """
    Return the normalised *host* that something came from, or None if nobody is there.

    No machine has an address like ``::a.b.c.d`` any more (RFC 4291 section 2.5.5.1), yet
    Linux takes packets from there: a neighbour would count as that IPv4 address, be it
    ``127.0.0.1``.  Packets from mapped addresses it drops, so those are IPv4.

    :param host: as the system writes it.
    """
    plain = v4_normalise(host)
    if ":" in host and ":" not in plain and host != f"::ffff:{plain}":
        return None
    return plain


def is_loopback(host: str) -> bool:
    """Return whether the normalised *host* is this machine itself."""
    return host.startswith("127.") or host == "::1"


def same_host(one: str, other: str) -> bool:
    """Return whether two normalised hosts are one; all loopback forms are."""
    return one == other or (is_loopback(one) and is_loopback(other))


def encode_address(address: Address, tm: int) -> bytes:
    """
    Disguise *address*: 0 to 11 bytes for IPv4, 18 for IPv6.

    :param tm: any 32 bits; mixed into IPv4 only.  The reference uses its clock.

    Source: protocol.md section 1.5.
    """
    host = v4_normalise(address.host)
    if ":" in host:
        packed = _packed_ipv6(host) or bytes(16)
        return packed + address.port.to_bytes(2, "little")
    tm &= _MASK32
    ip = int.from_bytes(socket.inet_aton(host), "little")
    mixed = (ip + tm) << 49 | tm << 17 | (address.port + (tm & 0xFFFF))
    return mixed.to_bytes(16, "little").rstrip(b"\0")


def decode_address(data: bytes) -> Address:
    """
    Undo :func:`encode_address`; crafted bytes give some address, never an error.

    An empty byte string, which means that there is none, gives 0.0.0.0 and port 0.
    An IPv4-mapped IPv6 address stays IPv6 here.

    Source: protocol.md section 1.5.
    """
    if len(data) > 16:
        return _decode_ipv6(data)
    mixed = int.from_bytes(data, "little")
    tm = mixed >> 17 & _MASK32
    ip = (mixed >> 49) - tm & _MASK32
    port = (mixed & 0xFFFFFF) - (tm & 0xFFFF) & 0xFFFF
    return Address(socket.inet_ntoa(ip.to_bytes(4, "little")), port)


def global_ipv6(disguise: bytes) -> bytes:
    """
    Return the disguise of a global IPv6 address with a port; of anything else nothing.

    Whoever is given it sends there for twenty seconds, so it must not be just any address.

    Source: protocol.md section 7.5.
    """
    is_global = len(disguise) == _IPV6_BYTES and disguise[0] >> 5 == 1
    return disguise if is_global and decode_address(disguise).port else b""


def address_bucket(host: str) -> str:
    """
    Return what limits count by: the IPv4 address itself, of IPv6 the /64.

    One IPv6 customer has at least a /64; counting single addresses would give a
    stranger 2**64 fresh starts.

    Source: protocol.md section 3.18 no. 6.
    """
    if ":" not in host:
        return host
    packed = _packed_ipv6(host) or bytes(16)
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"


def _decode_ipv6(data: bytes) -> Address:
    if len(data) != _IPV6_BYTES:
        return Address("::", 0)
    host = socket.inet_ntop(socket.AF_INET6, data[:16])
    return Address(host, int.from_bytes(data[16:], "little"))


def _packed_ipv6(host: str) -> bytes | None:
    # A zone ("%eth0") means something on one machine only: not sent.
    try:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return None
