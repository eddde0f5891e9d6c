"""The command lines of our programs: options in, a frozen ``Config`` out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from rdserver import __version__
from rdserver.errors import ConfigError
from rdserver.settings.config import Config
from rdserver.settings.load import HBBR, HBBS, RUSTDESK_SERVER, Program, load
from rdserver.settings.model import Setting

# A flag carries no text; this is what it would say in a file.
_FLAG_TEXT = "Y"


def _help_text(setting: Setting) -> str:
    if setting.kind.is_flag:
        return f"{setting.meaning}."
    return f"{setting.meaning}. [{setting.needs}; default: {setting.shown_default}]"


# No coerce functions here: usage would report a wrong value without its option's name.
def _parameters(program: Program) -> list[list[str | None]]:
    return [
        [setting.name, setting.short, None, _help_text(setting)]
        for setting in program.settings
        if not setting.kind.is_flag
    ]


def _flags(program: Program) -> list[list[str | None]]:
    return [
        [setting.name, setting.short, _help_text(setting)]
        for setting in program.settings
        if setting.kind.is_flag
    ]


class ProgramOptions(usage.Options):
    """
    What the options of all our programs have in common.

    Parsing validates, and opens nothing but the settings files.  It is not a base of
    one program for another: usage would add up the options of both.

    :cvar program: says which options there are.
    :ivar config: what the program runs with; there after ``parseOptions``.
    """

    program: ClassVar[Program]
    longdesc = (
        "The same settings are read from the file of --config, from .env in the working "
        "directory and from the environment; what comes first in this order counts. "
        "docs/settings.md lists the names that they have there."
    )

    config: Config

    def __init__(
        self, environ: Mapping[str, str] | None = None, directory: Path | None = None
    ) -> None:
        """
        :param environ: instead of the environment of this process.
        :param directory: instead of the working directory.
        """
        super().__init__()
        self._environ = os.environ if environ is None else environ
        self._directory = Path() if directory is None else directory

    def opt_version(self) -> None:
        """Display the version and exit."""
        sys.stdout.write(f"{self.program.name} {__version__}\n")
        sys.exit(0)

    opt_V = opt_version
    opt_h = usage.Options.opt_help

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        words = sys.argv[1:] if options is None else options
        super().parseOptions([part for word in words for part in self._parts(word)])

    def _parts(self, word: str) -> Iterator[str]:
        """Split ``-k=VALUE``: the original takes it for ``-k VALUE``, getopt does not."""
        letter, equals, value = word.partition("=")
        if equals and letter in self._letters:
            yield letter
            word = value
        yield word

    @property
    def _letters(self) -> list[str]:
        return [f"-{setting.short}" for setting in self.program.settings if setting.short]

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} is not an option")

    def postOptions(self) -> None:
        try:
            self.config = load(self.program, self.given, self._environ, self._directory)
        except ConfigError as e:
            raise usage.UsageError(str(e)) from e

    @property
    def given(self) -> dict[str, str]:
        """What was said on the command line, by long name."""
        typed = [s for s in self.program.settings if self[s.name] not in (None, 0)]
        return {s.name: _FLAG_TEXT if s.kind.is_flag else self[s.name] for s in typed}

    def getSynopsis(self) -> str:  # noqa: N802 - the name that usage calls
        if self.parent is None:
            return f"Usage: {self.program.name} [options]"
        return super().getSynopsis()


class Options(ProgramOptions):
    """The options of ``rustdesk-server``, as a program and under ``twistd``."""

    program = RUSTDESK_SERVER
    optParameters = _parameters(RUSTDESK_SERVER)
    optFlags = _flags(RUSTDESK_SERVER)


class HbbsOptions(ProgramOptions):
    """
    The original ID server's options, and ours.

    Source: protocol.md section 6.1.
    """

    program = HBBS
    optParameters = _parameters(HBBS)
    optFlags = _flags(HBBS)


class HbbrOptions(ProgramOptions):
    """
    The original relay's options, and ours.  The port is the relay's own.

    Source: protocol.md sections 4.1 and 6.2.
    """

    program = HBBR
    optParameters = _parameters(HBBR)
    optFlags = _flags(HBBR)
    longdesc = (
        "The same settings are read from .env in the working directory and, after that, "
        "from the environment; docs/settings.md lists the names that they have there. "
        "PORT is the ID server's port there: the relay takes the next one."
    )
