"""Tests for :mod:`rdserver.settings.document` and ``docs/settings.md``."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import rdserver
from rdserver.settings.config import SETTINGS
from rdserver.settings.document import document


class DocumentTests(SynchronousTestCase):
    """docs/settings.md."""

    def test_is_current(self) -> None:
        """The committed file is what "make docs" prints."""
        root = Path(rdserver.__file__).resolve().parent.parent
        committed = (root / "docs" / "settings.md").read_text(encoding="utf-8")
        self.assertEqual(committed, document(), "run: make docs")

    def test_lists_everything(self) -> None:
        """Each setting has one row, with its option and its variable."""
        rows = [line for line in document().splitlines() if line.startswith("| `")]
        self.assertEqual(len(SETTINGS), len(rows))
        for setting in SETTINGS:
            (row,) = [row for row in rows if f"`--{setting.name}` |" in row]
            self.assertEqual(not setting.command_line_only, f"`{setting.variable}`" in row)

    def test_table_cells(self) -> None:
        """No text breaks its row."""
        rows = [line for line in document().splitlines() if line.startswith("|")]
        self.assertEqual({7}, {row.count("|") for row in rows})
