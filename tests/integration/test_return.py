"""All devices come back at once after a restart."""

from __future__ import annotations

import select
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import TestCase

from rdserver.wire import pb
from tests.integration.client import online
from tests.integration.process import Ports, ServerProcess
from tests.storage.test_sqlite import reference_file

DEVICES = 100_000
HOST = "127.0.0.1"
_PART = 5_000
"""Devices heard and then asked after, so that no machine is too slow for presence."""

_SOCKETS = 8
_WINDOW = 32
"""Heartbeats under way on one socket: fewer than the smallest receive buffer holds."""

_SILENCE_S = 5.0


class ReturnTests(TestCase):
    """A server with many stored devices, none of them in memory."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ids = [str(100_000_000 + n) for n in range(DEVICES)]
        self._store(Path(folder.name) / "db_v2.sqlite3")
        self.server = ServerProcess(Path(folder.name), "--role=id")
        self.addCleanup(self.server.kill)
        self.server.start()
        self.ports = self.server.ports

    def _store(self, path: Path) -> None:
        reference_file(str(path))
        rows = (
            ((n + 1).to_bytes(16, "big"), peer_id, b"uuid", bytes(32), f'{{"ip":"{HOST}"}}')
            for n, peer_id in enumerate(self.ids)
        )
        with closing(sqlite3.connect(path)) as db, db:
            db.executemany(
                "INSERT INTO peer (guid, id, uuid, pk, info) VALUES (?, ?, ?, ?, ?)", rows
            )

    def test_nobody_registers_anew(self) -> None:
        """
        100 000 stored devices are online after one heartbeat each, two at the most,
        and none of them is asked for its key.
        """
        for start in range(0, DEVICES, _PART):
            part = self.ids[start : start + _PART]
            missing = _heartbeats(self.ports, part)
            missing = _heartbeats(self.ports, missing)
            self.assertEqual([], missing)
            sample = part[::100]
            self.assertEqual([True] * len(sample), online(self.ports, HOST, sample))


def _heartbeats(ports: Ports, ids: list[str]) -> list[str]:
    """Send one heartbeat for each id; return those that were not answered "known"."""
    known_by_socket = [_Sender(ports, ids[i::_SOCKETS]) for i in range(_SOCKETS)]
    try:
        waiting = {
            sender.socket: sender for sender in known_by_socket if sender.send_next()
        }
        while waiting:
            readable, _, _ = select.select(list(waiting), [], [], _SILENCE_S)
            if not readable:
                break
            for sock in readable:
                if not waiting[sock].take_replies():
                    del waiting[sock]
    finally:
        for sender in known_by_socket:
            sender.socket.close()
    return [peer_id for sender in known_by_socket for peer_id in sender.unknown()]


class _Sender:
    """
    Heartbeats of some devices from one socket, a window at a time.

    A reply does not say whose it is; so a window with one wrong reply counts as unknown
    as a whole.
    """

    def __init__(self, ports: Ports, ids: list[str]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((ports.host, ports.main))
        self._ids = ids
        self._sent = 0
        self._window: list[str] = []
        self._right = 0
        self._replies = 0
        self._unknown: list[str] = []

    def send_next(self) -> bool:
        """Send the next window; return whether there was one."""
        self._window = self._ids[self._sent : self._sent + _WINDOW]
        self._sent += len(self._window)
        self._right = self._replies = 0
        for peer_id in self._window:
            request = pb.RegisterPeer(id=peer_id.encode(), serial=3)
            self.socket.send(pb.encode(pb.RendezvousMessage(register_peer=request)))
        return bool(self._window)

    def take_replies(self) -> bool:
        """Take one reply; send the next window after the last one of this."""
        reply = pb.decode(self.socket.recv(100))
        self._replies += 1
        self._right += not reply.register_peer_response.request_pk
        if self._replies < len(self._window):
            return True
        if self._right < len(self._window):
            self._unknown += self._window
        self._window = []
        return self.send_next()

    def unknown(self) -> list[str]:
        """Return the ids of windows that were not answered rightly, or not at all."""
        return self._unknown + self._window + self._ids[self._sent :]
