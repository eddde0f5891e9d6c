"""Tests for :mod:`rdserver.wire.foreign`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import pb
from rdserver.wire.foreign import foreign
from rdserver.wire.framing import encode_frame, frame_header

HELLO = bytes.fromhex("1603010200010001fc0303")


def pb_tag(number: int) -> bytes:
    """Return what a field with a message in it begins with."""
    tag = number << 3 | 2
    return bytes((tag,)) if tag < 0x80 else bytes((tag & 0x7F | 0x80, tag >> 7))


class ForeignTests(SynchronousTestCase):
    def test_tls(self) -> None:
        """A ClientHello of any version is TLS."""
        self.assertEqual("TLS", foreign(HELLO))
        self.assertEqual("TLS", foreign(bytes.fromhex("160303007a01")))

    def test_http(self) -> None:
        """A request line is HTTP, and so is the preface of HTTP/2."""
        for line in ("GET / HTTP/1.1", "POST /api/login HTTP/1.1", "PRI * HTTP/2.0"):
            self.assertEqual("HTTP", foreign(line.encode()))

    def test_no_protocol_at_all(self) -> None:
        """What only looks a little like them is neither."""
        for data in (
            b"GET",
            b"GETAWAY",
            b"get / HTTP/1.1",
            b"PRI me",
            b"SSH-2.0-x",
            b"\0" * 9,
        ):
            self.assertEqual("", foreign(data))
        for at, value in ((0, 0x17), (1, 2), (2, 5), (3, 0x32), (5, 2)):
            self.assertEqual("", foreign(HELLO[:at] + bytes([value]) + HELLO[at + 1 :]))

    def test_too_few(self) -> None:
        """Too few bytes say nothing."""
        for data in (b"", HELLO[:5], b"GE"):
            self.assertEqual("", foreign(data))

    def test_frames(self) -> None:
        """No frame that a client may send is taken for anything else."""
        messages = [
            pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()),
            pb.RendezvousMessage(online_request=pb.OnlineRequest(peers=[b"1"] * 5000)),
            pb.RendezvousMessage(request_relay=pb.RequestRelay(uuid=b"u")),
        ]
        for message in messages:
            self.assertEqual("", foreign(encode_frame(pb.encode(message))))

    def test_frames_of_every_length(self) -> None:
        """Nor is one for its length, whatever its kind and the form of its header."""
        fields = pb.RendezvousMessage.DESCRIPTOR.fields
        self.assertEqual(6, min(field.number for field in fields))
        for number in (field.number for field in fields):
            tag = pb_tag(number)
            for size in range(1, 17000, 7):
                payload = tag + b"\x01" * 5
                headers = [
                    (size << 2 | extra).to_bytes(extra + 1, "little")
                    for extra in range(4)
                    if size << 2 < 1 << (8 * extra + 8)
                ]
                for header in headers:
                    self.assertEqual("", foreign(header + payload), (header, number))

    def test_length_of_a_hello(self) -> None:
        """A frame whose header looks like a TLS record begins with a field of ours."""
        for size in (0x010316 >> 2, 0x040316 >> 2):
            header = frame_header(size)
            self.assertEqual(b"\x16\x03", header[:2])
            self.assertEqual("", foreign(header + b"\xba\x01\x01\x01"))
            self.assertEqual("", foreign(header + b"\x32\x01\x01"))
