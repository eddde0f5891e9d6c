"""
A real server: ``twistd rustdesk-server`` in a process of its own, on free ports.

It is always ended by its process id, and dies with the tests even if they are killed.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

import rdserver

ROOT = Path(rdserver.__file__).parent.parent
START_S = 20.0
STOP_S = 15.0

_RUN = """\
import ctypes, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the tests
except (OSError, AttributeError):
    pass
from twisted.scripts.twistd import run
sys.argv[0] = "twistd"
run()
"""


@frozen
class Ports:
    """
    Where a server is reached.

    :ivar main: UDP and TCP P; P-1 and P+2 belong to it.
    :ivar relay: TCP PR; PR+2 belongs to it.
    """

    main: int
    relay: int
    host: str = "127.0.0.1"

    @property
    def tcp(self) -> list[int]:
        """All TCP ports that may be listened on."""
        return [self.main - 1, self.main, self.main + 2, self.relay, self.relay + 2]


def free_ports() -> Ports:
    """Return a set of ports of which nobody listens on any."""
    for _ in range(200):
        # Below the range that the kernel gives to outgoing connections.
        main = random.randrange(20_000, 32_000)
        ports = Ports(main, main + 1)
        if all(map(_is_free, ports.tcp)) and _is_free(main, socket.SOCK_DGRAM):
            return ports
    raise RuntimeError("no free set of ports was found")


def _is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET6, kind) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("::", port))
        except OSError:
            return False
    return True


class ServerProcess:
    """
    One start of the server.

    :param folder: where it runs and keeps its log; must exist.
    :param options: of ``rustdesk-server``; ports and data folder are given anyway.
    :param data_dir: the data folder; *folder* if not given.
    :param environment: added to a nearly empty environment.
    :param wrapper: command that the server's is appended to, ``unshare`` for example.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        ports: Ports | None = None,
        data_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.options = options
        self.data_dir = data_dir or folder
        self.ports = ports or free_ports()
        self._moves = ports is None
        self._environment = dict(environment or {})
        self._wrapper = list(wrapper)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command line."""
        return [
            *self._wrapper,
            *(sys.executable, "-c", _RUN, "-n", "--pidfile=", "rustdesk-server"),
            f"--data-dir={self.data_dir}",
            *("-p", str(self.ports.main), f"--relay-port={self.ports.relay}"),
            *self.options,
        ]

    def environment(self) -> dict[str, str]:
        """Return what the process sees of the environment."""
        kept = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
            **kept,
            **self._environment,
        }

    def spawn(self) -> None:
        """Start the process and wait for nothing."""
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> ServerProcess:
        """
        Start, and return once the server answers on all its ports.

        Ports of our own choice are chosen anew if somebody took one meanwhile.

        :raises RuntimeError: it ended or did not answer; the log is the message.
        """
        for _ in range(5):
            self.spawn()
            if self._wait_until_it_answers():
                return self
            self.kill()
            if not (self._moves and "in use" in self.log()):
                break
            self.ports = free_ports()
        raise RuntimeError(f"the server did not start:\n{self.log()}")

    def _wait_until_it_answers(self) -> bool:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.is_running():
            if all(map(self._accepts, (self.ports.main - 1, self.ports.main))) and (
                "--role=id" in self.options or self._accepts(self.ports.relay)
            ):
                return True
            time.sleep(0.02)
        return False

    def _accepts(self, port: int) -> bool:
        try:
            socket.create_connection((self.ports.host, port), 1).close()
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout_s: float = START_S) -> int:
        """Return the exit status of a process that ends by itself, or minus the signal."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end; return its exit status, or minus the signal."""
        assert self._process is not None
        self._process.send_signal(by)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"did not stop by {by.name}:\n{self.log()}") from None

    def kill(self) -> None:
        """End the process at once, as a power cut does; nothing if it has ended."""
        if self.is_running():
            assert self._process is not None
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return everything that the process wrote, over all starts in this folder."""
        try:
            return (self.folder / "log").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
