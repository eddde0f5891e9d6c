"""Tests for :mod:`rdserver.cli.move`: a server's state, copied to another folder."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import move
from tests.cli.test_utils import PUBLIC, SECRET, Ran, run

FILES = {
    "id_ed25519": SECRET,
    "id_ed25519.pub": PUBLIC,
    "blacklist.txt": "192.0.2.1\n",
    "blocklist.txt": "192.0.2.2\n",
}
DATABASE = "db_v2.sqlite3"


class MoveTests(SynchronousTestCase):
    """``rustdesk-utils import`` and ``export``."""

    def setUp(self) -> None:
        """Make the folder of an old server, whose database is in use."""
        self.old, self.new = Path(self.mktemp()), Path(self.mktemp())
        self.old.mkdir()
        for name, text in FILES.items():
            (self.old / name).write_text(text)
        self.database = sqlite3.connect(self.old / DATABASE)
        self.addCleanup(self.database.close)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("CREATE TABLE peer (id)")
        self.database.execute("INSERT INTO peer VALUES ('123456789')")
        self.database.commit()

    def contents(self, folder: Path) -> dict[str, bytes]:
        """Return the files in *folder*, but for SQLite's index of its log."""
        return {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if not path.name.endswith("-shm")
        }

    def move(self, *arguments: str) -> Ran:
        """Import the old server's folder into the new one."""
        return run("import", f"--data-dir={self.new}", *arguments, str(self.old))

    def test_import(self) -> None:
        """All is there with the right permissions; the originals are as they were."""
        self.assertGreater((self.old / f"{DATABASE}-wal").stat().st_size, 0)
        self.import_all()

    def test_import_of_a_server_that_is_down(self) -> None:
        """A database without a log that had one gets none by being read."""
        self.database.close()
        self.assertFalse((self.old / f"{DATABASE}-wal").exists())
        self.import_all()
        self.assertFalse((self.old / f"{DATABASE}-shm").exists())

    def import_all(self) -> None:
        """Import, and look at what is there then."""
        before = self.contents(self.old)
        ran = self.move()
        self.assertEqual((0, "", 5), (ran.status, ran.err, len(ran.out.splitlines())))
        self.assertEqual(before, self.contents(self.old))
        self.assertEqual({*FILES, DATABASE}, set(os.listdir(self.new)))
        for name, text in FILES.items():
            self.assertEqual(text, (self.new / name).read_text())
        modes = {path.name: path.stat().st_mode & 0o777 for path in self.new.iterdir()}
        self.assertEqual(0o644, modes.pop("id_ed25519.pub"))
        self.assertEqual({0o600}, set(modes.values()))

    def test_log_of_the_database(self) -> None:
        """What is only in the write-ahead log is copied too."""
        self.move()
        with closing(sqlite3.connect(self.new / DATABASE)) as database:
            rows = database.execute("SELECT id FROM peer").fetchall()
        self.assertEqual([("123456789",)], rows)

    def test_dry_run(self) -> None:
        """It says the same and does nothing."""
        ran = self.move("--dry-run")
        self.assertFalse(self.new.exists())
        self.assertEqual(self.move().out, ran.out.replace("would copy", "copied"))

    def test_export(self) -> None:
        """The other way round."""
        ran = run("export", "--data-dir", str(self.old), str(self.new))
        self.assertEqual(0, ran.status)
        self.assertEqual({*FILES, DATABASE}, set(os.listdir(self.new)))

    def test_nothing_is_overwritten(self) -> None:
        """One file that is there already, and nothing is copied."""
        self.new.mkdir()
        (self.new / DATABASE).write_text("mine" * 1000)
        ran = self.move()
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn(f"{DATABASE} cannot be copied: file is not a database", ran.err)
        self.assertEqual({DATABASE: b"mine" * 1000}, self.contents(self.new))
        (self.new / DATABASE).unlink()
        (self.new / "id_ed25519.pub").write_text("mine")
        ran = self.move()
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("id_ed25519.pub is there already: nothing is copied", ran.err)
        self.assertEqual({"id_ed25519.pub": b"mine"}, self.contents(self.new))

    def test_interrupted(self) -> None:
        """What was copied before is kept, and the rest is copied."""
        self.move()
        before = self.contents(self.new)
        for name in ("id_ed25519", "id_ed25519.pub"):
            (self.new / name).unlink()
        ran = self.move()
        self.assertEqual((0, ""), (ran.status, ran.err))
        self.assertEqual(before, self.contents(self.new))
        self.assertEqual(2, ran.out.count("copied "))
        self.assertEqual(3, ran.out.count("is there already\n"))

    def test_another_database(self) -> None:
        """A database that has changed since is another one, which is not lost."""
        self.move()
        self.database.execute("INSERT INTO peer VALUES ('2')")
        self.database.commit()
        ran = self.move()
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn(f"{DATABASE} is there already: nothing is copied", ran.err)

    def test_logs_of_another_database(self) -> None:
        """What would be played back into the copy is in the way; nothing is copied."""
        self.new.mkdir()
        for end in ("-wal", "-shm", "-journal"):
            log = self.new / f"{DATABASE}{end}"
            log.write_text("mine")
            for words in (("--dry-run",), ()):
                ran = self.move(*words)
                self.assertEqual((1, ""), (ran.status, ran.out))
                self.assertIn(f"{log} of another database is there", ran.err)
            self.assertEqual([log.name], os.listdir(self.new))
            log.unlink()

    def test_killed(self) -> None:
        """A log that a crash left is read, also where its index is gone, and stays."""
        left = Path(self.mktemp())
        left.mkdir()
        for name in ("id_ed25519", DATABASE, f"{DATABASE}-wal"):
            (left / name).write_bytes((self.old / name).read_bytes())
        before = self.contents(left)
        self.old = left
        self.test_log_of_the_database()
        self.assertEqual(before, self.contents(left))
        self.assertEqual(set(before), set(os.listdir(left)))
        self.new = Path(self.mktemp())
        (left / f"{DATABASE}-wal").rename(left / "log")
        (left / f"{DATABASE}-wal").symlink_to(left.absolute() / "log")
        ran = self.move()
        self.assertEqual(1, ran.status)  # no link is followed here, either
        self.assertIn(f"{DATABASE} cannot be copied", ran.err)

    def test_replaced(self) -> None:
        """A database that becomes another file while it is read is not copied."""
        path = self.old / DATABASE

        def whole(source: Path) -> bytes:
            path.unlink()
            path.symlink_to("/etc/passwd")
            return b""

        self.patch(move, "whole_database", whole)
        ran = self.move()
        self.assertEqual(1, ran.status)
        self.assertIn("has been replaced meanwhile", ran.err)
        self.assertFalse((self.new / DATABASE).exists())

    def test_killed_without_log(self) -> None:
        """What was written halfway is taken back in the copy, and only there."""
        path = self.old / DATABASE
        self.database.execute("PRAGMA journal_mode = DELETE")
        self.database.executescript("PRAGMA cache_size = 1; BEGIN IMMEDIATE")
        row = "INSERT INTO peer VALUES (hex(randomblob(200)))"
        for _ in range(200):  # too many to keep in memory
            self.database.execute(row)
        left = Path(self.mktemp())
        left.mkdir()
        (left / "id_ed25519").write_text(SECRET)
        for end in ("", "-journal"):
            (left / f"{DATABASE}{end}").write_bytes(Path(f"{path}{end}").read_bytes())
        before = self.contents(left)
        self.old = left
        self.test_log_of_the_database()
        self.assertEqual(before, self.contents(left))

    def test_settings(self) -> None:
        """Those of a file are not copied, for they may name the old folder; it says so."""
        (self.old / ".env").write_text("RELAY_SERVERS=x")
        ran = self.move()
        self.assertIn(f"not copied: {self.old / '.env'}", ran.out)
        self.assertFalse((self.new / ".env").exists())

    def test_owner(self) -> None:
        """As root an import is for the folder's owner, and an export is root's own."""
        given: list[str] = []
        self.patch(os, "geteuid", lambda: 0)
        self.patch(os, "chown", lambda path, *_owner, **_how: given.append(path.name))
        run("export", "--data-dir", str(self.old), str(self.new))
        self.assertEqual([], given)
        self.new = Path(self.mktemp())
        self.move()
        self.assertEqual({*FILES, DATABASE}, set(given))

    def test_small_pages(self) -> None:
        """Pages of any size are copied."""
        self.database.close()
        for path in self.old.glob(f"{DATABASE}*"):
            path.unlink()
        with closing(sqlite3.connect(self.old / DATABASE)) as database:
            database.execute("PRAGMA page_size = 1024")
            database.execute("CREATE TABLE peer (id)")
            database.execute("INSERT INTO peer VALUES ('7')")
            database.commit()
        self.assertEqual(0, self.move().status)
        with closing(sqlite3.connect(self.new / DATABASE)) as database:
            self.assertEqual(1024, database.execute("PRAGMA page_size").fetchone()[0])
            self.assertEqual([("7",)], database.execute("SELECT id FROM peer").fetchall())

    def test_links(self) -> None:
        """No link is followed: root copies what others may have made."""
        (self.old / "blacklist.txt").unlink()
        (self.old / "blacklist.txt").symlink_to("/etc/passwd")
        self.move()
        self.assertFalse((self.new / "blacklist.txt").exists())

    def test_no_key(self) -> None:
        """A folder without a key is none of a server."""
        (self.old / "id_ed25519").unlink()
        ran = self.move()
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("there is no id_ed25519 in ", ran.err)
        self.assertFalse(self.new.exists())

    def test_folder_that_cannot_be_looked_into(self) -> None:
        """That is a sentence, too."""
        ran = run("import", f"--data-dir={self.new}", "x" * 300)
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("there is no id_ed25519 in ", ran.err)

    def test_broken_database(self) -> None:
        """What is no database is reported, and leaves no half of one."""
        self.database.close()
        for path in self.old.glob(f"{DATABASE}*"):
            path.unlink()
        (self.old / DATABASE).write_text("rubbish " * 1000)
        ran = self.move()
        self.assertEqual(1, ran.status)
        self.assertIn("file is not a database", ran.err)
        self.assertEqual({"blacklist.txt", "blocklist.txt"}, set(os.listdir(self.new)))

    def test_target_that_cannot_be_made(self) -> None:
        """A file in the place of the folder is reported."""
        self.new.write_text("")
        ran = self.move()
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("cannot be copied", ran.err)

    def test_wrong_arguments(self) -> None:
        """One folder, and no unknown option."""
        for arguments in ((), ("a", "b"), ("--force", "a"), ("--data-dir",)):
            ran = run("import", *arguments)
            self.assertEqual((1, ""), (ran.status, ran.out))
            self.assertTrue(ran.err.startswith("rustdesk-utils: "), ran.err)
