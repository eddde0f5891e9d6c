"""The sockets of a test client: blocking, with a deadline on everything."""

from __future__ import annotations

import socket
import time
from collections import deque
from itertools import count

from rdserver.wire import pb
from rdserver.wire.address import Address
from rdserver.wire.framing import FrameDecoder, encode_frame
from tests.integration.process import Ports

REPLY_S = 5.0

_hosts = count(1)


def fresh_host() -> str:
    """Return a loopback address that no other caller in this process was given."""
    number = next(_hosts)
    return f"127.{64 + (number >> 16) % 128}.{number >> 8 & 0xFF}.{number & 0xFF}"


def open_tcp(
    remote: tuple[str, int], local: tuple[str, int] = ("", 0), timeout_s: float = REPLY_S
) -> socket.socket:
    """
    Return a connection to *remote*; its local port may be used again at once.

    :raises OSError: there is none in time.
    """
    opened = bound_tcp(remote[0], local)
    opened.settimeout(timeout_s)
    try:
        opened.connect(remote)
    except OSError:
        opened.close()
        raise
    return opened


def bound_tcp(remote_host: str, local: tuple[str, int]) -> socket.socket:
    """
    Return a socket at *local*, of the family of *remote_host*.

    :raises OSError: it cannot be there.
    """
    opened = socket.socket(socket.AF_INET6 if ":" in remote_host else socket.AF_INET)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if local != ("", 0):
            opened.bind(local)
    except OSError:
        opened.close()
        raise
    return opened


class FramedSocket:
    """
    A TCP connection on which frames are spoken, until it turns raw.

    :param connected: to be closed with this.
    :ivar address: this end's.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(REPLY_S)
        self.socket = connected
        self.address = Address(*connected.getsockname()[:2])
        self._decoder = FrameDecoder(1 << 24)
        self._frames: deque[bytes] = deque()

    def send(self, message: pb.RendezvousMessage) -> None:
        """Send one message in a frame."""
        self.send_bytes(encode_frame(pb.encode(message)))

    def send_frames(self, *payloads: bytes) -> None:
        """Send frames in one piece."""
        self.send_bytes(b"".join(map(encode_frame, payloads)))

    def send_bytes(self, data: bytes) -> None:
        """Send *data* as it is."""
        self.socket.sendall(data)

    def receive_frame(self, timeout_s: float = REPLY_S) -> bytes | None:
        """
        Return the next frame's payload, or None once the server closed.

        :raises TimeoutError: neither happened in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._frames:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._read()
            if not data:
                return None
            self._frames += self._decoder.feed(data)
        return self._frames.popleft()

    def receive(self, timeout_s: float = REPLY_S) -> pb.RendezvousMessage | None:
        """Return the next message, or None once the server closed."""
        frame = self.receive_frame(timeout_s)
        return None if frame is None else pb.decode(frame)

    def receive_exactly(self, size: int, timeout_s: float = REPLY_S) -> bytes:
        """Return the next *size* raw bytes, or fewer if the server closes before."""
        data = self._decoder.take_rest()
        self.socket.settimeout(timeout_s)
        while len(data) < size:
            more = self._read()
            if not more:
                break
            data += more
        return data

    def _read(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""

    def is_closed(self, timeout_s: float = REPLY_S) -> bool:
        """Return whether the server closes in time without saying anything more."""
        try:
            closed = self.receive_frame(timeout_s) is None
        except TimeoutError:
            return False
        if closed:
            self.close()
        return closed

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


class Stream(FramedSocket):
    """
    A TCP connection to a port of the server.

    :param local: where it comes from; port 0 for any.
    """

    def __init__(self, ports: Ports, port: int, local: tuple[str, int] = ("", 0)) -> None:
        super().__init__(open_tcp((ports.host, port), local))


class Udp:
    """A UDP socket that asks the ID server."""

    def __init__(self, ports: Ports, host: str, port: int = 0) -> None:
        self._server = (ports.host, ports.main)
        family = socket.AF_INET6 if ":" in ports.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.senders: set[Address] = set()

    @property
    def address(self) -> Address:
        """Return this end's address."""
        return Address(*self.socket.getsockname()[:2])

    def send_bytes(self, data: bytes) -> None:
        """Send one datagram to the ID server."""
        self.socket.sendto(data, self._server)

    def send(self, message: pb.RendezvousMessage) -> None:
        """Send one message."""
        self.send_bytes(pb.encode(message))

    def receive(self, timeout_s: float = REPLY_S) -> pb.RendezvousMessage:
        """
        Return the next message.

        :raises TimeoutError: none came in time.
        """
        self.socket.settimeout(timeout_s)
        data, sender = self.socket.recvfrom(65536)
        self.senders.add(Address(*sender[:2]))
        return pb.decode(data)

    def close(self) -> None:
        """Close this end."""
        self.socket.close()
