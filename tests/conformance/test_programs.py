"""Statements 8.13: utilities, configuration, key files and database."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import pb
from tests.conformance.world import ServerTests, fresh_id
from tests.integration.process import Ports, ServerProcess, free_ports, program, run_to_end
from tests.integration.sockets import REPLY_S, Udp, fresh_host
from tests.storage.test_sqlite import REFERENCE_SCHEMA

HELP = """\
Usage:
    rustdesk-utils [command]

Available Commands:
    genkeypair                                   Generate a new keypair
    validatekeypair [public key] [secret key]    Validate an existing keypair
    doctor [rustdesk-server]                     Check for server connection problems
"""


class FolderTests(SynchronousTestCase):
    """Each test has a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def run_program(
        self, name: str, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that ends by itself."""
        return run_to_end(self.folder, program(name, *arguments), extra)


class UtilsTests(FolderTests):
    def utils(self, *arguments: str) -> tuple[int, str]:
        """Return exit status and everything that was printed."""
        done = self.run_program("rustdesk-utils", *arguments)
        return done.returncode, done.stdout + done.stderr

    def pair(self) -> tuple[str, str]:
        status, text = self.utils("genkeypair")
        self.assertEqual(0, status)
        first, second = text.splitlines()
        self.assertEqual(("Public Key:  ", "Secret Key:  "), (first[:13], second[:13]))
        return first[13:], second[13:]

    def test_167_genkeypair(self) -> None:
        """Two lines, and the pair validates."""
        public, secret = self.pair()
        self.assertEqual((32, 64), (len(b64decode(public)), len(b64decode(secret))))
        self.assertEqual(b64decode(public), b64decode(secret)[32:])
        validated = self.utils("validatekeypair", public, secret)
        self.assertEqual((0, "Key pair is VALID\n"), validated)

    def test_168_validatekeypair(self) -> None:
        """VALID and 0; INVALID and 1; or one of the four messages and 1."""
        public, secret = self.pair()
        other, _ = self.pair()
        for arguments, message in [
            ((other, secret), "Key pair is INVALID"),
            ((public, "***"), "Invalid secret key"),
            ((public, b64encode(bytes(63)).decode()), "Invalid Secret key"),
            (("***", secret), "Invalid public key"),
            ((b64encode(bytes(31)).decode(), secret), "Invalid Public key"),
        ]:
            status, text = self.utils("validatekeypair", *arguments)
            self.assertEqual((1, message), (status, text.strip()))
        status, text = self.utils("validatekeypair", public)
        self.assertEqual(1, status)
        self.assertIn("You must supply both the public and the secret key", text)

    def test_169_help(self) -> None:
        """Without a command, or with an unknown one, help and exit status 1."""
        for arguments in ((), ("nonsense",)):
            status, text = self.utils(*arguments)
            self.assertEqual(1, status)
            for line in HELP.splitlines():
                self.assertIn(line, text)


class BadStartTests(FolderTests):
    def test_170_invalid_port(self) -> None:
        """ "Invalid port" and exit status 1."""
        for done in (
            self.run_program("hbbs", "-p", "2"),
            self.run_program("twistd", "-n", "--pidfile=", "rustdesk-server", "-p", "2"),
        ):
            self.assertEqual(1, done.returncode)
            self.assertIn("Invalid port", done.stderr)
        self.assertEqual([], list(self.folder.glob("id_ed25519*")))

    def test_176_malformed_key(self) -> None:
        """Exit status 1, and the file is left as it is."""
        path = self.folder / "id_ed25519"
        for content in ("nonsense", "", b64encode(bytes(63)).decode()):
            path.write_text(content)
            done = self.run_program("hbbs", "-p", str(free_ports().main))
            self.assertEqual(1, done.returncode)
            sentence = "Fatal error: malformed private key in id_ed25519."
            self.assertIn(sentence, done.stdout + done.stderr)
            self.assertEqual(content, path.read_text())


class PortTests(FolderTests):
    def listening(
        self, command: Sequence[str], ports: Ports, extra: Mapping[str, str] | None = None
    ) -> bool:
        """Return whether the program listens on *ports*, and ends with 0 on SIGTERM."""
        server = ServerProcess(self.folder, command=command, ports=ports, extra=extra)
        self.addCleanup(server.kill)
        server.start()
        return server.stop() == 0

    def test_171_port_from_the_environment(self) -> None:
        """hbbs listens on PORT-1, PORT and PORT+2, hbbr on PORT+1 and PORT+3."""
        ports = free_ports()
        port = {"PORT": str(ports.main)}
        self.assertTrue(self.listening(program("hbbs"), Ports(ports.main, 0), port))
        self.assertTrue(self.listening(program("hbbr"), Ports(0, ports.main + 1), port))

    def test_171_port_given(self) -> None:
        """hbbr ``-p N`` listens on N, whatever PORT says."""
        (self.folder / "id_ed25519.pub").write_text(b64encode(bytes(range(32))).decode())
        ports = free_ports()
        hbbr = program("hbbr", "-p", str(ports.relay))
        self.assertTrue(self.listening(hbbr, Ports(0, ports.relay), {"PORT": "1"}))


class SourcesTests(ServerTests):
    """Which relay is proposed shows which source of settings counts."""

    files = {".env": "relay_servers=127.0.0.1:1\n"}
    extra = {"RELAY-SERVERS": "127.0.0.1:2"}
    proposed = b"127.0.0.1:1"

    def test_172_precedence(self) -> None:
        """What stands in ``.env`` counts more than the environment."""
        device = self.registered()
        self.punched(self.controller(), device)
        push = device.next_push().punch_hole
        self.assertEqual(self.proposed, push.relay_server)


class OptionWinsTests(SourcesTests):
    """... and the command line more than both."""

    options = ("-r", "127.0.0.1:3")
    proposed = b"127.0.0.1:3"


class SpellingTests(ServerTests):
    def test_173_spelling(self) -> None:
        """The variable is recognised in every spelling."""
        for spelling in ("relay-servers", "RELAY_SERVERS", "Relay_Servers"):
            self.server = self.other_server({spelling: "127.0.0.1:4"})
            self.ports = self.server.ports
            device = self.registered()
            self.punched(self.controller(), device)
            push = device.next_push().punch_hole
            self.assertEqual(b"127.0.0.1:4", push.relay_server, spelling)
            self.server.stop()

    def other_server(self, extra: Mapping[str, str]) -> ServerProcess:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        server = ServerProcess(folder, extra=extra)
        self.addCleanup(server.kill)
        return server.start()


class DataFolderTests(FolderTests):
    def start(self, *options: str) -> ServerProcess:
        server = ServerProcess(self.folder, *options)
        self.addCleanup(server.kill)
        return server.start()

    def test_174_key_files(self) -> None:
        """They are created, belong together, and are kept over a restart."""
        server = self.start()
        secret, public = self.key_files()
        self.assertEqual(64, len(b64decode(secret)))
        self.assertEqual(b64decode(public), b64decode(secret)[32:])
        pair = SigningKey(b64decode(secret)[:32])
        self.assertEqual(b64decode(public), bytes(pair.verify_key))
        server.stop()
        server.start()
        self.assertEqual((secret, public), self.key_files())

    def key_files(self) -> tuple[str, str]:
        private = self.folder / "id_ed25519"
        return private.read_text(), (self.folder / "id_ed25519.pub").read_text()

    def test_177_mode(self) -> None:
        """A created private key has mode 0600."""
        self.start()
        self.assertEqual(0o600, (self.folder / "id_ed25519").stat().st_mode & 0o777)

    def test_179_fresh_database(self) -> None:
        """The table and the four indexes of 3.15 exist."""
        self.start()
        names = "SELECT name FROM sqlite_master WHERE tbl_name = 'peer'"
        with closing(sqlite3.connect(self.folder / "db_v2.sqlite3")) as db:
            found = {name for (name,) in db.execute(names)}
            columns = [row[1] for row in db.execute("PRAGMA table_info(peer)")]
            indexes = {
                name: [column[2] for column in db.execute(f"PRAGMA index_info({name})")]
                for name in found
                if name.startswith("index_")
            }
        self.assertIn("peer", found)
        self.assertEqual(
            ["guid", "id", "uuid", "pk", "created_at", "user", "status", "note", "info"],
            columns,
        )
        expected = {f"index_peer_{name}": [name] for name in INDEXED}
        self.assertEqual(expected, indexes)


INDEXED = ("id", "user", "created_at", "status")


class ReferenceDatabaseTests(ServerTests):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.known, self.guid = fresh_id(), bytes(range(16))
        with closing(sqlite3.connect(folder / "db_v2.sqlite3")) as db, db:
            db.executescript(REFERENCE_SCHEMA)
            row = (self.guid, self.known, b"machine", b"\x05" * 32, '{"ip":"127.0.0.5"}')
            db.execute(
                "INSERT INTO peer (guid, id, uuid, pk, info) VALUES (?, ?, ?, ?, ?)", row
            )
        self.server = ServerProcess(folder)
        self.addCleanup(self.server.kill)
        self.ports = self.server.start().ports

    def test_178_existing_database(self) -> None:
        """Its devices are found, and keep their guid after updates."""
        self.assertEqual("OFFLINE", self.failure(self.controller(), self.known))
        device = self.device(peer_id=self.known, machine=b"machine", pk=b"\x05" * 32)
        self.assertEqual("OK", self.result(device))
        row = self.row(self.known) or {}
        self.assertEqual((self.guid, device.address.host), (row["guid"], row["ip"]))


class BindTests(ServerTests):
    options = ("--bind", "127.0.0.1")

    def test_180_only_there(self) -> None:
        """All listeners are bound only to that address."""
        self.registered()
        for port in self.ports.tcp:
            socket.create_connection(("127.0.0.1", port), REPLY_S).close()
            self.assertRaises(
                ConnectionRefusedError, socket.create_connection, ("127.0.0.2", port)
            )
        other = self.keep(Udp(Ports(self.ports.main, 0, "127.0.0.2"), fresh_host()))
        other.socket.connect(("127.0.0.2", self.ports.main))
        other.socket.send(pb.encode(pb.RendezvousMessage()))
        other.socket.settimeout(REPLY_S)
        self.assertRaises(ConnectionRefusedError, other.socket.recv, 1)
