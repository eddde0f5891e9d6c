"""Tests for :mod:`rdserver.wire.foreign`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import pb
from rdserver.wire.foreign import foreign
from rdserver.wire.framing import encode_frame, frame_header

HELLO = bytes.fromhex("1603010200010001fc0303")


class ForeignTests(SynchronousTestCase):
    def test_tls(self) -> None:
        """A ClientHello of any version is TLS."""
        self.assertEqual("TLS", foreign(HELLO))
        self.assertEqual("TLS", foreign(bytes.fromhex("160303007a01")))

    def test_http(self) -> None:
        """A request line is HTTP, and so is the preface of HTTP/2."""
        for line in ("GET / HTTP/1.1", "POST /api/login HTTP/1.1", "PRI * HTTP/2.0"):
            self.assertEqual("HTTP", foreign(line.encode()))

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

    def test_length_of_a_hello(self) -> None:
        """A frame whose header looks like a TLS record begins with a field of ours."""
        for size in (0x010316 >> 2, 0x040316 >> 2):
            header = frame_header(size)
            self.assertEqual(b"\x16\x03", header[:2])
            self.assertEqual("", foreign(header + b"\xba\x01\x01\x01"))
            self.assertEqual("", foreign(header + b"\x32\x01\x01"))
