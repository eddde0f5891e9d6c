"""Tests for :mod:`rdserver.wire.claimed`."""

from __future__ import annotations

import random
import socket
from ipaddress import IPv6Address

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.claimed import claimed_host

NOBODY = ("0.0.0.0", "::", "::ffff:0.0.0.0", "::127.0.0.1", "::7f00:1", "::c000:201")
NO_ADDRESS = (
    *("", " ", "proxy", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "1.2.3.4:80"),
    *(
        "[::1]",
        "::1::",
        "fe80::1%eth0",
        "fe80::1%a b",
        "1.2.3.4%eth0",
        "1.2.3.4/32",
        "\u0661.2.3.4",
    ),
    *("1" * 20000, ":" * 20000, "fe80::1%" + "x" * 20000),
)


class ClaimedHostTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A host has the one spelling that the rest of the server uses."""
        for said, host in (
            ("192.0.2.1", "192.0.2.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("0:0::1", "::1"),
            ("2001:DB8:0::0:1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:c000:201", "192.0.2.1"),
        ):
            self.assertEqual(host, claimed_host(said), said)

    def test_bytes(self) -> None:
        """Packed it is the same; only four and sixteen bytes are an address."""
        self.assertEqual("192.0.2.1", claimed_host(b"\xc0\0\2\1"))
        self.assertEqual("192.0.2.1", claimed_host(bytes(10) + b"\xff\xff\xc0\0\2\1"))
        self.assertEqual("::1", claimed_host(bytes(15) + b"\1"))
        for size in (0, 1, 3, 5, 15, 17):
            self.assertIsNone(claimed_host(b"1" * size))

    def test_spelling(self) -> None:
        """Any IPv6 address is spelled as the system does it."""
        rng = random.Random(41)
        for _ in range(2000):
            groups = [rng.choice((0, 0, rng.getrandbits(16))) for _ in range(7)]
            text = ":".join(f"{group:x}" for group in (0x2001, *groups))
            packed = IPv6Address(text).packed
            expected = socket.inet_ntop(socket.AF_INET6, packed)
            self.assertEqual([expected] * 2, [claimed_host(text), claimed_host(packed)])

    def test_nobody(self) -> None:
        """Addresses that no machine has are refused: some would count as IPv4."""
        for said in NOBODY:
            self.assertIsNone(claimed_host(said), said)

    def test_no_address(self) -> None:
        """So is what is none, of any length, and a zone with whatever text in it."""
        for said in NO_ADDRESS:
            self.assertIsNone(claimed_host(said), said[:50])
