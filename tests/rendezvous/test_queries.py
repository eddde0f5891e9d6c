"""Tests for :mod:`rdserver.rendezvous.queries`: what comes by datagram."""

from __future__ import annotations

from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import STRANGER, RoomsTests


class DatagramTests(RoomsTests):
    def answers(self, origin: Address, times: int) -> int:
        """Send NAT tests; return how many are answered."""
        sent = [
            self.effects(self.datagram("test_nat_request", {}, origin))
            for _ in range(times)
        ]
        return sum(map(len, sent))

    def test_port(self) -> None:
        """The source hears its port, in seven bytes, never a server list."""
        self.furnish(serial=5, rendezvous_servers=("one.example",))
        [send] = self.effects(self.datagram("test_nat_request", {}, STRANGER))
        self.assertEqual(STRANGER, self.sent(send).to)
        response = pb.TestNatResponse(port=STRANGER.port)
        self.assertEqual(pb.RendezvousMessage(test_nat_response=response), send.message)
        self.assertLessEqual(send.message.ByteSize(), 7)

    def test_only_so_often(self) -> None:
        """200 at once and 100 a second are answered, to one address or IPv6 /64."""
        self.assertEqual(200, self.answers(STRANGER, 300))
        self.clock.advance(1)
        self.assertEqual(100, self.answers(STRANGER, 300))
        self.assertEqual(200, self.answers(Address("2001:db8::1", 1), 300))
        self.assertEqual(0, self.answers(Address("2001:db8::2", 1), 300))
        self.assertEqual(200, self.answers(Address("192.0.2.67", 1), 300))

    def test_forgotten(self) -> None:
        """Addresses that asked are forgotten two seconds later."""
        self.answers(STRANGER, 300)
        self.clock.advance(2)
        self.sweep()
        self.assertEqual(0, len(self.rooms._answers))
