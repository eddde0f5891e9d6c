"""Statements 222 to 234: access policies, HealthCheck, ids, enrolment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from attrs import evolve, field, mutable
from twisted.internet.defer import Deferred

from rdserver.rendezvous.access import AccessRequest, Decision, Door, Verdict
from rdserver.rendezvous.effects import Answer, Close, Stream
from rdserver.rendezvous.http_proxying import ApiError, ApiResponse
from rdserver.rendezvous.stream_state import HEARTBEAT_S
from rdserver.rendezvous.switch_grants import ATTEMPT_S, verifier_of
from rdserver.transports import api_client
from rdserver.transports.long_frames import LongFrames
from rdserver.wire import pb
from tests.conformance.doors import Browser, Client, DoorTests
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    KEY,
    PK,
    STRANGER,
    UUID,
    kind,
    result_name,
)
from tests.rendezvous.test_http_proxying import FakeApi

ID = BOB_ID.encode()
PUNCH = {"id": ID, "licence_key": KEY.encode()}
FILE_OFF, CAMERA_ON = 1 << 2 * 3, 2 << 2 * 5


@mutable
class Policy:
    """
    An access policy of the tests' own.

    :ivar rule: decides.
    :ivar asked: every request that it was asked.
    :ivar records: the audit references that it gave out.
    """

    rule: Callable[[AccessRequest], Verdict] = lambda _request: Verdict()
    is_open: bool = False
    asked: list[AccessRequest] = field(factory=list)
    records: list[str] = field(factory=list)

    def decide(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        verdict = self.rule(request)
        if verdict.audit_ref:
            self.records.append(verdict.audit_ref)
        return verdict


class SlowPolicy(Policy):
    """The same, but each answer must be waited for."""

    def decide(self, request: AccessRequest) -> Coroutine[Any, Any, Verdict]:
        decided = super().decide(request)
        assert isinstance(decided, Verdict)

        async def wait() -> Verdict:
            return decided

        return wait()


def refuse(*doors: Door) -> Callable[[AccessRequest], Verdict]:
    """Return a rule that refuses at these doors."""
    refused, allowed = Verdict(refusal="Ask the helpdesk"), Verdict()
    return lambda request: refused if request.door in doors else allowed


class UnderPolicy(DoorTests):
    """Base: a server with a policy."""

    grace_s = 0.15
    make_policy: Callable[..., Policy] = Policy

    def under(self, rule: Callable[[AccessRequest], Verdict]) -> None:
        """Start a server with this rule, and B on it."""
        self.policy = type(self).make_policy(rule)
        self.furnish(access=self.policy)
        self.register()


class PolicyTests(UnderPolicy):
    """What comes of a policy's verdicts."""

    def test_222_punch(self) -> None:
        """A denial at the punch is told in other_failure; B hears nothing."""
        self.under(refuse(Door.PUNCH))
        stream = self.stream()
        response = self.refusal(self.punch(stream), stream)
        self.assertEqual(
            (b"Ask the helpdesk", b""), (response.other_failure, response.socket_addr)
        )
        [asked] = self.policy.asked
        self.assertEqual((ALICE.host, BOB_ID), (asked.host, asked.peer_id))

    def test_222_before_anything_is_told(self) -> None:
        """Who may not reach a device does not learn whether it is there."""
        self.under(refuse(Door.PUNCH))
        answers = []
        for peer_id in (BOB_ID, "nobody-at-all"):
            stream = self.stream()
            answers.append(self.refusal(self.punch(stream, peer_id), stream))
        self.assertEqual(*answers)

    def test_222_what_is_asked(self) -> None:
        """The policy hears the kind of session, the token and the switch code."""
        self.under(lambda _request: Verdict())
        fields = {
            "token": b"secret",
            "switch_code": b"code",
            "conn_type": pb.PunchHoleRequest.DESCRIPTOR.fields_by_name["conn_type"]
            .enum_type.values_by_name["FILE_TRANSFER"]
            .number,
        }
        hole = self.asked(self.stream(), **fields)
        [asked] = self.policy.asked
        self.assertEqual(
            AccessRequest(
                door=Door.PUNCH,
                host=ALICE.host,
                peer_id=BOB_ID,
                conn_type=1,
                token="secret",
                switch_code="code",
            ),
            asked,
        )
        self.assertNotIn(b"secret", pb.encode(pb.RendezvousMessage(punch_hole=hole)))

    def test_223_relay(self) -> None:
        """A denial at the relay request is told; no session is announced."""
        self.under(refuse(Door.RELAY))
        self.asked(self.stream())
        stream = self.stream(ALICE._replace(port=40001))
        response = self.refusal(self.ask_relay(stream), stream)
        self.assertEqual(b"Ask the helpdesk", response.refuse_reason)
        self.assertEqual([], self.announced)

    def test_223_ticket(self) -> None:
        """A relay that B chose is refused as well: A is told, the relay is not."""
        self.under(refuse(Door.TICKET))
        alice, sender = self.stream(), self.stream(BOB_TCP)
        hole = self.asked(alice)
        effects = self.relay_response(
            sender, socket_addr=hole.socket_addr, id=ID, uuid=b"s", relay_server=b"r"
        )
        response = self.answer(effects, alice, sender)
        self.assertEqual(b"Ask the helpdesk", response.other_failure)
        self.assertEqual([], self.announced)

    def test_223_online(self) -> None:
        """A device that may not be reached is shown as offline."""
        self.under(refuse(Door.ONLINE))
        self.assertFalse(self.is_online())
        self.under(refuse())
        self.assertTrue(self.is_online())
        self.assertEqual({Door.ONLINE}, {asked.door for asked in self.policy.asked})

    def pushes(self) -> list[Any]:
        """Return what B is pushed when it is punched, fetched and asked to a relay."""
        near = self.stream(BOB_TCP)
        return [
            self.asked(self.stream()),
            self.pushed(self.punch(near), "fetch_local_addr"),
            self.pushed(
                self.ask_relay(self.stream(ALICE._replace(port=40002))), "request_relay"
            ),
        ]

    def test_224_permissions(self) -> None:
        """All that B is pushed carries the policy's permissions, and none without it."""
        word = FILE_OFF | CAMERA_ON
        self.under(lambda _request: Verdict(permissions=word))
        found = [push.control_permissions.permissions for push in self.pushes()]
        self.assertEqual([word] * 3, found)
        self.under(lambda _request: Verdict())
        pushes = self.pushes()
        self.assertFalse(any(push.HasField("control_permissions") for push in pushes))

    def test_225_audit(self) -> None:
        """The reference in what B is pushed is the one in the policy's own record."""
        self.under(lambda request: Verdict(audit_ref=f"audit of {request.door.name}"))
        found = [push.controlled_context.conn_audit_ref.decode() for push in self.pushes()]
        self.assertEqual(self.policy.records, found)
        self.assertEqual(3, len(found))

    def test_226_feedback(self) -> None:
        """Feedback is 1 in all answers to A where the policy wants it, else 0."""
        for feedback in (1, 0):
            self.under(lambda _request, wanted=feedback: Verdict(feedback=wanted))
            found = []
            for n, answer in enumerate((self.hole, self.local, self.relay_response)):
                host = BOB.host if answer == self.local else ALICE.host
                alice = self.stream(ALICE._replace(host=host, port=41000 + n))
                sender = self.stream(BOB_TCP)
                [push] = self.punch(alice)
                disguise = getattr(push.message, kind(push)).socket_addr
                effects = (
                    self.relay_response(sender, socket_addr=disguise, id=ID)
                    if answer == self.relay_response
                    else answer(disguise, sender)
                )
                found.append(self.answer(effects, alice, sender).feedback)
            self.assertEqual([feedback] * 3, found)

    def test_227_health_check(self) -> None:
        """With a valid token the connection stays, with heartbeats; else it is closed."""
        self.under(lambda request: Verdict(refusal="" if request.token == "good" else "no"))
        for connect in (self.secured, self.browser):
            line = connect()
            line.send("hc", {"token": b"good"})
            for _ in range(10):
                self.clock.advance(HEARTBEAT_S)
                self.assertEqual([b""], line.frames())
                self.echo(line)
            self.assertTrue(line.is_open)
            line.send("punch_hole_request", PUNCH)  # it does nothing there
            self.assertEqual([], line.received())
        bad = self.secured()
        bad.send("hc", {"token": b"bad"})
        self.assertEqual((False, []), (bad.is_open, bad.frames()))

    def echo(self, line: Client | Browser) -> None:
        """Answer a heartbeat."""
        if isinstance(line, Browser):
            line.client.say(b"")
        else:
            line.send_frame(b"")


