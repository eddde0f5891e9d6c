"""What ``twistd`` looks up for the plugin: ``Options`` and ``makeService``."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.service import IService
from twisted.python.usage import UsageError

from rdserver.errors import ConfigError
from rdserver.settings import options

__all__ = ["Options", "makeService"]


class Options(options.Options):
    """Ends the process with status 1 on bad options; Twisted 22.4 exits with 0."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except UsageError as e:
            raise SystemExit(f"{self.program.name}: {e}") from e


def makeService(options: Options) -> IService:
    """Build the service that ``options`` describe; nothing is opened yet."""
    # Only here: --help and a wrong option need nothing of the server.
    from rdserver.service import makeService as build

    try:
        return build(options)
    except ConfigError as e:
        raise SystemExit(f"{options.program.name}: {e}") from e
