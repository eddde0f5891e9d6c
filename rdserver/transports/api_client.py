"""Asks the HTTP API that the setting api-url names."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from rdserver.rendezvous.http_proxying import (
    ApiError,
    ApiRequest,
    ApiResponse,
    end_to_end,
)
from rdserver.rendezvous.http_proxying import (
    Headers as PassedHeaders,
)

CONNECT_S = 10.0
TOTAL_S = 25.0
"""For everything; the client waits 36 s, our connection to it 30 s."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
_MAX_REASON_CHARS = 200


class ApiClient:
    """
    Passes requests to one HTTP server.  Redirects are not followed but passed on.

    :param base: ``http://host``, with a port and a path in front if there is one, without
        a slash at the end.
    :param reactor: the reactor that runs.
    :param policy: whom to trust; by default the system's authorities.
    """

    def __init__(
        self, base: str, reactor: Any, policy: IPolicyForHTTPS | None = None
    ) -> None:
        self._base = base.rstrip("/").encode("ascii")
        self._reactor = reactor
        self._agent = Agent(
            reactor, policy or BrowserLikePolicyForHTTPS(), connectTimeout=CONNECT_S
        )

    async def ask(self, request: ApiRequest) -> ApiResponse:
        """
        Return the API's answer.

        :raises ApiError: there is none, or none that can be passed on.
        """
        exchange = Deferred.fromCoroutine(self._exchange(request))
        exchange.addTimeout(TOTAL_S, self._reactor)
        try:
            return await exchange
        except ApiError:
            raise
        except Exception as e:
            raise ApiError(_reason(_cause(e))) from e

    async def _exchange(self, request: ApiRequest) -> ApiResponse:
        headers = Headers()
        for name, value in request.headers:
            headers.addRawHeader(name, value)
        body = _Body(request.body) if request.body else None
        response = await self._agent.request(
            request.method, self._base + request.path, headers, body
        )
        answer = _Answer()
        response.deliverBody(answer)
        content = await answer.whole
        return ApiResponse(response.code, _headers(response), content)


@implementer(IBodyProducer)
class _Body:
    """A request's body, which is in memory and goes out as one piece."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written already."""

    def resumeProducing(self) -> None:
        """All is written already."""

    def stopProducing(self) -> None:
        """All is written already."""


class _Answer(Protocol):
    """
    Gathers a response's body.

    :ivar whole: fires with it, or fails.
    """

    transport: Any

    def __init__(self) -> None:
        self._body = bytearray()
        self.whole: Deferred[bytes] = Deferred(lambda _: self._stop())

    def dataReceived(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES and not self.whole.called:
            self._body.clear()
            self.whole.errback(ApiError(f"an answer of more than {MAX_ANSWER_BYTES} bytes"))
            self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._body))
        else:
            self.whole.errback(reason)

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.stopProducing()


def _headers(response: IResponse) -> PassedHeaders:
    headers = [
        (_text(name), _text(value))
        for name, values in response.headers.getAllRawHeaders()
        for value in values
    ]
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise ApiError(f"an answer with more than {MAX_HEADER_BYTES} bytes of headers")
    return end_to_end(headers)


def _text(said: bytes) -> bytes:
    """Return it so that clients can read it: to them it is text in UTF-8."""
    return said.decode("utf-8", "replace").encode()


def _cause(error: Exception) -> Exception:
    """Return the first of several causes."""
    while isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[0].value
    return error


def _reason(cause: Exception) -> str:
    """Return in a few words what went wrong."""
    if isinstance(cause, (defer.TimeoutError, CancelledError)):
        return f"no answer in {TOTAL_S:g} s"
    return f"{type(cause).__name__}: {cause}".partition("\n")[0][:_MAX_REASON_CHARS]