class SlowPolicyTests(PolicyTests):
    """The same where each verdict must be waited for."""

    make_policy = SlowPolicy


class NoPolicyTests(DoorTests):
    def test_227_no_users(self) -> None:
        """A server that knows no users closes every HealthCheck."""
        client = self.connect()
        client.send("hc", {"token": b"any"})
        self.assertFalse(client.is_open)


class IdTests(DoorTests):
    """8.17: another id, and who may join."""

    def setUp(self) -> None:
        super().setUp()
        self.register()

    def change(self, new_id: bytes, uuid: bytes = UUID, old_id: bytes = ID) -> str:
        """Ask for another id on a connection of its own; return the result."""
        client = self.connect(*BOB_TCP)
        client.send("register_pk", {"id": new_id, "uuid": uuid, "old_id": old_id})
        [answer] = client.received()
        self.assertFalse(client.is_open)
        return pb.RegisterPkResponse.Result.Name(answer.register_pk_response.result)

    def test_228_changed(self) -> None:
        """A free, well-formed id is given to the same row."""
        before = self.stored()
        self.assertEqual("OK", self.change(b"my-laptop"))
        assert before is not None
        self.assertEqual(evolve(before, id="my-laptop"), self.stored("my-laptop"))

    def test_229_exists(self) -> None:
        """An id of another machine exists."""
        self.register("my-laptop", uuid=b"another", origin=STRANGER)
        self.assertEqual("ID_EXISTS", self.change(b"my-laptop"))

    def test_230_format(self) -> None:
        """Ids of other forms are invalid."""
        for wrong in (
            b"1abcdef",
            b"abc",
            b"a" * 17,
            "läptop-x".encode(),
            b"my laptop",
            b"",
        ):
            self.assertEqual("INVALID_ID_FORMAT", self.change(wrong), wrong)
        self.assertEqual("OK", self.change(b"a" * 16))

    def test_231_foreign(self) -> None:
        """With another machine's uuid nothing changes."""
        self.assertEqual("UUID_MISMATCH", self.change(b"my-laptop", uuid=b"thief"))
        self.assertIsNone(self.stored("my-laptop"))
        self.assertIsNotNone(self.stored())

    def test_232_afterwards(self) -> None:
        """The device registers with its new id; the old one does not exist."""
        self.change(b"my-laptop")
        self.assertEqual("OK", self.register("my-laptop"))
        stream = self.stream()
        response = self.refusal(self.punch(stream), stream)
        self.assertEqual(pb.PunchHoleResponse.ID_NOT_EXIST, response.failure)
        self.assertTrue(self.punch(self.stream(), "my-laptop"))

    def test_233_deployment(self) -> None:
        """An unknown device is not deployed by UDP and streams; once approved it is OK."""
        self.furnish(needs_approval=True)
        line = self.connect(*BOB_TCP)
        fields = {"id": ID, "uuid": UUID, "pk": PK}
        line.send("register_pk", fields)
        [answer] = line.received()
        self.assertEqual(
            pb.RegisterPkResponse.NOT_DEPLOYED, answer.register_pk_response.result
        )
        self.assertEqual("NOT_DEPLOYED", self.register())
        self.console(f"approve {BOB_ID}")
        line.send("register_pk", fields)
        [answer] = line.received()
        self.assertEqual(pb.RegisterPkResponse.OK, answer.register_pk_response.result)
        line.leave()
        self.assertEqual("OK", self.register())

    def test_234_unlisted(self) -> None:
        """A device that asks for that is reachable, and not stored."""
        other = b"unlisted-1"
        fields = {"id": other, "uuid": UUID, "pk": PK, "no_register_device": True}
        effects = self.effects(self.datagram("register_pk", fields, BOB))
        self.assertEqual("OK", result_name(effects))
        self.assertIsNone(self.stored(other.decode()))
        [push] = self.punch(self.stream(), other.decode())
        self.assertFalse(isinstance(push, Answer))


