"""
Many datagrams by one system call: recvmmsg and sendmmsg, through ctypes.

Knows the system's structures, and no message.  Only Linux has the calls in this shape.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import sys
from collections.abc import Sequence
from struct import Struct
from typing import Any

SLOTS = 64
"""Datagrams in a batch.  More measured no better."""

_SLOT_BYTES = 64
_KEY_BYTES = _SLOT_BYTES - 1
"""Source and beginning of a datagram: as a Python object it is exactly 96 bytes long."""

_REST_BYTES = 1 << 16
_NAME_BYTES = {socket.AF_INET: 16, socket.AF_INET6: 28}  # sockaddr_in, sockaddr_in6
_LESS_2 = bytes((number - 2) % 256 for number in range(256))


class _Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = [("header", _Header), ("length", ctypes.c_uint)]


_STRIDE = ctypes.sizeof(_Message)
# Where a length's lowest two bytes are; no datagram is longer than they can say.
_LITTLE = sys.byteorder == "little"
_LOW = _Message.length.offset + (0 if _LITTLE else 3)
_HIGH = _Message.length.offset + (1 if _LITTLE else 2)


def _calls() -> tuple[Any, Any]:
    # PyDLL keeps the interpreter's lock: the calls never wait, and a thread that is
    # busy with the database would make us wait 5 ms for the lock after each of them.
    library = ctypes.PyDLL(None, use_errno=True)
    receive, send = library.recvmmsg, library.sendmmsg
    receive.argtypes = [
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    ]
    send.argtypes = receive.argtypes[:4]
    return receive, send


def is_available() -> bool:
    """Return whether this system has both calls, and lets us use them."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return _works(*_calls())
    except (AttributeError, OSError):
        return False


def _works(receive: Any, send: Any) -> bool:
    messages = (_Message * 1)()
    # Of a family that every system has, while either version of IP may be missing.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        fd, at = probe.fileno(), ctypes.addressof(messages)
        nothing_there = receive(fd, at, 1, socket.MSG_DONTWAIT, None) == -1
        may = nothing_there and ctypes.get_errno() == errno.EAGAIN
        return may and send(fd, at, 0, socket.MSG_DONTWAIT) == 0


