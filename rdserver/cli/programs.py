"""
The programs that serve: ``rustdesk-server``, ``hbbs`` and ``hbbr``.

Each returns its exit status.  ``--help`` and ``--version`` end it with ``SystemExit``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twisted.python.usage import UsageError

from rdserver.cli.run import refused_status, run
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
        return refused_status()
    return run(options, name)
