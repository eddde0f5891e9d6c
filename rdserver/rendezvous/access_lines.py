"""
The text form of access rules, one on each line; docs/access.md explains it to people.

Nothing that is not understood is passed over: a rule that is not what it seems would let
somebody in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from itertools import pairwise
from typing import NamedTuple

from rdserver.rendezvous.access import ALLOWED, Verdict
from rdserver.rendezvous.access_rules import AccessRules, IPNetwork, Rule, is_costly
from rdserver.rendezvous.claim import MIN_ID_BYTES
from rdserver.rendezvous.directory import MAX_ID_BYTES

MAX_RULES = 10_000
MAX_COSTLY = 200
"""Patterns that are tried one by one, for each device of an online query."""

MAX_REFUSAL_CHARS = 200
"""Clients show it in a small window."""

DEFAULT_REFUSAL = "You may not connect to this device from your network"

PERMISSIONS = (
    *("keyboard", "remote_printer", "clipboard", "file", "audio", "camera", "terminal"),
    *("tunnel", "restart", "recording", "block_input", "remote_modify", "privacy_mode"),
)
"""In the order of their two bits (protocol.md section 2.4)."""

_BITS = {"off": 1, "on": 2}
_SHOWN_CHARS = 40
_TOKEN = re.compile(r'\s+|#.*|"(?P<text>[^"]*)"|(?P<word>[^\s,"]+|,)|(?P<rest>".*)')


class _Line(NamedTuple):
    """
    What stands on a line.

    :ivar verb: its first word.
    :ivar clauses: the words behind the verb, ``from`` and ``with``, commas among them.
    :ivar text: what is in quotes at the end, None without any.
    """

    verb: str
    clauses: dict[str, list[str]]
    text: str | None


def read_rules(text: str) -> AccessRules:
    """
    Return the rules that *text* states.

    :raises ValueError: a line is no good; the sentence begins with its number.
    """
    reader = _Reader()
    for number, content in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        try:
            reader.read(content)
        except ValueError as e:
            raise ValueError(f"line {number}: {e}") from e
    return AccessRules(reader.rules, reader.default or ALLOWED)


class _Reader:
    """
    Reads line after line.

    :ivar default: None as long as no line states it.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.default: Verdict | None = None
        self._costly = 0

    def read(self, content: str) -> None:
        """Take what a line states; raise ValueError if it is no good."""
        line = _line(content)
        if line is None:
            return
        if line.verb != "default":
            self._add(_rule(line))
        elif self.default is not None:
            raise ValueError("the default is stated for the second time")
        else:
            self.default = _default(line)

    def _add(self, rule: Rule) -> None:
        self.rules.append(rule)
        if len(self.rules) > MAX_RULES:
            raise ValueError(f"there are more than {MAX_RULES} rules")
        self._costly += sum(map(is_costly, rule.patterns))
        if self._costly > MAX_COSTLY:
            raise ValueError(
                f"more than {MAX_COSTLY} patterns have wildcards elsewhere than at the end"
            )


def _line(content: str) -> _Line | None:
    """Return the parts of a line, or None for one with nothing on it."""
    if "\r" in content:
        raise ValueError("there is a carriage return in it")
    words, text = _tokens(content)
    if not words and text is None:
        return None
    verb = words[0] if words else ""
    if verb not in ("allow", "deny", "default"):
        raise ValueError("it must begin with allow, deny or default")
    return _Line(verb, _clauses(words), text)


def _tokens(content: str) -> tuple[list[str], str | None]:
    """Return the words and commas of a line, and the text in quotes at its end."""
    words: list[str] = []
    text: str | None = None
    for token in _TOKEN.finditer(content):
        if token["rest"] is not None:
            raise ValueError("a quotation mark is missing")
        if text is not None and (token["word"] or token["text"] is not None):
            raise ValueError("nothing may stand behind the text in quotation marks")
        if token["word"]:
            words.append(token["word"])
        elif token["text"] is not None:
            text = token["text"]
    return words, text


