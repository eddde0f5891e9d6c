"""
Acknowledged datagrams: what two peers speak over UDP here, in the place of KCP.

The server never sees any of it (protocol.md section 7.4), so it only has to be what a
test needs: a connection that works where datagrams pass, even if some are lost.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress

from rdserver.wire.address import Address
from rdserver.wire.framing import FrameDecoder, encode_frame

HELLO, DATA, ACK, BYE = b"H", b"D", b"A", b"B"
_PIECE_BYTES = 1200
_WINDOW = 64
_AGAIN_S = 0.1
_FIRST_S, _LAST_S = 0.02, 0.2
_FLUSH_S = 3.0


def connect(
    opened: socket.socket, remote: Address, timeout_s: float, is_over: threading.Event
) -> DatagramLink:
    """
    Return a link to the peer that punches from *remote*.

    :param is_over: ends it before its time.
    :raises TimeoutError: the peer does not answer.
    """
    _knock(opened, remote, HELLO, timeout_s, is_over)
    return DatagramLink(opened, remote)


def accept(
    opened: socket.socket, expected: Address, timeout_s: float, is_over: threading.Event
) -> DatagramLink:
    """
    Return a link to the peer that connects, while punching towards it.

    :param is_over: ends it before its time.
    :raises TimeoutError: it does not come.
    """
    # Its own NAT may make it come from another port than was expected.
    remote = _knock(opened, expected, b"", timeout_s, is_over)
    link = DatagramLink(opened, remote, greets=True)
    link.greet()
    return link


def _knock(
    opened: socket.socket,
    remote: Address,
    more: bytes,
    timeout_s: float,
    is_over: threading.Event,
) -> Address:
    """Send empty datagrams, and *more*, until a HELLO comes; return its sender."""
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_S
    while time.monotonic() < deadline and not is_over.is_set():
        for datagram in {b"", more}:
            _send(opened, datagram, remote)
        sender = _hello(opened, time.monotonic() + pause_s)
        if sender is not None:
            return sender
        pause_s = min(pause_s * 1.5, _LAST_S)
    raise TimeoutError(f"{remote} does not answer")


def _hello(opened: socket.socket, deadline: float) -> Address | None:
    while (left_s := deadline - time.monotonic()) > 0:
        try:
            opened.settimeout(left_s)
            data, sender = opened.recvfrom(2048)
        except TimeoutError:
            return None
        if data == HELLO:
            return Address(*sender[:2])
    return None


def _send(opened: socket.socket, datagram: bytes, remote: Address) -> None:
    with suppress(OSError):  # as lost as one that is lost on the way
        opened.sendto(datagram, remote)


class DatagramLink:
    """
    Carries frames to *remote* in numbered, acknowledged datagrams.

    :param opened: is closed with the link.
    :param greets: whether the other side is the one that connects.
    """

    def __init__(
        self, opened: socket.socket, remote: Address, greets: bool = False
    ) -> None:
        self._greets = greets
        self.socket = opened
        self.address = Address(*opened.getsockname()[:2])
        self._remote = remote
        self._changed = threading.Condition()
        self._unacknowledged: deque[bytes] = deque()
        self._next, self._oldest, self._expected = 0, 0, 0
        self._sent_s = time.monotonic()
        self._decoder = FrameDecoder(1 << 24)
        self._frames: deque[bytes] = deque()
        self._is_over = False
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()

    def greet(self) -> None:
        """Tell the other side that its HELLO came."""
        _send(self.socket, HELLO, self._remote)

    def send_frames(self, *payloads: bytes) -> None:
        """
        Send frames; wait while too much is not acknowledged.

        :raises ConnectionError: the other side said goodbye.
        """
        data = b"".join(map(encode_frame, payloads))
        for start in range(0, len(data), _PIECE_BYTES):
            self._send_piece(data[start : start + _PIECE_BYTES])

    def _send_piece(self, piece: bytes) -> None:
        with self._changed:
            self._changed.wait_for(self._has_room)
            if self._is_over:
                raise ConnectionError("the link is over")
            datagram = DATA + struct.pack("!I", self._next) + piece
            self._next += 1
            if not self._unacknowledged:
                self._sent_s = time.monotonic()
            self._unacknowledged.append(datagram)
            _send(self.socket, datagram, self._remote)

    def _has_room(self) -> bool:
        return self._is_over or len(self._unacknowledged) < _WINDOW

    def receive_frame(self, timeout_s: float) -> bytes | None:
        """
        Return the next frame, or None once the other side said goodbye.

        :raises TimeoutError: neither happened in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._frames or self._is_over, timeout_s):
                raise TimeoutError("no frame came")
            return self._frames.popleft() if self._frames else None

    def close(self) -> None:
        """Wait a moment for what is not acknowledged, say goodbye and close."""
        with self._changed:
            self._changed.wait_for(self._is_done, _FLUSH_S)
        self._end()
        self._server.join()
        _send(self.socket, BYE, self._remote)
        self.socket.close()

    def _is_done(self) -> bool:
        return self._is_over or not self._unacknowledged

    def _serve(self) -> None:
        """Take what comes, and send again what is not acknowledged."""
        while not self._is_over:
            try:
                self.socket.settimeout(_FIRST_S)
                data, sender = self.socket.recvfrom(2048)
            except TimeoutError:
                data, sender = b"", self._remote
            if data and Address(*sender[:2]) == self._remote:
                self._take(data)
            self._repeat()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        kind, number = data[:1], int.from_bytes(data[1:5], "big")
        with self._changed:
            if kind == DATA:
                self._take_piece(number, data[5:])
            elif kind == ACK:
                self._acknowledged(number)
            elif kind == BYE:
                self._is_over = True
            self._changed.notify_all()
        if kind == HELLO and self._greets:
            self.greet()  # the first was lost

    def _take_piece(self, number: int, piece: bytes) -> None:
        if number == self._expected:
            self._expected += 1
            self._frames += self._decoder.feed(piece)
        _send(self.socket, ACK + struct.pack("!I", self._expected), self._remote)

    def _acknowledged(self, expected: int) -> None:
        while self._oldest < expected and self._unacknowledged:
            self._unacknowledged.popleft()
            self._oldest += 1
            self._sent_s = time.monotonic()

    def _repeat(self) -> None:
        with self._changed:
            if time.monotonic() - self._sent_s < _AGAIN_S:
                return
            self._sent_s = time.monotonic()
            for datagram in self._unacknowledged:
                _send(self.socket, datagram, self._remote)
