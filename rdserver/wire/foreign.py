"""
What speaks another protocol to a port for RustDesk's frames: for a helpful refusal.

Nothing here is the beginning of a frame that a client sends.  One of a TLS record's
first bytes would announce a payload that begins with the fourth and fifth, but none of
ours begins below 0x32; letters of HTTP announce a payload that is far too long, or one
that begins with letters.

Source: protocol.md section 1.1, vectors F22 to F24.
"""

from __future__ import annotations

_METHODS = (
    *(b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH "),
    *(b"CONNECT ", b"PRI * HTTP/2"),
)
_HANDSHAKE, _CLIENT_HELLO = 0x16, 1
_LOWEST_TAG = 0x32


def foreign(data: bytes) -> str:
    """
    Return "TLS" or "HTTP" if that is what a connection began with, else nothing.

    :param data: the first bytes; too few say nothing.
    """
    if data.startswith(_METHODS):
        return "HTTP"
    is_tls = (
        len(data) > 5
        and data[0] == _HANDSHAKE
        and data[1] == 3
        and data[2] <= 4
        and data[3] < _LOWEST_TAG
        and data[5] == _CLIENT_HELLO
    )
    return "TLS" if is_tls else ""
