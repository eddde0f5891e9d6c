"""
Prints bash's completion of all programs: ``python -m rdserver.cli.completion``.

The Debian package is built with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rdserver.cli.utils import COMMANDS
from rdserver.settings.load import HBBR, HBBS, RUSTDESK_SERVER, Program

_FUNCTION = """\
_{function}()
{{
    local word=${{COMP_WORDS[COMP_CWORD]}}
    COMPREPLY=()
    [ "$COMP_CWORD" -le {last} ] || return
    COMPREPLY=($(compgen -W '{words}' -- "$word"))
    [[ ${{COMPREPLY[0]}} != *= ]] || compopt -o nospace 2>/dev/null
}}
complete -o default -F _{function} {program}
"""
_ANY = 9999  # more words than anybody writes
_BOTH = ("--help", "--version")


def completion() -> str:
    """The whole script."""
    return "\n".join(_functions())


def _functions() -> Iterator[str]:
    for program in (RUSTDESK_SERVER, HBBS, HBBR):
        yield _function(program.name, [*_options(program), *_BOTH], _ANY)
    # Behind the command come names of files and hosts.
    yield _function("rustdesk-utils", [*COMMANDS], 1)


def _function(program: str, words: list[str], last: int) -> str:
    function = program.replace("-", "_")
    return _FUNCTION.format(
        function=function, words=" ".join(words), program=program, last=last
    )


def _options(program: Program) -> list[str]:
    """Return the long options; those with a value end in ``=``."""
    return [f"--{s.name}" if s.kind.is_flag else f"--{s.name}=" for s in program.settings]


if __name__ == "__main__":
    sys.stdout.write(completion())
