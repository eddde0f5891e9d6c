"""The pages of the one port for everything: what this is, and that it is well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus


class Pages:
    """
    Answers requests, always with the same few lines.

    They are so few, and strangers ask so freely, that a web server, which would take in
    any body and wait for more requests, is more than the port needs.

    :param paths: where clients connect by WebSocket on the same port.
    :param wall: seconds since 1970, for the answers' date.
    """

    def __init__(self, paths: Sequence[str], wall: Callable[[], float]) -> None:
        self._wall = wall
        self._texts = {
            "/": (
                "This is rdserver, a server for RustDesk clients.\n"
                f"Clients connect to {' and '.join(paths)}; there is nothing to see here.\n"
            ),
            "/healthz": "ok\n",
        }
        there = ", ".join([*paths, "/healthz"])
        self._missing = f"There is nothing here: this port has {there}.\n"

    def answer(self, head: bytes) -> bytes:
        """
        Return the whole response to a request; the connection is to be closed behind it.

        A proxy must not send the next request, which may be an upgrade, down this one.

        :param head: of the request, or its beginning; nothing but its first line matters.
        """
        words = head.partition(b"\n")[0].decode("iso-8859-1").split()
        status, text = self._choose(words)
        fields = {
            "Date": formatdate(self._wall(), usegmt=True),
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": len(text),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            fields["Allow"] = "GET, HEAD"
        lines = [f"HTTP/1.1 {status} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        body = "" if words[:1] == ["HEAD"] else text
        return "\r\n".join([*lines, "", body]).encode()

    def _choose(self, words: Sequence[str]) -> tuple[HTTPStatus, str]:
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return HTTPStatus.BAD_REQUEST, "This is no request of HTTP/1.1.\n"
        if words[0] not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.\n"
        text = self._texts.get(words[1].partition("?")[0])
        if text is None:
            return HTTPStatus.NOT_FOUND, self._missing
        return HTTPStatus.OK, text
