"""Statements 241 and 242: how a server ends, and that it does not start twice."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

from tests.integration.case import ProcessTests
from tests.integration.client import Controller
from tests.integration.process import free_ports, program


class EndTests(ProcessTests):
    def test_241_sigterm(self) -> None:
        """Listeners and streams close, the database is consistent, the status is 0."""
        ports = free_ports()
        given = ("-p", str(ports.main), f"--relay-port={ports.relay}")
        server = self.server(command=program("rustdesk-server", *given), ports=ports)
        server.start()
        device = self.device(ports, "241241241").register()
        waiting = self.keep(Controller(ports, "wrong").connect())
        self.assertEqual(0, server.stop(signal.SIGTERM), server.log())
        self.assertTrue(waiting.is_closed())
        with closing(sqlite3.connect(self.folder / "db_v2.sqlite3")) as db:
            self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
            self.assertEqual([(device.id,)], db.execute("SELECT id FROM peer").fetchall())
        self.server(ports=ports).start()

    def test_242_second_instance(self) -> None:
        """It fails to start, with a message that names the port; the first goes on."""
        first = self.server().start()
        self.folder = self.new_folder()
        second = self.server(ports=first.ports)
        second.spawn()
        self.assertEqual(1, second.wait())
        self.assertIn("is already taken", second.log())
        self.device(first.ports, "242242242").register()
