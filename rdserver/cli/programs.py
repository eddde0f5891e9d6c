"""
The programs that serve: ``rustdesk-server``, ``hbbs`` and ``hbbr``.

Each returns its exit status.  ``--help`` and ``--version`` end it with ``SystemExit``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python.usage import UsageError

from rdserver.cli.run import run
from rdserver.settings.options import HbbrOptions, HbbsOptions, Options, ProgramOptions


def server_main(argv: Sequence[str] | None = None) -> int:
    """``rustdesk-server``: what the plugin does, in the foreground."""
    return _main(Options(), argv)


def hbbs_main(argv: Sequence[str] | None = None) -> int:
    """
    ``hbbs``: the ID server, with the command line of the original.

    Source: protocol.md section 6.1.
    """
    return _main(HbbsOptions(), argv)


def hbbr_main(argv: Sequence[str] | None = None) -> int:
    """
    ``hbbr``: the relay, with the command line of the original.

    Source: protocol.md section 6.2.
    """
    return _main(HbbrOptions(), argv)


def _main(options: ProgramOptions, argv: Sequence[str] | None) -> int:
    name = options.program.name
    try:
        options.parseOptions(sys.argv[1:] if argv is None else argv)
    except UsageError as e:
        sys.stderr.write(f"{name}: {e}\n")
        return _refused()
    return run(options, name)


def _refused() -> int:
    """
    Return the status for settings that are wrong: 1, as the original's.

    A service manager is told what it need not try again: wrong settings stay wrong.
    """
    return os.EX_CONFIG if os.environ.get("NOTIFY_SOCKET") else 1
