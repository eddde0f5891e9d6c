"""Statements 8.10: NAT test and online query on P and P-1."""

from __future__ import annotations

from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.conformance.world import Message, ServerTests, fresh_id
from tests.integration.client import nat_test, online
from tests.integration.sockets import Stream, fresh_host


def nat_request(serial: int = 0) -> Message:
    return Message(test_nat_request=pb.TestNatRequest(serial=serial))


def online_request(peers: list[str]) -> Message:
    ids = [peer.encode() for peer in peers]
    return Message(online_request=pb.OnlineRequest(id=b"asker", peers=ids))


class QueryTests(ServerTests):
    def nat_stream(self) -> Stream:
        return self.stream(self.ports.main - 1)

    def test_112_nat_test_on_main_port(self) -> None:
        """TestNatResponse.port is the client's source port, and the connection closes."""
        stream = self.stream()
        stream.send(nat_request())
        response = self.answer(stream).test_nat_response
        self.assertEqual(stream.address.port, response.port)
        self.assertTrue(stream.is_closed())

    def test_113_nat_test_on_nat_port(self) -> None:
        """Likewise, from the same source port."""
        first, second = nat_test(self.ports, fresh_host())
        self.assertEqual(first.port, second.port)
        stream = self.nat_stream()
        stream.send(nat_request())
        self.assertEqual(stream.address.port, self.answer(stream).test_nat_response.port)
        self.assertTrue(stream.is_closed())

    def test_115_nine_ids(self) -> None:
        """The states are ``80 80``."""
        first, last = self.registered(), self.registered()
        peers = [first.id, *(fresh_id() for _ in range(7)), last.id]
        stream = self.nat_stream()
        stream.send(online_request(peers))
        self.assertEqual("8080", self.answer(stream).online_response.states.hex())
        self.assertTrue(stream.is_closed())

    def test_116_no_ids(self) -> None:
        """OnlineResponse with empty states."""
        stream = self.nat_stream()
        stream.send(online_request([]))
        answer = self.answer(stream)
        self.assertEqual("online_response", answer.WhichOneof("union"))
        self.assertEqual(b"", answer.online_response.states)

    def test_117_size_of_states(self) -> None:
        """There are ceil(n/8) bytes, however many ids."""
        for number in (1, 7, 8, 9, 16, 17, 1000, 80_000):
            stream = self.nat_stream()
            stream.send(online_request(["1"] * number))
            states = self.answer(stream).online_response.states
            self.assertEqual((number + 7) // 8, len(states))

    def test_010_over_the_limit(self) -> None:
        """P-1 takes questions of 256 KiB, and closes at the header of a longer one."""
        stream = self.nat_stream()
        stream.send_bytes(encode_frame(bytes(256 * 1024 + 1))[:3])
        self.assertTrue(stream.is_closed())
        stream = self.nat_stream()
        stream.send_bytes(encode_frame(bytes(256 * 1024))[:3])
        self.assertRaises(TimeoutError, stream.receive, 0.2)

    def test_118_only_stored(self) -> None:
        """The bit of an id that only the database knows is 0."""
        stored = fresh_id()
        self.put_row(stored)
        device = self.registered()
        states = online(self.ports, fresh_host(), [stored, device.id, stored])
        self.assertEqual([False, True, False], states)

    def test_121_from_loopback(self) -> None:
        """A NAT test from 127.0.0.1 on P-1 is answered."""
        stream = self.stream(self.ports.main - 1, "127.0.0.1")
        stream.send(nat_request(3))
        self.assertEqual(stream.address.port, self.answer(stream).test_nat_response.port)

    def test_122_second_frame(self) -> None:
        """It is not answered."""
        stream = self.nat_stream()
        stream.send_bytes(encode_frame(pb.encode(nat_request())) * 2)
        self.answer(stream)
        self.assertTrue(stream.is_closed())


class LocalClientTests(ServerTests):
    """With the reference's console on the same port."""

    options = ("--tcp-console",)

    def test_121_beside_the_console(self) -> None:
        """Clients on this machine are told apart from the console."""
        for serial in (0, 3, 127, 300):
            first, second = nat_test(self.ports, "127.0.0.1", serial)
            self.assertEqual(first.port, second.port)
        device = self.registered()
        self.assertEqual([True], online(self.ports, "127.0.0.1", [device.id]))


class SerialTests(ServerTests):
    options = ("-s", "5", "-R", "127.0.0.7")

    def test_114_serial(self) -> None:
        """On P a lower serial is told the list, an equal or higher one is not."""
        for serial, told in ((3, True), (0, True), (5, False), (6, False)):
            response = nat_test(self.ports, fresh_host(), serial)[0]
            self.assertEqual(told, response.HasField("cu"))
            if told:
                self.assertEqual(5, response.cu.serial)
                self.assertEqual([b"127.0.0.7"], list(response.cu.rendezvous_servers))

    def test_113_never_a_list(self) -> None:
        """On P-1 nobody is told the list."""
        self.assertFalse(nat_test(self.ports, fresh_host(), 3)[1].HasField("cu"))
