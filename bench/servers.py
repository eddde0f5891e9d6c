"""Servers under test: ours with every rule in force, and the peers without any."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from attrs import frozen

from bench.build import program
from bench.child import SERVER_CPUS, end, spawn

ROOT = Path(__file__).resolve().parent.parent
_READY_S = 60.0
_POLL_S = 0.002
_READY = re.compile(r"\bready\b")
_PORTS_EACH = 5
_TWISTD = "from twisted.scripts.twistd import run; run()"

# Limits that are set but never reached, and lists that match nobody here.
RULES = ("--total-bandwidth=1000000", "--single-bandwidth=1000000")
_LISTS = ("blacklist.txt", "blocklist.txt")
_NOBODY = "192.0.2.1\n"

PEERS: dict[str, tuple[str, ...]] = {
    "T relay": ("tokio_peer", "relay", "{port}"),
    "T udp": ("tokio_peer", "udp", "{port}"),
    "T tcp": ("tokio_peer", "tcp", "{port}"),
    "tungstenite": ("tokio_ws_peer", "{port}"),
    "tungstenite, mended": ("tokio_ws_peer", "{port}", "slices"),
    "C8": ("c_relay", "{port}", "copy", "8192"),
    "C64": ("c_relay", "{port}", "copy", "65536"),
    "C splice": ("c_relay", "{port}", "splice", "262144", "262144"),
    "C batch": ("udp_srv", "{port}", "batch"),
    "C single": ("udp_srv", "{port}", "single"),
    "C epoll": ("tcp_srv", "{port}"),
}
"""The command line of each peer."""

_bases = count(20_000 + os.getpid() % 1000 * _PORTS_EACH, _PORTS_EACH)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def free_base() -> int:
    """Return the first of five ports in a row that nobody listens on."""
    while True:
        base = 20_000 + (next(_bases) - 20_000) % 12_000
        if all(_is_free(base + i) for i in range(_PORTS_EACH)):
            return base


@frozen
class Build:
    """
    Which server of ours is meant.

    :ivar python: the interpreter that runs it.
    :ivar tree: the checkout that it comes from.
    """

    python: str = sys.executable
    tree: Path = ROOT


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Let the operator choose: :func:`chosen_build` reads it."""
    parser.add_argument("--python", default=sys.executable, help="runs our server")
    parser.add_argument("--tree", type=Path, default=ROOT, help="checkout it comes from")
    parser.add_argument(
        "--server-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="for our server, as in --server-option=--relay-path=copy",
    )


def chosen_build(arguments: argparse.Namespace) -> Build:
    """Return what the operator chose."""
    return Build(arguments.python, arguments.tree.resolve())


@frozen
class Server:
    """
    A server that runs.

    :ivar id_port: UDP and TCP P; one below it is for short requests.
    :ivar key: what clients must present; empty for none.
    :ivar tickets: sessions must be announced by the ID server.
    :ivar start_s: from the start of the process to its word that it is ready.
    """

    pid: int
    id_port: int
    nat_port: int
    relay_port: int
    log: Path
    key: str = ""
    tickets: bool = False
    start_s: float = 0.0


def _wait_until_ready(process: subprocess.Popen[str], log: Path, since_s: float) -> float:
    until_s = since_s + _READY_S
    while time.monotonic() < until_s:
        if _READY.search(log.read_text("utf-8", "replace")):
            return time.monotonic() - since_s
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    raise RuntimeError(f"a server did not start:\n{log.read_text('utf-8', 'replace')}")


@contextmanager
def _running(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[tuple[int, Path, float]]:
    log = folder / "log"
    with log.open("w") as output:
        since_s = time.monotonic()
        process = spawn(
            command,
            SERVER_CPUS,
            folder=folder,
            environment=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process.pid, log, _wait_until_ready(process, log, since_s)
        if process.poll() is not None:
            raise RuntimeError(f"a server ended:\n{log.read_text('utf-8', 'replace')}")
    finally:
        end(process, kindly=True)


@contextmanager
def peer(name: str) -> Iterator[Server]:
    """Run one of :data:`PEERS`."""
    base = free_base()
    binary, *arguments = (part.format(port=base) for part in PEERS[name])
    with temporary_folder() as folder:
        command = [str(program(binary)), *arguments]
        with _running(command, folder) as (pid, log, start_s):
            yield Server(pid, base, base, base, log, start_s=start_s)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for one server.  Its path is short, as those of sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ours(
    folder: Path, options: Sequence[str] = RULES, build: Build = Build()
) -> Iterator[Server]:
    """Run this project's server as it is shipped, all roles in one, in *folder*."""
    base = free_base()
    for name in _LISTS:
        (folder / name).write_text(_NOBODY)
    ports = (f"--port={base + 1}", f"--relay-port={base + 2}")
    place = ("--data-dir=" + str(folder), *ports, *options)
    twistd = (build.python, "-c", _TWISTD, "-n", "--pidfile=", "rustdesk-server")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(build.tree),
        "HOME": str(folder),
    }
    with _running([*twistd, *place], folder, environment) as (pid, log, start_s):
        key = (folder / "id_ed25519.pub").read_text().strip()
        yield Server(pid, base + 1, base, base + 2, log, key, True, start_s)
