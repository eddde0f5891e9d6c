"""Statements 8.1, 8.3 and 8.4 as far as they are about bytes alone."""

from __future__ import annotations

import random

from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.keys import KeyPair
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from rdserver.wire.framing import MAX_PAYLOAD_BYTES, FrameDecoder, encode_frame
from tests.vectors import VECTORS, crypto

KIB = 1 << 10
MIB = 1 << 20


class FramingTests(SynchronousTestCase):
    """8.1, the codec."""

    def test_001_empty_payload(self) -> None:
        """The bytes are ``00``."""
        self.assertEqual(b"\x00", encode_frame(b""))

    def test_002_header_lengths(self) -> None:
        """Header lengths are 1, 2, 2, 3, 3, 4, and the bytes those of F3 to F11."""
        table = {
            63: "fc",
            64: "0101",
            16383: "fdff",
            16384: "020001",
            4194303: "feffff",
            4194304: "03000001",
        }
        for size, header in table.items():
            encoded = encode_frame(bytes(size))
            self.assertEqual(header, encoded[:-size].hex())
            self.assertEqual(size + len(header) // 2, len(encoded))

    def test_003_too_long(self) -> None:
        """An error is raised and nothing is written."""

        class Huge(bytes):
            def __len__(self) -> int:
                return MAX_PAYLOAD_BYTES + 1

        self.assertEqual(1073741823, MAX_PAYLOAD_BYTES)
        self.assertRaises(ValueError, encode_frame, Huge())

    def test_004_byte_by_byte(self) -> None:
        """The same payload comes out exactly once."""
        rng = random.Random(4)
        for size in (0, 1, 63, 64, 1000, 16383, 16384, 100_000, MIB):
            payload = rng.randbytes(size)
            decoder = FrameDecoder(MIB)
            frames: list[bytes] = []
            for byte in encode_frame(payload):
                frames += decoder.feed(bytes([byte]))
            self.assertEqual([payload], frames)

    def test_005_two_in_one_segment(self) -> None:
        """Two payloads come out in order."""
        frames = FrameDecoder(100).feed(encode_frame(b"one") + encode_frame(b"two"))
        self.assertEqual([b"one", b"two"], list(frames))

    def test_006_first_header_byte(self) -> None:
        """Nothing is emitted and no byte is lost."""
        decoder = FrameDecoder(100)
        self.assertEqual([], list(decoder.feed(b"\x01")))
        self.assertEqual([bytes(64)], list(decoder.feed(b"\x01" + bytes(64))))

    def test_007_non_minimal_header(self) -> None:
        """It is accepted."""
        self.assertEqual([b""], list(FrameDecoder(100).feed(bytes.fromhex("0100"))))
        hello = bytes.fromhex("1700000068656c6c6f")
        self.assertEqual([b"hello"], list(FrameDecoder(100).feed(hello)))

    def test_008_empty_frames(self) -> None:
        """Two empty payloads and ``41`` come out."""
        frames = FrameDecoder(100).feed(bytes.fromhex("00000441"))
        self.assertEqual([b"", b"", b"A"], list(frames))

    def test_009_lying_header(self) -> None:
        """At most 256 KiB are reserved ahead of data: we reserve nothing."""
        decoder = FrameDecoder(MAX_PAYLOAD_BYTES)
        self.assertEqual([], list(decoder.feed(b"\xff\xff\xff\xff")))
        self.assertLess(decoder._buffer.__sizeof__(), 256 * KIB)

    def test_010_over_the_limit(self) -> None:
        """The stream is refused without its payload being buffered."""
        decoder = FrameDecoder(64 * KIB)
        self.assertRaises(
            ProtocolError, list, decoder.feed(b"\xff\xff\xff\xff" + bytes(99))
        )
        self.assertEqual(b"\xff\xff\xff\xff", decoder.take_rest())

    def test_011_raw_mode_with_bytes_buffered(self) -> None:
        """These 10 bytes are delivered unchanged."""
        decoder = FrameDecoder(100)
        next(decoder.feed(encode_frame(b"last frame") + b"\x00123456789"))
        self.assertEqual(b"\x00123456789", decoder.take_rest())


class AddressTests(SynchronousTestCase):
    """8.3, the disguise."""

    def vectors(self, family: str) -> list[tuple[Address, int, str, Address]]:
        vectors = [
            (Address(v["addr"], v["port"]), v["tm_us"], v["hex"], Address(*v["decoded"]))
            for v in VECTORS["addr_mangle_encode"]
        ]
        return [v for v in vectors if (":" in v[0].host) == (family == "IPv6")]

    def test_029_ipv4_vectors(self) -> None:
        """M1 to M11 encode to the listed bytes for the given tm."""
        self.assertEqual(11, len(self.vectors("IPv4")))
        for address, tm, encoded, decoded in self.vectors("IPv4"):
            self.assertEqual(encoded, encode_address(address, tm).hex(), address)
            self.assertEqual(decoded, decode_address(bytes.fromhex(encoded)))

    def test_030_ipv6_vectors(self) -> None:
        """M12 to M16 encode as listed, mapped and compatible addresses as IPv4."""
        self.assertEqual(7, len(self.vectors("IPv6")))
        for address, tm, encoded, decoded in self.vectors("IPv6"):
            self.assertEqual(encoded, encode_address(address, tm).hex(), address)
            self.assertEqual(decoded, decode_address(bytes.fromhex(encoded)))

    def test_031_round_trip(self) -> None:
        """The same address results, whatever the tm."""
        rng = random.Random(31)
        for _ in range(3000):
            octets = [rng.choice((0, 1, 255, rng.randrange(256))) for _ in range(4)]
            port = rng.choice((0, 1, 65535, rng.randrange(65536)))
            address = Address(".".join(map(str, octets)), port)
            tm = rng.choice((0, 0xFFFF, 0x10000, 0xFFFFFFFF, rng.getrandbits(32)))
            self.assertEqual(address, decode_address(encode_address(address, tm)))

    def test_032_wrong_length(self) -> None:
        """17 or 19 bytes are [::]:0."""
        for size in (17, 19):
            self.assertEqual(Address("::", 0), decode_address(b"\x01" * size))

    def test_033_empty(self) -> None:
        """An empty string is 0.0.0.0:0, treated as no address."""
        self.assertEqual("0.0.0.0:0", str(decode_address(b"")))

    def test_034_malformed(self) -> None:
        """M17 to M20 give the listed results, no exception."""
        for vector in VECTORS["addr_mangle_decode_malformed"][:4]:
            decoded = decode_address(bytes.fromhex(vector["hex"]))
            self.assertEqual(Address(*vector["decoded"]), decoded)

    def test_035_mapped_and_loopback(self) -> None:
        """A mapped address becomes its IPv4 form; ``::1`` takes 18 bytes."""
        self.assertEqual(
            encode_address(Address("192.0.2.1", 80), 7),
            encode_address(Address("::ffff:192.0.2.1", 80), 7),
        )
        self.assertEqual(18, len(encode_address(Address("::1", 80), 7)))


class MessageTests(SynchronousTestCase):
    """8.4, protobuf and signatures."""

    def test_037_samples(self) -> None:
        """All sample encodings of 2.6 parse and re-encode identically."""
        for name, encoded in VECTORS["messages"].items():
            self.assertEqual(
                encoded, pb.encode(pb.decode(bytes.fromhex(encoded))).hex(), name
            )

    def test_038_unknown_fields(self) -> None:
        """The message is parsed and known fields used."""
        unknown = bytes.fromhex("fa0603616263")  # field 111
        inner = bytes.fromhex("0a09313233343536373839") + unknown
        message = pb.decode(unknown + b"\x32" + bytes([len(inner)]) + inner)
        self.assertEqual(b"123456789", message.register_peer.id)

    def test_039_nested_groups(self) -> None:
        """Parsing 300 000 nested unknown groups fails cleanly."""
        begin, end = b"\xa3\x06" * 300_000, b"\xa4\x06" * 300_000
        for data in (begin, begin + end, b"\xa2\x01\x00" + begin + end):
            self.assertRaises(ProtocolError, pb.decode, data)

    def test_040_invalid_utf8(self) -> None:
        """The message is treated as unparsable."""
        for good in (b"\x32\x03\x0a\x01a", b"\x8a\x01\x03\x0a\x01a"):
            pb.decode(good)
            self.assertRaises(ProtocolError, pb.decode, good[:-1] + b"\xff")

    def test_041_signed_id(self) -> None:
        """The 109 bytes match."""
        seed = crypto("server seed")
        pair = KeyPair(seed + bytes(SigningKey(seed).verify_key))
        signed = pair.sign_id_pk("123456789", bytes(range(0x40, 0x60)))
        self.assertEqual(crypto("signed IdPk").hex(), signed.hex())
        self.assertEqual(109, len(signed))
