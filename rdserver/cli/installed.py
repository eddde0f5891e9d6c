"""Where Debian's package keeps what the commands look for, and how it runs the server."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from twisted.python.usage import UsageError

from rdserver.errors import ConfigError
from rdserver.keys import PUBLIC_KEY_FILE
from rdserver.settings.config import Config
from rdserver.settings.options import Options, ProgramOptions

DATA_DIR = Path("/var/lib/rdserver")
CONFIG_FILE = Path("/etc/rustdesk-server/rustdesk-server.conf")
ENVIRONMENT_FILE = Path("/etc/default/rustdesk-server")
OPTIONS_VARIABLE = "RUSTDESK_SERVER_OPTS"


def server_settings(
    words: Sequence[str],
    environ: Mapping[str, str],
    options: type[ProgramOptions] = Options,
) -> Config:
    """
    Return the settings of a server on this machine.

    Those of the package's service, unless *words* or the environment name a data folder
    or settings, or there is a key in the working directory.

    :param words: options of the server's own.
    :raises ConfigError: they are wrong.
    """
    asked = _parse(options, words, environ)
    names_another = {"data-dir", "config"} & asked.given.keys()
    # os.path and not Path, which fails where this user may not look.
    is_here = os.path.exists(PUBLIC_KEY_FILE)
    if names_another or environ.get("RDSERVER_DATA_DIR") or is_here:
        return asked.config
    if options is not Options or not os.path.isdir(DATA_DIR):
        return asked.config
    variables = {**environ, **dict(_variables())}
    service = _words(variables.pop(OPTIONS_VARIABLE, ""))
    known = [f"--data-dir={DATA_DIR}"]
    known += [f"--config={CONFIG_FILE}"] if os.path.isfile(CONFIG_FILE) else []
    return _parse(options, [*known, *service, *words], variables).config


def _parse(
    options: type[ProgramOptions], words: Sequence[str], environ: Mapping[str, str]
) -> ProgramOptions:
    parsed = options(environ)
    try:
        parsed.parseOptions(words)
    except UsageError as e:
        raise ConfigError(str(e)) from e
    return parsed


def _variables() -> Iterator[tuple[str, str]]:
    """Read what systemd gives the service as its environment."""
    try:
        lines = ENVIRONMENT_FILE.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield name, "".join(_words(value)[:1])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as e:
        raise ConfigError(f"{ENVIRONMENT_FILE}: {text!r} cannot be read: {e}") from e
