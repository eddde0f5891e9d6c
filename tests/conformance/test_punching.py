"""Statements 8.8, those of 8.1 about connections, and 42 to 44: TCP P."""

from __future__ import annotations

from base64 import b64encode

from nacl.signing import SigningKey

from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from rdserver.wire.framing import encode_frame
from tests.conformance.world import Message, ServerTests, fresh_id, own_address
from tests.integration.client import VERSION, Device
from tests.integration.process import Ports
from tests.integration.sockets import Stream, fresh_host

NAT_TEST = encode_frame(bytes.fromhex("a20100"))


class StreamTests(ServerTests):
    """8.1 and 8.8: what a connection to P may and may not say."""

    def test_013_http(self) -> None:
        """The connection is closed without a reply; ours at once."""
        stream = self.stream()
        stream.send_bytes(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self.assertTrue(stream.is_closed())

    def test_014_partial_frame(self) -> None:
        """The connection ends without a handled message."""
        for end in range(1, len(NAT_TEST)):
            stream = self.stream()
            stream.send_bytes(NAT_TEST[:end])
            stream.socket.shutdown(1)
            self.assertTrue(stream.is_closed())

    def test_010_over_the_limit(self) -> None:
        """The connection is closed on the header, without the payload being waited for."""
        stream = self.stream()
        stream.send_bytes(encode_frame(bytes(64 * 1024 + 1))[:3])
        self.assertTrue(stream.is_closed())

    def test_088_closed_when_handled(self) -> None:
        """The sender's connection is closed by the server."""
        address = encode_address(Address("192.0.2.1", 7), 7)
        for message in (
            Message(punch_hole_sent=pb.PunchHoleSent(socket_addr=address, id=b"123456")),
            Message(local_addr=pb.LocalAddr(socket_addr=address, id=b"123456")),
            Message(relay_response=pb.RelayResponse(socket_addr=address)),
        ):
            stream = self.stream()
            stream.send(message)
            self.assertTrue(stream.is_closed(), message)
        stream = self.stream()
        stream.send_bytes(NAT_TEST)
        self.answer(stream)
        self.assertTrue(stream.is_closed())

    def test_089_unparsable(self) -> None:
        """An unparsable or unknown frame closes a fresh stream."""
        for frame in (
            b"",
            b"\xff\xff",
            b"not a message",
            bytes.fromhex("2a0178"),  # member 5, which does not exist
            pb.encode(Message(online_response=pb.OnlineResponse())),
            pb.encode(Message(punch_hole=pb.PunchHole())),
        ):
            stream = self.stream()
            stream.send_bytes(encode_frame(frame))
            self.assertTrue(stream.is_closed(), frame)


class RefusalTests(ServerTests):
    def test_075_wrong_key(self) -> None:
        """LICENSE_MISMATCH whether or not the id exists, and a line for fail2ban."""
        device = self.registered()
        for peer_id in (device.id, fresh_id()):
            controller = self.controller()
            for key in ("", "wrong", self.key[:-1], self.key + "="):
                controller.key = key
                self.assertEqual("LICENSE_MISMATCH", self.failure(controller, peer_id))
            self.assertTrue(
                self.logged(f"Authentication failed from {controller.host}:"), peer_id
            )
            self.assertTrue(self.logged(f"for peer {peer_id} - invalid key"))
        self.assert_not_asked(device)

    def test_077_unknown_id(self) -> None:
        """ID_NOT_EXIST, encoded ``5a00``."""
        stream = self.keep(self.controller().punch(fresh_id()))
        self.assertEqual(bytes.fromhex("5a00"), stream.receive_frame())

    def test_078_offline(self) -> None:
        """OFFLINE for a device that only the database knows."""
        peer_id = fresh_id()
        self.put_row(peer_id)
        for _ in range(2):  # the second time it is in memory
            self.assertEqual("OFFLINE", self.failure(self.controller(), peer_id))


class PunchTests(ServerTests):
    """8.8, A and B at different addresses."""

    def test_079_push(self) -> None:
        """B gets A's address, nat_type and a relay server; A gets nothing yet."""
        for nat_type in (pb.UNKNOWN_NAT, pb.ASYMMETRIC, pb.SYMMETRIC):
            device = self.registered()
            stream = self.punched(self.controller(), device, nat_type=nat_type)
            push = device.next_push().punch_hole
            self.assertEqual(stream.address, decode_address(push.socket_addr))
            self.assertEqual((nat_type, b""), (push.nat_type, push.relay_server))
            self.assert_waits(stream)

    def test_082_punch_hole_sent(self) -> None:
        """A gets B's TCP source, the signed pk, and relay_server and nat_type as given."""
        device, controller = self.registered(), self.controller()
        for nat_type in (pb.UNKNOWN_NAT, pb.ASYMMETRIC, pb.SYMMETRIC):
            waiting = self.punched(controller, device)
            push = device.next_push().punch_hole
            sent = self.keep(
                device.answer_punch(push, nat_type=nat_type, relay_server=b"relay.example")
            )
            response = self.answer(waiting).punch_hole_response
            self.assertEqual(sent.address, decode_address(response.socket_addr))
            self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
            self.assertEqual(b"relay.example", response.relay_server)
            self.assertEqual("nat_type", response.WhichOneof("union"))
            self.assertEqual(nat_type, response.nat_type)
            self.assertFalse(response.is_udp)

    def test_084_second_answer(self) -> None:
        """A gets nothing more."""
        device = self.registered()
        waiting = self.punched(self.controller(), device)
        push = device.next_push().punch_hole
        for _ in range(2):
            self.assertTrue(device.answer_punch(push).is_closed())
        self.answer(waiting)
        self.assert_waits(waiting)

    def test_085_repeated(self) -> None:
        """B is notified each time, and the first answer reaches A."""
        device, controller = self.registered(), self.controller()
        waiting = self.punched(controller, device)
        controller.punch(device.id, waiting)
        controller.punch(device.id, waiting)
        pushes = [device.next_push().punch_hole for _ in range(3)]
        self.assertEqual(
            [waiting.address] * 3, [decode_address(push.socket_addr) for push in pushes]
        )
        self.keep(device.answer_punch(pushes[-1]))
        self.assertNotEqual(b"", self.answer(waiting).punch_hole_response.socket_addr)

    def test_086_gone(self) -> None:
        """B's answer is dropped without error."""
        device = self.registered()
        waiting = self.punched(self.controller(), device)
        push = device.next_push().punch_hole
        waiting.close()
        self.assertTrue(device.answer_punch(push).is_closed())
        self.assertFalse(device.heartbeat())
        self.assertNotIn("Traceback", self.server.log())

    def test_097_forged(self) -> None:
        """An answer with the wrong id or the wrong cookie is ignored; A still waits."""
        device, stranger = self.registered(), self.registered()
        waiting = self.punched(self.controller(), device)
        push = device.next_push().punch_hole
        guess = encode_address(decode_address(push.socket_addr), 12345)
        for forged in (
            device.answer_punch(push, id=stranger.id.encode()),
            device.answer_punch(push, id=b""),
            stranger.answer_punch(push),
            device.answer_punch(push, socket_addr=guess),
            device.answer_punch(push, socket_addr=b""),
        ):
            self.assertTrue(forged.is_closed())
        sent = self.keep(device.answer_punch(push))
        response = self.answer(waiting).punch_hole_response
        self.assertEqual(sent.address, decode_address(response.socket_addr))

    def test_042_ancient_device(self) -> None:
        """Of a B that tells no version the pk is empty."""
        device = self.registered()
        waiting = self.punched(self.controller(), device)
        self.keep(device.answer_punch(device.next_push().punch_hole, version=b""))
        self.assertEqual(b"", self.answer(waiting).punch_hole_response.pk)


class SameAddressTests(ServerTests):
    """8.8, A and B at one address."""

    def test_080_fetch_local_addr(self) -> None:
        """B gets FetchLocalAddr instead."""
        device = self.registered()
        waiting = self.punched(self.controller(device.address.host), device)
        push = device.next_push()
        self.assertEqual("fetch_local_addr", push.WhichOneof("union"))
        address = decode_address(push.fetch_local_addr.socket_addr)
        self.assertEqual(waiting.address, address)

    def test_083_local_addr(self) -> None:
        """A gets the local address as given, and is_local."""
        device = self.registered()
        controller = self.controller(device.address.host)
        waiting = self.punched(controller, device)
        push = device.next_push().fetch_local_addr
        local = encode_address(Address("192.168.1.7", 4711), 99)
        self.keep(device.answer_fetch(push, local_addr=local, relay_server=b"r.example"))
        response = self.answer(waiting).punch_hole_response
        self.assertEqual(local, response.socket_addr)
        self.assertTrue(response.is_local)
        self.assertEqual(b"r.example", response.relay_server)
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))

    def test_097_forged_local_addr(self) -> None:
        """From another address, or with another id, it is ignored; A still waits."""
        device = self.registered()
        host = own_address()  # all of loopback is one host to the server
        elsewhere = Ports(self.ports.main, self.ports.relay, host)
        stranger = self.keep(Device(elsewhere, device.id, host))
        waiting = self.punched(self.controller(device.address.host), device)
        push = device.next_push().fetch_local_addr
        self.assertTrue(stranger.answer_fetch(push).is_closed())
        self.assertTrue(device.answer_fetch(push, id=fresh_id().encode()).is_closed())
        sent = self.keep(device.answer_fetch(push))
        response = self.answer(waiting).punch_hole_response
        self.assertEqual(sent.address, decode_address(response.socket_addr))


