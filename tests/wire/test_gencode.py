"""The checked-in protobuf module is what protoc 3.21 makes of the schema."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import rdserver.wire

WIRE = Path(rdserver.wire.__file__).resolve().parent
WANTED = "libprotoc 3.21."


def require_protoc() -> None:
    """Skip the test without protoc 3.21; in CI, which installs it, fail instead."""
    try:
        found = subprocess.run(
            ["protoc", "--version"], check=True, capture_output=True, text=True
        ).stdout.strip()
    except FileNotFoundError:
        found = "none"
    if found.startswith(WANTED):
        return
    message = f"needs protoc 3.21 (Debian's package protobuf-compiler), found: {found}"
    raise AssertionError(message) if os.environ.get("CI") else SkipTest(message)


class GeneratedCodeTests(SynchronousTestCase):
    """``make proto`` would change nothing."""

    def test_generated_files_match_the_schema(self) -> None:
        """Both checked-in files equal, byte for byte, what protoc 3.21 writes now."""
        require_protoc()
        folder = Path(self.mktemp())
        folder.mkdir()
        subprocess.run(
            [
                "protoc",
                f"--proto_path={WIRE}",
                f"--python_out={folder}",
                f"--pyi_out={folder}",
                "rendezvous.proto",
            ],
            check=True,
        )
        for name in ("rendezvous_pb2.py", "rendezvous_pb2.pyi"):
            self.assertEqual(
                (folder / name).read_text("utf-8"),
                (WIRE / name).read_text("utf-8"),
                f"{name} is not what rendezvous.proto says: run 'make proto'",
            )
