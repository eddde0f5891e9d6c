"""Processes of a benchmark: pinned, ended by their id, gone when the runner is gone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_STOP_S = 10.0
_NICE = -10


def _cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


ALL_CPUS = _cpus()
SERVER_CPUS = {ALL_CPUS[0]} if len(ALL_CPUS) > 1 else set(ALL_CPUS)
"""Where servers run: one core, if there are two."""

LOAD_CPUS = {ALL_CPUS[1]} if len(ALL_CPUS) > 1 else set(ALL_CPUS)
"""Where load generators run: another core."""


def leave_server_cpu() -> None:
    """Keep this process off the servers' core."""
    if len(ALL_CPUS) > 1:
        os.sched_setaffinity(0, set(ALL_CPUS) - SERVER_CPUS)


def _settle(cpus: set[int]) -> Callable[[], None]:
    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, cpus)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        with suppress(OSError):  # only root may; all candidates have the same
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)

    return in_child


def spawn(
    command: Sequence[str | Path],
    cpus: set[int],
    *,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] | None = None,
) -> subprocess.Popen[str]:
    """Start *command* on *cpus*; it dies with this process."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        preexec_fn=_settle(cpus),  # noqa: PLW1509 - there are no threads here
    )


def end(process: subprocess.Popen[str], *, kindly: bool = False) -> None:
    """End *process* if it still runs: *kindly* by SIGTERM, else or then by SIGKILL."""
    if process.poll() is None and kindly:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """Return the CPU time that the threads of a process used so far."""
    run_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            run_ns += int((task / "schedstat").read_text().split()[0])
    return run_ns * 1e-9


def udp_drops(pid: int, port: int) -> int:
    """Return how many datagrams found no room in the buffers of a process's UDP *port*."""
    dropped = 0
    for name in ("udp", "udp6"):
        lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        for fields in map(str.split, lines):
            if int(fields[1].rpartition(":")[2], 16) == port:
                dropped += int(fields[12])
    return dropped


def descriptors(pid: int) -> dict[str, int]:
    """Return how many descriptors of each kind (socket, pipe ...) a process has open."""
    kinds: dict[str, int] = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            name = os.readlink(entry.path)
            kind = name.split(":")[0] if name[0] != "/" else "file"
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds
