"""
From the texts that were given to a ``Config``: which text counts and what it means.

A wrong value of our own settings stops the start; one of the original's is ignored
where the original ignores it, with a warning.  Source: protocol.md sections 4.2 and 6.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from rdserver.errors import ConfigError
from rdserver.settings import kinds
from rdserver.settings.agreement import HIGHEST_PORT, LOWEST_PORT
from rdserver.settings.config import SETTINGS, Config
from rdserver.settings.kinds import Kind
from rdserver.settings.model import Setting
from rdserver.settings.sources import (
    CommandLine,
    Environment,
    Found,
    Source,
    config_file,
    env_file,
)

_BY_FIELD = {setting.field: setting for setting in SETTINGS}
_SHOWN_CHARACTERS = 80


def _original_log_level() -> Kind:
    words = kinds.choice("error", "warn", "info", "debug", "trace")
    below_debug = {"trace": "debug"}
    return evolve(words, parse=lambda text: below_debug.get(t := str(words.parse(text)), t))


def _port_below() -> Kind:
    port = kinds.whole(LOWEST_PORT - 1, HIGHEST_PORT - 1)
    return evolve(port, parse=lambda text: int(str(port.parse(text))) + 1)


# Two names of the original that feed a setting of ours.
RUST_LOG = evolve(
    _BY_FIELD["log_level"],
    name="rust-log",
    kind=_original_log_level(),
    ours=False,
    lenient=True,
)
PORT_BELOW_RELAY = evolve(
    _BY_FIELD["relay_port"],
    name="port",
    kind=_port_below(),
    shown_default="21117",
    ours=False,
    lenient=True,
)


@frozen(kw_only=True)
class Program:
    """
    What one of our programs can be told.

    :ivar name: what it is called.
    :ivar role: its role, if that is not a setting of it.
    :ivar settings: on its command line and, under their usual names, elsewhere.
    :ivar elsewhere: further ones, read from ``.env`` and the environment alone.  They
        count when nothing was given for their field before.
    """

    name: str
    role: str | None = None
    settings: tuple[Setting, ...]
    elsewhere: tuple[Setting, ...] = ()


def _used_by_role(role: str) -> tuple[Setting, ...]:
    return tuple(s for s in SETTINGS if s.used_by in ("both", role) and s.field != "role")


def _of_hbbr(setting: Setting) -> Setting:
    if setting.field != "relay_port":
        return setting
    return evolve(setting, name="port", short="p", ours=False, command_line_only=True)


RUSTDESK_SERVER = Program(name="rustdesk-server", settings=SETTINGS)
HBBS = Program(name="hbbs", role="id", settings=_used_by_role("ID server"))
HBBR = Program(
    name="hbbr",
    role="relay",
    settings=tuple(_of_hbbr(s) for s in _used_by_role("relay") if s.field != "config_file"),
    elsewhere=(_BY_FIELD["relay_port"], PORT_BELOW_RELAY),
)


def load(
    program: Program, given: Mapping[str, str], environ: Mapping[str, str], directory: Path
) -> Config:
    """
    The configuration of ``program``.

    ``given`` are the options by long name, ``directory`` is the working directory: a
    relative ``--config`` and ``.env`` are looked for in it.

    :raises ConfigError: when the program cannot start with what it was given.
    """
    reading = _Reading(program.role)
    files, environment = reading.open_files(given, directory), Environment(environ)
    reading.warnings += environment.ignored(SETTINGS)
    for setting in program.settings:
        reading.take(setting, [CommandLine(given), *files, environment])
    for setting in program.elsewhere:
        reading.take(setting, [*files, environment])
    reading.take(RUST_LOG, [environment])
    return Config(**reading.values, warnings=tuple(reading.warnings))


class _Reading:
    """The values taken so far, by field, and what was ignored on the way."""

    def __init__(self, role: str | None) -> None:
        self.values: dict[str, Any] = {} if role is None else {"role": role}
        self.warnings: list[str] = []

    def open_files(self, given: Mapping[str, str], directory: Path) -> list[Source]:
        in_env, warnings = env_file(directory)
        self.warnings += warnings
        files = [in_env]
        if "config" in given:
            files.insert(0, config_file(given["config"], directory))
        for file in files:
            self.warnings += file.ignored(SETTINGS)
        return [*files]

    def take(self, setting: Setting, sources: Sequence[Source]) -> None:
        """Take the first text that ``sources`` have, unless the field has a value."""
        given = (source.find(setting) for source in sources)
        found = next((text for text in given if text is not None), None)
        if setting.field in self.values or found is None:
            return
        # What is blank says nothing that one could warn of.
        if setting.lenient and not found.text.strip():
            return
        self._take_found(setting, found)

    def _take_found(self, setting: Setting, found: Found) -> None:
        if setting.without_effect:
            self.warnings.append(f"{setting.name} ({found.origin}) has no effect")
            return
        try:
            self.values[setting.field] = setting.kind.parse(found.text)
        except ValueError:
            self._refuse(setting, found)

    def _refuse(self, setting: Setting, found: Found) -> None:
        shown = "this" if setting.secret else repr(found.text[:_SHOWN_CHARACTERS])
        if not setting.lenient:
            raise ConfigError(
                f"{setting.complaint}{setting.name} must be {setting.needs}, "
                f"not {shown} ({found.origin})"
            )
        self.warnings.append(
            f"{setting.name} {shown} ({found.origin}) is ignored: it must be "
            f"{setting.needs}; used instead: {setting.shown_default}"
        )
