"""What stands before the servers' TCP ports: proxies' headers, and TLS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from rdserver.notices import Notices
from rdserver.settings.config import Config
from rdserver.transports.admission import Admission
from rdserver.transports.certificate import Certificate
from rdserver.transports.given_sockets import GivenSockets
from rdserver.transports.proxy_protocol import ProxyHeaderFactory
from rdserver.transports.tls_port import SniffingTlsFactory
from rdserver.transports.websocket_environment import Environment
from rdserver.wire.address import Address, v4_normalise
from rdserver.wire.forwarded import client_host
from rdserver.wire.networks import Networks


class Event(StrEnum):
    """What is counted before a connection is anybody's, and sometimes logged."""

    FOREIGN = "another protocol"
    PROXY_REFUSED = "proxy refused"
    CONNECTION_REFUSED = "connection refused"
    FLOOD = "flood of frames"
    BUG = "bug"


class Front:
    """
    Puts before a port's factory what the settings ask for.

    :param reactor: an ``IReactorTime``.
    :ivar certificate: for all TLS; None before :meth:`load`, or without one.
    :ivar given: sockets of ours that are open already.
    """

    _log = Logger()

    def __init__(
        self, config: Config, reactor: Any, given: GivenSockets | None = None
    ) -> None:
        self.given = given or GivenSockets()
        self._config = config
        self._reactor = reactor
        self._trusted = Networks(config.trusted_proxies)
        self._notices = Notices(self._log, Event, time.monotonic)
        self.certificate: Certificate | None = None

    def load(self) -> None:
        """
        Read the certificate, if one is named; the first time only.

        :raises ConfigError: it, or its key, is no good.
        """
        if self._config.tls_cert and self.certificate is None:
            self.certificate = Certificate(
                self._config.tls_cert, self._config.tls_key, time.time
            )

    @property
    def names_clients(self) -> bool:
        """Whether proxies say for whom a connection is, on every port."""
        return self._config.proxy_protocol

    def admission(self, *, is_http: bool = False) -> Admission:
        """
        Return how many connections one port may have.

        :param is_http: proxies name their clients there in any case.
        """
        config = self._config
        limits = config.max_connections, config.connections_per_address
        if is_http:
            return Admission(*limits, self._trusted, self._refuse_crowd)
        # Of these, whoever asks tells.
        return Admission(*limits, self._trusted if config.proxy_protocol else ())

    def plain(self, factory: Any, admission: Admission) -> Any:
        """Return *factory* behind what a port for frames of TCP needs."""
        if not self._config.proxy_protocol:
            return factory
        return ProxyHeaderFactory(
            factory,
            self._trusted,
            admission=admission,
            clock=self._reactor,
            refused=self._refuse_proxy,
        )

    def web(self, factory: Any, admission: Admission, *, only_tls: bool = False) -> Any:
        """Return *factory* behind what a port for WebSocket needs: TLS, if there is any."""
        if self.certificate is not None:
            factory = SniffingTlsFactory(
                self.certificate,
                factory,
                self._reactor,
                now=time.monotonic,
                admission=admission,
                refuse_plain=self._refuse_plain if only_tls else None,
            )
        return self.plain(factory, admission)

    def environment(self, purpose: str, admission: Admission) -> Environment:
        """
        Return what WebSocket connections need to know.

        :param purpose: a sentence for people who come with a browser.
        """
        return Environment(
            purpose=purpose,
            admission=admission,
            clock=self._reactor,
            now=time.monotonic,
            real_host=self._real_host,
            refused=self._refuse_tls,
            flooded=lambda: self._notices.count(Event.FLOOD),
            report_bug=self._report_bug,
        )

    def _real_host(self, peer: str, headers: Mapping[str, str]) -> str:
        return client_host(peer, headers, self._trusted)

    def _refuse_tls(self, address: Address, what: str) -> None:
        self._notices.warn(
            Event.FOREIGN,
            "{what} from {remote} on a port for WebSocket that has no certificate: set "
            "tls-cert, or let a proxy end TLS",
            what=what,
            remote=address,
        )

    def _refuse_plain(self, addr: Any, _data: bytes) -> None:
        self._notices.warn(
            Event.FOREIGN,
            "no TLS from {remote} on https-port: its address begins with https:// or wss://",
            remote=Address(v4_normalise(addr.host), addr.port),
        )

    def _refuse_proxy(self, host: str, why: str) -> None:
        self._notices.warn(
            Event.PROXY_REFUSED,
            "{why} from {remote}, which is in trusted-proxies, and proxy-protocol is on",
            why=why,
            remote=host,
        )

    def _refuse_crowd(self, host: str) -> None:
        self._notices.warn(
            Event.CONNECTION_REFUSED,
            "too many connections, or too many from {remote}: if that is a proxy, name it "
            "in trusted-proxies",
            remote=host,
        )

    def _report_bug(self, failure: Failure) -> None:
        self._notices.error(
            Event.BUG, "bug in a WebSocket connection", log_failure=failure
        )


Routes = Callable[[], Mapping[str, Any]]
"""Returns the factory of each path, once the servers have started."""
