"""What was acknowledged survives; what cannot be stored is said clearly."""

from __future__ import annotations

import select
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from rdserver.wire import pb
from tests.integration.case import ProcessTests, after_mounting
from tests.integration.client import Device
from tests.integration.process import Ports
from tests.integration.sockets import REPLY_S, fresh_host

REGISTRATIONS = 1000
SENDERS = 100
KILL_AFTER = 500
"""Acknowledgements after which the power is cut; more of them are on their way then."""


class Registrations:
    """
    Devices that all register at once, ten from each address.

    :ivar acknowledged: the ids that were answered OK.
    """

    def __init__(self, ports: Ports) -> None:
        self._server = (ports.host, ports.main)
        self._ids = [str(700_000_000 + n) for n in range(REGISTRATIONS)]
        self._sockets = [self._socket() for _ in range(SENDERS)]
        self.acknowledged: list[str] = []

    def _socket(self) -> socket.socket:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((fresh_host(), 0))
        return udp

    def run_until(self, number: int) -> None:
        """Send as answers come, until so many devices are acknowledged."""
        self._waiting = {udp: self._send(udp) for udp in self._sockets}
        while len(self.acknowledged) < number:
            readable, _, _ = select.select(list(self._waiting), [], [], REPLY_S)
            if not readable:
                raise AssertionError("the server does not answer")
            for udp in readable:
                self._take_answer(udp)
                self._waiting[udp] = self._send(udp)

    def drain(self) -> None:
        """Take the answers that had left the server when it died."""
        while readable := select.select(list(self._waiting), [], [], 0)[0]:
            for udp in readable:
                self._take_answer(udp)
                del self._waiting[udp]

    def close(self) -> None:
        for udp in self._sockets:
            udp.close()

    def _send(self, udp: socket.socket) -> str:
        peer_id = self._ids.pop()
        request = pb.RegisterPk(
            id=peer_id.encode(), uuid=b"of " + peer_id.encode(), pk=bytes(32)
        )
        udp.sendto(pb.encode(pb.RendezvousMessage(register_pk=request)), self._server)
        return peer_id

    def _take_answer(self, udp: socket.socket) -> None:
        answer = pb.decode(udp.recv(1024)).register_pk_response
        if answer.result == pb.RegisterPkResponse.OK:
            self.acknowledged.append(self._waiting[udp])


class PowerCutTests(ProcessTests):
    def test_kill_during_registrations(self) -> None:
        """``kill -9`` during 1,000 registrations loses none that was acknowledged."""
        server = self.server().start()
        registrations = self.keep(Registrations(server.ports))
        registrations.run_until(KILL_AFTER)
        server.kill()
        registrations.drain()
        acknowledged = registrations.acknowledged
        self.assertGreaterEqual(len(acknowledged), KILL_AFTER)

        server.start()
        for peer_id in acknowledged[::10]:
            device = self.device(server.ports, peer_id)
            self.assertFalse(device.heartbeat(), f"{peer_id} is not known any more")
        server.stop()
        with closing(sqlite3.connect(self.folder / "db_v2.sqlite3")) as db:
            stored = dict(db.execute("SELECT id, uuid FROM peer"))
            self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
        self.assertEqual([], sorted(set(acknowledged) - stored.keys()))
        for peer_id in acknowledged:
            self.assertEqual(b"of " + peer_id.encode(), stored[peer_id])


class FullDiskTests(ProcessTests):
    def test_full_disk(self) -> None:
        """
        New devices are answered SERVER_ERROR, with one clear line in the log for all of
        them; those that are known stay online; and once there is room again everything
        works.
        """
        mount = f"mount -t tmpfs -o size=4m none {self.folder}"
        server = self.server(wrapper=after_mounting(mount)).start()
        known = self.device(server.ports, "600000001").register()
        data = Path(f"/proc/{server.pid}/root{self.folder}")
        filler = data / "filler"
        self.fill(filler)

        results = [self.result(server.ports, 600_000_100 + n) for n in range(30)]
        self.assertIn(pb.RegisterPkResponse.SERVER_ERROR, results)
        self.assertEqual(pb.RegisterPkResponse.SERVER_ERROR, results[-1])
        self.assertFalse(known.heartbeat())
        lines = [line for line in server.log().splitlines() if " error " in line]
        self.assertEqual(1, len(lines), server.log())
        self.assertIn("db_v2.sqlite3: database or disk is full", lines[0])
        self.assertNotIn("Traceback", server.log())

        filler.unlink()
        again = self.device(server.ports, "600000002")
        self.assertEqual(pb.RegisterPkResponse.OK, again.register_pk())
        server.stop()

    def fill(self, path: Path) -> None:
        with open(path, "wb", buffering=0) as filler:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def result(self, ports: Ports, number: int) -> int:
        device = Device(ports, str(number), machine=bytes(500))
        try:
            return device.register_pk()
        finally:
            device.close()


class ReadOnlyTests(ProcessTests):
    def refused(self) -> str:
        """Start on a data folder that cannot be written to; return what it says."""
        mount = f"mount --bind {self.folder} {self.folder}"
        read_only = f"{mount} && mount -o remount,bind,ro {self.folder}"
        server = self.server(wrapper=after_mounting(read_only))
        server.spawn()
        self.assertEqual(1, server.wait())
        return server.log()

    def test_empty_folder(self) -> None:
        """The start stops with one sentence that names the folder, and exit status 1."""
        log = self.refused()
        self.assertIn(str(self.folder), log)
        self.assertIn("Read-only file system", log)
        self.assertNotIn("Traceback", log)

    def test_used_folder(self) -> None:
        """So it does if key and database are there already."""
        server = self.server().start()
        server.stop()
        (self.folder / "log").unlink()
        log = self.refused()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("ready", log)
        said = [line for line in log.splitlines() if str(self.folder) in line]
        self.assertEqual(1, len(said), log)
