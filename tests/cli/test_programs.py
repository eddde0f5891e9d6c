"""Tests for :mod:`rdserver.cli.programs`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver import __version__
from rdserver.cli import programs
from rdserver.settings.config import Config
from rdserver.settings.options import ProgramOptions

Main = Callable[[Sequence[str] | None], int]


class ProgramTests(SynchronousTestCase):
    """From a command line to a configuration that runs, or to exit status 1."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder)
        self.patch(os, "environ", {})
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        self.ran: list[tuple[Config, str]] = []
        self.patch(programs, "run", self.run_fake)

    def run_fake(self, options: ProgramOptions, name: str) -> int:
        self.ran.append((options.config, name))
        return 7

    def config(self, main: Main, *arguments: str) -> Config:
        """Return what the program runs with; its status is that of the run."""
        self.assertEqual(7, main(arguments))
        config, _name = self.ran.pop()
        return config

    def assert_refused(self, sentence: str, main: Main, *arguments: str) -> None:
        """Nothing runs; the sentence goes to stderr, and the status is 1."""
        self.assertEqual(1, main(arguments))
        self.assertEqual(f"{sentence}\n", self.stderr.getvalue())
        self.assertEqual([], self.ran)

    def test_rustdesk_server(self) -> None:
        """Both roles, unless told otherwise."""
        self.assertEqual("all", self.config(programs.server_main).role)
        self.assertEqual("id", self.config(programs.server_main, "--role=id").role)

    def test_hbbs(self) -> None:
        """The ID server, with its data in the working directory."""
        config = self.config(programs.hbbs_main, "-p", "22116", "-r", "relay")
        self.assertEqual(
            ("id", ".", (22115, 22116, 22118)),
            (config.role, config.data_dir, config.id_ports),
        )

    def test_hbbr(self) -> None:
        """The relay, with its data in the working directory."""
        config = self.config(programs.hbbr_main, "-p", "22117")
        self.assertEqual(
            ("relay", ".", (22117, 22119)),
            (config.role, config.data_dir, config.relay_ports),
        )

    def test_one_variable_for_both(self) -> None:
        """PORT moves both programs together; 171 of protocol.md section 8."""
        os.environ["PORT"] = "22116"
        self.assertEqual((22115, 22116, 22118), self.config(programs.hbbs_main).id_ports)
        self.assertEqual((22117, 22119), self.config(programs.hbbr_main).relay_ports)

    def test_env_file(self) -> None:
        """.env of the working directory is read."""
        Path(".env").write_text("relay_servers=x")
        self.assertEqual(("x",), self.config(programs.hbbs_main).relay_servers)

    def test_own_arguments(self) -> None:
        """Without given ones, the arguments are those of the process."""
        self.patch(sys, "argv", ["/usr/bin/hbbs", "-p", "30000"])
        self.assertEqual(7, programs.hbbs_main())
        ((config, name),) = self.ran
        self.assertEqual((30000, "hbbs"), (config.port, name))

    def test_names(self) -> None:
        """Each runs under its own name."""
        for main in (programs.server_main, programs.hbbs_main, programs.hbbr_main):
            main([])
        self.assertEqual(
            ["rustdesk-server", "hbbs", "hbbr"], [name for _config, name in self.ran]
        )

    def test_invalid_port(self) -> None:
        """Port 2 is refused with the original's words; 170 of protocol.md section 8."""
        self.assert_refused(
            "hbbs: Invalid port: port must be a whole number from 3 to 65533, not '2' "
            "(--port)",
            programs.hbbs_main,
            *("-p", "2"),
        )

    def test_no_config_for_hbbr(self) -> None:
        """The original's relay has no --config."""
        self.assert_refused(
            "hbbr: option --config not recognized", programs.hbbr_main, "--config", "x"
        )

    def test_wrong_setting(self) -> None:
        """One sentence and nothing else."""
        self.assert_refused(
            "rustdesk-server: role must be all, id or relay, not 'x' (--role)",
            programs.server_main,
            "--role=x",
        )

    def test_told_to_a_service_manager(self) -> None:
        """It is told by a status of its own that to try again is of no use."""
        os.environ["NOTIFY_SOCKET"] = "@manager"
        self.assertEqual(os.EX_CONFIG, programs.server_main(["--role=x"]))

    def test_version(self) -> None:
        """-V prints name and version, and ends with status 0."""
        for main in (programs.server_main, programs.hbbs_main, programs.hbbr_main):
            self.assertEqual(0, self.assertRaises(SystemExit, main, ["-V"]).code)
        expected = [f"{name} {__version__}" for name in ("rustdesk-server", "hbbs", "hbbr")]
        self.assertEqual(expected, self.stdout.getvalue().splitlines())
