"""A heartbeat read by hand: the one message that comes all the time.  No I/O."""

from __future__ import annotations

_REGISTER_PEER = 0x32  # field 6, a message
_ID = 0x0A  # field 1, a text
_SERIAL = 0x10  # field 2, a varint
_MORE = 0x80  # in a varint: another byte follows


def read_heartbeat(datagram: bytes) -> tuple[str, int] | None:
    """
    Return id and serial of a RegisterPeer in the form that every client sends.

    That is the id, then the serial if it is not 0 (below 128 here), and nothing else.
    None for every other datagram, which may be a RegisterPeer all the same.

    Source: protocol.md sections 2.3 and 2.6.
    """
    size = len(datagram)
    if not 5 <= size < _MORE or datagram[0] != _REGISTER_PEER or datagram[2] != _ID:
        return None
    end = 4 + datagram[3]
    if datagram[1] != size - 2 or end == 4:
        return None
    if end == size:
        serial = 0
    elif end + 2 == size and datagram[end] == _SERIAL and datagram[-1] < _MORE:
        serial = datagram[-1]
    else:
        return None
    try:
        return datagram[4:end].decode(), serial
    except UnicodeDecodeError:
        return None
