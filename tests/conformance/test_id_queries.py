"""Statements 8.10, put to the rooms and, where time must pass, to the port."""

from __future__ import annotations

from rdserver.rendezvous.effects import Answer, Close
from rdserver.storage.interface import StoredPeer
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.conformance.doors import DoorTests
from tests.rendezvous.fixture import ALICE, BOB, BOB_ID, PK, UUID, RoomsTests


class NatTestTests(RoomsTests):
    def response(self, port: str, serial: int = 3, origin: Address = ALICE) -> object:
        """Return the answer on P or P-1; it closes the connection."""
        stream = self.stream(origin)
        ask = {"P": self.frame, "P-1": self.nat_frame}[port]
        answer, close = self.effects(ask("test_nat_request", {"serial": serial}, stream))
        assert isinstance(answer, Answer)
        self.assertEqual((stream.id, Close(stream.id)), (answer.stream, close))
        return answer.message.test_nat_response

    def test_112_main_port(self) -> None:
        """The client's source port, and the connection closes."""
        for port in (1, 40000, 65535):
            response = self.response("P", origin=Address("2001:db8::1", port))
            self.assertEqual(pb.TestNatResponse(port=port), response)

    def test_113_nat_port(self) -> None:
        """Likewise, never with a server list."""
        self.furnish(serial=5, rendezvous_servers=("one.example",))
        self.assertEqual(pb.TestNatResponse(port=ALICE.port), self.response("P-1"))

    def test_114_serial(self) -> None:
        """A lower serial is told serial and list, an equal or higher one is not."""
        self.furnish(serial=5, rendezvous_servers=("one.example",))
        update = pb.ConfigUpdate(serial=5, rendezvous_servers=[b"one.example"])
        plain, told = (pb.TestNatResponse(port=40000, cu=cu) for cu in (None, update))
        answers = [self.response("P", serial) for serial in (3, 4, 5, 6)]
        self.assertEqual([told, told, plain, plain], answers)

    def test_121_loopback(self) -> None:
        """A NAT test from this machine is answered like any other."""
        for host in ("127.0.0.1", "::1"):
            response = self.response("P-1", origin=Address(host, 7))
            self.assertEqual(pb.TestNatResponse(port=7), response)


class OnlineTests(RoomsTests):
    def states(self, peers: list[str]) -> str:
        fields = {"id": b"asker", "peers": [peer.encode() for peer in peers]}
        stream = self.stream()
        answer, close = self.effects(self.nat_frame("online_request", fields, stream))
        assert isinstance(answer, Answer)
        self.assertEqual((stream.id, Close(stream.id)), (answer.stream, close))
        self.assertEqual("online_response", answer.message.WhichOneof("union"))
        return answer.message.online_response.states.hex()

    def test_115_nine_ids(self) -> None:
        """Of nine ids the first and the last are online: ``80 80``."""
        self.register()
        self.register("987654321", Address("192.0.2.99", 1))
        others = [f"other-{n}" for n in range(7)]
        self.assertEqual("8080", self.states([BOB_ID, *others, "987654321"]))

    def test_115_each_bit(self) -> None:
        """The first id is the highest bit of the first byte."""
        self.register()
        for position in range(16):
            peers = ["nobody"] * 16
            peers[position] = BOB_ID
            self.assertEqual(f"{0x8000 >> position:04x}", self.states(peers))

    def test_116_no_ids(self) -> None:
        """An OnlineResponse with empty states."""
        self.assertEqual("", self.states([]))

    def test_117_size(self) -> None:
        """Always ceil(n/8) bytes, above the cap of 4096 zero bits."""
        self.register()
        for number in (1, 7, 8, 9, 4095, 4096, 4097, 20_000):
            states = bytes.fromhex(self.states([BOB_ID] * number))
            self.assertEqual((number + 7) // 8, len(states))
            self.assertEqual(min(number, 4096), int.from_bytes(states, "big").bit_count())

    def test_118_only_stored(self) -> None:
        """The bit of an id that only the database knows is 0; it is not even asked."""
        stored = StoredPeer(BOB_ID, bytes(16), UUID, PK, BOB.host)
        self.result_of(self.store.save(stored))
        self.store.asked.clear()
        self.assertEqual("00", self.states([BOB_ID]))
        self.assertEqual([], self.store.asked)


class NatPortTests(DoorTests):
    def test_120_another_message(self) -> None:
        """It is closed without a reply."""
        for member, fields in (
            ("punch_hole_request", {"id": b"123456789"}),
            ("register_pk", {"id": b"123456789", "uuid": b"u", "pk": b"p"}),
            ("request_relay", {"id": b"123456789", "uuid": b"u"}),
        ):
            client = self.connect_nat()
            client.send(member, fields)
            self.assertFalse(client.is_open)
            self.assertEqual([], client.received())

    def test_120_silence(self) -> None:
        """Nothing for 30 s, and it is closed."""
        client = self.connect_nat()
        self.clock.advance(29.9)
        self.assertTrue(client.is_open)
        self.clock.advance(0.1)
        self.assertFalse(client.is_open)

    def test_122_second_frame(self) -> None:
        """It is not answered, be it in the same segment or the next."""
        client = self.connect_nat()
        client.send_bytes(bytes.fromhex("0ca20100") * 2)
        client.send_bytes(bytes.fromhex("0ca20100"))
        self.assertEqual(1, len(client.received()))
        self.assertFalse(client.is_open)