class ApiTests(DoorTests):
    """8.17: requests for the HTTP API."""

    grace_s = 0.15
    GOOD: ClassVar[dict[str, bytes]] = {"method": b"POST", "path": b"/api/x"}

    def setUp(self) -> None:
        self.api = FakeApi()
        self.furnish(api=self.api)

    def answered(self, client: Client, **fields: Any) -> Any:
        """Return the only answer to a request, behind which the connection is closed."""
        client.send("http_proxy_request", {**self.GOOD, **fields})
        for answer in self.api.answers:
            answer.callback(ApiResponse(418, ((b"A", b"b"),), b"body"))
        [response] = client.received()
        self.assertFalse(client.is_open)
        return response.http_proxy_response

    def test_235_answered(self) -> None:
        """On an encrypted connection one answer comes, with what the API said."""
        response = self.answered(self.secured())
        header = response.headers[0]
        self.assertEqual(
            (418, b"body", b"A", b"b", b""),
            (response.status, response.body, header.name, header.value, response.error),
        )

    def test_236_api_down(self) -> None:
        """Without an answer of the API there is an error, within 30 s."""
        client = self.secured()
        client.send("http_proxy_request", self.GOOD)
        self.assertLess(api_client.TOTAL_S, 30)
        self.clock.advance(api_client.TOTAL_S)
        self.api.answers[0].errback(ApiError("no answer"))
        [response] = client.received()
        self.assertEqual(502, response.http_proxy_response.status)
        self.assertTrue(response.http_proxy_response.error)

    def test_237_elsewhere(self) -> None:
        """Other paths and absolute URLs are an error; nothing is asked."""
        for path in (b"/", b"/admin", b"http://192.0.2.1/api/x", b"/api/../x"):
            self.assertTrue(self.answered(self.secured(), path=path).error)
        self.assertEqual([], self.api.asked)

    def test_238_plain_text(self) -> None:
        """In plain text it is an error; nothing is asked."""
        self.assertTrue(self.answered(self.connect()).error)
        self.assertEqual([], self.api.asked)


