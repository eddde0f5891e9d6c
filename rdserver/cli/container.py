"""
What the container image starts: ``python3 -m rdserver.cli.container [words]``.

Without words both servers run; ``hbbs``, ``hbbr`` and ``rustdesk-server`` are those
programs, and options alone belong to the last one.  ``rustdesk-utils`` is that one, and
any other word is a program of the image.  The variables and secrets of the original's
images mean here what they mean there.

Source: protocol.md section 6.4.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path

from attrs import frozen
from twisted.python.usage import UsageError

from rdserver import durable
from rdserver.cli import healthcheck, utils
from rdserver.cli.container_folder import image_user, places, usual_folder
from rdserver.cli.container_keys import given_pair, keep
from rdserver.cli.programs import hbbr_main, hbbs_main, server_main
from rdserver.errors import ConfigError
from rdserver.settings.config import Config
from rdserver.settings.load import load
from rdserver.settings.options import HbbrOptions, HbbsOptions, Options, ProgramOptions
from rdserver.settings.sources import spelled

MODULE = "rdserver.cli.container"
HEALTHCHECK = "healthcheck"
UTILITIES = "rustdesk-utils"
FIRST_PROCESS = Path("/proc/1/cmdline")

_NO_FILES = Path("/")
_SERVERS: dict[str, tuple[type[ProgramOptions], Callable[[Sequence[str]], int]]] = {
    "rustdesk-server": (Options, server_main),
    "hbbs": (HbbsOptions, hbbs_main),
    "hbbr": (HbbrOptions, hbbr_main),
}


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
        name, arguments = _split(words)
        if name not in _SERVERS:
            return None
        relay = environ.get("RELAY", "").strip()
        if relay and spelled("RELAY_SERVERS", environ) is None:
            environ["RELAY_SERVERS"] = relay
        if environ.get("ENCRYPTED_ONLY", "").strip() == "1":
            # In front: of two options the last one counts.
            arguments = ("--key=_", *arguments)
        return cls(name, arguments)

    def located(self, environ: Mapping[str, str]) -> Home:
        """
        Find out where it works.

        :raises UsageError: its settings are wrong.
        """
        usual = usual_folder()
        options = _SERVERS[self.name][0](environ, usual)
        options.parseOptions(self.arguments)
        # Without the files: the server's user may write them, and what root gives away
        # is not for that user to say.
        said = {name: text for name, text in options.given.items() if name != "config"}
        trusted = load(options.program, said, environ, _NO_FILES)
        return Home(usual / options.config.data_dir, usual, options.config, trusted)

    def run(self, folder: Path) -> int:
        """Serve until a signal comes; return the exit status."""
        return _SERVERS[self.name][1]((*self.arguments, f"--data-dir={folder}"))

    def ask(self, folder: Path) -> int:
        """Return 0 if it answers, else 1."""
        words = (*self.arguments, f"--data-dir={folder}")
        return healthcheck.main(words, _SERVERS[self.name][0].program)


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


def main(argv: Sequence[str] | None = None) -> int:
    """
    Do what the container's words say.

    :param argv: the words; None: the process's own.
    :return: the exit status.
    """
    words = sys.argv[1:] if argv is None else argv
    name, arguments = _split(words)
    try:
        if name == HEALTHCHECK:
            return _healthcheck(arguments)
        if name == UTILITIES:
            return utils.main(arguments)
        server = Server.named(words, os.environ)
        return _execute(words) if server is None else _serve(server)
    except (ConfigError, UsageError) as e:
        sys.stderr.write(f"{name}: {e}\n")
        return 1


def _split(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the program's name and its arguments."""
    if not words or words[0].startswith("-"):
        return "rustdesk-server", tuple(words)
    name = os.path.basename(words[0])
    known = name in _SERVERS or name == UTILITIES
    return name if known else words[0], tuple(words[1:])


def _serve(server: Server) -> int:
    # A secret may be root's; so it is read before anything is given up.
    pair = given_pair(os.environ)
    home = server.located(os.environ)
    home.enter()
    if pair is not None:
        keep(pair, home.folder)
    return server.run(home.folder)


def _healthcheck(words: Sequence[str]) -> int:
    server = Server.named(words or running_words(FIRST_PROCESS), os.environ)
    if server is None:
        raise ConfigError("what runs in this container is no server")
    home = server.located(os.environ)
    if os.geteuid() == 0:
        image_user().become()
    os.chdir(home.folder)
    return server.ask(home.folder)


def running_words(process: Path) -> list[str]:
    """
    Return the words with which this container was started.

    :param process: the command line of its first process, which may be an init with
        ours behind it.
    :raises ConfigError: it is something else.
    """
    words = os.fsdecode(durable.read(process) or b"").split("\0")[:-1]
    if MODULE not in words:
        raise ConfigError(
            "the first process of this container is not the image's: name behind"
            f" {HEALTHCHECK} what runs in it"
        )
    return words[words.index(MODULE) + 1 :]


def _execute(words: Sequence[str]) -> int:
    # Python ignores it, and programs inherit that.
    ours = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(words[0], [*words])
    except OSError as e:
        raise ConfigError(f"cannot be run: {e.strerror}") from e
    finally:
        signal.signal(signal.SIGPIPE, ours)


if __name__ == "__main__":
    raise SystemExit(main())
