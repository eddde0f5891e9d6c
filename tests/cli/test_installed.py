"""Tests for :mod:`rdserver.cli.installed`: whose settings a command works with."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import installed
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
        for line in ("RUSTDESK_SERVER_OPTS='-p", "MASK=it's"):
            (self.etc / "default").write_text(f"{line}\n")
            error = self.assertRaises(ConfigError, self.settings)
            self.assertIn(str(self.etc / "default"), str(error))

    def test_wrong(self) -> None:
        """What is wrong is named, whoever said it."""
        self.assertRaises(ConfigError, self.settings, "--port=x")
        (self.etc / "conf").write_text("port=x\n")
        error = self.assertRaises(ConfigError, self.settings)
        self.assertIn("port", str(error))
