"""
The relay's console commands: words in, text out.  How they arrive is not known here.

Source: protocol.md section 4.7.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from attrs import evolve

from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.lists import AddressList
from rdserver.relay.usage import usage_lines

Command = Callable[[list[str]], str]

UNLIMITED = "unlimited"

# As the settings of the same names: far outside, arithmetic would fail, not the user.
_LEAST = 0.001
_MOST = 1_000_000_000

HELP = """\
blacklist-add(ba) <ip>
blacklist-remove(br) <ip>
blacklist(b) <ip>
blocklist-add(Ba) <ip>
blocklist-remove(Br) <ip>
blocklist(B) <ip>
downgrade-threshold(dt) [value]
downgrade-start-check(t) [value(second)]
limit-speed(ls) [value(Mb/s)]
total-bandwidth(tb) [value(Mb/s)]
single-bandwidth(sb) [value(Mb/s)]
usage(u)
"""


def relay_commands(relay: Relay[Any]) -> dict[str, Command]:
    """
    Return every command by its long and its short name; case matters.

    A command takes the words behind its name and returns what to print, which may be
    nothing.  What it cannot understand changes nothing.
    """
    limits = _LimitCommands(relay)
    return {
        "h": lambda words: HELP,
        **_named("blacklist-add", "ba", _adder(relay.blacklist)),
        **_named("blacklist-remove", "br", _remover(relay.blacklist)),
        **_named("blacklist", "b", _shower(relay.blacklist)),
        **_named("blocklist-add", "Ba", _adder(relay.blocklist)),
        **_named("blocklist-remove", "Br", _remover(relay.blocklist)),
        **_named("blocklist", "B", _shower(relay.blocklist)),
        **_named("downgrade-threshold", "dt", limits.threshold),
        **_named("downgrade-start-check", "t", limits.start_check),
        **_named("limit-speed", "ls", limits.slow),
        **_named("total-bandwidth", "tb", limits.total),
        **_named("single-bandwidth", "sb", limits.single),
        **_named("usage", "u", lambda words: usage_lines(relay.sessions)),
    }


def _named(long: str, short: str, command: Command) -> dict[str, Command]:
    return {long: command, short: command}


def _entries(words: list[str]) -> list[str]:
    return [entry for entry in words[0].split("|") if entry] if words else []


def _adder(addresses: AddressList) -> Command:
    def add(words: list[str]) -> str:
        for entry in _entries(words):
            addresses.add(entry)
        return ""

    return add


def _remover(addresses: AddressList) -> Command:
    def remove(words: list[str]) -> str:
        if words and words[0] == "all":
            addresses.clear()
        else:
            for entry in _entries(words):
                addresses.remove(entry)
        return ""

    return remove


def _shower(addresses: AddressList) -> Command:
    def show(words: list[str]) -> str:
        if not words or not words[0]:
            return "".join(f"{entry}\n" for entry in addresses)
        return "true\n" if addresses.is_listed(words[0]) else "false\n"

    return show


class _LimitCommands:
    """Each prints its limit without a word behind it, and otherwise sets it."""

    def __init__(self, relay: Relay[Any]) -> None:
        self._relay = relay

    @property
    def _limits(self) -> Limits:
        return self._relay.limits

    def _set(self, limits: Limits) -> str:
        self._relay.limits = limits
        return ""

    def threshold(self, words: list[str]) -> str:
        if not words:
            return f"{_number(self._limits.downgrade_percent / 100)}\n"
        value = _positive(words[0])
        return (
            ""
            if value is None
            else self._set(evolve(self._limits, downgrade_threshold=value))
        )

    def start_check(self, words: list[str]) -> str:
        if not words:
            return f"{self._limits.downgrade_start_check_s}s\n"
        value = _positive(words[0])
        if value is None or not words[0].removeprefix("+").isdigit():
            return ""
        return self._set(evolve(self._limits, downgrade_start_check_s=int(value)))

    def slow(self, words: list[str]) -> str:
        if not words:
            return _speed(self._limits.limit_speed_mbit_per_s)
        value = _positive(words[0])
        return (
            ""
            if value is None
            else self._set(evolve(self._limits, limit_speed_mbit_per_s=value))
        )

    def total(self, words: list[str]) -> str:
        if not words:
            return _speed(self._limits.total_bandwidth_mbit_per_s)
        value = _positive(words[0])
        if value is None and words[0] != UNLIMITED:
            return ""
        return self._set(evolve(self._limits, total_bandwidth_mbit_per_s=value))

    def single(self, words: list[str]) -> str:
        if not words:
            return _speed(self._limits.single_bandwidth_mbit_per_s)
        value = _positive(words[0])
        if value is None and words[0] != UNLIMITED:
            return ""
        return self._set(evolve(self._limits, single_bandwidth_mbit_per_s=value))


def _speed(mbit_per_s: float | None) -> str:
    return f"{UNLIMITED}\n" if mbit_per_s is None else f"{_number(mbit_per_s)}Mb/s\n"


def _number(value: float) -> str:
    """Return the shortest text that means *value*, without an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _positive(word: str) -> float | None:
    """Return the number *word*, or None if it is none or out of the settings' range."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if _LEAST <= value <= _MOST else None
