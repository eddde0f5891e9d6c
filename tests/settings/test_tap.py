"""Tests for :mod:`rdserver.tap`: the options of the ``twistd`` plugin."""

from __future__ import annotations

from twisted.python import usage

from rdserver.settings.options import ProgramOptions
from rdserver.tap import Options as TapOptions
from tests.settings.folder import FolderCase


class Twistd(usage.Options):
    """Options with a subcommand, as ``twistd`` has them."""

    synopsis = "Usage: twistd"

    @property
    def subCommands(self) -> list[tuple[str, None, object, str]]:  # noqa: N802
        return [("rustdesk-server", None, lambda: TapOptions({}), "a server")]


class TapTests(FolderCase):
    """The options of the ``twistd`` plugin."""

    program: type[ProgramOptions] = TapOptions

    def test_subcommand(self) -> None:
        """Under twistd they know the options before them, and help shows both."""
        twistd = Twistd()
        twistd.parseOptions(["rustdesk-server", "-p", "30000"])
        self.assertIs(twistd, twistd.subOptions.parent)
        self.assertEqual(30000, twistd.subOptions.config.port)
        self.assertEqual(
            "Usage: twistd rustdesk-server [options]", twistd.subOptions.getSynopsis()
        )

    def test_wrong_option(self) -> None:
        """The sentence goes to stderr with status 1, which Twisted 22.4 would not do."""
        error = self.assertRaises(SystemExit, self.load, "--role=both")
        self.assertEqual(
            "rustdesk-server: role must be all, id or relay, not 'both' (--role)",
            error.code,
        )

    def test_right_options(self) -> None:
        """Otherwise they are those of the program."""
        self.assertEqual("id", self.load("--role=id").role)
