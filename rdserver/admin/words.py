"""What the words behind a command mean, where several commands mean the same by them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from rdserver.wire.address import address_bucket, v4_normalise

PAGE = 10
LARGEST_INDEX = 10_000_000


def number(words: list[str], index: int) -> int:
    """Return a number among the words, 0 where there is none."""
    text = words[index] if index < len(words) else ""
    return min(int(text), LARGEST_INDEX) if text.isdecimal() else 0


def page(rows: Iterable[tuple[str, str]], words: list[str]) -> str:
    """Return a line for each of some rows, from the one whose index is the first word."""
    start = number(words, 0)
    shown = islice(rows, start, start + PAGE)
    return "".join(f"{name}: {description}\n" for name, description in shown)


def bucket(word: str) -> str:
    """Return what limits count an address by, which may be given as they show it."""
    return word if "/" in word else address_bucket(v4_normalise(word))
