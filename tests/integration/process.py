"""
A real server: ``twistd rustdesk-server`` in a process of its own, on free ports.

It is always ended by its process id, and dies with the tests even if they are killed.
"""

from __future__ import annotations

import errno
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

_PRELUDE = """\
import ctypes, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the tests
except (OSError, AttributeError):
    pass
"""
_MAINS = {
    "twistd": "from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()",
    "rustdesk-server": "from rdserver.cli.programs import server_main as m; sys.exit(m())",
    "hbbs": "from rdserver.cli.programs import hbbs_main as m; sys.exit(m())",
    "hbbr": "from rdserver.cli.programs import hbbr_main as m; sys.exit(m())",
    "rustdesk-utils": "from rdserver.cli.utils import main as m; sys.exit(m())",
}


def program(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of our programs, installed or not."""
    return [sys.executable, "-c", _PRELUDE + _MAINS[name], *arguments]


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a program sees of the environment: next to nothing, and *extra*."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(home),
        **kept,
        **(extra or {}),
    }


def run_to_end(
    folder: Path, command: Sequence[str], extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself; stdout and stderr come back as text."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@frozen
class Ports:
    """
    Where a server is reached.

    :ivar main: UDP and TCP P; P-1 and P+2 belong to it.  0 where there is no ID server.
    :ivar relay: TCP PR; PR+2 belongs to it.  0 where there is no relay.
    """

    main: int
    relay: int
    host: str = "127.0.0.1"

    @property
    def tcp(self) -> list[int]:
        """All TCP ports that are listened on."""
        of_id = [self.main - 1, self.main, self.main + 2] if self.main else []
        return of_id + ([self.relay, self.relay + 2] if self.relay else [])


def free_ports() -> Ports:
    """Return a set of ports of which nobody listens on any."""
    for _ in range(200):
        # Below the range that the kernel gives to outgoing connections.
        main = random.randrange(20_000, 32_000)
        ports = Ports(main, main + 1)
        if all(map(_is_free, ports.tcp)) and _is_free(main, socket.SOCK_DGRAM):
            return ports
    raise RuntimeError("no free set of ports was found")


def free_port() -> int:
    """Return a TCP port that nobody listens on, and :func:`free_ports` never returns."""
    for port in random.sample(range(32_100, 32_700), 200):
        if _is_free(port):
            return port
    raise RuntimeError("no free port was found")


def _is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family, kind) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                return False  # another error: this machine has no IPv6
    return True


class ServerProcess:
    """
    One server in a folder of its own, started any number of times.

    :param folder: where it runs and keeps its log; must exist.  The data folder too.
    :param options: of ``rustdesk-server``; ports and data folder are given anyway.
    :param command: instead of ``twistd rustdesk-server``, whole; then *ports* say
        where it will listen.
    :param extra: added to a nearly empty environment.
    :param wrapper: command that the server's is appended to, ``unshare`` for example.
    :param descriptors: what it inherits, under the same numbers.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        ports: Ports | None = None,
        command: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        descriptors: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.ports = ports or free_ports()
        self._options = options
        self._moves = ports is None
        self._command = list(command)
        self._environment = environment(folder, extra)
        self._wrapper = list(wrapper)
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    def command(self) -> list[str]:
        """Return the command line."""
        twistd = program("twistd", "-n", "--pidfile=", "rustdesk-server")
        ours = [
            f"--data-dir={self.folder}",
            *("-p", str(self.ports.main), f"--relay-port={self.ports.relay}"),
        ]
        return [*self._wrapper, *(self._command or twistd + ours), *self._options]

    def spawn(self) -> None:
        """Start the process and wait for nothing."""
        self._said_before = len(self.log())
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self._descriptors,
            )

    def start(self) -> ServerProcess:
        """
        Start, and return once the server says that it is ready, on all its ports.

        Ports of our own choice are chosen anew if somebody took one meanwhile.

        :raises RuntimeError: it ended or did not answer; the log is the message.
        """
        for _ in range(5):
            self.spawn()
            if self._wait_until_ready():
                return self
            self.kill()
            if not (self._moves and "already taken" in self.log()):
                break
            self.ports = free_ports()
        raise RuntimeError(f"the server did not start:\n{self.log()}")

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.is_running():
            # The ports accept a little before: they are bound first of all.
            if " is ready" in self.log()[self._said_before :]:
                return all(map(self._accepts, self._tcp_ports()))
            time.sleep(0.02)
        return False

    def _tcp_ports(self) -> list[int]:
        if "--role=id" in self._options:
            return Ports(self.ports.main, 0).tcp
        if "--role=relay" in self._options:
            return Ports(0, self.ports.relay).tcp
        return self.ports.tcp

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
