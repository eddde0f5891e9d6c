"""Tests for :mod:`rdserver.cli.container_folder`: a container's data folder."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli.container_folder import Place, User, image_user, places, usual_folder
from rdserver.errors import ConfigError
from rdserver.settings.config import Config
from rdserver.settings.load import HBBR, HBBS, Program, load


class UsualFolderTests(SynchronousTestCase):
    """``/data``, or ``/root``."""

    def setUp(self) -> None:
        """Let ``/root`` be mounted, by a name with a space."""
        self.root = Path(self.mktemp()).absolute() / "a b"
        (self.root / "data").mkdir(parents=True)
        self.mounts = self.root / "mounts"
        point = str(self.root / "root").replace(" ", "\\040")
        self.mounts.write_text(f"36 35 98:0 / {point} rw - ext4 /dev/x rw\n")

    def usual(self) -> str:
        return usual_folder(self.root, self.mounts).name

    def test_root_is_mounted(self) -> None:
        """Old compose files have the data there."""
        self.assertEqual("root", self.usual())

    def test_key_in_data(self) -> None:
        """A key in /data decides."""
        (self.root / "data" / "id_ed25519").touch()
        self.assertEqual("data", self.usual())

    def test_nothing_mounted(self) -> None:
        """Without a mount, or the list of them, it is /data."""
        self.mounts.write_text("")
        self.assertEqual("data", self.usual())
        self.mounts.unlink()
        self.assertEqual("data", self.usual())


class PlacesTests(SynchronousTestCase):
    """Where a server writes."""

    def config(self, program: Program, **environ: str) -> Config:
        return load(program, {}, environ, Path(self.mktemp()))

    def test_id_server(self) -> None:
        """Key and database, and its log, are in the data folder."""
        (place,) = places(self.config(HBBS), Path("/data"))
        self.assertEqual(Path("/data"), place.folder)
        names = {"id_ed25519", "db_v2.sqlite3", "db_v2.sqlite3-wal", "db_v2.sqlite3-shm"}
        self.assertEqual(set(), names - place.files.keys())

    def test_relay(self) -> None:
        """A relay on its own needs neither the private key nor the database."""
        (place,) = places(self.config(HBBR), Path("/data"))
        self.assertIn("blacklist.txt", place.files)
        self.assertNotIn("id_ed25519", place.files)
        self.assertNotIn("db_v2.sqlite3", place.files)

    def test_database_elsewhere(self) -> None:
        """Its folder is another place."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        config = self.config(HBBS, DB_URL=f"{folder}/db.sqlite3")
        database, data = places(config, Path("/data"))
        self.assertEqual((folder, Path("/data")), (database.folder, data.folder))
        self.assertIn("db.sqlite3-wal", database.files)


class PlaceTests(SynchronousTestCase):
    """One folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.given: list[int] = []
        self.patch(os, "fchown", self.take)

    def take(self, file: int, *_ids: int) -> None:
        self.given.append(os.fstat(file).st_ino)

    def give(self, *names: str) -> set[int]:
        Place(self.folder, dict.fromkeys(names, os.R_OK)).give_to(User(1234, 1235))
        return set(self.given)

    def test_give(self) -> None:
        """Files that are known, and the folder; not what else is there."""
        for name in ("known", "unknown"):
            (self.folder / name).touch()
        known = (self.folder / "known").stat().st_ino
        self.assertEqual({known, self.folder.stat().st_ino}, self.give("known", "missing"))

    def test_folder_behind_a_link(self) -> None:
        """It is refused, wherever the link is: the server's user may have made it."""
        (self.folder / "real" / "below").mkdir(parents=True)
        (self.folder / "link").symlink_to(self.folder / "real")
        for name in ("link", "link/below"):
            place = Place(self.folder / name, {})
            error = self.assertRaises(ConfigError, place.give_to, User(1234, 1235))
            self.assertIn("'link' in it is a link", str(error))
        Place(self.folder / "real" / "below", {}).give_to(User(1234, 1235))
        self.assertEqual([(self.folder / "real" / "below").stat().st_ino], self.given)

    def test_give_no_links(self) -> None:
        """What is reached by a link of either kind, a pipe, or a folder stays as it is."""
        outside = Path(self.mktemp()).absolute()
        outside.touch()
        (self.folder / "soft").symlink_to(outside)
        (self.folder / "hard").hardlink_to(outside)
        (self.folder / "folder").mkdir()
        os.mkfifo(self.folder / "pipe")
        given = self.give("soft", "hard", "folder", "pipe")
        self.assertEqual({self.folder.stat().st_ino}, given)

    def test_give_without_power(self) -> None:
        """A root without capabilities is told which it needs."""

        def refuse(_file: int, *_ids: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(os, "fchown", refuse)
        error = self.assertRaises(ConfigError, self.give)
        self.assertIn(f"may not give {self.folder} to user 1234", str(error))
        self.assertIn("CHOWN, DAC_OVERRIDE, SETGID and SETUID", str(error))

    def test_give_missing_folder(self) -> None:
        """A folder that is not there is named."""
        place = Place(self.folder / "x", {})
        error = self.assertRaises(ConfigError, place.give_to, User(1, 1))
        self.assertIn(f"may not open {self.folder}/x", str(error))

    def test_check_folder(self) -> None:
        """So is a folder of somebody else."""

        def refuse(**_options: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(tempfile, "TemporaryFile", refuse)
        error = self.assertRaises(ConfigError, Place(self.folder, {}).check)
        self.assertIn(f"may not read and write {self.folder}: on the host", str(error))

    def test_check(self) -> None:
        """A good folder is left as it was."""
        Place(self.folder, {"missing": os.R_OK}).check()
        self.assertEqual([], os.listdir(self.folder))

    def test_check_file(self) -> None:
        """A file of somebody else is named, with the two ways to mend that."""
        key = self.folder / "key"
        key.touch()
        self.patch(os, "access", lambda _path, _rights: False)
        self.patch(os, "geteuid", lambda: 10001)
        self.patch(os, "getegid", lambda: 10002)
        error = self.assertRaises(ConfigError, Place(self.folder, {"key": os.R_OK}).check)
        self.assertIn(f"10001 of this container may not read and write {key}", str(error))
        self.assertIn("chown -R 10001:10002", str(error))
        self.assertIn("user: root", str(error))


class UserTests(SynchronousTestCase):
    """The user of the image."""

    def test_become(self) -> None:
        """Groups go first: later there is no right to change them."""
        done: list[object] = []
        for name in ("setgroups", "setgid", "setuid"):
            self.patch(os, name, lambda value, name=name: done.append((name, value)))
        User(1234, 1235).become()
        self.assertEqual([("setgroups", []), ("setgid", 1235), ("setuid", 1234)], done)

    def test_powerless(self) -> None:
        """Without the right to do so it is said."""

        def refuse(_groups: list[int]) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(os, "setgroups", refuse)
        error = self.assertRaises(ConfigError, User(1234, 1235).become)
        self.assertIn("may not become user 1234 (Operation not permitted)", str(error))

    def test_no_user(self) -> None:
        """Outside of the image there may be none."""

        def unknown(name: str) -> None:
            raise KeyError(name)

        self.patch(pwd, "getpwnam", unknown)
        self.assertRaises(ConfigError, image_user)

    def test_image_user(self) -> None:
        """Its numbers are the image's to say."""
        entry = pwd.struct_passwd(("", "", 7, 8, "", "", ""))
        self.patch(pwd, "getpwnam", lambda _name: entry)
        self.assertEqual(User(7, 8), image_user())
