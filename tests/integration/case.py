"""What the tests with real servers share: folders, servers and clients that end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol, TypeVar
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.client import Controller, Device
from tests.integration.process import Ports, ServerProcess


class _Closable(Protocol):
    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=_Closable)


class ProcessTests(SynchronousTestCase):
    """A folder for each test; what is started or opened here ends with the test."""

    def setUp(self) -> None:
        self.folder = self.new_folder()

    def new_folder(self) -> Path:
        """Return an empty folder that is removed after the test."""
        # Not mktemp(): the path of a Unix socket in it must be short.
        folder = Path(tempfile.mkdtemp(prefix="rdserver-"))
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def server(self, *options: str, **fields: object) -> ServerProcess:
        """Return a server in the test's folder, not started yet."""
        server = ServerProcess(self.folder, *options, **fields)  # type: ignore[arg-type]
        self.addCleanup(server.kill)
        return server

    def keep(self, opened: Kept) -> Kept:
        """Close what was opened when the test ends."""
        self.addCleanup(opened.close)
        return opened

    def device(self, ports: Ports, peer_id: str, **fields: bytes) -> Device:
        """Return a device that is not registered yet."""
        return self.keep(Device(ports, peer_id, **fields))

    def controller(self, ports: Ports) -> Controller:
        """Return an A that has the server's key."""
        return Controller(ports, (self.folder / "id_ed25519.pub").read_text())


def private_mounts() -> list[str]:
    """
    Return the command that runs another one with mounts of its own.

    :raises SkipTest: this is not allowed here.
    """
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    with tempfile.TemporaryDirectory() as folder:
        trial = [*command, "mount", "-t", "tmpfs", "none", folder]
        try:
            subprocess.run(trial, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise SkipTest("needs the right to mount in a namespace of its own") from None
    return command


def after_mounting(script: str) -> list[str]:
    """Return a wrapper that runs *script*, in shell, in private mounts before a command."""
    return [*private_mounts(), "sh", "-ec", f'{script}; exec "$@"', "sh"]
