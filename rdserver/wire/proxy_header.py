"""
The header of the PROXY protocol, versions 1 and 2: whom a proxy speaks for.

Twisted has parsers, which are private, take a header in pieces for a wrong one, refuse
``PROXY UNKNOWN`` and do not look whether an address is one.

Source: the PROXY protocol's specification (haproxy, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import re

from attrs import frozen

from rdserver.errors import ProtocolError
from rdserver.wire.address import Address
from rdserver.wire.claimed import claimed_host

MAX_BYTES = 4096
"""A longer header has no place for anything that we could want."""

_MAX_LINE_BYTES = 107
_LINE_BEGINS = b"PROXY "
_FAMILIES = {"TCP4": False, "TCP6": True}  # whether it is IPv6
_PORT = re.compile("0|[1-9][0-9]{0,4}")
_BAD_LINE = "PROXY line that is none"
_BINARY_BEGINS = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_HOST_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6
_UNSPECIFIED = {0x00, 0x31}  # or over a Unix socket: nobody that we could name


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
    end = data.find(b"\r\n", 0, _MAX_LINE_BYTES)
    if end >= 0:
        source = _source_of_line(data[len(_LINE_BEGINS) : end])
        return ProxyHeader(source, data[end + 2 :])
    if len(data) >= _MAX_LINE_BYTES:
        raise ProtocolError("PROXY line too long")
    return None


def _source_of_line(text: bytes) -> Address | None:
    words = text.decode("ascii", "replace").split(" ")
    if words[0] == "UNKNOWN":
        return None
    if len(words) != 5 or words[0] not in _FAMILIES:
        raise ProtocolError(_BAD_LINE)
    family, source, destination, port, other_port = words
    _endpoint(family, destination, other_port)
    return _endpoint(family, source, port)


def _endpoint(family: str, text: str, port: str) -> Address:
    host = claimed_host(text)
    is_right = _PORT.fullmatch(port) and int(port) < 1 << 16
    if host is None or not is_right or (":" in text) is not _FAMILIES[family]:
        raise ProtocolError(_BAD_LINE)
    return Address(host, int(port))


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
    host = claimed_host(body[:size])
    if host is None:
        raise ProtocolError("PROXY header for an address that nobody has")
    return Address(host, int.from_bytes(body[2 * size : 2 * size + 2], "big"))