class DatagramBatch:
    """
    Up to :data:`SLOTS` datagrams of one socket, in memory that is allocated once.

    A slot has the sender's socket address and right behind it the datagram's beginning,
    and zeros.  So all slots are taken apart by one call, and answers go to where the
    datagrams came from without a copy of an address.

    The rest of long datagrams is in 4 MiB more, which the system provides on first use.

    :param bound: a UDP socket of either family; the caller closes it.
    :param usual: what :meth:`answer` sends.
    :param other: what it sends instead where :meth:`answer_otherwise` said so.
    """

    def __init__(self, bound: socket.socket, usual: bytes, other: bytes) -> None:
        self._fd = bound.fileno()
        self._name_bytes = _NAME_BYTES[bound.family]
        self._head_bytes = _KEY_BYTES - self._name_bytes
        self._fitting = bytes(range(self._head_bytes - 1))
        self._slots = bytearray(_SLOT_BYTES * SLOTS)
        self._blank = bytes(len(self._slots))
        self._rest = mmap.mmap(-1, _REST_BYTES * SLOTS)
        self._lengths = bytearray(_STRIDE * SLOTS)
        self._incoming = (_Message * SLOTS).from_buffer(self._lengths)
        self._outgoing = (_Message * SLOTS)()
        self._into = (_Vector * (2 * SLOTS))()
        texts = [ctypes.create_string_buffer(text, len(text)) for text in (usual, other)]
        self._texts = texts  # else their memory would go
        self._from = [_Vector(ctypes.addressof(text), len(text)) for text in texts]
        self._usual_at, self._other_at = map(ctypes.addressof, self._from)
        self._otherwise: list[int] = []
        self._fill_in()
        self._keys = [Struct(f"{_KEY_BYTES}sx" * count) for count in range(SLOTS + 1)]
        self._receive, self._send = _calls()
        self._incoming_at = ctypes.addressof(self._incoming)
        self._outgoing_at = ctypes.addressof(self._outgoing)

    def _fill_in(self) -> None:
        """Let the system's structures point to our memory, once and for all."""
        slots = ctypes.addressof(ctypes.c_char.from_buffer(self._slots))
        rest = ctypes.addressof(ctypes.c_char.from_buffer(self._rest))
        for i in range(SLOTS):
            name = slots + i * _SLOT_BYTES
            self._into[2 * i] = _Vector(name + self._name_bytes, self._head_bytes)
            self._into[2 * i + 1] = _Vector(rest + i * _REST_BYTES, _REST_BYTES)
            into = ctypes.addressof(self._into[2 * i])
            self._incoming[i].header = _Header(name, self._name_bytes, into, 2)
            self._outgoing[i].header = _Header(name, self._name_bytes, self._usual_at, 1)

    def receive(self) -> int:
        """Replace what is here by the next datagrams; return how many there are."""
        self._slots[:] = self._blank
        if self._otherwise:
            self._answer_as_usual()
        count: int = self._receive(
            self._fd, self._incoming_at, SLOTS, socket.MSG_DONTWAIT, None
        )
        # An error here belongs to no datagram, and the system tells it only once.
        return max(count, 0)

    def keys(self, count: int) -> Sequence[bytes]:
        """
        Return a key for each of the first *count* datagrams.

        Equal keys mean equal datagrams from one socket address (with an IPv6 one's
        scope).  The key is empty for a datagram that does not fit its slot, or whose
        second byte does not say how many follow, as that of a heartbeat does: zeros
        behind it could not be told from ours.
        """
        end = count * _STRIDE
        following = self._lengths[_LOW:end:_STRIDE].translate(_LESS_2)
        high = self._lengths[_HIGH:end:_STRIDE]
        said = self._slots[self._name_bytes + 1 : count * _SLOT_BYTES : _SLOT_BYTES]
        keys = self._keys[count].unpack_from(self._slots)
        if said == following and high.count(0) == count and not self._too_long(said):
            return keys
        most = self._head_bytes - 2
        facts = zip(keys, said, following, high, strict=True)
        return [key if s == f <= most and not h else b"" for key, s, f, h in facts]

    def _too_long(self, said: bytearray) -> bytearray:
        return said.translate(None, self._fitting)

    def datagram(self, index: int) -> bytes:
        """Return one of the datagrams that were received last."""
        size = self._incoming[index].length
        start = index * _SLOT_BYTES + self._name_bytes
        head = bytes(self._slots[start : start + min(size, self._head_bytes)])
        rest = index * _REST_BYTES
        return head + self._rest[rest : rest + size - len(head)]

    def source(self, index: int) -> tuple[str, int]:
        """Return the host and port that one of them came from."""
        start = index * _SLOT_BYTES
        return _source(bytes(self._slots[start : start + self._name_bytes]))

    def answer_otherwise(self, index: int) -> None:
        """Let :meth:`answer` send the other answer to this datagram's sender."""
        self._outgoing[index].header.vectors = self._other_at
        self._otherwise.append(index)

    def _answer_as_usual(self) -> None:
        for index in self._otherwise:
            self._outgoing[index].header.vectors = self._usual_at
        self._otherwise.clear()

    def answer(self, first: int, end: int) -> int:
        """
        Send their answers to the senders of the datagrams from *first* to before *end*.

        :returns: how many the system refused; that is each one's loss alone.
        """
        refused = 0
        while first < end:
            at = self._outgoing_at + first * _STRIDE
            sent = self._send(self._fd, at, end - first, socket.MSG_DONTWAIT)
            if sent < 1 and ctypes.get_errno() == errno.EAGAIN:
                return refused + end - first  # no room: the next would not fit either
            refused += sent < 1
            first += max(sent, 1)
        return refused


def _source(name: bytes) -> tuple[str, int]:
    port = int.from_bytes(name[2:4], "big")
    if len(name) == _NAME_BYTES[socket.AF_INET]:
        return socket.inet_ntoa(name[4:8]), port
    host = socket.inet_ntop(socket.AF_INET6, name[8:24])
    scope = int.from_bytes(name[24:28], sys.byteorder)
    return (f"{host}%{scope}" if scope else host), port
