"""Tests for :mod:`rdserver.cli.installed`: whose settings a command works with."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import container_server, installed
from rdserver.cli.installed import server_settings
from rdserver.errors import ConfigError
from rdserver.settings.config import Config
from rdserver.settings.options import HbbsOptions


class InstalledTests(SynchronousTestCase):
    """A working directory, and what Debian's package has installed elsewhere."""

    def setUp(self) -> None:
        self.etc = Path(self.mktemp()).absolute()
        here = Path(self.mktemp())
        for folder in (self.etc, here):
            folder.mkdir()
        for name, path in (
            ("DATA_DIR", self.etc),
            ("CONFIG_FILE", self.etc / "conf"),
            ("ENVIRONMENT_FILE", self.etc / "default"),
            ("_WANTED", self.etc),
        ):
            self.patch(installed, name, path)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(here)

    def settings(self, *words: str, **environ: str) -> Config:
        """Return what a command that is told these words works with."""
        return server_settings(words, environ)

    def test_package(self) -> None:
        """Data and settings are those of the service, with its options before the file."""
        (self.etc / "conf").write_text("port=31116\nrelay-port=31200\n")
        (self.etc / "default").write_text(
            "# PORT=1\nMASK='10.0.0.0/8'\nRUSTDESK_SERVER_OPTS=\"-p 32116 -k 'a b'\"\n"
        )
        config = self.settings("--bind=127.0.0.1")
        self.assertEqual((str(self.etc), 32116), (config.data_dir, config.port))
        self.assertEqual((31200, "127.0.0.1"), (config.relay_port, config.bind))
        self.assertEqual(("10.0.0.0/8", "a b"), (str(config.mask), config.key))

    def test_nothing_but_the_folder(self) -> None:
        """Files that are missing are not missed."""
        self.assertEqual((str(self.etc), 21116), (self.settings().data_dir, self.port()))

    def port(self) -> int:
        return self.settings().port

    def test_another_server(self) -> None:
        """Who names a folder or a file, or stands in one with a key, means that server."""
        (self.etc / "conf").write_text("port=31116\n")
        self.assertEqual(21116, self.settings("--data-dir=.").port)
        self.assertEqual(21116, self.settings(RDSERVER_DATA_DIR=".").port)
        Path("other.conf").write_text("port=22116\n")
        self.assertEqual(22116, self.settings("--config=other.conf").port)
        Path("id_ed25519.pub").write_text("key")
        self.assertEqual((".", 21116), (self.settings().data_dir, self.port()))

    def test_the_packages_own_folder(self) -> None:
        """Whoever names it, or stands in it, means the service."""
        (self.etc / "conf").write_text("port=31116\n")
        for folder in (self.etc, Path()):
            (folder / "id_ed25519.pub").write_text("key")
        Path("link").symlink_to(self.etc)
        self.assertEqual(31116, self.settings("--data-dir=link").port)
        self.assertEqual(31116, self.settings(RDSERVER_DATA_DIR=str(self.etc)).port)
        config = self.settings(f"--config={self.etc / 'conf'}")
        self.assertEqual((31116, str(self.etc)), (config.port, config.data_dir))
        os.chdir(self.etc)
        self.assertEqual(31116, self.port())

    def test_files_of_variables(self) -> None:
        """The service reads .env in its data folder, not in that of who asks."""
        (self.etc / ".env").write_text("PORT=31116\n")
        Path(".env").write_text("PORT=nonsense\n")
        self.assertEqual(31116, self.port())

    def test_values_without_quotes(self) -> None:
        """They go to the end of the line, whatever letters are in them."""
        (self.etc / "default").write_bytes(
            b"# M\xfcller\nRUSTDESK_SERVER_OPTS=--port 30000 --role=id \n"
        )
        config = self.settings()
        self.assertEqual((30000, "id"), (config.port, config.role))

    def test_instances(self) -> None:
        """One role that is enabled alone is the one that runs; an option goes before it."""
        wanted = self.etc / "wanted"
        wanted.mkdir()
        self.patch(installed, "_WANTED", wanted)
        for unit, role in (("@relay", "relay"), ("@id", "all"), ("", "all")):
            (wanted / f"rustdesk-server{unit}.service").symlink_to("/nowhere")
            self.assertEqual(role, self.settings("--key=k").role)
            self.assertEqual("id", self.settings("--role=id").role)

    def test_container(self) -> None:
        """In a container it is what that was started as, with its variables."""
        first = self.etc / "cmdline"
        words = ["python3", "-m", "rdserver.cli.container", "hbbs", "-p", "30000"]
        first.write_text("".join(f"{word}\0" for word in words))
        self.patch(container_server, "FIRST_PROCESS", first)
        self.patch(container_server, "usual_folder", lambda: self.etc)
        environ = {"RELAY": "relay.example.com"}
        config = server_settings(["--bind=127.0.0.1"], environ)
        self.assertEqual({"RELAY": "relay.example.com"}, environ)
        self.assertEqual(("id", 30000), (config.role, config.port))
        self.assertEqual("127.0.0.1", config.bind)
        self.assertEqual(("relay.example.com",), config.relay_servers)
        self.assertEqual(str(self.etc), config.data_dir)
        self.assertEqual(21116, self.settings("--data-dir=.").port)
        self.assertRaises(ConfigError, self.settings, "--port=x")
        first.write_text("python3\0-m\0rdserver.cli.container\0sh\0")
        self.assertEqual(21116, self.port())
        first.unlink()
        first.mkdir()  # cannot be read
        self.assertEqual(21116, self.port())

    def test_not_installed(self) -> None:
        """Without the package's folder it is the server of the working directory."""
        self.patch(installed, "DATA_DIR", self.etc / "missing")
        self.assertEqual(".", self.settings().data_dir)

    def test_of_the_original(self) -> None:
        """The original's programs have their data in the working directory."""
        self.assertEqual(".", server_settings([], {}, HbbsOptions).data_dir)

    def test_closed_folder(self) -> None:
        """Where one may not look, one stands in no server's folder."""
        self.patch(installed, "PUBLIC_KEY_FILE", "x" * 300)  # an error, also for root
        self.assertEqual(str(self.etc), self.settings().data_dir)

    def test_wrong_quotes(self) -> None:
        """A quote without an end is shown, with the file that it is in."""
        for line in ("RUSTDESK_SERVER_OPTS='-p", "MASK='it"):
            (self.etc / "default").write_text(f"{line}\n")
            error = self.assertRaises(ConfigError, self.settings)
            self.assertIn(str(self.etc / "default"), str(error))

    def test_wrong(self) -> None:
        """What is wrong is named, whoever said it."""
        self.assertRaises(ConfigError, self.settings, "--port=x")
        (self.etc / "conf").write_text("port=x\n")
        error = self.assertRaises(ConfigError, self.settings)
        self.assertIn("port", str(error))