class LongTests(DoorTests):
    """Frames and answers that are longer than others, and what they may take."""

    grace_s = 0.15

    def setUp(self) -> None:
        self.long_frames = LongFrames(64, 1, 1 << 20)
        self.api = FakeApi()
        self.furnish(api=self.api)

    def test_235_unread_answers(self) -> None:
        """Of one address so many long answers may wait for clients that do not read."""
        slow, other = self.secured(), self.secured(port=40001)
        for client in (slow, other):
            client.send("http_proxy_request", ApiTests.GOOD)
            client.stop_reading()
        for answer in self.api.answers:
            answer.callback(ApiResponse(200, (), bytes(1 << 21)))
        self.assertTrue(slow._tcp.buffered_bytes() > 1 << 21)
        self.assertEqual(0, other._tcp.buffered_bytes())
        self.clock.advance(30)
        self.assertFalse(slow.is_open)
        self.assertEqual(0, len(self.long_frames))

    def test_235_kept(self) -> None:
        """A device that registered brings no long frames, and keeps no place."""
        line = self.secured(*BOB_TCP)
        self.assertTrue(self.long_frames.hold(1, BOB_TCP.host))  # as if it had, before
        line.send("register_pk", {"id": ID, "uuid": UUID, "pk": PK})
        line.received()
        self.assertEqual(0, len(self.long_frames))
        line.send_frame(bytes(100_000))
        self.assertFalse(line.is_open)


