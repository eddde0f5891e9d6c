"""
The relay's console commands: words in, text out.  How they arrive is not known here.

Source: protocol.md section 4.7.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from rdserver.admin.console import Command
from rdserver.admin.key_commands import HELP as KEYS_HELP
from rdserver.admin.key_commands import key_commands
from rdserver.relay.core import Relay
from rdserver.relay.limits import Limits
from rdserver.relay.lists import AddressList
from rdserver.relay.usage import usage_lines

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
    Return every command by its long and its short name, if it has one; case matters.

    A command takes the words behind its name and returns what to print, which may be
    nothing.  What it cannot understand changes nothing.
    """
    return {
        "h": lambda words: HELP,
        "help": lambda words: HELP + KEYS_HELP,
        **_named("blacklist-add", "ba", _adder(relay.blacklist)),
        **_named("blacklist-remove", "br", _remover(relay.blacklist)),
        **_named("blacklist", "b", _shower(relay.blacklist)),
        **_named("blocklist-add", "Ba", _adder(relay.blocklist)),
        **_named("blocklist-remove", "Br", _remover(relay.blocklist)),
        **_named("blocklist", "B", _shower(relay.blocklist)),
        **_named("downgrade-threshold", "dt", _limiter(relay, _THRESHOLD)),
        **_named("downgrade-start-check", "t", _limiter(relay, _START_CHECK)),
        **_named("limit-speed", "ls", _limiter(relay, _SLOW)),
        **_named("total-bandwidth", "tb", _limiter(relay, _TOTAL)),
        **_named("single-bandwidth", "sb", _limiter(relay, _SINGLE)),
        **_named("usage", "u", lambda words: usage_lines(relay.sessions)),
        **key_commands(relay.keys),
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


@frozen
class _Limit:
    """
    How one of the limits is shown and set.

    :ivar changed: takes a word too; raises ValueError for one that changes nothing.
    """

    show: Callable[[Limits], str]
    changed: Callable[[Limits, str], Limits]


def _limiter(relay: Relay[Any], limit: _Limit) -> Command:
    """Print the limit without a word behind the command's name, and otherwise set it."""

    def show_or_set(words: list[str]) -> str:
        if not words:
            return f"{limit.show(relay.limits)}\n"
        try:
            limits = limit.changed(relay.limits, words[0])
        except ValueError:
            return ""
        relay.limits = limits
        return ""

    return show_or_set


def _speed(mbit_per_s: float | None) -> str:
    return UNLIMITED if mbit_per_s is None else f"{_number(mbit_per_s)}Mb/s"


def _number(value: float) -> str:
    """Return the shortest text that means *value*, without an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _positive(word: str) -> float:
    value = float(word)
    if not _LEAST <= value <= _MOST:
        raise ValueError(word)
    return value


def _positive_or_unlimited(word: str) -> float | None:
    return None if word == UNLIMITED else _positive(word)


def _positive_whole(word: str) -> int:
    if not word.removeprefix("+").isdecimal():
        raise ValueError(word)
    return int(_positive(word))


_THRESHOLD = _Limit(
    lambda limits: _number(limits.downgrade_percent / 100),
    lambda limits, word: evolve(limits, downgrade_threshold=_positive(word)),
)
_START_CHECK = _Limit(
    lambda limits: f"{limits.downgrade_start_check_s}s",
    lambda limits, word: evolve(limits, downgrade_start_check_s=_positive_whole(word)),
)
_SLOW = _Limit(
    lambda limits: _speed(limits.limit_speed_mbit_per_s),
    lambda limits, word: evolve(limits, limit_speed_mbit_per_s=_positive(word)),
)
_TOTAL = _Limit(
    lambda limits: _speed(limits.total_bandwidth_mbit_per_s),
    lambda limits, word: evolve(
        limits, total_bandwidth_mbit_per_s=_positive_or_unlimited(word)
    ),
)
_SINGLE = _Limit(
    lambda limits: _speed(limits.single_bandwidth_mbit_per_s),
    lambda limits, word: evolve(
        limits, single_bandwidth_mbit_per_s=_positive_or_unlimited(word)
    ),
)
