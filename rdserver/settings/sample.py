"""
Prints the settings file that the Debian package installs: every setting, commented out.

``make docs`` writes it to ``debian/rustdesk-server.conf``; a test compares.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

from rdserver.settings.config import SETTINGS
from rdserver.settings.model import Setting

_BEGINNING = """\
# Settings of rustdesk-server: one name=value on a line.
#
# Each is shown with its default, or with no value where it has none. To change one,
# remove the # before its name, and then: systemctl restart rustdesk-server
# What is set here goes before the environment (/etc/default/rustdesk-server).
"""

# The package says where these are: the one in its units, the other by reading this file.
_OF_THE_PACKAGE = ("data_dir", "config_file")
_COLUMNS = 88


def sample() -> str:
    """The whole text of the file."""
    shown = (s for s in SETTINGS if s.field not in _OF_THE_PACKAGE)
    return "\n".join([_BEGINNING, *map(_entry, shown)])


def _entry(setting: Setting) -> str:
    return "".join(f"{line}\n" for line in _lines(setting))


def _lines(setting: Setting) -> Iterator[str]:
    text = f"{setting.meaning}. [{setting.needs}; default: {setting.shown_default}]"
    for line in textwrap.wrap(text, _COLUMNS - 2, break_on_hyphens=False):
        yield f"# {line}"
    yield f"#{setting.name}={_default_text(setting)}"


def _default_text(setting: Setting) -> str:
    """Return the default where it can be written as it is shown; else nothing."""
    value = setting.shown_default.removesuffix(setting.unit).strip()
    try:
        setting.kind.parse(value)
    except ValueError:
        return ""
    # Words for readers, such as "none", would be taken for a text, a path or a list.
    return value if " " not in value and value != "none" else ""


if __name__ == "__main__":
    sys.stdout.write(sample())
