"""
Which server a container of the image runs, as its words and variables say.

Source: protocol.md section 6.4.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from attrs import evolve, frozen
from twisted.python.usage import UsageError

from rdserver import durable
from rdserver.cli.container_folder import image_user, places, usual_folder
from rdserver.errors import ConfigError
from rdserver.settings.config import Config
from rdserver.settings.load import load
from rdserver.settings.options import HbbrOptions, HbbsOptions, Options, ProgramOptions
from rdserver.settings.sources import spelled

MODULE = "rdserver.cli.container"
FIRST_PROCESS = Path("/proc/1/cmdline")

_NO_FILES = Path("/")
_BOTH = Options.program.name
OPTIONS: dict[str, type[ProgramOptions]] = {
    kind.program.name: kind for kind in (Options, HbbsOptions, HbbrOptions)
}
"""The options of each program that serves."""

UTILITIES = "rustdesk-utils"
_KNOWN = {*OPTIONS, UTILITIES}


@frozen
class Server:
    """
    A server that is to run, or runs, in this container.

    :ivar name: the program.
    :ivar arguments: its options, with what the original's variables say put in front.
    """

    name: str
    arguments: tuple[str, ...]

    @classmethod
    def named(
        cls, words: Sequence[str], environ: MutableMapping[str, str]
    ) -> Server | None:
        """
        Understand the container's words; variables of ours are set as the original's say.

        :return: None: they name no server.
        """
        name, arguments = split(words)
        if name not in OPTIONS:
            return None
        relay = environ.get("RELAY", "").strip()
        if relay and spelled("RELAY_SERVERS", environ) is None:
            environ["RELAY_SERVERS"] = relay
        if environ.get("ENCRYPTED_ONLY", "").strip() == "1":
            # In front: of two options the last one counts.
            arguments = ("--key=_", *arguments)
        return cls(name, arguments)

    def words_in(self, folder: Path) -> tuple[str, ...]:
        """Return what the program is told when it works in *folder*."""
        return (*self.arguments, f"--data-dir={folder}")

    def located(self, environ: Mapping[str, str]) -> Home:
        """
        Find out where it works.

        :raises UsageError: its settings are wrong.
        """
        usual = usual_folder()
        options = OPTIONS[self.name](environ, usual)
        options.parseOptions(self.arguments)
        # Without the files: the server's user may write them, and what root gives away
        # is not for that user to say.
        said = {name: text for name, text in options.given.items() if name != "config"}
        trusted = load(options.program, said, environ, _NO_FILES)
        return Home(usual / options.config.data_dir, usual, options.config, trusted)


@frozen
class Home:
    """
    Where a server of this container works.

    :ivar folder: its data folder.
    :ivar usual: the one that it would have by itself.
    :ivar config: its settings.
    :ivar trusted: the same without what files say.
    """

    folder: Path
    usual: Path
    config: Config
    trusted: Config

    def enter(self) -> None:
        """
        Go there, ready to work, and no longer as root.

        :raises ConfigError: one cannot work there.
        """
        if os.geteuid() == 0:
            user = image_user()
            for place in places(self.trusted, self.usual / self.trusted.data_dir):
                place.give_to(user)
            user.become()
        for place in places(self.config, self.folder):
            place.check()
        os.chdir(self.folder)


def running_config(words: Sequence[str], environ: Mapping[str, str]) -> Config | None:
    """
    Return the settings of the server that this container was started as.

    :param words: further options, which go before its own.
    :return: None: this is no container of the image, or it runs something else.
    :raises ConfigError: they are wrong.
    """
    started = running_words()
    variables = dict(environ)
    server = None if started is None else Server.named(started, variables)
    if server is None:
        return None
    try:
        home = evolve(server, arguments=(*server.arguments, *words)).located(variables)
    except UsageError as e:
        raise ConfigError(str(e)) from e
    return evolve(home.config, data_dir=str(home.folder))


def running_words() -> list[str] | None:
    """
    Return the words with which this container was started.

    Its first process may be an init, with ours behind it.

    :return: None: it is something else.
    """
    try:
        words = os.fsdecode(durable.read(FIRST_PROCESS) or b"").split("\0")[:-1]
    except OSError:  # not ours to see
        return None
    return words[words.index(MODULE) + 1 :] if MODULE in words else None


def split(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the program's name and its arguments."""
    if not words or words[0].startswith("-"):
        return _BOTH, tuple(words)
    name = os.path.basename(words[0])
    return name if name in _KNOWN else words[0], tuple(words[1:])
