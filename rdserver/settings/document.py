"""
Prints ``docs/settings.md``: ``python -m rdserver.settings.document > docs/settings.md``.

A test compares the file with what is printed here.
"""

from __future__ import annotations

import sys

from rdserver.settings.config import SETTINGS
from rdserver.settings.model import PREFIX, Setting

_BEGINNING = f"""\
# Settings

<!-- Printed by "make docs" from rdserver/settings/config.py: change it there. -->

Each setting can be given in four places. The first one that has it counts:

1. the command line,
2. the file of `-c`/`--config`,
3. `.env` in the working directory,
4. the environment of the process.

`twistd rustdesk-server --help` lists the options, and so do `rustdesk-server --help`,
`hbbs --help` and `hbbr --help`. An option that is given twice has its last value.

**Names.** In the environment and in `.env` a setting has the name of the column
"Variable". Any spelling will do: upper or lower case, dashes or underscores. If several
are set, dashes go before underscores and upper case before lower case. In the file of
`--config` the name is that of the option without its dashes (`relay-servers=...`), again
in any spelling. An empty value is a value: it hides those of later places.

**Files.** One `name=value` or `name: value` on a line. Lines that begin with `#` or `;`
are comments. Values may stand in quotes; a backslash makes the next character an
ordinary one, and `\\n`, `\\r`, `\\t` are line end, carriage return and tab. Nothing behind
a line such as `[section]` is read. A file of `--config` that cannot be read or holds a
line that is neither stops the start; a bad line of `.env` is skipped with a warning.

**Wrong values.** They stop the start with one sentence and exit status 1, or 78 where a
service manager waits for it (systemd's `Type=notify`). Those marked *lenient* are ignored
instead, as the original ignores them, with one warning in the log that says what is used.
An unknown name in the file of `--config`, and one that begins with `{PREFIX}` elsewhere, is
ignored with a warning too.
"""

_ORIGINAL = """\
## Settings of the original

Their names and values are those of RustDesk's own server, so that its start scripts work
unchanged. Where ours differs: a relay has no limit of bandwidth unless one is set (the
original has 1024 Mb/s in all and 128 Mb/s for a session), and one on its own asks for the
key unless `key` is explicitly empty.
"""

_OURS = f"""\
## Our own settings

In the environment and in `.env` they begin with `{PREFIX}`, because words such as ROLE
are too common there. In the file of `--config` they do not.
"""

_ENDING = """\
## The original's programs

`hbbs` is `rustdesk-server` with the role id, and `hbbr` with the role relay. They take the
original's options and those of ours that concern them, without `--role`. `-V` prints the
version.

For `hbbr`, `-p` and `--port` are the port of the relay itself, and there is no `--config`.
Without `-p` it is `RDSERVER_RELAY_PORT`, or else one above `PORT`, for `PORT` is the ID
server's there too, or else 21117. A `PORT` that cannot be used is ignored with a warning.

`RUST_LOG` is read from the environment alone, where `log-level` is not given: `error`,
`warn`, `info`, `debug`, or `trace`, which is our `debug`.
"""

_HEADINGS = ("Option", "Variable", "Value", "Default", "Used by", "Meaning")


def document() -> str:
    """The whole text of ``docs/settings.md``."""
    original = _table([s for s in SETTINGS if not s.ours])
    ours = _table([s for s in SETTINGS if s.ours])
    return "\n".join([_BEGINNING, _ORIGINAL, original, _OURS, ours, _ENDING])


def _table(settings: list[Setting]) -> str:
    rows = [_HEADINGS, ("---",) * len(_HEADINGS), *map(_row, settings)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(setting: Setting) -> tuple[str, ...]:
    short = f"`-{setting.short}`, " if setting.short else ""
    variable = "" if setting.command_line_only else f"`{setting.variable}`"
    needs = f"{setting.needs}; *lenient*" if setting.lenient else setting.needs
    return (
        f"{short}`--{setting.name}`",
        variable,
        needs,
        setting.shown_default,
        setting.used_by,
        setting.meaning,
    )


if __name__ == "__main__":
    sys.stdout.write(document())
