"""
A client that cannot reach the HTTP API sends its request through the ID server.

What may pass, and what of it; the HTTP itself is somebody else's.

Source: protocol.md section 7.10.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from typing import Protocol
from urllib.parse import unquote

from attrs import frozen

from rdserver.notices import Notices
from rdserver.rendezvous.effects import Effects, Outcome, Stream, last_word
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.places import Places
from rdserver.wire import pb

MAX_BODY_BYTES = 1024 * 1024
MAX_HEADERS, MAX_HEADER_BYTES = 64, 16 * 1024
MAX_PATH_BYTES = 8192
MAX_AT_ONCE, MAX_PER_ADDRESS = 64, 4

_METHODS = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD"})
_PATH = re.compile(rb"/api/[!-\[\]-~]*")  # visible ASCII, no backslash
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")

# Ours to say, the connection's own, or what only a proxy may claim.
_NOT_PASSED = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"),
        *(b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        b"accept-encoding",  # the client wants text
        *(b"host", b"content-length", b"forwarded", b"expect"),
    }
)

_BAD_REQUEST, _FORBIDDEN, _BUSY, _BAD_GATEWAY = 400, 403, 503, 502

_NO_ANSWER = b"The API server does not answer"

Headers = tuple[tuple[bytes, bytes], ...]


class ApiError(Exception):
    """The API gave no answer that can be passed on; ``str(self)`` says why."""


@frozen
class ApiRequest:
    """
    A request for the API.

    :ivar path: begins with ``/api/``, with the query.
    :ivar headers: those that pass, and one that names the client's address.
    """

    method: bytes
    path: bytes
    headers: Headers
    body: bytes


@frozen
class ApiResponse:
    """What the API answered."""

    status: int
    headers: Headers
    body: bytes


class Api(Protocol):
    """The HTTP API, wherever it is."""

    def ask(self, request: ApiRequest) -> Awaitable[ApiResponse]:
        """Return the answer within 30 s; raises :class:`ApiError` if there is none."""


class HttpProxying:
    """
    Answers HttpProxyRequest, always with exactly one HttpProxyResponse.

    :param api: None where there is none.
    """

    def __init__(self, api: Api | None, notices: Notices[Event]) -> None:
        self._api = api
        self._notices = notices
        self._under_way = Places(MAX_AT_ONCE, MAX_PER_ADDRESS)

    def request(self, message: pb.RendezvousMessage, stream: Stream) -> Outcome:
        """Pass a request on, or tell at once why not."""
        request = message.http_proxy_request
        if not stream.is_secure:  # it may carry a token, and its answer anything
            return self._refuse(stream, _FORBIDDEN, "only after a key exchange")
        if self._api is None:
            return self._refuse(stream, _BAD_GATEWAY, "this server has no API")
        wrong = what_is_wrong(request)
        if wrong:
            return self._refuse(stream, _BAD_REQUEST, wrong)
        return self._ask(self._api, passed(request, stream.address.host), stream)

    async def _ask(self, api: Api, request: ApiRequest, stream: Stream) -> Effects:
        if not self._under_way.hold(stream.id, stream.address.host):
            return self._refuse(stream, _BUSY, "too many requests at the same time")
        try:
            response = await api.ask(request)
        except ApiError as e:
            self._notices.warn(
                Event.API_FAILED, "the API at api-url does not answer: {why}", why=str(e)
            )
            # Why is the operator's: it may name his hosts, and anybody may ask.
            return _answer(stream, status=_BAD_GATEWAY, error=_NO_ANSWER)
        finally:
            self._under_way.release(stream.id)
        headers = [{"name": name, "value": value} for name, value in response.headers]
        return _answer(stream, status=response.status, headers=headers, body=response.body)

    def _refuse(self, stream: Stream, status: int, why: str) -> Effects:
        self._notices.count(Event.API_REFUSED)
        return _answer(stream, status=status, error=why.encode())


def what_is_wrong(request: pb.HttpProxyRequest) -> str:
    """Return why a request is not passed on, empty if it is."""
    if request.method not in _METHODS:
        return "this method is not passed on"
    if not _is_path(request.path):
        return "only paths under /api/ are passed on"
    if len(request.body) > MAX_BODY_BYTES:
        return f"the body has more than {MAX_BODY_BYTES} bytes"
    sizes = [len(header.name) + len(header.value) for header in request.headers]
    if len(sizes) > MAX_HEADERS or sum(sizes) > MAX_HEADER_BYTES:
        return "too many headers"
    if not all(_is_header(header.name, header.value) for header in request.headers):
        return "a header is malformed"
    return ""


def passed(request: pb.HttpProxyRequest, host: str) -> ApiRequest:
    """Return what of a good request is passed on, for a client at *host*."""
    headers = [(header.name, header.value) for header in request.headers]
    return ApiRequest(
        request.method,
        request.path,
        (*end_to_end(headers), (b"X-Forwarded-For", host.encode())),
        request.body,
    )


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return those headers that are not for one connection alone."""
    listed = list(headers)
    named = {
        name.strip().lower()
        for key, value in listed
        if key.lower() == b"connection"
        for name in value.split(b",")
    }
    unwanted = _NOT_PASSED | named
    return tuple(
        (name, value)
        for name, value in listed
        if name.lower() not in unwanted and not _is_for_proxies(name.lower())
    )


def _is_for_proxies(name: bytes) -> bool:
    """Return whether only a proxy may say this, in whatever form servers read it."""
    # Many take an underscore for a dash.
    beginnings = (b"x-forwarded-", b"x-original-", b"x-rewrite-")
    return b"_" in name or name.startswith(beginnings) or name.endswith(b"-ip")


def _is_path(path: bytes) -> bool:
    """Return whether a path stays below ``/api/``, however a server may read it."""
    if len(path) > MAX_PATH_BYTES or not _PATH.fullmatch(path) or b"#" in path:
        return False
    plain = path.partition(b"?")[0].decode("ascii")
    for _ in range(4):  # some decode more than once
        # What stands behind a semicolon is no part of the name to some.
        segments = [part.partition(";")[0] for part in re.split(r"[/\\]", plain)]
        if ".." in segments or "." in segments or "" in segments[1:-1]:
            return False
        plain = unquote(plain, "latin-1")
    return "\0" not in plain


def _is_header(name: bytes, value: bytes) -> bool:
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))


def _answer(stream: Stream, **fields: object) -> Effects:
    message = pb.RendezvousMessage(http_proxy_response=pb.HttpProxyResponse(**fields))  # type: ignore[arg-type]  # fields of several types
    return last_word(stream, message)
