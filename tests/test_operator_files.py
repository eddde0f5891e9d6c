"""Tests for :mod:`rdserver.operator_files`; those of the certificate say more."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.operator_files import ChangingFiles, read_operator_file


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def read(self, path: Path) -> bytes:
        return read_operator_file("a-file", path, max_bytes=10, kind="a list")

    def test_size(self) -> None:
        """A file may have as many bytes as are allowed, and no more."""
        self.path.write_bytes(b"x" * 10)
        self.assertEqual(b"x" * 10, self.read(self.path))
        self.path.write_bytes(b"x" * 11)
        error = self.assertRaises(ConfigError, self.read, self.path)
        self.assertEqual(f"a-file: {self.path} is too long to be a list", str(error))

    def test_unreadable(self) -> None:
        """What cannot be read is named with its setting."""
        pipe = Path(self.mktemp())
        os.mkfifo(pipe)
        for path, reason in (
            (self.path, "No such file or directory"),
            (pipe, "it is not a file"),
            (Path(), "it is not a file"),
        ):
            error = self.assertRaises(ConfigError, self.read, path)
            self.assertEqual(f"a-file: {path} cannot be read: {reason}", str(error))


class ChangingTests(SynchronousTestCase):
    """Two files that belong together."""

    def setUp(self) -> None:
        self.paths = [Path(self.mktemp()), Path(self.mktemp())]
        for path in self.paths:
            path.write_text("one")
        self.reads = 0
        self.error: ConfigError | None = None
        self.files = ChangingFiles(self.paths, self.read, "the old ones stay")

    def read(self) -> None:
        self.reads += 1
        if self.error is not None:
            raise self.error

    def test_bad_from_the_start(self) -> None:
        """Nothing is kept where nothing was good: the start fails."""
        self.error = ConfigError("a-file: no good")
        self.assertIs(self.error, self.assertRaises(ConfigError, self.files.load))

    def test_changed(self) -> None:
        """They are read again when one of them has changed, and only then."""
        self.files.load()
        for path in self.paths:
            self.assertFalse(self.files.reload_if_changed())
            path.write_text("changed")
            self.assertTrue(self.files.reload_if_changed())
        self.assertEqual(3, self.reads)

    def test_changed_while_being_read(self) -> None:
        """What changes while it is read is read again."""

        def read() -> None:
            self.read()
            self.paths[0].write_text(f"changed {self.reads}")

        files = ChangingFiles(self.paths, read, "")
        files.load()
        self.assertTrue(files.reload_if_changed())

    def test_complaints(self) -> None:
        """A fault is said once, or each time somebody asks."""
        self.files.load()
        self.error = ConfigError("a-file: no good")
        self.paths[0].unlink()
        for reload, count in (
            (self.files.reload_if_changed, 1),
            (self.files.reload_if_changed, 0),
            (self.files.reload, 1),
            (self.files.reload, 1),
            (self.files.reload_if_changed, 0),
        ):
            with capturedLogs() as events:
                self.assertFalse(reload())
            lines = [formatEvent(event) for event in events]
            self.assertEqual(["a-file: no good; the old ones stay"] * count, lines)
        self.assertEqual(6, self.reads)
