"""Opens the ID server's ports: what stands behind each, and what before it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger

from rdserver.admin.port import ConsoleFactory, SniffingFactory
from rdserver.front import Front
from rdserver.id_rooms import IdRooms
from rdserver.notices import Notices
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.http_proxying import (
    MAX_AT_ONCE,
    MAX_BODY_BYTES,
    MAX_PER_ADDRESS,
)
from rdserver.settings.config import Config
from rdserver.transports import quick_port
from rdserver.transports.door import Company, Door
from rdserver.transports.listeners import HEARTBEAT_BYTES, UDP_BUFFER_BYTES, Listeners
from rdserver.transports.long_frames import LongFrames
from rdserver.transports.outlet import Outlet
from rdserver.transports.quick_port import QuickPort
from rdserver.transports.rendezvous_ws import rendezvous_websockets
from rdserver.transports.tcp import RendezvousFactory
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.transports.udp_batch import BatchPort
from rdserver.transports.websocket_factory import GuardedFactory
from rdserver.wire.address import is_loopback
from rdserver.wire.secure import KeyOffer

MAX_FRAME_BYTES = 64 * 1024
MAX_NAT_FRAME_BYTES = 256 * 1024
"""Online queries come there, with some thousand ids (protocol.md 3.18 no. 1)."""

MAX_API_FRAME_BYTES = MAX_BODY_BYTES + MAX_FRAME_BYTES
"""Requests for the API may come to TCP P after a key exchange."""

_PURPOSE = "RustDesk clients connect here by WebSocket; there is nothing to see."


class IdPorts:
    """
    The four ports of one ID server, bound before.

    :param takes_batches: whether datagrams are taken many by one call.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        *,
        front: Front,
        listeners: Listeners,
        outlet: Outlet,
        notices: Notices[Event],
        takes_batches: bool,
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._front = front
        self._listeners = listeners
        self._outlet = outlet
        self._notices = notices
        self._takes_batches = takes_batches

    def open(
        self,
        rooms: IdRooms,
        *,
        offer: Callable[[], KeyOffer] | None,
        console: ConsoleFactory | None,
    ) -> GuardedFactory:
        """
        Serve on all of them; return the factory of connections by WebSocket.

        :param offer: begins a key exchange; None where there is no key to sign with.
        :param console: also served on port-1, to this machine.
        """
        nat, main, websocket = self._config.id_ports
        core = rooms.core
        main_door = Door(
            core.main_frame,
            core.stream_closed,
            MAX_FRAME_BYTES,
            long_frames=self._long_frames() if self._config.api_url else None,
            offer=offer,
            grace_s=self._config.key_exchange_delay_ms / 1000,
        )
        self._accept(main, main_door)
        nat_door = Door(core.nat_frame, core.stream_closed, MAX_NAT_FRAME_BYTES)
        self._accept(nat, nat_door, console)
        door = Door(core.main_frame, core.stream_closed, MAX_FRAME_BYTES)
        websockets = self._accept_websockets(websocket, door)
        self._tell_buffer(self._open_udp(main, rooms))
        return websockets

    def _long_frames(self) -> LongFrames:
        return LongFrames(MAX_AT_ONCE, MAX_PER_ADDRESS, MAX_API_FRAME_BYTES)

    def _tell_buffer(self, granted: int) -> None:
        """Say what the system grants if it is less than was asked for."""
        wanted = self._config.rmem_bytes
        if granted < wanted:
            self._log.warn(
                "rmem: the system grants {bytes} bytes; net.core.rmem_max limits it",
                bytes=granted,
            )
        elif not wanted and granted < UDP_BUFFER_BYTES:
            self._log.info(
                "the UDP socket's receive buffer has {bytes} bytes, room for {count} "
                "heartbeats at most; net.core.rmem_max limits it",
                bytes=granted,
                count=granted // HEARTBEAT_BYTES,
            )

    def _open_udp(self, port: int, rooms: IdRooms) -> int:
        """Answer datagrams; return the receive buffer's size in bytes."""
        datagrams = RendezvousDatagrams(
            rooms.core.datagram,
            self._outlet,
            self._notices,
            dual_stack=self._listeners.is_dual_stack(port),
        )
        self._outlet.send_datagram = datagrams.send
        size = self._config.rmem_bytes
        if not self._takes_batches:
            return self._listeners.open_udp(port, datagrams, size)

        def adopt(bound: socket.socket) -> BatchPort:
            return BatchPort(
                bound.dup(), datagrams, rooms.heartbeats, self._reactor, time.monotonic
            ).start()

        return self._listeners.open_udp_by(adopt, port, size)

    def _accept_websockets(self, port: int, door: Door) -> GuardedFactory:
        company = Company(
            door=door,
            outlet=self._outlet,
            clock=self._reactor,
            now=time.monotonic,
            notices=self._notices,
        )
        admission = self._front.admission(is_http=True)
        environment = self._front.environment(_PURPOSE, admission)
        websockets = rendezvous_websockets(company, environment)
        self._listeners.open_tcp(port, self._front.web(websockets, admission))
        return websockets

    def _accept(self, port: int, door: Door, console: ConsoleFactory | None = None) -> None:
        admission = self._front.admission()
        factory = RendezvousFactory(
            door=door,
            outlet=self._outlet,
            admission=admission,
            clock=self._reactor,
            now=time.monotonic,
            notices=self._notices,
        )
        if console is not None:
            sniffing = SniffingFactory(console, factory, is_loopback, self._reactor)
            self._listeners.open_tcp(port, sniffing)
        elif self._front.names_clients:
            self._listeners.open_tcp(port, self._front.plain(factory, admission))
        elif quick_port.AVAILABLE:
            quick = partial(
                QuickPort,
                door=door,
                factory=factory,
                admission=admission,
                reactor=self._reactor,
                now=time.monotonic,
                notices=self._notices,
            )
            self._listeners.open_tcp_by(quick, port)
        else:
            self._listeners.open_tcp(port, factory)
