"""Tests for :mod:`rdserver.access_file`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import rdserver
from rdserver.access_file import MAX_BYTES, AccessFile
from rdserver.errors import ConfigError
from rdserver.rendezvous.access import AccessRequest, Door
from rdserver.rendezvous.access_lines import (
    DEFAULT_REFUSAL,
    MAX_RULES,
    PERMISSIONS,
    read_rules,
)

REQUEST = AccessRequest(door=Door.PUNCH, host="192.0.2.1", peer_id="123456")


class DocumentTests(SynchronousTestCase):
    """docs/access.md."""

    def setUp(self) -> None:
        root = Path(rdserver.__file__).resolve().parent.parent
        self.text = (root / "docs" / "access.md").read_text(encoding="utf-8")

    def test_examples(self) -> None:
        """Its examples are rules: all blocks but those of a command and of the form."""
        blocks = re.findall(r"^```\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)
        examples = [one for one in blocks if "twistd" not in one and "DEVICES" not in one]
        self.assertEqual([3, 2, 3, 1], [len(read_rules(one)) for one in examples])

    def test_names(self) -> None:
        """It has the names of all permissions in their order, and the usual refusal."""
        names = re.findall(r"^\| `(\w+)` \|", self.text, re.MULTILINE)
        self.assertEqual(list(PERMISSIONS), names)
        self.assertIn(DEFAULT_REFUSAL, " ".join(self.text.split()))


class AccessFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text('deny 1* "first"\n')
        self.file = AccessFile(str(self.path))

    def refusal(self) -> str:
        """Return what the policy refuses with now."""
        return self.file.decide(REQUEST).refusal

    def lines(self, action: Callable[[], object]) -> list[str]:
        """Return what *action* logs, with its level."""
        with capturedLogs() as events:
            action()
        self.assertEqual([], [e for e in events if e["log_level"] is LogLevel.critical])
        return [f"{event['log_level'].name} {formatEvent(event)}" for event in events]

    def in_force(self, count: int) -> list[str]:
        return [f"info the access rules in {self.path} hold from now on, {count} of them"]

    def test_unread(self) -> None:
        """Before the start nothing is read, and nobody is let in."""
        path = Path(self.mktemp())
        self.file = AccessFile(str(path))
        self.assertIn("just starting", self.refusal())

    def test_start(self) -> None:
        """From the start on the rules hold, and the log says how many."""
        self.assertEqual(self.in_force(1), self.lines(self.file.startService))
        self.assertEqual("first", self.refusal())

    def test_text(self) -> None:
        """Text in UTF-8 is read, also as some editors of Windows write it."""
        self.path.write_bytes('\ufeffdeny 1* "Gr\u00fc\u00dfe"\r\n'.encode())
        self.file.startService()
        self.assertEqual("Gr\u00fc\u00dfe", self.refusal())

    def assert_bad(self, sentence: str) -> None:
        """A start with the file as it is fails."""
        error = self.assertRaises(ConfigError, self.file.startService)
        self.assertEqual(sentence.format(path=self.path), str(error))

    def test_bad_start(self) -> None:
        """A file that is no good stops the start, with setting, file and line."""
        self.path.write_bytes(b"deny 1*\nallow")
        self.assert_bad("access-file: {path}, line 2: nothing stands behind allow")
        self.path.write_bytes(b"deny 1* \xff")
        self.assert_bad("access-file: {path} is not text in UTF-8")
        os.truncate(self.path, MAX_BYTES + 1)
        self.assert_bad("access-file: {path} is too long to be a file of access rules")
        self.path.unlink()
        self.assert_bad("access-file: {path} cannot be read: No such file or directory")

    def test_changed(self) -> None:
        """Rules that have changed hold from the next look on."""
        self.file.startService()
        self.assertEqual([], self.lines(self.file.look))
        self.path.write_text('deny 2*\ndeny 1* "second"\n')
        self.assertEqual("first", self.refusal())
        self.assertEqual(self.in_force(2), self.lines(self.file.look))
        self.assertEqual("second", self.refusal())

    def test_asked_for(self) -> None:
        """Who asks is told what came of it, changed or not."""
        self.file.startService()
        for _ in range(2):
            self.assertEqual(self.in_force(1), self.lines(self.file.reload))

    def test_broken(self) -> None:
        """Rules that turn bad are one line in the log, and the old ones stay."""
        self.file.startService()
        self.path.write_text("deny\n")
        complaint = [
            f"error access-file: {self.path}, line 1: nothing stands behind deny; the "
            "rules that were read before stay in use"
        ]
        self.assertEqual(complaint, self.lines(self.file.look))
        self.assertEqual([], self.lines(self.file.look))
        self.assertEqual(complaint, self.lines(self.file.reload))
        self.assertEqual("first", self.refusal())
        self.path.write_text('deny 1* "mended"\n')
        self.assertEqual(self.in_force(1), self.lines(self.file.look))
        self.assertEqual("mended", self.refusal())

    def test_gone(self) -> None:
        """A file that is taken away opens nothing."""
        self.file.startService()
        self.path.unlink()
        self.assertEqual(1, len(self.lines(self.file.look)))
        self.assertEqual("first", self.refusal())

    def test_room(self) -> None:
        """The most rules that there may be fit into a file, with words for each."""
        line = 'deny 123456789 from 192.168.100.0/24 "Ask the helpdesk for access please"\n'
        self.path.write_text(line * MAX_RULES)
        self.assertEqual(self.in_force(MAX_RULES), self.lines(self.file.startService))
