"""The files in docs/proxies, with a test's names and ports in place of an admin's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.integration.process import ROOT

FOLDER = ROOT / "docs" / "proxies"


def shipped(name: str) -> str:
    """Return a file as admins get it."""
    return (FOLDER / name).read_text("utf-8")


def with_changes(text: str, changes: Mapping[str, object]) -> str:
    """
    Return *text* with each key of *changes* replaced, wherever it stands, by its value.

    All at once, so that no value is changed again; of two keys that fit at the same place
    the longer one counts.

    :raises AssertionError: a key does not occur: the file says something else now.
    """
    keys = sorted(changes, key=len, reverse=True)
    found = set()

    def change(match: re.Match[str]) -> str:
        found.add(match[0])
        return str(changes[match[0]])

    changed = re.sub("|".join(map(re.escape, keys)), change, text)
    if missing := set(keys) - found:
        raise AssertionError(f"not in the file: {sorted(missing)}")
    return changed
