"""A working directory for tests of settings, and what a program makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from rdserver.settings.config import Config
from rdserver.settings.options import Options, ProgramOptions


class FolderCase(SynchronousTestCase):
    """Parses command lines in a folder of the test's own, with no inherited variables."""

    program: type[ProgramOptions] = Options

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, *arguments: str, **environ: str) -> Config:
        """Return the configuration that ``arguments`` and variables give."""
        return self.load_from(arguments, environ)

    def load_from(self, arguments: Sequence[str], environ: dict[str, str]) -> Config:
        options = self.program(environ, self.folder)
        options.parseOptions(list(arguments))
        return options.config

    def assert_refused(self, sentence: str, *arguments: str, **environ: str) -> None:
        """The start is refused with just this sentence."""
        error = self.assertRaises(UsageError, self.load, *arguments, **environ)
        self.assertEqual(sentence, str(error))
