from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError, StorageError
from rdserver.storage import sqlite
from rdserver.storage.interface import PeerStore
from rdserver.storage.sqlite import IN_MEMORY, database_path, open_database
from tests.storage.contract import ALICE, BOB, PeerStoreContract
from tests.storage.test_sql import InThisThread, device, execute

# As the reference makes it, column by column, protocol.md section 3.15.
REFERENCE_SCHEMA = """
    CREATE TABLE peer (guid blob primary key not null, id varchar(100) not null,
        uuid blob not null, pk blob not null,
        created_at datetime not null default(current_timestamp), user blob,
        status tinyint, note varchar(300), info text not null) without rowid;
    CREATE UNIQUE INDEX index_peer_id on peer (id);
    CREATE INDEX index_peer_user on peer (user);
    CREATE INDEX index_peer_created_at on peer (created_at);
    CREATE INDEX index_peer_status on peer (status);
"""
NOBODY = 65534


def shape(path: str) -> object:
    """Return all that SQLite tells about the table and its indexes."""
    db = sqlite3.connect(path)
    columns = db.execute("PRAGMA table_info(peer)").fetchall()
    indexes = sorted(row[1:] for row in db.execute("PRAGMA index_list(peer)"))
    parts = [
        (row[0], db.execute(f"PRAGMA index_info({row[0]})").fetchall()) for row in indexes
    ]
    db.close()
    return columns, indexes, parts


def reference_file(path: str) -> None:
    """Make the file that the reference leaves behind, with one device."""
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode = delete;" + REFERENCE_SCHEMA)
    db.execute(
        "INSERT INTO peer VALUES (?, ?, ?, ?, '2023-01-02 03:04:05', ?, 7, 'mine', ?)",
        (ALICE.guid, ALICE.id, ALICE.uuid, ALICE.pk, b"owner", '{"ip":"::ffff:192.0.2.1"}'),
    )
    db.commit()
    db.close()


class SqliteContractTests(PeerStoreContract, SynchronousTestCase):
    def make_store(self) -> PeerStore:
        peers = open_database(self.mktemp())
        self.addCleanup(peers.close)
        return InThisThread(peers)


class DatabasePathTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without a setting it is the reference's file in the data folder."""
        self.assertEqual("/data/db_v2.sqlite3", database_path("", "/data"))

    def test_forms(self) -> None:
        """A path may be bare or behind any of the usual spellings of the scheme."""
        for text, path in (
            ("/db/x.sqlite3", "/db/x.sqlite3"),
            ("./x.sqlite3", "./x.sqlite3"),
            ("sqlite:x.sqlite3", "x.sqlite3"),
            ("sqlite://x.sqlite3", "x.sqlite3"),
            ("sqlite:///db/x.sqlite3", "/db/x.sqlite3"),
            ("sqlite:/db/x.sqlite3", "/db/x.sqlite3"),
            ("SQLite:///db/x.sqlite3?mode=rwc", "/db/x.sqlite3"),
            ("sqlite://my%20db?mode=rw", "my db"),
            ("my%20db?mode=rw", "my%20db?mode=rw"),
            ("sqlite::memory:", IN_MEMORY),
            ("sqlite://:memory:", IN_MEMORY),
        ):
            self.assertEqual(path, database_path(text, "/data"), text)

    def test_refused(self) -> None:
        """What we cannot serve is refused by name; a password in it is not shown."""
        for text in (
            "postgresql://me:secret@host/db",
            "mysql:secret",
            "sqlite://x?mode=ro&secret",
            "sqlite:",
            "sqlite://",
            "sqlite://?mode=rwc",
        ):
            error = str(self.assertRaises(ConfigError, database_path, text, "/data"))
            self.assertTrue(error.startswith("db-url: "), error)
            self.assertNotIn("me:secret", error)


class NewFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def create(self) -> None:
        open_database(self.path).close()

    def test_same_as_the_reference(self) -> None:
        """Table, columns, defaults and the four indexes are the reference's."""
        self.create()
        other = self.mktemp()
        reference_file(other)
        self.assertEqual(shape(other), shape(self.path))

    def test_without_rowid(self) -> None:
        """The table is kept by guid."""
        self.create()
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        with self.assertRaises(sqlite3.OperationalError):
            db.execute("SELECT rowid FROM peer")

    def test_user_version(self) -> None:
        """The version in the file stays 0."""
        self.create()
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        self.assertEqual([(0,)], db.execute("PRAGMA user_version").fetchall())

    def test_created_at(self) -> None:
        """A new row carries its time."""
        peers = open_database(self.path)
        self.addCleanup(peers.close)
        peers.save([ALICE])
        age = "SELECT julianday('now') - julianday(created_at) FROM peer"
        self.assertApproximates(0.0, execute(peers, age)[0][0], 0.01)

    def test_private(self) -> None:
        """Whatever the umask, only the owner reads and writes the file and its log."""
        for mask in (0, 0o077, 0o777):
            path = self.mktemp()
            self.addCleanup(os.umask, os.umask(mask))
            peers = open_database(path)
            self.addCleanup(peers.close)
            peers.save([ALICE])
            for name in (path, path + "-wal", path + "-shm"):
                self.assertEqual(0o600, stat.S_IMODE(os.stat(name).st_mode), name)

    def test_empty_file(self) -> None:
        """An empty file is a new database, as it is to SQLite."""
        Path(self.path).touch()
        self.create()
        self.assertTrue(shape(self.path))

    def test_odd_name(self) -> None:
        """A name with characters that mean something in a URL is only a name."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.path = os.path.join(folder, "file:a b?mode=ro&x=%41#1")
        self.create()
        self.assertEqual([os.path.basename(self.path)], os.listdir(folder))


class OpenFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.peers = open_database(self.path)
        self.addCleanup(self.peers.close)

    def test_durable(self) -> None:
        """Every commit reaches the disk, and readers do not wait for writers."""
        self.assertEqual([("wal",)], execute(self.peers, "PRAGMA journal_mode"))
        self.assertEqual([(2,)], execute(self.peers, "PRAGMA synchronous"))
        self.assertEqual([(5000,)], execute(self.peers, "PRAGMA busy_timeout"))

    def test_reopened(self) -> None:
        """What was saved is there after closing and opening; no log is left beside it."""
        self.peers.save([ALICE, BOB])
        self.peers.close()
        self.assertFalse(os.path.exists(self.path + "-wal"))
        self.peers = open_database(self.path)
        self.addCleanup(self.peers.close)
        self.assertEqual([ALICE, BOB], self.peers.find([ALICE.id, BOB.id]))

    def test_locked_by_another(self) -> None:
        """While another program writes, saves fail and finds work; then all works."""
        self.peers.save([ALICE])
        execute(self.peers, "PRAGMA busy_timeout = 0")
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        (error,) = self.peers.save([BOB])
        self.assertIn("locked", str(error))
        self.assertIn(self.path, str(error))
        self.assertEqual([ALICE], self.peers.find([ALICE.id]))
        other.execute("ROLLBACK")
        self.assertEqual([None], self.peers.save([BOB]))

    def test_written_by_another(self) -> None:
        """What another program commits between our requests is seen."""
        self.peers.find([ALICE.id])
        other = sqlite3.connect(self.path)
        self.addCleanup(other.close)
        row = (ALICE.id, ALICE.guid, ALICE.uuid, ALICE.pk, '{"ip":"192.0.2.1"}')
        other.execute("INSERT INTO peer (id, guid, uuid, pk, info) VALUES (?,?,?,?,?)", row)
        other.commit()
        self.assertEqual([ALICE], self.peers.find([ALICE.id]))

    def test_full(self) -> None:
        """A database without room refuses what is new, keeps what it has, and recovers."""
        self.peers.save([ALICE])
        execute(self.peers, "PRAGMA max_page_count = 8")
        devices = [device(number) for number in range(1000)]
        results = self.peers.save(devices)
        self.assertEqual({StorageError}, {type(result) for result in results})
        self.assertIn("full", str(results[0]))
        self.assertEqual([ALICE, None], self.peers.find([ALICE.id, device(0).id]))
        execute(self.peers, "PRAGMA max_page_count = 100000")
        self.assertEqual([None] * 1000, self.peers.save(devices))


class ReferenceFileTests(SynchronousTestCase):
    """
    A file of the original is used as it is, and can be given back.

    Source: protocol.md section 8.13 number 178.
    """

    def setUp(self) -> None:
        self.path = self.mktemp()
        reference_file(self.path)
        self.peers = open_database(self.path)
        self.addCleanup(self.peers.close)

    def test_found(self) -> None:
        """Its devices are known, with their keys and their guid."""
        self.assertEqual([ALICE], self.peers.find([ALICE.id]))

    def test_updated(self) -> None:
        """An update leaves guid, uuid, time and the columns of others as they were."""
        changed = evolve(ALICE, id="renamed", uuid=b"x", pk=b"new key", ip="198.51.100.2")
        self.assertEqual([None], self.peers.save([changed]))
        self.assertEqual([None], self.peers.save([BOB]))
        self.peers.close()
        rows = self.read_as_the_reference()
        self.assertEqual(
            (
                ALICE.guid,
                "renamed",
                ALICE.uuid,
                b"new key",
                "2023-01-02 03:04:05",
                b"owner",
                7,
                "mine",
                '{"ip":"198.51.100.2"}',
            ),
            rows["renamed"],
        )
        self.assertEqual((None, None, None, '{"ip":"2001:db8::1"}'), rows[BOB.id][5:])

    def test_schema_untouched(self) -> None:
        """Opening it changes neither table nor indexes nor version."""
        other = self.mktemp()
        reference_file(other)
        self.assertEqual(shape(other), shape(self.path))

    def read_as_the_reference(self) -> dict[str, Any]:
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        self.assertEqual(
            [("delete",)], db.execute("PRAGMA journal_mode = delete").fetchall()
        )
        self.assertEqual([(0,)], db.execute("PRAGMA user_version").fetchall())
        self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
        return {row[1]: row for row in db.execute("SELECT * FROM peer")}


class RefusedFileTests(SynchronousTestCase):
    """A file that cannot be used stops the start with one sentence."""

    def refusal(self, path: str) -> str:
        error = str(self.assertRaises(StorageError, open_database, path))
        self.assertTrue(error.startswith(os.path.abspath(path)), error)
        self.assertNotIn("\n", error)
        return error.removeprefix(os.path.abspath(path))

    def run_sql(self, script: str) -> str:
        path = self.mktemp()
        db = sqlite3.connect(path)
        db.executescript(script)
        db.close()
        return path

    def as_nobody(self) -> str:
        """Return a new folder that the user we now are can enter but not write to."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        if os.geteuid() == 0:
            os.chmod(folder, 0o755)
            self.addCleanup(os.seteuid, 0)
            os.seteuid(NOBODY)
        else:
            os.chmod(folder, 0o555)
            self.addCleanup(os.chmod, folder, 0o755)
        return folder

    def read_only_file(self) -> str:
        source = self.run_sql(REFERENCE_SCHEMA)
        content = Path(source).read_bytes()
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = Path(folder, "db_v2.sqlite3")
        path.write_bytes(content)
        path.chmod(0o444)
        os.chmod(folder, 0o755)
        self.as_nobody()
        return str(path)

    def test_no_database(self) -> None:
        """Anything else than a database is told apart, and stays as it is."""
        path = self.mktemp()
        Path(path).write_bytes(b"private notes\n" * 100)
        self.assertEqual(" is not a database", self.refusal(path))
        self.assertEqual(b"private notes\n" * 100, Path(path).read_bytes())

    def test_damaged(self) -> None:
        """A damaged file is refused with SQLite's word for it."""
        path = self.run_sql(REFERENCE_SCHEMA)
        content = bytearray(Path(path).read_bytes())
        content[100:4096] = bytes(3996)
        Path(path).write_bytes(content)
        self.assertEqual(
            " cannot be used: database disk image is malformed", self.refusal(path)
        )

    def test_other_table(self) -> None:
        """A table peer that lacks columns of ours is refused, naming them."""
        path = self.run_sql("CREATE TABLE peer (guid blob, id text, pk blob)")
        text = " cannot be used: its table peer has no column uuid, info"
        self.assertEqual(text, self.refusal(path))

    def test_other_tables_do_no_harm(self) -> None:
        """A database with tables of others only gets ours beside them."""
        path = self.run_sql("CREATE TABLE other (a); INSERT INTO other VALUES (1)")
        peers = open_database(path)
        self.addCleanup(peers.close)
        self.assertEqual([(1,)], execute(peers, "SELECT a FROM other"))

    def test_missing_folder(self) -> None:
        """The folder must be there."""
        path = os.path.join(self.mktemp(), "x.sqlite3")
        self.assertEqual(
            " cannot be created: No such file or directory", self.refusal(path)
        )

    def test_folder(self) -> None:
        """A folder is no database."""
        path = self.mktemp()
        os.mkdir(path)
        self.assertIn(" cannot be written: it is a folder", self.refusal(path))

    def test_may_not_create(self) -> None:
        """In a folder of others no file is made."""
        path = os.path.join(self.as_nobody(), "x.sqlite3")
        self.assertEqual(" cannot be created: Permission denied", self.refusal(path))

    def test_may_not_write(self) -> None:
        """A file that we may only read is refused at the start, not at the first device."""
        text = (
            " cannot be written: permission denied (attempt to write a readonly database)"
        )
        self.assertEqual(text, self.refusal(self.read_only_file()))

    def test_file_system(self) -> None:
        """Where the file system is the cause, the sentence says so."""
        path = self.read_only_file()
        real = os.statvfs("/")
        read_only = os.statvfs_result((*real[:8], os.ST_RDONLY, real[9]))
        full = os.statvfs_result((4096, 4096, 64, 15, 15, *real[5:8], 0, real[9]))
        for state, cause in ((read_only, "read-only file system"), (full, "no space left")):
            self.patch(os, "statvfs", lambda _path, state=state: state)
            self.assertIn(f" cannot be written: {cause}", self.refusal(path))

    def test_enough_room(self) -> None:
        """Room for the log's index is room enough: then it is not the disk."""
        path = self.read_only_file()
        real = os.statvfs("/")
        enough = os.statvfs_result((4096, 4096, 64, 16, 16, *real[5:8], 0, real[9]))
        self.patch(os, "statvfs", lambda _path: enough)
        self.assertIn(" cannot be written: permission denied", self.refusal(path))

    def test_locked(self) -> None:
        """A file that another program keeps for itself is refused."""
        path = self.run_sql(REFERENCE_SCHEMA)
        self.patch(sqlite, "_BUSY_TIMEOUT_S", 0.0)
        other = sqlite3.connect(path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN EXCLUSIVE")
        self.assertEqual(" cannot be used: database is locked", self.refusal(path))
