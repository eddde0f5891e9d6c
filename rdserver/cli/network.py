"""
What ``rustdesk-utils doctor`` does to the world: look-ups, connections, questions.

Blocking, with a deadline for each; it decides nothing.
"""

from __future__ import annotations

import socket
import time
from typing import Protocol

from rdserver.wire import pb
from rdserver.wire.framing import FrameDecoder, encode_frame

TIMEOUT_S = 5.0
"""For each port.  What takes longer is no use to a client either."""

DEFAULT_PORT = 21116

_UDP_ATTEMPTS = 3
_MAX_ANSWER_BYTES = 65536
NAT_TEST = pb.encode(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()))
# The original answers no NAT test by UDP, but this, and remembers nothing of it.
_HEARTBEAT = pb.encode(
    pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=b"(:test_hbbs:)"))
)


class Network(Protocol):
    """What the doctor does to the world."""

    def resolve(self, host: str) -> list[str]:
        """
        Return the addresses of *host*.

        :raises OSError: it has none.
        """

    def name_of(self, ip: str) -> str | None:
        """Return the name that the reverse lookup of *ip* gives, or None."""

    def has_route(self, ip: str) -> bool:
        """Return whether this machine knows any way to *ip*."""

    def connect(self, ip: str, port: int) -> None:
        """
        Open a TCP connection and close it.

        :raises OSError: there is none to be had.
        """

    def nat_test_tcp(self, ip: str, port: int) -> None:
        """
        Ask an ID server over TCP which port it sees.

        :raises OSError: no answer.
        :raises ProtocolError: an answer that no ID server gives.
        """

    def nat_test_udp(self, ip: str, port: int) -> None:
        """As :meth:`nat_test_tcp`, over UDP."""


class SocketNetwork:
    """
    The world itself; every wait ends after *timeout_s*.

    :param preface: what each connection begins with.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, preface: bytes = b"") -> None:
        self._timeout_s = timeout_s
        self._preface = preface

    def resolve(self, host: str) -> list[str]:
        """See :meth:`Network.resolve`."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except UnicodeError as e:  # a label that is empty or too long
            raise OSError(f"not a name: {e}") from e
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def name_of(self, ip: str) -> str | None:
        """See :meth:`Network.name_of`."""
        try:
            return socket.gethostbyaddr(ip)[0]
        except (OSError, UnicodeError):
            return None

    def has_route(self, ip: str) -> bool:
        """See :meth:`Network.has_route`; nothing is sent."""
        try:
            self._udp(ip, DEFAULT_PORT).close()
        except OSError:
            return False
        return True

    def connect(self, ip: str, port: int) -> None:
        """See :meth:`Network.connect`."""
        socket.create_connection((ip, port), self._timeout_s).close()

    def open(self, ip: str, port: int) -> socket.socket:
        """
        Return a connection, which has a deadline for all that is done to it.

        :raises OSError: there is none to be had.
        """
        connection = socket.create_connection((ip, port), self._timeout_s)
        if self._preface:
            connection.sendall(self._preface)
        return connection

    def nat_test_tcp(self, ip: str, port: int) -> None:
        """See :meth:`Network.nat_test_tcp`; a key exchange may come before the answer."""
        deadline = time.monotonic() + self._timeout_s
        decoder = FrameDecoder(_MAX_ANSWER_BYTES)
        with self.open(ip, port) as connection:
            connection.sendall(encode_frame(NAT_TEST))
            while (remaining_s := deadline - time.monotonic()) > 0:
                connection.settimeout(remaining_s)
                data = connection.recv(_MAX_ANSWER_BYTES)
                if not data:
                    raise ConnectionResetError("closed without an answer")
                if "test_nat_response" in map(kind_of, decoder.feed(data)):
                    return
        raise TimeoutError("no answer in time")

    def nat_test_udp(self, ip: str, port: int) -> None:
        """See :meth:`Network.nat_test_udp`; datagrams may get lost, so it asks again."""
        with self._udp(ip, port) as connection:
            connection.settimeout(self._timeout_s / _UDP_ATTEMPTS)
            for _ in range(_UDP_ATTEMPTS):
                connection.send(NAT_TEST)
                connection.send(_HEARTBEAT)
                try:
                    data = connection.recv(_MAX_ANSWER_BYTES)
                except TimeoutError:
                    continue
                if kind_of(data) in ("test_nat_response", "register_peer_response"):
                    return
        raise TimeoutError("no answer in time")

    def _udp(self, ip: str, port: int) -> socket.socket:
        family, kind, _, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_DGRAM)[
            0
        ]
        connection = socket.socket(family, kind)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection


def kind_of(data: bytes) -> str | None:
    """Return which message *data* is; None: a newer one than we know, or none."""
    kind: str | None = pb.decode(data).WhichOneof("union")
    return kind
