"""
Make a virtual environment run the server from this checkout.

Run by the Makefile with the environment's own Python.  A flat editable install
hides ``twisted/plugins``, so this writes a plain ``.pth`` file, and the programs
that setup.cfg names into the environment's ``bin``.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from configparser import ConfigParser
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# sh, Python and the .pth file would each read these in their own way.
REFUSED = set("\"'$\\`:\n")
# The first two lines are one command for sh and one string for Python: unlike a
# "#!" line, they bear spaces in the path and any length of it.
PROGRAM = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import {function}
sys.exit({function}())
"""


def entry_points() -> dict[str, str]:
    """Return program name -> ``module:function``, as setup.cfg states them."""
    config = ConfigParser()
    config.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    lines = config["options.entry_points"]["console_scripts"].split("\n")
    pairs = (line.split("=") for line in lines if line.strip())
    return {name.strip(): target.strip() for name, target in pairs}


def write_programs(folder: Path) -> None:
    """Write one executable file for each entry point into *folder*."""
    for name, target in entry_points().items():
        module, _, function = target.partition(":")
        text = PROGRAM.format(python=sys.executable, module=module, function=function)
        (folder / name).write_bytes(os.fsencode(text))
        (folder / name).chmod(0o755)


def main() -> None:
    """Link this checkout into the running Python's environment."""
    paths = {name: Path(sysconfig.get_path(name)) for name in ("purelib", "scripts")}
    if REFUSED.intersection(f"{CHECKOUT}{sys.executable}"):
        sys.exit(f"The path {CHECKOUT} holds a quote, $, \\, : or a line end: move it.")
    (paths["purelib"] / "rdserver-checkout.pth").write_bytes(os.fsencode(f"{CHECKOUT}\n"))
    write_programs(paths["scripts"])


if __name__ == "__main__":
    main()
