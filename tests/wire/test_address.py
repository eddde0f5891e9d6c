"""Tests for :mod:`rdserver.wire.address`."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire.address import (
    Address,
    address_bucket,
    decode_address,
    encode_address,
    is_loopback,
    same_host,
    source_host,
    v4_normalise,
)
from tests.vectors import VECTORS


class EncodeTests(SynchronousTestCase):
    def test_vectors(self) -> None:
        """M1 to M16 encode to the listed bytes and decode to the listed address."""
        self.assertEqual(18, len(VECTORS["addr_mangle_encode"]))
        for vector in VECTORS["addr_mangle_encode"]:
            address = Address(vector["addr"], vector["port"])
            encoded = encode_address(address, vector["tm_us"])
            self.assertEqual(vector["hex"], encoded.hex(), vector)
            self.assertEqual(Address(*vector["decoded"]), decode_address(encoded), vector)

    def test_tm_is_cut_to_32_bits(self) -> None:
        """Of a larger clock value only the low 32 bits are mixed in."""
        address = Address("192.0.2.1", 21116)
        self.assertEqual(
            encode_address(address, 0x1E4C7240),
            encode_address(address, 0xABCD_1E4C7240),
        )

    def test_zone_is_not_sent(self) -> None:
        """The zone of a link-local address means nothing to others and is left out."""
        self.assertEqual(
            encode_address(Address("fe80::1", 80), 0),
            encode_address(Address("fe80::1%eth0", 80), 0),
        )


class RoundTripTests(SynchronousTestCase):
    def test_any_ipv4(self) -> None:
        """Any IPv4 address, port and 32 bits come back, in at most 11 bytes."""
        rng = random.Random(31)
        edges = (0, 1, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
        for _ in range(5000):
            ip = rng.choice((rng.getrandbits(32), rng.choice(edges)))
            tm = rng.choice((rng.getrandbits(32), rng.choice(edges)))
            port = rng.choice((rng.getrandbits(16), 0, 1, 0xFFFF))
            address = Address(str(IPv4Address(ip)), port)
            encoded = encode_address(address, tm)
            self.assertEqual(address, decode_address(encoded))
            self.assertEqual(tm, int.from_bytes(encoded, "little") >> 17 & 0xFFFFFFFF)
            self.assertLessEqual(len(encoded), 11)
            self.assertFalse(encoded.endswith(b"\0"))

    def test_any_ipv6(self) -> None:
        """Any IPv6 address comes back in its usual spelling, from 18 bytes."""
        rng = random.Random(32)
        for _ in range(2000):
            # Half of the groups zero, so that the text is shortened here and there.
            groups = [rng.choice((0, rng.getrandbits(16))) for _ in range(8)]
            packed = b"\x20\x01" + b"".join(g.to_bytes(2, "big") for g in groups[1:])
            address = Address(str(IPv6Address(packed)), rng.getrandbits(16))
            encoded = encode_address(address, rng.getrandbits(32))
            self.assertEqual(18, len(encoded))
            self.assertEqual(address, decode_address(encoded))


class DecodeTests(SynchronousTestCase):
    def test_malformed(self) -> None:
        """M17 to M24: crafted bytes wrap round as in the reference."""
        self.assertEqual(8, len(VECTORS["addr_mangle_decode_malformed"]))
        for vector in VECTORS["addr_mangle_decode_malformed"]:
            host, port = decode_address(bytes.fromhex(vector["hex"]))
            expected_host, expected_port = vector["decoded"]
            self.assertEqual(ip_address(expected_host), ip_address(host), vector)
            self.assertEqual(expected_port, port, vector)

    def test_mapped_stays_ipv6(self) -> None:
        """M24: the decoder does not turn a mapped address into IPv4."""
        host, _ = decode_address(bytes(10) + b"\xff\xff\xc0\x00\x02\x01\x34\x12")
        self.assertIn(":", host)

    def test_no_address(self) -> None:
        """An empty string means that there is none, told by port 0."""
        self.assertEqual(Address("0.0.0.0", 0), decode_address(b""))

    def test_every_length(self) -> None:
        """Only 18 bytes are IPv6; other lengths above 16 give [::]:0."""
        for size in range(17, 64):
            address = decode_address(b"\x01" * size)
            if size == 18:
                self.assertEqual("101:101:101:101:101:101:101:101", address.host)
            else:
                self.assertEqual(Address("::", 0), address)

    def test_random_bytes(self) -> None:
        """Whatever the bytes, the result is an address with a port."""
        rng = random.Random(33)
        for _ in range(5000):
            data = rng.randbytes(rng.randrange(24))
            host, port = decode_address(data)
            ip_address(host)
            self.assertIn(port, range(65536))


class TextTests(SynchronousTestCase):
    def test_address_text(self) -> None:
        """IPv6 stands in brackets before its port."""
        self.assertEqual("192.0.2.1:80", str(Address("192.0.2.1", 80)))
        self.assertEqual("[2001:db8::1]:80", str(Address("2001:db8::1", 80)))

    def test_v4_normalise(self) -> None:
        """Mapped and compatible addresses become IPv4 in any spelling; others stay."""
        table = {
            "192.0.2.1": "192.0.2.1",
            "0.0.0.0": "0.0.0.0",
            "::ffff:192.0.2.1": "192.0.2.1",
            "::FFFF:192.0.2.1": "192.0.2.1",
            "::ffff:c000:201": "192.0.2.1",
            "0:0:0:0:0:ffff:c000:201": "192.0.2.1",
            "::ffff:127.0.0.1": "127.0.0.1",
            "::192.0.2.1": "192.0.2.1",
            "::127.0.0.1": "127.0.0.1",
            "::": "0.0.0.0",
            "::2": "0.0.0.2",
            "::1": "::1",
            "::0.0.0.1": "::1",
            "0:0:0:0:0:0:0:1": "::1",
            "::fffe:192.0.2.1": "::fffe:192.0.2.1",
            "::ffff:0:192.0.2.1": "::ffff:0:192.0.2.1",
            "64:ff9b::192.0.2.1": "64:ff9b::192.0.2.1",
            "2001:db8::1": "2001:db8::1",
            "fe80::1%eth0": "fe80::1%eth0",
            "::nonsense": "::nonsense",
            "0nonsense": "0nonsense",
            "": "",
        }
        for host, expected in table.items():
            self.assertEqual(expected, v4_normalise(host), host)

    def test_normalising_twice_changes_nothing(self) -> None:
        """What was normalised is normal."""
        for packed in (bytes(15) + b"\x01", bytes(16), bytes(10) + b"\xff\xff\x7f\0\0\1"):
            once = v4_normalise(str(IPv6Address(packed)))
            self.assertEqual(once, v4_normalise(once))

    def test_source_host(self) -> None:
        """Where nobody can be is None; that mapped addresses are IPv4 is all the rest."""
        for host in ("::", "::2", "::7f00:1", "::127.0.0.1", "::192.0.2.1%2", "::ffff"):
            self.assertIsNone(source_host(host), host)
        table = {"::ffff:127.0.0.1": "127.0.0.1", "::ffff:0.0.0.1": "0.0.0.1"}
        for host in ("192.0.2.1", "::1", "2001:db8::1", "fe80::1%2", "::ffff:0:1.2.3.4"):
            table[host] = host
        for host, expected in table.items():
            self.assertEqual(expected, source_host(host), host)

    def test_is_loopback(self) -> None:
        """All of 127.0.0.0/8 and ::1 are this machine; neighbours are not."""
        for host in ("127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("126.255.255.255", "128.0.0.0", "12.7.0.1", "0.0.0.0", "1::1", ""):
            self.assertFalse(is_loopback(host), host)

    def test_same_host(self) -> None:
        """A host is itself, and every loopback form is every other."""
        self.assertTrue(same_host("192.0.2.1", "192.0.2.1"))
        self.assertTrue(same_host("127.0.0.1", "::1"))
        self.assertTrue(same_host("127.0.0.1", "127.9.9.9"))
        self.assertFalse(same_host("192.0.2.1", "192.0.2.2"))
        self.assertFalse(same_host("192.0.2.1", "127.0.0.1"))

    def test_bucket(self) -> None:
        """IPv4 counts by address, IPv6 by /64: all of a customer's addresses are one."""
        table = {
            "192.0.2.1": "192.0.2.1",
            "2001:db8::": "2001:db8::/64",
            "2001:db8:0:0:1::": "2001:db8::/64",
            "2001:db8::ffff:ffff:ffff:ffff": "2001:db8::/64",
            "2001:db8:0:1::1": "2001:db8:0:1::/64",
            "fe80::1%eth0": "fe80::/64",
            "::1": "::/64",
        }
        for host, expected in table.items():
            self.assertEqual(expected, address_bucket(host), host)
