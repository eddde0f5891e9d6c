"""The one port for everything over TLS as a service."""

from __future__ import annotations

import socket
import time
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from rdserver.errors import ConfigError
from rdserver.front import Front, Routes
from rdserver.http.pages import Pages
from rdserver.settings.config import Config
from rdserver.transports.http_page import PageFactory
from rdserver.transports.http_router import HttpRouterFactory
from rdserver.transports.listeners import Listeners, Wanted

ID_PATH, RELAY_PATH = "/ws/id", "/ws/relay"
"""Where clients look for the two servers behind a name (protocol.md section 1.4)."""


class WebServer(MultiService):
    """
    Serves what the servers in this process have for WebSocket on one port.

    :param routes: what there is, by path.
    :ivar port: where it listens, 0 is nowhere.
    """

    _log = Logger()

    def __init__(self, config: Config, reactor: Any, front: Front, routes: Routes) -> None:
        super().__init__()
        self._config = config
        self._reactor = reactor
        self._front = front
        self._routes = routes
        self.port = config.unified_port
        wanted = [Wanted(self.port, socket.SOCK_STREAM, "https-port")] if self.port else []
        self._listeners = Listeners(config.bind, wanted, reactor, front.given)

    def privilegedStartService(self) -> None:
        """
        Read the certificate and bind the port, while there are rights to do so.

        :raises ConfigError: the certificate is no good, or the port that was asked for
            cannot be had.
        """
        self._front.load()
        self._bind()
        super().privilegedStartService()

    def _bind(self) -> None:
        try:
            self._listeners.bind_all()
        except ConfigError as e:
            if self._config.https_port is not None:
                raise
            self.port = 0
            self._log.warn(
                "{why}, so there is no single port for everything: give this process the "
                "right to it, or name another one with https-port (0 is none)",
                why=str(e),
            )

    def startService(self) -> None:
        """
        Serve.

        :raises ConfigError: as above.
        """
        self._front.load()
        if self.port:
            self._bind()
        if self.port:
            self._open()
        super().startService()

    def _open(self) -> None:
        routes = dict(self._routes())
        admission = self._front.admission(is_http=True)
        shared = self._reactor, time.monotonic, admission
        pages = PageFactory(Pages(list(routes), time.time).answer, *shared)
        router = HttpRouterFactory(routes, pages, *shared)
        front = self._front.web(router, admission, only_tls=True)
        self._listeners.open_tcp(self.port, front)

    async def _stop(self) -> None:
        await self._listeners.close()
        if self.running:
            await maybeDeferred(super().stopService)

    def stopService(self) -> Deferred[Any]:
        """Close the port; the connections are the other servers'."""
        return Deferred.fromCoroutine(self._stop())
