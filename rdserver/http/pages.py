"""The pages of the one port for everything: what this is, and that it is well."""
# ruff: noqa: N815 - displayTracebacks is Twisted's name.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

TIMEOUT_S = 30.0

_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "connection": "close",
}


class _Table(Resource):
    """
    Always the same few lines for each path.

    :param texts: by path.
    :param missing: for all other paths.
    """

    isLeaf = True

    def __init__(self, texts: Mapping[bytes, str], missing: str) -> None:
        super().__init__()
        self._texts = dict(texts)
        self._missing = missing

    def render(self, request: Request) -> bytes:
        status, text = self._choose(request.method, request.path)
        request.setResponseCode(status)
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        # A proxy must not send the next request, which may be an upgrade, down this one.
        request.channel.persistent = False
        return text.encode()

    def _choose(self, method: bytes, path: bytes) -> tuple[int, str]:
        if method not in (b"GET", b"HEAD"):
            return 405, "Only GET is answered here.\n"
        text = self._texts.get(path)
        return (404, self._missing) if text is None else (200, text)


class Pages(Site):
    """
    The factory of the pages.

    :param paths: where clients connect by WebSocket on the same port.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, paths: Sequence[str], clock: IReactorTime) -> None:
        home = (
            "This is rdserver, a server for RustDesk clients.\n"
            f"Clients connect to {' and '.join(paths)}; there is nothing to see here.\n"
        )
        there = ", ".join([*paths, "/healthz"])
        missing = f"There is nothing here: this port has {there}.\n"
        table = _Table({b"/": home, b"/healthz": "ok\n"}, missing)
        super().__init__(table, timeout=TIMEOUT_S, reactor=clock)

    def log(self, request: Any) -> None:
        """Nobody's visit is worth a line."""
