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
from collections.abc import Callable, Sequence

from twisted.python.usage import UsageError

from rdserver.cli import healthcheck, utils
from rdserver.cli.container_folder import image_user
from rdserver.cli.container_keys import given_pair, keep
from rdserver.cli.container_server import OPTIONS, UTILITIES, Server, running_words, split
from rdserver.cli.programs import hbbr_main, hbbs_main, server_main
from rdserver.errors import ConfigError
from rdserver.settings.options import HbbrOptions, HbbsOptions, Options

HEALTHCHECK = "healthcheck"

_MAINS: dict[str, Callable[[Sequence[str]], int]] = {
    Options.program.name: server_main,
    HbbsOptions.program.name: hbbs_main,
    HbbrOptions.program.name: hbbr_main,
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Do what the container's words say.

    :param argv: the words; None: the process's own.
    :return: the exit status.
    """
    words = sys.argv[1:] if argv is None else argv
    name, arguments = split(words)
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


def _serve(server: Server) -> int:
    # A secret may be root's; so it is read before anything is given up.
    pair = given_pair(os.environ)
    home = server.located(os.environ)
    home.enter()
    if pair is not None:
        keep(pair, home.folder)
    return _MAINS[server.name](server.words_in(home.folder))


def _healthcheck(words: Sequence[str]) -> int:
    server = Server.named(words or _started(), os.environ)
    if server is None:
        raise ConfigError("what runs in this container is no server")
    home = server.located(os.environ)
    if os.geteuid() == 0:
        image_user().become()
    os.chdir(home.folder)
    return healthcheck.main(server.words_in(home.folder), OPTIONS[server.name])


def _started() -> Sequence[str]:
    words = running_words()
    if words is None:  # it does not guess
        raise ConfigError(
            "the first process of this container is not the image's: name behind"
            f" {HEALTHCHECK} what runs in it"
        )
    return words


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
