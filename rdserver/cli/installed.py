"""Where Debian's package keeps what the commands look for, and how it runs the server."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from twisted.python.usage import UsageError

from rdserver.cli.container_server import running_config
from rdserver.errors import ConfigError
from rdserver.keys import PUBLIC_KEY_FILE
from rdserver.settings.config import Config
from rdserver.settings.options import Options, ProgramOptions

DATA_DIR = Path("/var/lib/rdserver")
CONFIG_FILE = Path("/etc/rustdesk-server/rustdesk-server.conf")
ENVIRONMENT_FILE = Path("/etc/default/rustdesk-server")
OPTIONS_VARIABLE = "RUSTDESK_SERVER_OPTS"

_UNITS = {
    "": "rustdesk-server.service",
    "id": "rustdesk-server@id.service",
    "relay": "rustdesk-server@relay.service",
}
_WANTED = Path("/etc/systemd/system/multi-user.target.wants")


def server_settings(
    words: Sequence[str],
    environ: Mapping[str, str],
    options: type[ProgramOptions] = Options,
) -> Config:
    """
    Return the settings of a server on this machine.

    Those of the container's server, or of the package's service, unless *words* name
    another data folder or other settings, or the environment another data folder, or
    there is a key in the working directory, which is another one.

    :param words: options of the server's own.
    :raises ConfigError: they are wrong.
    """
    found = _of_known_server(words, environ) if options is Options else None
    return found or _parse(options, words, environ).config


def _of_known_server(words: Sequence[str], environ: Mapping[str, str]) -> Config | None:
    given = _parse(_Words, words).given
    if _names_another(given):
        return None
    if (running := running_config(words, environ)) is not None:
        return running
    is_named = "data-dir" in given or "config" in given
    is_packages = _is_packages(DATA_DIR if is_named else _usual_folder(environ))
    return _of_service(words, environ) if is_packages else None


def _usual_folder(environ: Mapping[str, str]) -> str | Path:
    """Return the data folder that is meant where no words say anything else."""
    # os.path and not Path, which fails where this user may not look.
    here = os.curdir if os.path.exists(PUBLIC_KEY_FILE) else DATA_DIR
    return environ.get("RDSERVER_DATA_DIR") or here


class _Words(Options):
    """The command line alone: a .env file here may be of some other program."""

    def postOptions(self) -> None:
        """Load nothing."""


def _names_another(given: Mapping[str, str]) -> bool:
    folder, file = given.get("data-dir", DATA_DIR), given.get("config", CONFIG_FILE)
    return not _is_same(folder, DATA_DIR) or not _is_same(file, CONFIG_FILE)


def _is_packages(folder: str | Path) -> bool:
    return os.path.isdir(DATA_DIR) and _is_same(folder, DATA_DIR)


def _is_same(path: str | Path, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _of_service(words: Sequence[str], environ: Mapping[str, str]) -> Config:
    variables = {**environ, **dict(_variables())}
    service = _words(variables.pop(OPTIONS_VARIABLE, ""))
    known = [f"--data-dir={DATA_DIR}"]
    known += [f"--config={CONFIG_FILE}"] if os.path.isfile(CONFIG_FILE) else []
    everything = [*_enabled_role(), *known, *service, *words]
    return _parse(Options, everything, variables, DATA_DIR).config


def _enabled_role() -> list[str]:
    """Say the role of the instance that is enabled, if that is all that is."""
    on = [role for role, unit in _UNITS.items() if os.path.lexists(_WANTED / unit)]
    return [f"--role={on[0]}"] if len(on) == 1 and on[0] else []


def _parse(
    options: type[ProgramOptions],
    words: Sequence[str],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ProgramOptions:
    parsed = options(environ, directory)
    try:
        parsed.parseOptions(words)
    except UsageError as e:
        raise ConfigError(str(e)) from e
    return parsed


def _variables() -> Iterator[tuple[str, str]]:
    """Read what systemd gives the service as its environment."""
    try:
        lines = ENVIRONMENT_FILE.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield name, _unquoted(value.strip())


def _unquoted(value: str) -> str:
    return "".join(_words(value)[:1]) if value[:1] in ("'", '"') else value


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as e:
        raise ConfigError(f"{ENVIRONMENT_FILE}: {text!r} cannot be read: {e}") from e
