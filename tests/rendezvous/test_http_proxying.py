"""Tests for :mod:`rdserver.rendezvous.http_proxying`: what passes, and how often."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from rdserver.rendezvous.effects import Close, Stream
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.http_proxying import (
    MAX_AT_ONCE,
    MAX_BODY_BYTES,
    MAX_HEADERS,
    MAX_PER_ADDRESS,
    ApiError,
    ApiRequest,
    ApiResponse,
)
from rdserver.wire.address import Address
from tests.rendezvous.fixture import ALICE, RoomsTests

GOOD = {"method": b"POST", "path": b"/api/login?x=1", "body": b"{}"}


class FakeApi:
    """Keeps what it is asked; answers when told to."""

    def __init__(self) -> None:
        self.asked: list[ApiRequest] = []
        self.answers: list[Deferred[ApiResponse]] = []

    def ask(self, request: ApiRequest) -> Deferred[ApiResponse]:
        self.asked.append(request)
        self.answers.append(Deferred())
        return self.answers[-1]


class ProxyingTests(RoomsTests):
    def setUp(self) -> None:
        self.api = FakeApi()
        self.furnish(api=self.api)

    def secure(self, address: Address = ALICE) -> Stream:
        """Return a connection behind a key exchange."""
        return evolve(self.stream(address), is_secure=True)

    def response(self, effects: list[Any], stream: Stream) -> Any:
        """Return the answer, behind which the connection is closed."""
        answer, close = effects
        self.assertEqual((stream.id, Close(stream.id)), (answer.stream, close))
        return answer.message.http_proxy_response

    def refused(self, stream: Stream | None = None, **changed: Any) -> Any:
        """Return what is answered to a request that is not passed on."""
        stream = stream or self.secure()
        outcome = self.frame("http_proxy_request", {**GOOD, **changed}, stream)
        response = self.response(self.effects(outcome), stream)
        self.assertEqual([], self.api.asked, changed)
        self.assertGreaterEqual(response.status, 400)
        return response

    def passed(self, stream: Stream | None = None, **changed: Any) -> Deferred[Any]:
        """Begin a request that is passed on."""
        outcome = self.frame(
            "http_proxy_request", {**GOOD, **changed}, stream or self.secure()
        )
        return self.begin(outcome)

    def test_passed_on(self) -> None:
        """Method, path, body and headers go to the API, its answer to the client."""
        stream = self.secure()
        headers = [{"name": b"Authorization", "value": b"Bearer t"}]
        waiting = self.passed(stream, headers=headers)
        self.assertNoResult(waiting)
        self.assertEqual(
            [
                ApiRequest(
                    b"POST",
                    b"/api/login?x=1",
                    (
                        (b"Authorization", b"Bearer t"),
                        (b"X-Forwarded-For", b"198.51.100.10"),
                    ),
                    b"{}",
                )
            ],
            self.api.asked,
        )
        self.api.answers[0].callback(ApiResponse(201, ((b"A", b"b"),), b"\xff\0"))
        response = self.response(self.successResultOf(waiting), stream)
        self.assertEqual(
            (201, b"\xff\0", b""), (response.status, response.body, response.error)
        )
        self.assertEqual([(b"A", b"b")], [(h.name, h.value) for h in response.headers])

    def test_api_fails(self) -> None:
        """Without an answer of the API the client hears so, and the operator why."""
        stream = self.secure()
        waiting = self.passed(stream)
        self.api.answers[0].errback(ApiError("no answer in 25 s"))
        response = self.response(self.successResultOf(waiting), stream)
        self.assertEqual(502, response.status)
        self.assertEqual(b"The API server does not answer", response.error)
        self.assertIn("no answer in 25 s", self.lines()[0])
        self.assertEqual(1, self.notices.counts[Event.API_FAILED])

    def test_plain_text(self) -> None:
        """Without encryption nothing passes."""
        response = self.refused(self.stream())
        self.assertIn(b"key exchange", response.error)

    def test_no_api(self) -> None:
        """Where there is no API the client is told so."""
        self.furnish()
        self.assertIn(b"no API", self.refused().error)

    def test_paths(self) -> None:
        """Nothing but paths below /api/ passes, however it is written."""
        for path in (
            *(b"", b"/", b"/api", b"api/x", b"/ap", b"/API/x", b"//api/x", b"/x/api/"),
            *(b"http://evil/api/x", b"/api/../x", b"/api/x/../../y", b"/api//x"),
            *(b"/api/%2e%2e/x", b"/api/%252e%252e/x", b"/api/..%2fx", b"/api/./x"),
            *(b"/api/x y", b"/api/x\r\nA: b", b"/api/x\0", b"/api/\\..\\x", b"/api/x#y"),
            *(b"/api/..;/x", b"/api/%2e%2e%3b/x", b"/api/%25252e%25252e/x"),
            *(b"/api/..", b"/api/x%00", b"/api/%5c..%5c", b"/api/" + b"x" * 9000),
            "/api/ü".encode(),
        ):
            self.assertIn(b"/api/", self.refused(path=path).error, path)

    def test_good_paths(self) -> None:
        """What clients ask for passes, with any query."""
        for path in (
            *(b"/api/", b"/api/ab/peers?current=1&id=a%2Fb", b"/api/x/", b"/api/a.b..c"),
            *(b"/api/x?u=http://h/../y", b"/api/audit/conn", b"/api/u/%E4%BD%A0"),
        ):
            self.passed(path=path, stream=self.secure(Address("192.0.2.9", 1)))
            self.assertEqual(path, self.api.asked[-1].path)
            self.api.answers[-1].callback(ApiResponse(200, (), b""))

    def test_methods(self) -> None:
        """Methods of no API do not pass."""
        for method in (b"", b"get", b"CONNECT", b"TRACE", b"OPTIONS", b"GET /x"):
            self.refused(method=method)

    def test_body(self) -> None:
        """A body may have a megabyte."""
        self.refused(body=bytes(MAX_BODY_BYTES + 1))
        self.passed(body=bytes(MAX_BODY_BYTES))
        self.assertEqual(MAX_BODY_BYTES, len(self.api.asked[0].body))

    def test_bad_headers(self) -> None:
        """Headers that would be more than one, or none, do not pass."""
        for name, value in (
            *((b"A b", b"c"), (b"", b"c"), (b"A:", b"c"), (b"A", b"b\r\nC: d")),
            *((b"A", b"b\nC: d"), (b"A", b"\0"), (b"A\r", b"b"), ("ü".encode(), b"b")),
        ):
            self.refused(headers=[{"name": name, "value": value}])
        self.refused(headers=[{"name": b"A", "value": b"b"}] * (MAX_HEADERS + 1))
        self.refused(headers=[{"name": b"A", "value": b"b" * 17_000}])

    def test_dropped_headers(self) -> None:
        """What is for one connection, or only a proxy may say, is dropped."""
        names = (
            *(b"Host", b"connection", b"X-Hop", b"Content-Length", b"Transfer-Encoding"),
            *(b"X-Forwarded-For", b"X-REAL-IP", b"Forwarded", b"Upgrade"),
            *(b"Accept-Encoding", b"X_Forwarded_For", b"True-Client-IP"),
            *(b"X-Original-URL", b"X-Forwarded-Port"),
        )
        headers = [{"name": name, "value": b"x-hop, close"} for name in names]
        self.passed(headers=[*headers, {"name": b"Kept", "value": b"y"}])
        self.assertEqual(
            ((b"Kept", b"y"), (b"X-Forwarded-For", b"198.51.100.10")),
            self.api.asked[0].headers,
        )

    def test_at_once(self) -> None:
        """So many may be under way, of one address fewer; then there is room again."""
        for _ in range(MAX_PER_ADDRESS):
            self.passed()
        before = len(self.api.asked)
        stream = self.secure()
        busy = self.response(self.successResultOf(self.passed(stream)), stream)
        self.assertEqual((503, before), (busy.status, len(self.api.asked)))
        for n in range(MAX_AT_ONCE):
            self.passed(self.secure(Address(f"192.0.2.{n}", 1)))
        self.assertEqual(MAX_AT_ONCE, len(self.api.asked))
        for answer in self.api.answers:
            answer.callback(ApiResponse(200, (), b""))
        self.passed()
        self.assertEqual(MAX_AT_ONCE + 1, len(self.api.asked))
