"""
Prints a manual page: ``python -m rdserver.cli.manual PROGRAM``.

The Debian package is built with it, so that its pages say what ``--help`` says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from rdserver import __version__
from rdserver.cli.utils import HELP
from rdserver.settings.load import HBBR, HBBS, RUSTDESK_SERVER
from rdserver.settings.model import Setting

_SUMMARIES = {
    "rustdesk-server": "ID server and relay for RustDesk clients",
    "hbbs": "ID server for RustDesk clients",
    "hbbr": "relay for RustDesk clients",
    "rustdesk-utils": "keys, checks and consoles of a RustDesk server",
}
_SERVERS = {program.name: program for program in (RUSTDESK_SERVER, HBBS, HBBR)}
_FILES = """\
.SH FILES
.TP
.I /etc/rustdesk\\-server/rustdesk\\-server.conf
settings of the service
.TP
.I /var/lib/rdserver
its data: key pair and database"""


def manual(name: str) -> str:
    """The manual page of the program *name*, in troff's language."""
    return "\n".join([*_page(name), ""])


def _page(name: str) -> Iterator[str]:
    yield f'.TH {_plain(name).upper()} 1 "" "rdserver {__version__}" "User commands"'
    yield f".SH NAME\n{_plain(name)} \\- {_SUMMARIES[name]}"
    if name in _SERVERS:
        yield f".SH SYNOPSIS\n.B {_plain(name)}\n[\\fIoptions\\fR]\n.SH OPTIONS"
        yield from map(_option, _SERVERS[name].settings)
        yield _FILES
    else:
        yield f".SH SYNOPSIS\n.B {_plain(name)}\n\\fIcommand\\fR [\\fIarguments\\fR]"
        yield f".SH DESCRIPTION\n.nf\n{_plain(HELP.rstrip())}\n.fi"
    others = sorted(other for other in _SUMMARIES if other != name)
    yield ".SH SEE ALSO\n" + "\n".join(f".BR {_plain(other)} (1)" for other in others)


def _option(setting: Setting) -> str:
    short = f"\\-{setting.short}, " if setting.short else ""
    value = "" if setting.kind.is_flag else "=\\fIVALUE\\fR"
    meaning = f"{setting.meaning}. [{setting.needs}; default: {setting.shown_default}]"
    return f".TP\n\\fB{short}\\-\\-{_plain(setting.name)}\\fR{value}\n{_plain(meaning)}"


def _plain(text: str) -> str:
    """Escape what troff would not print as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    # A line that begins with . or ' would be an order to troff.
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def main(arguments: list[str]) -> None:
    """Print the page of the program that is named."""
    sys.stdout.write(manual(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
