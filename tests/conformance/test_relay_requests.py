"""Statements 8.9: A asks B to a relay, and B answers with one."""

from __future__ import annotations

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.conformance.world import Message, ServerTests, fresh_id
from tests.integration.client import Controller, Device
from tests.integration.relayed import new_session
from tests.integration.sockets import Stream

RELAY = "127.0.0.1:7"


class RelayRequestTests(ServerTests):
    options = ("-r", RELAY)

    def introduced(self, host: str = "") -> tuple[Controller, Device]:
        """Return an A that has asked for a B with the right key."""
        controller, device = self.controller(host), self.registered()
        self.punched(controller, device)
        device.next_push()
        return controller, device

    def refusal(self, stream: Stream) -> str:
        """Return the reason why A is refused, which must be given."""
        response = self.answer(self.keep(stream)).relay_response
        reason = pb.text(response.refuse_reason)
        self.assertNotEqual("", reason)
        self.assertEqual(pb.RelayResponse(refuse_reason=reason.encode()), response)
        return reason

    def test_101_push(self) -> None:
        """B receives these values, and A's address."""
        controller, device = self.introduced()
        for secure in (True, False):
            session = new_session()
            stream = self.keep(
                controller.request_relay(device.id, session, RELAY, secure=secure)
            )
            push = device.next_push().request_relay
            self.assertEqual(stream.address, decode_address(push.socket_addr))
            self.assertEqual(
                (device.id.encode(), session.encode(), RELAY.encode(), secure),
                (push.id, push.uuid, push.relay_server, push.secure),
            )

    def test_102_rebuilt(self) -> None:
        """B receives nothing else that A set, not even what we do not know."""
        controller, device = self.introduced()
        request = pb.RequestRelay(
            id=device.id.encode(),
            uuid=b"session-102",
            socket_addr=b"forged",
            relay_server=RELAY.encode(),
            licence_key=b"key",
            token=b"token",
            switch_code=b"switch",
            control_permissions=pb.ControlPermissions(permissions=0x5555),
        )
        request.controlled_context.conn_audit_ref = b"audit"
        request.MergeFromString(bytes.fromhex("fa0603616263"))  # field 111
        stream = self.keep(controller.connect())
        stream.send(Message(request_relay=request))
        push = device.next_push().request_relay
        self.assertEqual(stream.address, decode_address(push.socket_addr))
        expected = pb.RequestRelay(
            id=request.id,
            uuid=request.uuid,
            relay_server=request.relay_server,
            socket_addr=push.socket_addr,
        )
        self.assertEqual(expected.SerializeToString(), push.SerializeToString())

    def test_103_answer_without_id(self) -> None:
        """A receives a RelayResponse with empty socket_addr and no pk."""
        controller, device = self.introduced()
        waiting = self.keep(controller.request_relay(device.id, new_session(), RELAY))
        self.keep(device.answer_relay_request(device.next_push().request_relay))
        response = self.answer(waiting).relay_response
        self.assertEqual((b"", b""), (response.socket_addr, response.pk))
        self.assertEqual(b"", response.refuse_reason)
        self.assertEqual(b"1.4.9", response.version)

    def test_104_answer_with_id(self) -> None:
        """A receives the signed IdPk instead of the id; the rest is unchanged."""
        controller, device = self.controller(), self.registered()
        waiting = self.punched(controller, device)
        v6 = bytes.fromhex("20010db8000000000000000000000001901f")
        push = device.next_push().punch_hole
        self.keep(
            device.answer_with_relay(
                push, "relay.example", "session-104", socket_addr_v6=v6
            )
        )
        response = self.answer(waiting).relay_response
        self.assertEqual(device.pk, controller.proven_pk(response.pk, device.id))
        self.assertEqual(
            (b"", b"session-104", b"relay.example", b"1.4.9", v6),
            (
                response.socket_addr,
                response.uuid,
                response.relay_server,
                response.version,
                response.socket_addr_v6,
            ),
        )

    def test_105_unknown_or_offline(self) -> None:
        """A refuse_reason at once."""
        controller = self.controller()
        offline = fresh_id()
        self.put_row(offline)
        for peer_id in (offline, fresh_id()):
            self.failure(controller, peer_id)
            self.refusal(controller.request_relay(peer_id, new_session(), RELAY))

    def test_106_never_asked(self) -> None:
        """A refuse_reason; B is not contacted."""
        controller, device = self.introduced()
        stranger = self.controller()
        self.refusal(stranger.request_relay(device.id, new_session(), RELAY))
        other = self.registered()
        self.refusal(controller.request_relay(other.id, new_session(), RELAY))
        wrong_key = self.controller()
        wrong_key.key = "wrong"
        self.failure(wrong_key, device.id)
        self.refusal(wrong_key.request_relay(device.id, new_session(), RELAY))
        self.assert_not_asked(device)
        self.assert_not_asked(other)

    def test_107_unknown_relay(self) -> None:
        """A refuse_reason, and B is not contacted."""
        controller, device = self.introduced()
        for relay in ("evil.example:21117", "127.0.0.1:8", RELAY + " "):
            self.refusal(controller.request_relay(device.id, new_session(), relay))
        self.assert_not_asked(device)

    def test_107_relay_that_b_named(self) -> None:
        """One that B announced for this pair is known, to this pair alone."""
        controller, device = self.controller(), self.registered()
        waiting = self.punched(controller, device)
        push = device.next_push().punch_hole
        self.keep(device.answer_punch(push, relay_server=b"own.example:5000"))
        self.answer(waiting)
        named = "own.example:5000"
        self.keep(controller.request_relay(device.id, new_session(), named))
        self.assertEqual(named.encode(), device.next_push().request_relay.relay_server)
        other = self.controller()
        self.punched(other, device)
        device.next_push()
        self.refusal(other.request_relay(device.id, new_session(), named))

    def test_108_three_attempts(self) -> None:
        """Each is answered on its own connection."""
        controller, device = self.introduced()
        waiting, pushes = [], []
        for n in range(3):
            session = f"session-108-{n}"
            waiting.append(self.keep(controller.request_relay(device.id, session, RELAY)))
            pushes.append(device.next_push().request_relay)
        for n in (1, 0, 2):
            version = f"1.4.{n}".encode()
            self.keep(device.answer_relay_request(pushes[n], version=version))
            self.assertEqual(version, self.answer(waiting[n]).relay_response.version)


def proposals(test: ServerTests, number: int) -> list[bytes]:
    """Return the relay servers that so many punches propose, one after the other."""
    proposed = []
    for _ in range(number):
        device = test.registered()
        test.punched(test.controller(), device)
        proposed.append(device.next_push().punch_hole.relay_server)
    return proposed


class OneRelayTests(ServerTests):
    options = ("-r", RELAY)

    def test_109_one(self) -> None:
        """relay_server is r1."""
        self.assertEqual([RELAY.encode()] * 3, proposals(self, 3))


class TwoRelaysTests(ServerTests):
    options = ("-r", "127.0.0.1:7,127.0.0.1:9")

    def test_109_two(self) -> None:
        """Round robin."""
        first, second = b"127.0.0.1:7", b"127.0.0.1:9"
        self.assertIn(proposals(self, 4), ([first, second] * 2, [second, first] * 2))


class NoRelayTests(ServerTests):
    def test_109_none(self) -> None:
        """Empty text."""
        self.assertEqual([b"", b""], proposals(self, 2))
