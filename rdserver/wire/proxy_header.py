"""
The header of the PROXY protocol, versions 1 and 2: whom a proxy speaks for.

Twisted has parsers, which are private, take a header in pieces for a wrong one, refuse
``PROXY UNKNOWN`` and do not look whether an address is one.

Source: the PROXY protocol's specification (haproxy, doc/proxy-protocol.txt).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from rdserver.errors import ProtocolError
from rdserver.wire.address import Address, v4_normalise

MAX_BYTES = 4096
"""A longer header has no place for anything that we could want."""

_MAX_LINE_BYTES = 107
_LINE_BEGINS = b"PROXY "
_BINARY_BEGINS = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_HOST_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6
_UNSPECIFIED = {0x00, 0x31, 0x32}  # or over a Unix socket: nobody that we could name


@frozen
class ProxyHeader:
    """
    A whole header.

    :ivar source: the client, or None where the proxy speaks for itself.
    :ivar rest: what came behind the header.
    """

    source: Address | None
    rest: bytes


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """
    Return the header that *data* begins with, or None while it is not whole.

    :raises ProtocolError: there is none.
    """
    if data.startswith(_LINE_BEGINS[: len(data)]):
        return _read_line(data)
    if data.startswith(_BINARY_BEGINS[: len(data)]):
        return _read_binary(data)
    raise ProtocolError("no PROXY header")


def _read_line(data: bytes) -> ProxyHeader | None:
    line, end, rest = data.partition(b"\r\n")
    if len(line) + 2 > _MAX_LINE_BYTES:
        raise ProtocolError("PROXY line too long")
    if not end:
        return None
    return ProxyHeader(_source_of_line(line[len(_LINE_BEGINS) :]), rest)


def _source_of_line(text: bytes) -> Address | None:
    words = text.decode("ascii", "replace").split(" ")
    if words[0] == "UNKNOWN":
        return None
    try:
        family, source, destination, port, other_port = words
        kind = {"TCP4": IPv4Address, "TCP6": IPv6Address}[family]
        kind(destination)
        _port(other_port)
        return Address(v4_normalise(str(kind(source))), _port(port))
    except (KeyError, ValueError) as e:
        raise ProtocolError("PROXY line that is none") from e


def _port(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < 1 << 16):
        raise ValueError(text)
    return int(text)


def _read_binary(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED_BYTES:
        return None
    end = _FIXED_BYTES + int.from_bytes(data[14:16], "big")
    if end > MAX_BYTES:
        raise ProtocolError("PROXY header too long")
    if len(data) < end:
        return None
    source = _source_of_binary(data[12], data[13], data[_FIXED_BYTES:end])
    return ProxyHeader(source, data[end:])


def _source_of_binary(command: int, family: int, body: bytes) -> Address | None:
    if command == _LOCAL or (command == _PROXY and family in _UNSPECIFIED):
        return None
    size = _HOST_BYTES.get(family, 0)
    if command != _PROXY or not size or len(body) < 2 * size + 4:
        raise ProtocolError("PROXY header of a kind that is none of ours")
    host = str(ip_address(body[:size]))
    return Address(v4_normalise(host), int.from_bytes(body[2 * size : 2 * size + 2], "big"))
