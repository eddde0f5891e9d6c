"""Assembles the server that the options describe: the only place that knows all."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver, Logger

from rdserver import __version__, log
from rdserver.access_file import AccessFile
from rdserver.errors import ConfigError, StorageError
from rdserver.front import Front
from rdserver.id_service import IdServer
from rdserver.keys import RelayKeys
from rdserver.notify import Manager, Notifier
from rdserver.old_keys import key_name
from rdserver.relay.tickets import Tickets
from rdserver.relay_service import RelayServer
from rdserver.reloading import Reloadable, Reloading
from rdserver.settings.config import Config
from rdserver.settings.options import ProgramOptions
from rdserver.transports.given_sockets import GivenSockets, first_environ, given_sockets
from rdserver.transports.local import shown_address
from rdserver.web_service import ID_PATH, RELAY_PATH, WebServer
from rdserver.wire.address import Address

# After each system call of ours the storage thread may be at work, and keep it for so
# long; Python's own 5 ms would be the latency of heartbeats while devices are loaded.
_SWITCH_S = 0.0005


class Server(MultiService):
    """
    The whole server.

    A start that fails for a reason the operator can mend ends in ``SystemExit`` with
    one sentence, which makes ``twistd`` exit with status 1.

    :param manager: told when the server is ready and when it stops; None: nobody is.
    :param given: sockets that the service manager opened.
    :ivar access_file: who may reach whom; None without such rules.
    :ivar id_server: None where the role is ``relay``.
    :ivar relay: None where the role is ``id``.
    """

    _log = Logger()

    def __init__(
        self,
        options: ProgramOptions,
        reactor: Any,
        manager: Manager | None = None,
        given: GivenSockets | None = None,
    ) -> None:
        super().__init__()
        self._options = options
        self._config = options.config
        self.access_file: AccessFile | None = None
        self.id_server: IdServer | None = None
        self.relay: RelayServer | None = None
        tickets = Tickets(time.monotonic)
        self._front = front = Front(self._config, reactor, given)
        if self._config.role != "relay":
            if self._config.access_file:
                self.access_file = AccessFile(self._config.access_file)
                self.access_file.setServiceParent(self)
            self.id_server = IdServer(
                self._config, reactor, tickets.announce, front, self.access_file
            )
            self.id_server.setServiceParent(self)
        if self._config.role != "id":
            keys = None if self.id_server is None else self._relay_keys
            self.relay = RelayServer(self._config, reactor, tickets, keys, front=front)
            self.relay.setServiceParent(self)
        self._web = WebServer(self._config, reactor, front, self._routes)
        self._web.setServiceParent(self)
        # Behind the others, which read them first.
        Reloading(reactor, self._reloadable).setServiceParent(self)
        Notifier(manager or Manager(), reactor).setServiceParent(self)

    def _reloadable(self) -> dict[str, Reloadable]:
        """Return what has been read and may be replaced while the server runs."""
        found: dict[str, Reloadable | None] = {
            "certificate": self._front.certificate,
            "access rules": self.access_file,
        }
        return {name: one for name, one in found.items() if one is not None}

    def _routes(self) -> dict[str, Any]:
        """Return what there is for WebSocket, by path."""
        routes: dict[str, Any] = {}
        if self.id_server is not None:
            routes[ID_PATH] = self.id_server.websockets
        if self.relay is not None:
            routes[RELAY_PATH] = self.relay.websockets
        return routes

    def setServiceParent(self, parent: Any) -> None:
        """Under twistd the parent is the application, which says how to log."""
        super().setServiceParent(parent)
        if not _logs_elsewhere(self._options):
            observer = log.observer(self._config.log_level, self._config.log_format)
            parent.setComponent(ILogObserver, observer)

    def privilegedStartService(self) -> None:
        with self._refusing():
            _check_data_dir(self._config.data_dir)
            super().privilegedStartService()
            self._front.given.check_all_taken()

    def startService(self) -> None:
        _raise_descriptor_limit()
        sys.setswitchinterval(_SWITCH_S)
        for warning in (*self._config.warnings, *_doubts(self._config)):
            self._log.warn("{line}", line=warning)
        with self._refusing():
            super().startService()
        for line in self._hello():
            self._log.info("{line}", line=line)
        # Modules stay.  To look through them again takes the collector some 50 ms, in
        # which nothing is answered, each time some thousand sessions have begun.
        gc.freeze()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (ConfigError, StorageError) as e:
            if self.parent is None:  # our own programs report it themselves, and stop us
                raise
            self.stopService()  # what needs the reactor is cut short; the sockets' files go
            raise SystemExit(f"rustdesk-server: {e}") from e

    def _hello(self) -> Iterator[str]:
        """Say what listens, and what a client must be given."""
        config = self._config
        host = shown_address(config.bind)
        data_dir = Path(config.data_dir).resolve()
        yield f"rustdesk-server {__version__} is ready, data in {data_dir}"
        if self.id_server is not None:
            nat, main, websocket = config.id_ports
            yield (
                f"ID server listens on {nat}/tcp, {main}/tcp and {main}/udp, and on "
                f"{websocket}/tcp for WebSocket"
            )
            yield f"enter in each client: ID server {_shown(host, main, 21116)}"
        if config.role != "id":
            port, websocket = config.relay_ports
            yield (
                f"relay listens on {port}/tcp, and on {websocket}/tcp for WebSocket, "
                f"relay-auth {config.relay_auth}"
            )
            yield f"enter in each client: relay server {_shown(host, port, 21117)}"
        if self._web.port:
            paths = " and ".join(self._routes())
            yield f"everything over TLS on {self._web.port}/tcp: {paths}"
        if self.id_server is not None:
            yield f"enter in each client: key {self._key_to_enter()}"
        if old := [key_name(text) for text in self._relay_keys().old]:
            yield f"clients that still have an old key are served too: {', '.join(old)}"

    def _relay_keys(self) -> RelayKeys:
        key = self.id_server.key if self.id_server is not None else None
        if key is None:
            return RelayKeys("")
        return RelayKeys(key.required, tuple(old.public_text for old in key.old))

    def _key_to_enter(self) -> str:
        key = self.id_server.key if self.id_server is not None else None
        if key is None or key.pair is None:
            return "(the text of the setting key; sessions are not encrypted with it)"
        unasked = (
            "" if key.required else " (not asked for, but without it nothing is encrypted)"
        )
        return key.pair.public_text + unasked


def makeService(options: ProgramOptions) -> IService:
    """
    Build the whole server, still unstarted; nothing is opened.

    :raises ConfigError: the service manager opened something that is of no use.
    """
    from twisted.internet import reactor

    count_monotonically(reactor)
    manager = Manager.named_in(os.environ, os.getpid())
    return Server(options, reactor, manager, given_sockets(first_environ(), os.getpid()))


def count_monotonically(reactor: Any) -> None:
    """
    Give *reactor* a clock that nobody can set, while no delayed call depends on its own.

    Twisted's follows the wall clock: set back by an hour it would hold every deadline up
    for an hour, set forward end every connection at once.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def _doubts(config: Config) -> Iterator[str]:
    """Say what may be meant as it is, and probably is not."""
    elsewhere = config.relay_port != config.port + 1
    if config.role == "all" and elsewhere and not config.relay_servers:
        yield (
            f"clients look for the relay on port {config.port + 1}, and it is on "
            f"{config.relay_port}: name it in relay-servers"
        )
    if config.role != "relay" and config.key == "":
        yield "key is empty: anybody may use this ID server"
    downgrade = Config().downgrade_threshold, Config().downgrade_start_check_s
    set_downgrade = config.downgrade_threshold, config.downgrade_start_check_s
    if set_downgrade != downgrade and config.single_bandwidth_mbit_per_s is None:
        yield "downgrade-threshold and -start-check do nothing without single-bandwidth"
    if _descriptors() < config.max_connections:
        yield (
            f"the system gives this process {_descriptors()} descriptors, less than "
            f"max-connections ({config.max_connections}): raise its limit (nofile)"
        )


def _shown(host: str, port: int, usual: int) -> str:
    """Return what a client is given: the port only where it is not the usual one."""
    return host if port == usual else str(Address(host, port))


def _check_data_dir(data_dir: str) -> None:
    if not Path(data_dir).is_dir():
        raise ConfigError(f"data-dir: {data_dir} is not a folder")


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _raise_descriptor_limit() -> None:
    """Each connection needs a descriptor; the soft limit is often only 1024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _logs_elsewhere(options: ProgramOptions) -> bool:
    """Return whether twistd was told how to log, or has no standard output (a daemon)."""
    twistd: Mapping[str, object] = options.parent or {}
    told = any(twistd.get(name) for name in ("logfile", "logger", "syslog"))
    return told or not twistd.get("nodaemon")