class MaskTests(ServerTests):
    """8.8, a LAN shared with the server."""

    options = ("--mask=127.40.0.0/16", "--local-ip=127.40.0.9", "-r", "127.0.0.1:7")

    def test_091_both_inside(self) -> None:
        """FetchLocalAddr, though the addresses differ."""
        device = self.registered("127.40.1.1")
        self.punched(self.controller("127.40.1.2"), device)
        self.assertEqual("fetch_local_addr", device.next_push().WhichOneof("union"))

    def test_092_b_inside(self) -> None:
        """PunchHole SYMMETRIC, and the relay server is local-ip."""
        device = self.registered("127.40.2.1")
        self.punched(self.controller(), device)
        push = device.next_push().punch_hole
        self.assertEqual((pb.SYMMETRIC, b"127.40.0.9"), (push.nat_type, push.relay_server))

    def test_093_a_inside(self) -> None:
        """PunchHole SYMMETRIC with the normal relay; towards A it becomes local-ip."""
        device = self.registered()
        waiting = self.punched(self.controller("127.40.3.1"), device)
        push = device.next_push().punch_hole
        self.assertEqual((pb.SYMMETRIC, b"127.0.0.1:7"), (push.nat_type, push.relay_server))
        self.keep(device.answer_with_relay(push, "127.0.0.1:7", "session-93"))
        self.assertEqual(b"127.40.0.9", self.answer(waiting).relay_response.relay_server)


class AlwaysRelayTests(ServerTests):
    extra = {"ALWAYS_USE_RELAY": "Y"}

    def test_094_different_addresses(self) -> None:
        """PunchHole with SYMMETRIC."""
        device = self.registered()
        self.punched(self.controller(), device)
        self.assertEqual(pb.SYMMETRIC, device.next_push().punch_hole.nat_type)

    def test_095_equal_addresses(self) -> None:
        """PunchHole SYMMETRIC with force_relay, never FetchLocalAddr."""
        device = self.registered()
        self.punched(self.controller(device.address.host), device)
        push = device.next_push()
        self.assertEqual("punch_hole", push.WhichOneof("union"))
        self.assertEqual(pb.SYMMETRIC, push.punch_hole.nat_type)
        self.assertTrue(push.punch_hole.force_relay)


class NoKeyTests(ServerTests):
    options = ("-k", "")

    def test_076_any_key(self) -> None:
        """Any licence_key is accepted."""
        device = self.registered()
        for key in (b"", b"anything", b"\xc3\xa9"):
            self.punched(self.controller(), device, licence_key=key)
            self.assertEqual("punch_hole", device.next_push().WhichOneof("union"))

    def test_175_answers_are_signed(self) -> None:
        """There is no key check, but answers carry a signed IdPk."""
        device, controller = self.registered(), self.controller()
        waiting = self.punched(controller, device, licence_key=b"")
        self.keep(device.answer_punch(device.next_push().punch_hole))
        response = self.answer(waiting).punch_hole_response
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))


class LiteralKeyTests(ServerTests):
    options = ("-k", "a-secret-word")

    def test_043_no_secret_key(self) -> None:
        """The pk towards A is empty."""
        device = self.registered()
        waiting = self.asked(device.id)
        self.keep(device.answer_punch(device.next_push().punch_hole))
        response = self.answer(waiting).punch_hole_response
        self.assertNotEqual(b"", response.socket_addr)
        self.assertEqual(b"", response.pk)

    def asked(self, peer_id: str) -> Stream:
        request = pb.PunchHoleRequest(
            id=peer_id.encode(), licence_key=b"a-secret-word", version=VERSION
        )
        stream = self.stream(host=fresh_host())
        stream.send(Message(punch_hole_request=request))
        return stream


PAIR = SigningKey(bytes(range(32)))


class GivenKeyTests(ServerTests):
    options = ("-k", b64encode(bytes(PAIR) + bytes(PAIR.verify_key)).decode())

    def test_044_key_from_setting(self) -> None:
        """The required key is base64 of the last 32 bytes, and IdPk is signed with it."""
        device = self.registered()
        controller = self.controller()
        waiting = self.punched(controller, device)
        self.keep(device.answer_punch(device.next_push().punch_hole))
        response = self.answer(waiting).punch_hole_response
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
        controller.key = self.options[1]
        self.assertEqual("LICENSE_MISMATCH", self.failure(controller, device.id))

    @property
    def key(self) -> str:
        return b64encode(bytes(PAIR.verify_key)).decode()
