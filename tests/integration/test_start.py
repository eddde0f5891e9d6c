"""How the server starts, refuses to start, and stops."""

from __future__ import annotations

import signal
import socket
import sqlite3
from contextlib import closing

from tests.integration.case import ProcessTests
from tests.integration.client import Controller
from tests.integration.process import Ports, free_ports, program, run_to_end
from tests.integration.sockets import Stream, fresh_host

TWISTD = program("twistd", "-n", "--pidfile=", "rustdesk-server")
# Twisted 22.4 dies of the signal after an orderly stop.
STOPPED = (0, -signal.SIGTERM)


class RefusalTests(ProcessTests):
    def refusal(self, ports: Ports) -> str:
        """Start where it cannot be; return the one line that says why."""
        server = self.server(ports=ports)
        server.spawn()
        self.assertEqual(1, server.wait())
        lines = server.log().splitlines()
        self.assertEqual(1, sum("already taken" in line for line in lines), lines)
        self.assertNotIn("Traceback", server.log())
        return next(line for line in lines if "already taken" in line)

    def test_taken_port(self) -> None:
        """A taken port, whichever it is, stops the start with a sentence that names it."""
        ports = free_ports()
        kinds = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}
        for port, kind in (
            (ports.main, socket.SOCK_DGRAM),
            (ports.main, socket.SOCK_STREAM),
            (ports.main - 1, socket.SOCK_STREAM),
            (ports.relay, socket.SOCK_STREAM),
        ):
            with socket.socket(socket.AF_INET, kind) as holder:
                holder.bind(("127.0.0.1", port))
                if kind == socket.SOCK_STREAM:
                    holder.listen()
                self.assertIn(f"{kinds[kind]} port {port}", self.refusal(ports))
            (self.folder / "log").unlink()

    def test_second_instance(self) -> None:
        """On the same ports it fails to start; the first one is unharmed."""
        first = self.server().start()
        self.folder = self.new_folder()
        self.refusal(first.ports)
        self.device(first.ports, "900000001").register()
        self.assertIn(first.stop(), STOPPED)

    def test_same_data_folder(self) -> None:
        """In the data folder of a running server another one fails to start."""
        first = self.server().start()
        second = self.server(ports=free_ports())
        second.spawn()
        self.assertEqual(1, second.wait())
        self.assertIn("another server is running in this data folder", second.log())
        self.device(first.ports, "900000002").register()

    def test_wrong_options(self) -> None:
        """A wrong option or value: exit status 1 and a sentence that names it."""
        for wrong, named in (
            (["--relay-port=70000"], "relay-port"),
            (["--relay-port=x"], "relay-port"),
            (["--relay-auth=nobody"], "relay-auth"),
            (["--role=judge"], "role"),
            (["--no-such-option"], "no-such-option"),
            (["surplus"], "surplus"),
            (["-c", "missing.ini"], "missing.ini"),
            (["--bind=nonsense"], "bind"),
            (["--data-dir=missing"], "data-dir"),
        ):
            for command in (TWISTD, program("rustdesk-server")):
                done = run_to_end(self.folder, [*command, *wrong])
                said = done.stdout + done.stderr
                self.assertEqual(1, done.returncode, said)
                self.assertIn(named, said)
                self.assertNotIn("Traceback", said)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_help(self) -> None:
        """``--help`` explains the options, with exit status 0."""
        for command in (TWISTD, program("rustdesk-server"), program("hbbs")):
            done = run_to_end(self.folder, [*command, "--help"])
            self.assertEqual(0, done.returncode)
            for option in ("--port", "--key", "--relay-servers", "--data-dir"):
                self.assertIn(option, done.stdout)


class StopTests(ProcessTests):
    def test_sigterm(self) -> None:
        """Connections are closed, the database is whole, and the ports are free again."""
        server = self.server().start()
        device = self.device(server.ports, "900000003").register()
        waiting = self.keep(Controller(server.ports, "wrong").connect())
        idle = self.keep(Stream(server.ports, server.ports.relay, (fresh_host(), 0)))
        self.assertIn(server.stop(), STOPPED)
        self.assertTrue(waiting.is_closed())
        self.assertTrue(idle.is_closed())
        self.assertEqual([], list(self.folder.glob("*.sock")))
        with closing(sqlite3.connect(self.folder / "db_v2.sqlite3")) as db:
            self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
            self.assertEqual([(device.id,)], db.execute("SELECT id FROM peer").fetchall())
        server.start()
        self.assertFalse(device.heartbeat())

    def test_after_a_crash(self) -> None:
        """What a killed server left behind does not stop the next start."""
        server = self.server().start()
        server.kill()
        self.assertNotEqual([], list(self.folder.glob("*.sock")))
        server.start()

    def test_our_own_program(self) -> None:
        """``rustdesk-server`` ends with exit status 0 on SIGTERM, SIGINT and SIGQUIT."""
        ports = free_ports()
        given = ("-p", str(ports.main), f"--relay-port={ports.relay}")
        for by in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            server = self.server(command=program("rustdesk-server", *given), ports=ports)
            server.start()
            self.assertEqual(0, server.stop(by), server.log())

    def test_log(self) -> None:
        """The log says what clients need, holds no secret, and has one line an event."""
        server = self.server().start()
        device = self.device(server.ports, "900000004").register()
        public = (self.folder / "id_ed25519.pub").read_text()
        secret = (self.folder / "id_ed25519").read_text()
        server.stop()
        log = server.log()
        for wanted in (f":{server.ports.main}", f"{server.ports.relay}/tcp", public):
            self.assertIn(wanted, log)
        for forbidden in (secret, secret[:43], device.uuid.decode()):
            self.assertNotIn(forbidden, log)
        for line in log.splitlines():
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (info|warn ) ")
