"""Tests for :mod:`rdserver.wire.proxy_header`."""

from __future__ import annotations

import socket
import struct

from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.wire.address import Address
from rdserver.wire.proxy_header import MAX_BYTES, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(text: str) -> bytes:
    """Return a header of version 1."""
    return f"PROXY {text}\r\n".encode()


def binary(source: Address, *, command: int = 0x21, more: bytes = b"") -> bytes:
    """Return a header of version 2, with *more* behind the addresses."""
    kind = socket.AF_INET6 if ":" in source.host else socket.AF_INET
    hosts = socket.inet_pton(kind, source.host) * 2
    body = hosts + struct.pack("!HH", source.port, 443) + more
    family = 0x21 if kind == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(body)) + body


class ProxyHeaderTests(SynchronousTestCase):
    def assert_source(self, expected: Address | None, header: bytes) -> None:
        """It means *expected*, wherever the network cuts, and nothing is lost."""
        for at in range(len(header)):
            self.assertIsNone(read_proxy_header(header[:at]), at)
        for rest in (b"", b"rest"):
            read = read_proxy_header(header + rest)
            self.assertEqual((expected, rest), (read.source, read.rest))

    def assert_refused(self, header: bytes) -> None:
        self.assertRaises(ProtocolError, read_proxy_header, header)

    def test_line(self) -> None:
        """Version 1, of both families."""
        self.assert_source(
            Address("203.0.113.9", 56324), line("TCP4 203.0.113.9 10.0.0.1 56324 443")
        )
        self.assert_source(
            Address("2001:db8::9", 1), line("TCP6 2001:db8::9 2001:db8:0::1 1 65535")
        )

    def test_binary(self) -> None:
        """Version 2, of both families; what follows the addresses is skipped."""
        for source in (Address("203.0.113.9", 56324), Address("2001:db8::9", 1)):
            self.assert_source(source, binary(source))
            self.assert_source(source, binary(source, more=b"\x04\x00\x01x"))

    def test_longest_line(self) -> None:
        """A line of 107 bytes may be cut anywhere too; one more is too long."""
        text = "UNKNOWN " + " ".join([":".join(["ffff"] * 8)] * 2) + " 65535"
        self.assert_source(None, line(text + " 65535"))
        self.assertEqual(107, len(line(text + " 65535")))
        self.assert_refused(line(text + " 65535 "))

    def test_disguise(self) -> None:
        """IPv4 is never in an IPv6 disguise."""
        header = line("TCP6 ::ffff:203.0.113.9 ::1 5 6")
        self.assert_source(Address("203.0.113.9", 5), header)

    def test_proxy_itself(self) -> None:
        """A proxy may speak for itself, or not know for whom."""
        for header in (
            line("UNKNOWN"),
            line("UNKNOWN ffff::1 ffff::2 1 2"),
            binary(Address("203.0.113.9", 1), command=0x20),
            SIGNATURE + b"\x20\0\0\0",
            SIGNATURE + b"\x21\0\0\0",
            SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
        ):
            self.assert_source(None, header)

    def test_wrong_lines(self) -> None:
        """A line that is none is refused."""
        for text in (
            "",
            "TCP4",
            "TCP5 1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 2 3",
            "TCP4 1.2.3 1.2.3.4 1 2",
            "TCP4 1.2.3.4 proxy 1 2",
            "TCP4 ::1 ::1 1 2",
            "TCP6 1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 65536 2",
            "TCP4 1.2.3.4 1.2.3.4 -1 2",
            "TCP4 1.2.3.4 1.2.3.4 ² 2",
            "TCP4  1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 01 2",
            "TCP4 1.2.3.4 1.2.3.4 1 02",
            "TCP4 1.2.3.4 1.2.3.4 1 2 ",
            "TCP4 1.2.3.4 ::1 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "TCP6 fe80::1%from_1.2.3.4 ::1 1 2",
            "TCP6 ::127.0.0.1 ::1 1 2",
            "TCP6 ::7f00:1 ::1 1 2",
            "TCP4 0.0.0.0 1.2.3.4 1 2",
            "UNKNOWNS",
            "unknown",
            "UDP4 1.2.3.4 1.2.3.4 1 2",
        ):
            self.assert_refused(line(text))

    def test_wrong_binaries(self) -> None:
        """Another version, command or kind of network is refused, and half an address."""
        right = binary(Address("203.0.113.9", 1))
        kinds = (0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41)
        for at, value in ((12, 0x11), (12, 0x22), *((13, kind) for kind in kinds)):
            self.assert_refused(right[:at] + bytes([value]) + right[at + 1 :])
        self.assert_refused(SIGNATURE + b"\x21\x11\0\x08" + bytes(8))
        self.assert_refused(SIGNATURE + b"\x21\x21\0\x23" + b"\x20" * 35)

    def test_nobody(self) -> None:
        """An address that no machine has names no client, least of all this machine."""
        for host in ("::7f00:1", "::", "0.0.0.0"):
            self.assert_refused(binary(Address(host, 1)))

    def test_kind_of_a_local_one(self) -> None:
        """Where a proxy speaks for itself nothing else in its header matters."""
        for kind in (0x00, 0x12, 0x41, 0xFF):
            header = SIGNATURE + bytes((0x20, kind)) + b"\0\x05extra"
            self.assert_source(None, header)

    def test_something_else(self) -> None:
        """What is no header is known at the first byte that is wrong."""
        for data in (b"G", b"\x16\x03", b"PROXX", b"\r\n\r\n\r", b"\0", b"proxy "):
            self.assert_refused(data)

    def test_long(self) -> None:
        """A header that would not end is refused before it is there."""
        self.assert_refused(b"PROXY TCP4 " + b"1" * 100)
        size = struct.pack("!H", MAX_BYTES - 15)
        self.assert_refused(SIGNATURE + b"\x21\x11" + size)

    def test_second_opinion(self) -> None:
        """Twisted's parsers read the same where they read anything."""
        for source in (Address("203.0.113.9", 56324), Address("2001:db8::9", 1)):
            kind = "TCP6" if ":" in source.host else "TCP4"
            text = line(f"{kind} {source.host} {source.host} {source.port} 443")
            for parser, header in ((V1Parser(), text), (V2Parser(), binary(source))):
                info, rest = parser.feed(header + b"rest")
                ours = read_proxy_header(header + b"rest")
                self.assertEqual((source, rest), (ours.source, ours.rest))
                self.assertEqual(source.port, info.source.port)
