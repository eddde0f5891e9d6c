"""The ID server as a service: opens key, database and ports, and closes them."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import Logger

from rdserver.admin.console import ID_SOCKET, Console
from rdserver.admin.port import ConsoleFactory
from rdserver.admin.unix import UnixPort
from rdserver.front import Front
from rdserver.id_ports import IdPorts
from rdserver.id_rooms import Choices, IdRooms, Surroundings
from rdserver.key_watch import REPORT_S
from rdserver.keys import ServerKey, load_server_key
from rdserver.notices import Notices
from rdserver.old_key_file import load_old_keys
from rdserver.rendezvous.access import AccessPolicy
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.identity import Identity
from rdserver.rendezvous.routing import Lan
from rdserver.settings.config import Config
from rdserver.storage.sql import SqlPeers
from rdserver.storage.sqlite import database_path, open_database
from rdserver.storage.thread import StoreThread
from rdserver.sweeper import Sweeper
from rdserver.transports.api_client import ApiClient
from rdserver.transports.listeners import (
    Listeners,
    Wanted,
)
from rdserver.transports.local import primary_address
from rdserver.transports.outlet import Outlet
from rdserver.transports.relay_health import TIMEOUT_S, RelayHealth
from rdserver.transports.self_test import SelfTest
from rdserver.transports.udp_batch import takes_batches
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.secure import KeyOffer

_SWEEP_S = 30.0
_FLUSH_S = 0.2
"""Time for the last answers to leave at the end."""

_DATABASE_S = 20.0
"""Time for the database at the end; a disk that hangs must not hold up the system."""


class IdServer(MultiService):
    """
    Answers devices and those who look for them.

    :param config: the role must not be ``relay``.
    :param reactor: the reactor that runs.
    :param announce: told each relay session's uuid before the peers are.
    :param front: what stands before the TCP ports.
    :param access: who may reach whom; without it everybody may reach every device.
    :ivar websockets: the factory of connections by WebSocket; None before the start.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        announce: Callable[[str], None],
        front: Front | None = None,
        access: AccessPolicy | None = None,
    ) -> None:
        super().__init__()
        self._front = front or Front(config, reactor)
        self._config = config
        self._reactor = reactor
        self._announce = announce
        self._access = access
        self._notices = Notices(self._log, Event, time.monotonic)
        self._outlet = Outlet(self._notices)
        nat, main, websocket = config.id_ports
        self._listeners = Listeners(
            config.bind,
            [
                Wanted(nat, socket.SOCK_STREAM, "NAT test"),
                Wanted(main, socket.SOCK_STREAM, "ID server"),
                Wanted(main, socket.SOCK_DGRAM, "ID server"),
                Wanted(websocket, socket.SOCK_STREAM, "ID server, WebSocket"),
            ],
            reactor,
            self._front.given,
        )
        self._console_port = UnixPort(Path(config.data_dir) / ID_SOCKET, reactor)
        self._store: StoreThread | None = None
        self._banned: Sequence[str] = ()
        self._takes_batches = False
        self.key: ServerKey | None = None
        self.websockets: GuardedFactory | None = None

    def privilegedStartService(self) -> None:
        """
        Bind the ports; nothing is answered yet.

        :raises ConfigError: one of them is taken.
        """
        self._listeners.bind_all()
        super().privilegedStartService()

    def startService(self) -> None:
        """
        Load the keys, open the database, then answer.

        :raises ConfigError: a key cannot be loaded or made, another server uses the
            data folder, or udp-path asks for what this system does not have.
        :raises StorageError: the database cannot be used.
        """
        self._front.load()
        self._listeners.bind_all()
        self._takes_batches = takes_batches(self._config.udp_path)
        self._console_port.listen()  # first, for it tells whether the folder is taken
        self.key = self._load_key()
        self._store = self._open_store()
        rooms = self._furnish(self.key, self._store)
        self._open_ports(rooms)
        super().startService()

    def _load_key(self) -> ServerKey:
        key = load_server_key(self._config.key, Path(self._config.data_dir))
        return evolve(key, old=load_old_keys(self._config.old_keys, key.public_text))

    def _open_store(self) -> StoreThread:
        path = database_path(self._config.db_url, self._config.data_dir)

        def connect() -> SqlPeers:
            peers = open_database(path)
            self._banned = peers.bans()
            return peers

        store = StoreThread(connect, self._reactor.callFromThread, time.monotonic)
        store.open()
        return store

    def _furnish(self, key: ServerKey, store: StoreThread) -> IdRooms:
        world = Surroundings(
            now=time.monotonic,
            wall=time.time,
            random32=lambda: secrets.randbits(32),
            new_guid=lambda: secrets.token_bytes(16),
        )
        rooms = IdRooms(
            choices=_choices(self._config, self._banned),
            identity=Identity(key.required, key.pair, key.old),
            store=store,
            announce=self._announce,
            notices=self._notices,
            world=world,
            access=self._access,
            perform=self._outlet.perform,
            api=ApiClient(self._config.api_url, self._reactor)
            if self._config.api_url
            else None,
        )
        health = RelayHealth(rooms.relays, self._connect, self._reactor)
        health.setServiceParent(self)
        Sweeper("sweep", rooms.sweep, _SWEEP_S, self._reactor).setServiceParent(self)
        report = rooms.keys.report
        Sweeper("old key report", report, REPORT_S, self._reactor).setServiceParent(self)
        if self._config.test_hbbs.enabled:
            target = self._config.test_hbbs.target or self._own_address()
            SelfTest(target, self._reactor, time.monotonic).setServiceParent(self)
        return rooms

    def _own_address(self) -> tuple[str, int]:
        return self._config.bind or "127.0.0.1", self._config.port

    def _connect(self, host: str, port: int) -> Deferred[Any]:
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=TIMEOUT_S)
        attempt: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
        return attempt.addCallback(lambda protocol: protocol.transport.loseConnection())

    def _open_ports(self, rooms: IdRooms) -> None:
        console = ConsoleFactory(Console(rooms.commands), self._reactor)
        self._console_port.open(console)
        pair = None if self.key is None else self.key.pair
        ports = IdPorts(
            self._config,
            self._reactor,
            front=self._front,
            listeners=self._listeners,
            outlet=self._outlet,
            notices=self._notices,
            takes_batches=self._takes_batches,
        )
        self.websockets = ports.open(
            rooms,
            offer=None if pair is None else partial(KeyOffer, pair.signing_key),
            console=console if self._config.tcp_console else None,
        )

    async def _stop(self) -> None:
        self._console_port.close()
        await self._listeners.close()
        if self.websockets is not None:
            self.websockets.close_all()
        for stream in self._outlet.open_streams():
            stream.finish()
        if self._outlet.open_streams():
            await deferLater(self._reactor, _FLUSH_S, lambda: None)
        for stream in self._outlet.open_streams():
            stream.abort()
        if self.websockets is not None:
            self.websockets.abort_all()
        if self.running:
            self._log.info("ID server stops")
            await maybeDeferred(super().stopService)
        if self._store is not None:
            await self._store.close().addTimeout(_DATABASE_S, self._reactor)

    def stopService(self) -> Deferred[Any]:
        """Stop in order: ports, connections, housekeeping, database."""
        return Deferred.fromCoroutine(self._stop())


def _choices(config: Config, banned: Sequence[str]) -> Choices:
    local_ip = config.local_ip or (primary_address() if config.mask else "")
    return Choices(
        relay_servers=config.relay_servers,
        always_use_relay=config.always_use_relay,
        lan=Lan(config.mask, local_ip),
        serial=config.serial,
        rendezvous_servers=config.rendezvous_servers,
        software_url=config.software_url,
        keep_alive_s=config.keep_alive_s,
        needs_approval=config.enrolment == "approve",
        banned=banned,
    )
