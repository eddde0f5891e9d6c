"""The access rules in a file: a policy that changes as the file does."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import Service
from twisted.logger import Logger

from rdserver.errors import ConfigError
from rdserver.operator_files import ChangingFiles, read_operator_file
from rdserver.rendezvous.access import AccessRequest, Verdict
from rdserver.rendezvous.access_lines import read_rules
from rdserver.rendezvous.access_rules import AccessRules

SETTING = "access-file"

MAX_BYTES = 1024 * 1024
"""Some hundred for each of the most rules that there may be."""


_UNREAD = AccessRules((), Verdict(refusal="The server is just starting: try again"))


class AccessFile(Service):
    """
    Decides by the rules in a file, each time by the newest that were any good.

    Opens nothing before it is started, and refuses everything until then.
    """

    _log = Logger()
    is_open = False

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._files = ChangingFiles(
            [self._path], self._load, "the rules that were read before stay in use"
        )
        self._rules = _UNREAD

    def startService(self) -> None:
        """
        Read the rules.

        :raises ConfigError: they are no good; the sentence names setting, file and line.
        """
        self._files.load()
        self._tell()
        super().startService()

    def decide(self, request: AccessRequest) -> Verdict:
        """Return the verdict of the first rule that fits."""
        return self._rules.decide(request)

    def look(self) -> None:
        """Take rules that have changed; to be called every minute."""
        if self._files.reload_if_changed():
            self._tell()

    def reload(self) -> None:
        """Read the file again; where it is no good, say so and keep what is in use."""
        if self._files.reload():
            self._tell()

    def _tell(self) -> None:
        self._log.info(
            "the access rules in {path} hold from now on, {count} of them",
            path=str(self._path),
            count=len(self._rules),
        )

    def _load(self) -> None:
        kind = "a file of access rules"
        data = read_operator_file(SETTING, self._path, max_bytes=MAX_BYTES, kind=kind)
        try:
            self._rules = read_rules(data.decode("utf-8-sig"))
        except UnicodeDecodeError as e:
            raise ConfigError(f"{SETTING}: {self._path} is not text in UTF-8") from e
        except ValueError as e:
            raise ConfigError(f"{SETTING}: {self._path}, {e}") from e
