"""Which statements of protocol.md section 8 are tested, and which not yet."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

LAST = 242
HERE = Path(__file__).parent

NOT_YET: dict[str, str] = {}
"""By what they wait for."""


def listed() -> set[int]:
    """Return the numbers in :data:`NOT_YET`."""
    numbers: set[int] = set()
    for text in NOT_YET.values():
        for part in text.split():
            first, _, last = part.partition("-")
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def tested() -> dict[int, list[str]]:
    """Return the tests of each number, found in the sources of this folder."""
    tests: dict[int, list[str]] = {}
    for source in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            if found := re.match(r"test_(\d{3})_", node.name):
                tests.setdefault(int(found[1]), []).append(f"{source.name}: {node.name}")
    return tests


class CoverageTests(SynchronousTestCase):
    def test_none_is_forgotten(self) -> None:
        """Every statement has a test, or stands on the list of those that wait."""
        forgotten = set(range(1, LAST + 1)) - tested().keys() - listed()
        self.assertEqual([], sorted(forgotten))

    def test_list_is_up_to_date(self) -> None:
        """A statement that has a test is taken off the list."""
        self.assertEqual([], sorted(tested().keys() & listed()))

    def test_numbers_exist(self) -> None:
        """No test claims a statement that section 8 does not have."""
        self.assertEqual([], [n for n in tested() if not 1 <= n <= LAST])
