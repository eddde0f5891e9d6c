"""
The syntax of settings files, both ``.env`` and the file of ``--config``.

Text in, values and complaints out; nothing here opens a file or knows a setting.
Source: protocol.md section 6.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

_SEPARATOR = re.compile(r"[=:]")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_QUOTES = ("'", '"')


@frozen
class Entry:
    """One value of a file. ``name`` is in the file's own spelling, lines count from 1."""

    name: str
    value: str
    line: int


@frozen
class BadLine:
    """A line that states nothing. ``reason`` does not repeat it: it may be a secret."""

    line: int
    reason: str


@frozen
class Ini:
    """
    What a settings file says.

    :ivar entries: by canonical name; the last one of a name counts.
    :ivar bad_lines: what could not be understood, in order.
    :ivar first_section: line of the first section, behind which nothing is read.
    """

    entries: Mapping[str, Entry]
    bad_lines: tuple[BadLine, ...] = ()
    first_section: int | None = None


def canonical(name: str) -> str:
    """The form that all spellings of a name share: upper case, with dashes."""
    return name.upper().replace("_", "-")


def parse_ini(text: str) -> Ini:
    """Read what stands before the first section of ``text``."""
    entries: dict[str, Entry] = {}
    bad_lines = []
    for line, content in enumerate(text.split("\n"), start=1):
        stated = _parse_line(line, content.strip())
        if isinstance(stated, Entry):
            entries[canonical(stated.name)] = stated
        elif isinstance(stated, BadLine):
            bad_lines.append(stated)
        elif content.strip().startswith("["):
            return Ini(entries, tuple(bad_lines), line)
    return Ini(entries, tuple(bad_lines))


def _parse_line(line: int, content: str) -> Entry | BadLine | None:
    if not content or content[0] in "#;":
        return None
    if content[0] == "[":
        return None if content[-1] == "]" else BadLine(line, "the [ is not closed")
    separator = _SEPARATOR.search(content)
    if separator is None:
        return BadLine(line, "there is no = or :")
    name = content[: separator.start()].strip()
    if not name:
        return BadLine(line, "there is no name")
    try:
        return Entry(name, _value(content[separator.end() :].strip()), line)
    except ValueError as e:
        return BadLine(line, str(e))


def _value(text: str) -> str:
    if text.startswith(_QUOTES):
        if len(text) < 2 or text[-1] != text[0]:
            raise ValueError("the quote is not closed")
        text = text[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)
