"""
Where the values of settings come from, and which of them counts.

Only texts here: what they mean is the matter of ``rdserver.settings.load``.
Source: protocol.md section 6.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from attrs import frozen

from rdserver.errors import ConfigError
from rdserver.settings.ini import Ini, canonical, parse_ini
from rdserver.settings.model import PREFIX, Setting

_PREFIX = canonical(PREFIX)
_UNKNOWN = "there is no such setting"
# Our longest name has 34 characters, a key in base64 at least 43.
_LONGEST_SHOWN = 40


def _shown(name: str) -> str:
    """An unknown name for a message; a key file, read by mistake, is all name."""
    return repr(name) if len(name) <= _LONGEST_SHOWN else f"a name of {len(name)} letters"


@frozen
class Found:
    """A text given for a setting, and in words where."""

    text: str
    origin: str


class Source(Protocol):
    """One of the places that can give a setting."""

    def find(self, setting: Setting) -> Found | None:
        """The text given here for ``setting``; an empty one counts as given."""
        ...


@frozen
class CommandLine:
    """Options as they were typed, by long name."""

    given: Mapping[str, str]

    def find(self, setting: Setting) -> Found | None:
        text = self.given.get(setting.name)
        return None if text is None else Found(text, f"--{setting.name}")


@frozen
class File:
    """
    A settings file.

    :ivar label: what the file is called in messages.
    :ivar prefixed: whether our own settings have the environment's prefix in it.
    """

    ini: Ini
    label: str
    prefixed: bool

    def find(self, setting: Setting) -> Found | None:
        if setting.command_line_only:
            return None
        entry = self.ini.entries.get(canonical(self._name(setting)))
        if entry is None:
            return None
        return Found(entry.value, f"{entry.name} in {self.label} line {entry.line}")

    def _name(self, setting: Setting) -> str:
        return setting.variable if self.prefixed else setting.name

    def ignored(self, settings: Iterable[Setting]) -> list[str]:
        """A line for each part of the file that sets none of ``settings``."""
        known = {canonical(self._name(s)) for s in settings if not s.command_line_only}
        lines = [
            f"{_shown(entry.name)} in {self.label} line {entry.line} is ignored: {_UNKNOWN}"
            for name, entry in self.ini.entries.items()
            if name not in known and (not self.prefixed or name.startswith(_PREFIX))
        ]
        if self.ini.first_section is not None:
            lines.append(
                f"{self.label} is ignored from line {self.ini.first_section} on: "
                "a section begins there"
            )
        return lines


@frozen
class Environment:
    """The environment that the process was started with."""

    variables: Mapping[str, str]

    def find(self, setting: Setting) -> Found | None:
        if setting.command_line_only:
            return None
        name = spelled(setting.variable, self.variables)
        if name is None:
            return None
        return Found(self.variables[name], f"{name} in the environment")

    def ignored(self, settings: Iterable[Setting]) -> list[str]:
        """A line for each variable with our prefix that is none of ``settings``."""
        known = {canonical(setting.variable) for setting in settings}
        return [
            f"{_shown(name)} in the environment is ignored: {_UNKNOWN}"
            for name in sorted(self.variables)
            if canonical(name).startswith(_PREFIX) and canonical(name) not in known
        ]


def spelled(name: str, variables: Iterable[str]) -> str | None:
    """
    The spelling of ``name`` that counts among ``variables``, ``None`` if there is none.

    Upper case goes before lower case and dashes before underscores; of any other
    spellings the alphabetically first counts.
    """
    dashed = canonical(name)
    underscored = dashed.replace("-", "_")
    usual = (dashed, underscored, dashed.lower(), underscored.lower())
    matching = {variable for variable in variables if canonical(variable) == dashed}
    in_order = [*usual, *sorted(matching.difference(usual))]
    return next((spelling for spelling in in_order if spelling in matching), None)


def config_file(name: str, directory: Path) -> File:
    """
    The file of ``--config``; a relative ``name`` starts from ``directory``.

    :raises ConfigError: when it cannot be read, or a line of it cannot be understood.
    """
    try:
        ini = parse_ini(_read(directory / name))
    except (OSError, UnicodeError) as e:
        raise ConfigError(f"config {name!r} cannot be read: {_reason(e)}") from e
    for bad in ini.bad_lines:
        raise ConfigError(f"config {name!r} line {bad.line} is wrong: {bad.reason}")
    return File(ini, repr(name), prefixed=False)


def env_file(directory: Path) -> tuple[File, list[str]]:
    """The ``.env`` file of ``directory``, if any, and a line for what was wrong with it."""
    try:
        ini = parse_ini(_read(directory / ".env"))
    except FileNotFoundError:
        return File(Ini({}), ".env", prefixed=True), []
    except (OSError, UnicodeError) as e:
        return File(Ini({}), ".env", prefixed=True), [f".env is ignored: {_reason(e)}"]
    warnings = [f".env line {bad.line} is ignored: {bad.reason}" for bad in ini.bad_lines]
    return File(ini, ".env", prefixed=True), warnings


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    return error.strerror or type(error).__name__
