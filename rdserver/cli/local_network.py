"""What ``rustdesk-utils healthcheck`` asks: blocking, each question with a deadline."""

from __future__ import annotations

import asyncio
import socket
import ssl
from http.client import HTTPException, HTTPSConnection

import websockets
from websockets.exceptions import WebSocketException

from rdserver.cli.network import NAT_TEST, SocketNetwork, kind_of

TIMEOUT_S = 5.0
"""For each question: what takes longer on the machine itself is not well."""

# Its own would make one that hangs take three times as long.
_CLOSE_S = 1.0

# Every connection from a proxy must begin with such a line; this one names no client.
_PROXY_LINE = b"PROXY UNKNOWN\r\n"


class LocalNetwork:
    """
    The ports of the server on this machine.

    What fails raises OSError, or ProtocolError where something else answered.

    :param host: one of the addresses that it listens on.
    :param is_proxy: whether our connections must begin with a proxy's header.
    """

    def __init__(
        self, host: str, is_proxy: bool = False, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._preface = _PROXY_LINE if is_proxy else b""
        self._sockets = SocketNetwork(timeout_s, self._preface)

    def nat_test(self, port: int) -> None:
        """Ask an ID server which port it sees."""
        self._sockets.nat_test_tcp(self._host, port)

    def nat_test_udp(self, port: int) -> None:
        """As :meth:`nat_test`, over UDP."""
        self._sockets.nat_test_udp(self._host, port)

    def farewell(self, port: int) -> None:
        """Go without a word: a relay that lives closes its side too."""
        with self._sockets.open(self._host, port) as connection:
            connection.shutdown(socket.SHUT_WR)
            if connection.recv(1):
                raise ConnectionError("it speaks first, as no relay does")

    def healthz(self, port: int) -> None:
        """Ask for the page that says that all is well, whatever the certificate's names."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        page = HTTPSConnection(self._host, port)
        plain = self._sockets.open(self._host, port)
        with plain, context.wrap_socket(plain) as page.sock:
            page.request("GET", "/healthz")
            status = _status(page)
        if status != 200:
            raise ConnectionError(f"HTTP status {status}")

    def websocket_nat_test(self, port: int) -> None:
        """As :meth:`nat_test`, by WebSocket."""
        asyncio.run(self._with_deadline(port, asks=True))

    def websocket_farewell(self, port: int) -> None:
        """Open a WebSocket and close it, which both sides must do."""
        asyncio.run(self._with_deadline(port, asks=False))

    async def _with_deadline(self, port: int, *, asks: bool) -> None:
        try:
            await asyncio.wait_for(self._visit(port, asks=asks), self._timeout_s)
        except TimeoutError as e:
            raise TimeoutError("no answer in time") from e
        except WebSocketException as e:
            raise ConnectionError(f"no WebSocket: {e}") from e

    async def _visit(self, port: int, *, asks: bool) -> None:
        plain = self._sockets.open(self._host, port)
        plain.setblocking(False)
        # What is sent first says no word of a WebSocket, so the library cannot send it.
        url = f"ws://{_in_url(self._host)}:{port}/"
        connecting = websockets.connect(
            url, sock=plain, compression=None, close_timeout=_CLOSE_S
        )
        async with connecting as connection:
            if asks:
                await connection.send(NAT_TEST)
                answer = await connection.recv()
                if isinstance(answer, str) or kind_of(answer) != "test_nat_response":
                    raise ConnectionError("another answer than asked for")


def _status(page: HTTPSConnection) -> int:
    try:
        return page.getresponse().status
    except HTTPException as e:
        raise ConnectionError(f"no answer of HTTP: {e}") from e


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
