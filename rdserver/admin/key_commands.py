"""
The commands of both consoles about keys.  Ours: the original has none of them.

How they arrive is not known here.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from rdserver.admin.console import Command
from rdserver.admin.words import bucket, page
from rdserver.key_watch import KeyWatch
from rdserver.old_keys import Use

HELP = """\
old-keys
key-failures [<ip>|<number>] [-]
"""


def key_commands(
    watch: KeyWatch, given_up: Callable[[], int] | None = None
) -> dict[str, Command]:
    """
    Return every command about keys by its name.

    :param given_up: returns how many clients gave up a key exchange since the start; None:
        this server begins none.
    """
    console = _KeyConsole(watch, given_up)
    return {"old-keys": console.old_keys, "key-failures": console.key_failures}


@frozen
class _KeyConsole:
    _watch: KeyWatch
    _given_up: Callable[[], int] | None

    def old_keys(self, _words: list[str]) -> str:
        """Print each old key, from how many addresses it came in the last day, and when."""
        lines = [_use_line(use) for use in self._watch.use.uses()] or ["none\n"]
        if self._given_up is not None:
            # These never got so far as to show a key.
            lines.append(f"key exchanges given up since the start: {self._given_up()}\n")
        return "".join(lines)

    def key_failures(self, words: list[str]) -> str:
        """Print who presented wrong keys: all, from a number on, or one; ``-`` forgets."""
        penalties = self._watch.penalties
        for _old in penalties.forget_old():
            pass
        if words[:1] == ["-"]:
            penalties.clear()
            return "all addresses may try again\n"
        if not words or words[0].isdecimal():
            return f"{len(penalties)}\n" + page(penalties.rows(), words)
        address = bucket(words[0])
        if words[1:2] == ["-"]:
            penalties.lift(address)
            return f"{address} may try again\n"
        return f"{address}: {penalties.describe(address) or 'no wrong keys'}\n"


def _use_line(use: Use) -> str:
    last = "not used since the start"
    if use.idle_s is not None:
        last = f"last used {use.idle_s:.0f}s ago"
    return f"{use.name}: {use.addresses} addresses in the last day, {last}\n"