class SwitchTests(UnderPolicy):
    """8.17: B has invited A to be controlled by it in turn."""

    def test_239_switch(self) -> None:
        """A grant lets one attempt past the policy: punches, and the relay behind them."""
        self.under(refuse(*Door))
        code = verifier_of("the uuid's hash, say")  # of the length that codes have
        self.rooms.grants.grant(BOB_ID, verifier_of(code))
        fields = {"switch_code": code.encode()}
        for port in (40000, 40001):  # a client asks on two connections
            self.assertTrue(self.asked(self.stream(ALICE._replace(port=port)), **fields))
        effects = self.ask_relay(self.stream(ALICE._replace(port=40002)), **fields)
        self.assertTrue(self.pushed(effects, "request_relay"))
        self.assert_denied(self.stream(STRANGER), fields)
        self.clock.advance(ATTEMPT_S)
        self.heartbeat()
        self.assert_denied(self.stream(ALICE._replace(port=40003)), fields)

    def test_239_other_code(self) -> None:
        """Another code, or none, is denied."""
        self.under(refuse(*Door))
        self.rooms.grants.grant(BOB_ID, verifier_of(verifier_of("one")))
        for code in (verifier_of("another"), ""):
            self.assert_denied(self.stream(), {"switch_code": code.encode()})

    def assert_denied(self, stream: Stream, fields: dict[str, bytes]) -> None:
        response = self.refusal(self.punch(stream, **fields), stream)
        self.assertEqual(b"Ask the helpdesk", response.other_failure)


class SlowSwitchTests(SwitchTests):
    """The same where each verdict must be waited for."""

    make_policy = SlowPolicy


class PatientPolicy(Policy):
    """Answers at the ticket's door when it is told to."""

    waiting: list[Deferred[None]]

    def decide(self, request: AccessRequest) -> Decision:
        decided = super().decide(request)
        if request.door is not Door.TICKET:
            return decided
        assert isinstance(decided, Verdict)
        self.waiting.append(Deferred())

        async def wait(until: Deferred[None]) -> Verdict:
            await until
            return decided

        return wait(self.waiting[-1])


class MeanwhileTests(UnderPolicy):
    """What happens while a policy thinks."""

    make_policy = PatientPolicy

    def setUp(self) -> None:
        PatientPolicy.waiting = []
        self.under(lambda _request: Verdict())
        self.alice, self.sender = self.stream(), self.stream(BOB_TCP)
        hole = self.asked(self.alice)
        self.fields = {"socket_addr": hole.socket_addr, "id": ID, "uuid": b"session"}

    def respond(self, sender: Stream) -> Deferred[Any]:
        """Begin to pass B's answer on."""
        return self.begin(self.frame("relay_response", self.fields, sender))

    def test_223_two_answers(self) -> None:
        """Of two answers, both judged, A gets one."""
        outcomes = [self.respond(self.sender), self.respond(self.stream(BOB_TCP))]
        for until in PatientPolicy.waiting:
            until.callback(None)
        first, second = map(self.successResultOf, outcomes)
        self.assertEqual((2, 1), (len(first), len(second)))
        self.assertEqual(["session"], self.announced)

    def test_223_a_is_gone(self) -> None:
        """If A leaves meanwhile nobody is told anything, the relay neither."""
        outcome = self.respond(self.sender)
        self.core.stream_closed(self.alice.id)
        PatientPolicy.waiting[0].callback(None)
        self.assertEqual([Close(self.sender.id)], self.successResultOf(outcome))
        self.assertEqual([], self.announced)