def _clauses(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the words behind the first one, and behind from and with."""
    clauses: dict[str, list[str]] = {words[0]: []}
    last = words[0]
    for word in words[1:]:
        if word not in ("from", "with"):
            clauses[last].append(word)
        elif word in clauses:
            raise ValueError(f"{word} stands there twice")
        else:
            last = word
            clauses[word] = []
    return clauses


def _default(line: _Line) -> Verdict:
    """Return what a line like ``default deny "Sorry"`` states."""
    [verb, *more] = line.clauses["default"] or [""]
    if more or len(line.clauses) > 1 or verb not in ("allow", "deny"):
        raise ValueError("default must be followed by allow or deny, and by no conditions")
    return _verdict(verb, [], line.text)


def _rule(line: _Line) -> Rule:
    patterns = tuple(_items(line.verb, line.clauses[line.verb]))
    for pattern in patterns:
        _check_pattern(pattern)
    permissions = line.clauses.get("with", [])
    if "with" in line.clauses and not permissions:
        raise ValueError("no permission stands behind with")
    networks = _networks(line.clauses.get("from", ["any"]))
    return Rule(patterns, networks, _verdict(line.verb, permissions, line.text))


def _check_pattern(pattern: str) -> None:
    """Refuse what fits no device, and so is not what it seems."""
    if _network(pattern) is not None:
        raise ValueError(
            f"{_shown(pattern)} is an address, and those stand behind from; write * for "
            "all devices"
        )
    if not pattern.isprintable() or any(char in pattern for char in "#[]"):
        raise ValueError(
            f"{_shown(pattern)} is no id: patterns have *, ? and what ids have; a comment "
            "begins behind a blank"
        )
    if "*" not in pattern and not MIN_ID_BYTES <= len(pattern.encode()) <= MAX_ID_BYTES:
        raise ValueError(
            f"{_shown(pattern)} fits no id, for those have {MIN_ID_BYTES} to "
            f"{MAX_ID_BYTES} bytes; write * for any text"
        )


def _items(clause: str, words: Sequence[str]) -> Sequence[str]:
    """Return the items of a list with commas between them."""
    if not words:
        raise ValueError(f"nothing stands behind {clause}")
    for one, other in pairwise((",", *words, ",")):
        if one == other == ",":
            raise ValueError("there is a comma too many")
        if "," not in (one, other):
            raise ValueError(f"a comma is missing before {_shown(other)}")
    return words[::2]


def _networks(words: Sequence[str]) -> frozenset[IPNetwork] | None:
    if list(words) == ["any"]:
        return None
    return frozenset(_known_network(item) for item in _items("from", words))


def _known_network(item: str) -> IPNetwork:
    network = _network(item)
    if network is None:
        raise ValueError(
            f"{_shown(item)} is no address and no network such as 10.0.0.0/8; any stands "
            "alone"
        )
    return network


def _network(text: str) -> IPNetwork | None:
    if "." not in text and ":" not in text:  # sooner than ipaddress says so
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _verdict(verb: str, permissions: Iterable[str], text: str | None) -> Verdict:
    words = [word for word in permissions if word != ","]
    if verb == "allow":
        if text is not None:
            raise ValueError("only deny has a text")
        return Verdict(permissions=_permissions(words))
    if words:
        raise ValueError("only allow has permissions")
    return Verdict(refusal=DEFAULT_REFUSAL if text is None else _refusal(text))


def _refusal(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_REFUSAL_CHARS:
        raise ValueError(
            f"the text must have 1 to {MAX_REFUSAL_CHARS} characters that can be printed"
        )
    return text


def _permissions(words: Iterable[str]) -> int:
    """Return the permission word of words like ``keyboard=off``."""
    values: dict[str, int] = {}
    for word in words:
        name, _equals, value = word.partition("=")
        if name not in PERMISSIONS or value not in _BITS:
            raise ValueError(
                f"{_shown(word)} must be NAME=on or NAME=off, with one of the names "
                f"{', '.join(PERMISSIONS)}"
            )
        if name in values:
            raise ValueError(f"{name} stands there twice")
        values[name] = _BITS[value] << 2 * PERMISSIONS.index(name)
    return sum(values.values())


def _shown(word: str) -> str:
    """Return a word of the file as a sentence may quote it."""
    return repr(word if len(word) <= _SHOWN_CHARS else word[:_SHOWN_CHARS] + "...")
