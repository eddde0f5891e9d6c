"""Two clients meet through a real server, in each of the ways there are."""

from __future__ import annotations

import socket
from unittest import SkipTest

from attrs import evolve

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.integration.case import ProcessTests
from tests.integration.client import Controller, Device, nat_test, online
from tests.integration.relayed import Exchange, join_relay, new_session
from tests.integration.sockets import REPLY_S, Stream, fresh_host

MIB = 1 << 20
TICKET_S = 5.0  # how long the relay gives the ID server to announce a session
SIGNED_ID = b"\x01\x01" + bytes(64)  # what B sends right behind its request


class SessionTests(ProcessTests):
    def setUp(self) -> None:
        super().setUp()
        self.running = self.server().start()
        self.ports = self.running.ports
        self.relay = f"127.0.0.1:{self.ports.relay}"

    def test_whole_story(self) -> None:
        """
        Two devices register; A punches through to B; they relay 100 MB both ways at
        once; the server restarts and knows both at once; they meet again.
        """
        other, device = (self.registered(n) for n in ("111111111", "222222222"))
        controller = Controller(self.ports, self.key(), other.address.host)
        self.punch_through(controller, device)
        self.relay_chosen_by_b(controller, device, 100 * 1000 * 1000)

        self.running.stop()
        self.running.start()

        ids = [other.id, device.id]
        self.assertEqual([False, False], online(self.ports, fresh_host(), ids))
        self.assertEqual([False, False], [other.heartbeat(), device.heartbeat()])
        self.assertEqual([True, True], online(self.ports, fresh_host(), ids))
        self.punch_through(controller, device)
        self.relay_chosen_by_b(controller, device, MIB)

    def test_relay_after_failed_punch(self) -> None:
        """A gets an address, cannot reach it, and asks B to the relay instead."""
        device, controller = self.registered("333333333"), self.controller(self.ports)
        waiting = self.keep(controller.punch(device.id))
        push = device.next_push().punch_hole
        device.answer_punch(push, relay_server=self.relay.encode()).close()
        relay = pb.text(self.message(waiting).punch_hole_response.relay_server)

        session = new_session()
        waiting = self.keep(controller.request_relay(device.id, session, relay))
        request = device.next_push().request_relay
        self.keep(device.answer_relay_request(request))
        b_side = self.join(pb.text(request.uuid), device.address.host, SIGNED_ID)
        self.assertEqual(b"", self.message(waiting).relay_response.refuse_reason)
        a_side = self.join(session, controller.host)
        self.assertEqual(SIGNED_ID, a_side.receive_exactly(len(SIGNED_ID)))
        Exchange(a_side, b_side, 5 * MIB)

    def test_same_network(self) -> None:
        """At one public address A is told where B is in the network they share."""
        device = self.registered("444444444")
        controller = Controller(self.ports, self.key(), device.address.host)
        waiting = self.keep(controller.punch(device.id))
        answered = device.answer_fetch(device.next_push().fetch_local_addr)
        response = self.message(waiting).punch_hole_response
        self.assertTrue(response.is_local)
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
        self.talk_directly(controller, device, answered, response.socket_addr)

    def test_over_ipv6(self) -> None:
        """An A that comes over IPv6 meets a B that is registered over IPv4."""
        ports = evolve(self.ports, host="::1")
        try:
            answers = nat_test(ports, "::1")
        except OSError:
            raise SkipTest("needs IPv6") from None
        self.assertEqual(answers[0].port, answers[1].port)
        other = self.keep(Device(ports, "666666666", "::1")).register()
        device = self.registered("777777777")
        states = online(ports, "::1", [other.id, device.id])
        self.assertEqual([True, True], states)

        controller = Controller(ports, self.key(), "::1")
        waiting = self.keep(controller.punch(device.id))
        push = device.next_push().punch_hole
        self.assertEqual(waiting.address, decode_address(push.socket_addr))
        session = new_session()
        self.keep(device.answer_with_relay(push, self.relay, session))
        b_side = self.join(session, device.address.host)
        self.assertEqual(session, pb.text(self.message(waiting).relay_response.uuid))
        Exchange(self.keep(join_relay(ports, session, "::1")), b_side, MIB)

    def test_queries(self) -> None:
        """Both ports tell a client its port, and who is online."""
        first, second = nat_test(self.ports, fresh_host())
        self.assertEqual(first.port, second.port)
        device = self.registered("555555555")
        states = online(self.ports, fresh_host(), ["000000000", device.id])
        self.assertEqual([False, True], states)

    def test_stranger_at_the_relay(self) -> None:
        """A session that the ID server never announced is not served, without a word."""
        streams = [self.join(session := new_session()), self.join(session)]
        for stream in streams:
            self.assertEqual(b"", stream.receive_exactly(1, TICKET_S + REPLY_S))
        self.assertNotIn(session, self.running.log())

    def test_wrong_key_at_the_relay(self) -> None:
        """Who names a wrong key is refused an announced session too; no key will do."""
        device = self.registered("888888888")
        controller = self.controller(self.ports)
        waiting = self.keep(controller.punch(device.id))
        session = new_session()
        push = device.next_push().punch_hole
        self.keep(device.answer_with_relay(push, self.relay, session))
        self.message(waiting)
        wrong = self.keep(join_relay(self.ports, session, licence_key=b"wrong"))
        self.assertEqual(b"", wrong.receive_exactly(1))
        self.assertIn("Relay authentication failed", self.running.log())
        without = self.keep(join_relay(self.ports, session))
        Exchange(without, self.join(session), MIB)

    def key(self) -> str:
        return (self.folder / "id_ed25519.pub").read_text()

    def registered(self, peer_id: str) -> Device:
        return self.device(self.ports, peer_id).register()

    def message(self, stream: Stream) -> pb.RendezvousMessage:
        message = stream.receive()
        assert message is not None, "closed without an answer"
        return message

    def join(self, session: str, host: str = "", behind: bytes = b"") -> Stream:
        return self.keep(
            join_relay(self.ports, session, host, behind, licence_key=self.key().encode())
        )

    def punch_through(self, controller: Controller, device: Device) -> None:
        """A asks, B answers and listens there, A connects: no relay is needed."""
        waiting = self.keep(controller.punch(device.id))
        push = device.next_push().punch_hole
        self.assertEqual(waiting.address, decode_address(push.socket_addr))
        answered = device.answer_punch(push)
        response = self.message(waiting).punch_hole_response
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
        self.talk_directly(controller, device, answered, response.socket_addr)

    def talk_directly(
        self, controller: Controller, device: Device, answered: Stream, told: bytes
    ) -> None:
        """Connect A to the address it was *told*, where B listens as it does."""
        self.assertTrue(answered.is_closed(), "the server closes B's connection")
        listener = self.keep(device.listen_like(answered))
        host, port = decode_address(told)
        a_side = self.keep(
            socket.create_connection((host, port), REPLY_S, (controller.host, 0))
        )
        b_side = self.keep(listener.accept()[0])
        a_side.sendall(b"hello")
        self.assertEqual(b"hello", b_side.recv(5))

    def relay_chosen_by_b(self, controller: Controller, device: Device, size: int) -> None:
        """B says where to meet, and both send *size* bytes at the same time."""
        waiting = self.keep(controller.punch(device.id, nat_type=pb.SYMMETRIC))
        push = device.next_push().punch_hole
        self.assertEqual(pb.SYMMETRIC, push.nat_type)
        session = new_session()
        self.keep(device.answer_with_relay(push, self.relay, session))
        b_side = self.join(session, device.address.host, SIGNED_ID)
        response = self.message(waiting).relay_response
        self.assertEqual(
            (session, self.relay), (pb.text(response.uuid), pb.text(response.relay_server))
        )
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
        a_side = self.join(session, controller.host)
        self.assertEqual(SIGNED_ID, a_side.receive_exactly(len(SIGNED_ID)))
        Exchange(a_side, b_side, size)


class TwoProcessesTests(ProcessTests):
    def test_roles_apart(self) -> None:
        """ID server and relay as two processes share a data folder, and serve a session."""
        id_server = self.server("--role=id").start()
        ports = id_server.ports
        self.server("--role=relay", ports=ports).start()
        key = (self.folder / "id_ed25519.pub").read_text().encode()
        session = new_session()
        first = self.keep(join_relay(ports, session, licence_key=key))
        Exchange(first, self.keep(join_relay(ports, session, licence_key=key)), MIB)
        stranger = self.keep(join_relay(ports, new_session(), licence_key=b"wrong"))
        self.assertEqual(b"", stranger.receive_exactly(1))
