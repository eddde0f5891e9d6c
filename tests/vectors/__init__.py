"""
Golden bytes: ``vectors.json``, and how tests read it.

Made for protocol.md, which prints the same data in sections 1.1, 1.5, 2.6 and 7.2,
from what server 1.1.17 and client 1.4.9 speak; none of it was made by our own code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())


def message(name: str) -> bytes:
    """Return the encoding of the sample message whose description begins with *name*."""
    found = [text for key, text in VECTORS["messages"].items() if key.startswith(name)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} sample messages begin with {name!r}")
    return bytes.fromhex(found[0])


def crypto(name: str) -> bytes:
    """Return the bytes that the crypto log's line beginning with *name* ends with."""
    found = [line for line in VECTORS["crypto_log"] if line.startswith(name + " ")]
    if len(found) != 1:
        raise LookupError(f"{len(found)} lines of the crypto log begin with {name!r}")
    return bytes.fromhex(found[0].rpartition(" ")[2])
