"""Tests for :mod:`rdserver.transports.local`."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports import local


class FakeSocket:
    """A UDP socket that knows a way out, and its own address on that way."""

    closed = 0

    def __init__(self, *_: object) -> None:
        self.connected = False

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *_: object) -> None:
        type(self).closed += 1

    def connect(self, to: tuple[str, int]) -> None:
        self.connected = True

    def getsockname(self) -> tuple[str, int]:
        return ("192.0.2.77", 5) if self.connected else ("0.0.0.0", 0)


class PrimaryAddressTests(SynchronousTestCase):
    """What the operator is told, and what clients in a LAN are."""

    def use(self, made: Any) -> None:
        """Let sockets be made by *made*."""
        self.patch(local.socket, "socket", made)

    def test_way_out(self) -> None:
        """It is the address on the way to the Internet; nothing stays open."""
        self.use(FakeSocket)
        closed = FakeSocket.closed
        self.assertEqual("192.0.2.77", local.primary_address())
        self.assertEqual(closed + 1, FakeSocket.closed)

    def test_no_way_out(self) -> None:
        """A machine without a network has loopback."""

        class Offline(FakeSocket):
            def connect(self, to: tuple[str, int]) -> None:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")

        self.use(Offline)
        self.assertEqual("127.0.0.1", local.primary_address())

    def test_no_ipv4(self) -> None:
        """A machine without IPv4 has no better answer either."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")

        self.use(refuse)
        self.assertEqual("127.0.0.1", local.primary_address())

    def test_this_machine(self) -> None:
        """Here it is an IPv4 address that a socket can be bound to."""
        address = local.primary_address()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            self.assertEqual(address, probe.getsockname()[0])


class ShownAddressTests(SynchronousTestCase):
    """What clients are told of."""

    def test_bind(self) -> None:
        """The one that is listened on; of all of them the one of the way out."""
        self.patch(local, "primary_address", lambda: "192.0.2.77")
        for bind in ("", "0.0.0.0", "::"):
            self.assertEqual("192.0.2.77", local.shown_address(bind))
        self.assertEqual("::1", local.shown_address("::1"))
