"""The relay as a service: finds its key, opens its port and console, and closes them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from rdserver.admin.console import RELAY_SOCKET, Console
from rdserver.admin.port import ConsoleFactory, SniffingFactory
from rdserver.admin.relay_commands import relay_commands
from rdserver.admin.unix import UnixPort
from rdserver.errors import ConfigError
from rdserver.front import Front
from rdserver.key_watch import REPORT_S
from rdserver.keys import RelayKeys, load_relay_key
from rdserver.old_key_file import load_old_public_keys
from rdserver.relay.admission import RelayAuth
from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.lists import BLACKLIST_FILE, BLOCKLIST_FILE, AddressList
from rdserver.relay.messages import Messages
from rdserver.relay.tickets import Tickets
from rdserver.settings.config import Config
from rdserver.sweeper import Sweeper
from rdserver.transports.listeners import Listeners, Wanted
from rdserver.transports.relay_connection import RelayConnection
from rdserver.transports.relay_copy import CopyPath
from rdserver.transports.relay_pacer import Pacer
from rdserver.transports.relay_path import DataPath
from rdserver.transports.relay_tcp import RelayFactory
from rdserver.transports.relay_ws import relay_websockets
from rdserver.transports.splice_check import can_splice
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.address import is_loopback
from rdserver.wire.masking import best_unmask

_PURPOSE = "RustDesk clients connect here by WebSocket; there is nothing to see."

_SWEEP_S = 1.0
_FLUSH_S = 0.2
"""Time for goodbyes to leave at the end."""


class RelayServer(MultiService):
    """
    Carries sessions between peers that cannot reach each other.

    :param config: the role must not be ``id``.
    :param reactor: the reactor that runs.
    :param tickets: what the ID server in this process announces.
    :param keys: returns the ID server's keys, where that is in this process and has
        started before; None where the relay is on its own.
    :param sleep: blocks while the key's file is waited for; nothing is served yet.
    :param front: what stands before the TCP ports.
    :ivar websockets: the factory of connections by WebSocket; None before the start.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        tickets: Tickets,
        keys: Callable[[], RelayKeys] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        *,
        front: Front | None = None,
    ) -> None:
        super().__init__()
        self._front = front or Front(config, reactor)
        self._config = config
        self._reactor = reactor
        self._tickets = tickets
        self._keys = keys
        self._sleep = sleep
        self._data_dir = Path(config.data_dir)
        main, websocket = config.relay_ports
        wanted = [
            Wanted(main, socket.SOCK_STREAM, "relay"),
            Wanted(websocket, socket.SOCK_STREAM, "relay, WebSocket"),
        ]
        self._listeners = Listeners(config.bind, wanted, reactor, self._front.given)
        self._console_port = UnixPort(self._data_dir / RELAY_SOCKET, reactor)
        self._factory: RelayFactory | None = None
        self._path: DataPath | None = None
        self.websockets: GuardedFactory | None = None

    def privilegedStartService(self) -> None:
        """
        Bind the port; nobody is served yet.

        :raises ConfigError: it is taken.
        """
        self._listeners.bind_all()
        super().privilegedStartService()

    def startService(self) -> None:
        """
        Find the keys, read the lists, then serve.

        :raises ConfigError: there is no key, or old keys or a list cannot be read.
        """
        self._front.load()
        self._listeners.bind_all()
        self._console_port.listen()
        relay = self._furnish(self._load_keys())
        sweep = partial(self._sweep, relay)
        Sweeper("relay sweep", sweep, _SWEEP_S, self._reactor).setServiceParent(self)
        report = relay.keys.report
        Sweeper("old key report", report, REPORT_S, self._reactor).setServiceParent(self)
        self._open_ports(relay)
        super().startService()
        if self._config.relay_auth == "open":
            self._log.warn("relay-auth is open: anybody can use this relay")

    def _sweep(self, relay: Relay[RelayConnection]) -> Iterator[None]:
        if self._path is not None:
            self._path.sweep()
        return relay.sweep_in_steps()

    def _load_keys(self) -> RelayKeys:
        if self._config.relay_auth == "open":
            return RelayKeys("")
        if self._keys is not None:
            return self._keys()
        key = load_relay_key(
            self._config.key, self._data_dir, self._sleep, time.monotonic
        )
        return RelayKeys(key, load_old_public_keys(self._config.old_keys, key))

    def _furnish(self, keys: RelayKeys) -> Relay[RelayConnection]:
        relay: Relay[RelayConnection] = Relay(
            RelayAuth(self._config.relay_auth),
            keys.required,
            self._tickets,
            old_keys=keys.old,
            limits=_limits(self._config),
            now=time.monotonic,
        )
        self._load_list(relay.blacklist, BLACKLIST_FILE)
        self._load_list(relay.blocklist, BLOCKLIST_FILE)
        return relay

    def _load_list(self, addresses: AddressList, name: str) -> None:
        path = self._data_dir / name
        try:
            addresses.load(path.read_text("utf-8", "replace"))
        except FileNotFoundError:
            return
        except OSError as e:
            raise ConfigError(f"data-dir: {path} cannot be read: {e.strerror}") from e

    def _open_ports(self, relay: Relay[RelayConnection]) -> None:
        config = self._config
        admission = self._front.admission()
        self._path = self._data_path(relay)
        self._factory = RelayFactory(relay, admission, self._reactor, self._path)
        console = ConsoleFactory(Console(relay_commands(relay)), self._reactor)
        self._console_port.open(console)
        factory: Factory = self._factory
        if config.tcp_console:
            factory = SniffingFactory(console, factory, is_loopback, self._reactor)
        factory = self._front.plain(factory, admission)
        self._listeners.open_tcp(config.relay_port, factory)
        self._accept_websockets(self._factory)

    def _accept_websockets(self, relay: RelayFactory) -> None:
        admission = self._front.admission(is_http=True)
        environment = self._front.environment(_PURPOSE, admission)
        self.websockets = relay_websockets(relay, environment)
        _main, port = self._config.relay_ports
        self._listeners.open_tcp(port, self._front.web(self.websockets, admission))

    def _data_path(self, relay: Relay[RelayConnection]) -> DataPath:
        wanted = self._config.relay_path
        pacer = Pacer(relay.total, self._reactor, relay.now)
        messages = self._messages()
        if wanted == "copy":
            return CopyPath(pacer, relay.finish, messages)
        if can_splice():
            # Its very import needs what this system has and others have not.
            from rdserver.transports.relay_splice import SplicePath

            return SplicePath(
                self._reactor, pacer, relay.finish, relay.now, messages=messages
            )
        if wanted == "splice":
            raise ConfigError("relay-path: this system cannot splice; use auto or copy")
        return CopyPath(pacer, relay.finish, messages)

    def _messages(self) -> Messages:
        unmask, is_compiled = best_unmask()
        if not is_compiled:
            self._log.warn(
                "sessions by WebSocket are slow: install python3-tornado (Debian), or "
                "websockets (PyPI)"
            )
        return Messages(unmask=unmask)

    async def _stop(self) -> None:
        self._console_port.close()
        await self._listeners.close()
        if self.websockets is not None:
            self.websockets.close_all()
        if self._factory is not None:
            await self._factory.close_all()
        if self.websockets is not None:
            if len(self.websockets):  # they have no session yet, and are told so
                await deferLater(self._reactor, _FLUSH_S, lambda: None)
            self.websockets.abort_all()
        if self._path is not None:
            self._path.close()
        if self.running:
            self._log.info("relay stops")
            await maybeDeferred(super().stopService)

    def stopService(self) -> Deferred[Any]:
        """Stop in order: port, sessions, housekeeping."""
        return Deferred.fromCoroutine(self._stop())


def _limits(config: Config) -> Limits:
    return Limits(
        total_bandwidth_mbit_per_s=config.total_bandwidth_mbit_per_s,
        single_bandwidth_mbit_per_s=config.single_bandwidth_mbit_per_s,
        limit_speed_mbit_per_s=config.limit_speed_mbit_per_s,
        downgrade_threshold=config.downgrade_threshold,
        downgrade_start_check_s=config.downgrade_start_check_s,
        waiting_per_address=config.relay_waiting_per_address,
        waiting_total=config.relay_waiting_total,
    )
