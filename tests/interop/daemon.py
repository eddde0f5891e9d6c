"""Other people's programs in the foreground: started, waited for, and ended by their id."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import SkipTest

READY_S = 30.0
STOP_S = 10.0


def need(program: str) -> str:
    """
    Return the path of *program*.

    :raises SkipTest: it is not installed here.
    :raises AssertionError: it is not installed in CI, which should have done so.
    """
    # Debian's daemons are not on the path of everybody.
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path:
        return path
    message = f"{program} is not installed"
    raise AssertionError(message) if os.environ.get("CI") else SkipTest(message)


def free_port(besides: int = 0) -> int:
    """Return a port that nobody listens on, and that no ``free_ports()`` will be."""
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    for _ in range(200):
        port = random.randrange(10_000, 20_000)
        address = "", port
        try:
            socket.create_server(address, family=family, dualstack_ipv6=is_dual).close()
        except OSError:
            continue
        if port != besides:
            return port
    raise RuntimeError("no free port was found")


class Daemon:
    """
    A program that runs until it is told to end.

    :param folder: where it runs and keeps its log, named as *name*.
    :param command: must stay in the foreground.
    :param environment: added to a nearly empty one.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = folder / f"{name}.log"
        # It ends with the tests, even if they are killed; and it ends its own children.
        ending = ["setpriv", "--pdeathsig", "TERM", *command]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                ending,
                cwd=folder,
                env={
                    "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
                    "HOME": str(folder),
                    **(environment or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_for_port(self, host: str, port: int) -> None:
        """
        Return once somebody can connect.

        :raises RuntimeError: nobody could in time, or the program ended before.
        """
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s and self.is_running():
            try:
                socket.create_connection((host, port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{self._log.name}: not ready:\n{self.log()}")

    def is_running(self) -> bool:
        """Return whether the program has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return what the program said."""
        return self._log.read_text("utf-8", "replace")

    def close(self) -> None:
        """End the program and wait until it is gone."""
        if not self.is_running():
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
