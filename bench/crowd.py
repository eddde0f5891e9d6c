"""
Many at once on one process of ours: idle sessions, and devices that send heartbeats.

``python -m bench.crowd`` opens 9,000 sessions, or as many as the limit of descriptors
allows, while 100,000 devices send a heartbeat each 15 s; several processes of clients.
It fails if a heartbeat is lost or a session is cut.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import namespace
from bench.announce import Announcer
from bench.build import build, say
from bench.child import cpu_s, descriptors, leave_server_cpu, rss_bytes, udp_drops
from bench.devices import FIRST_ID, SOURCE
from bench.load import Load, LoadError, heartbeat_words
from bench.servers import RULES, Server, add_build_options, chosen_build
from bench.setting import SOCKETS, Setting

_HEARTBEAT_S = 15.0
_SPARE_DESCRIPTORS = 200
_STEP = 50
_SILENCE_S = 12.0
_SAMPLE_S = 5.0
_REGISTER_S = 600.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__)
    parser.add_argument("--sessions", type=int, default=9000)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=3, help="of each generator")
    add_build_options(parser)
    return parser.parse_args()


def _possible(sessions: int) -> int:
    """Return how many sessions the limit of descriptors allows, two each."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    possible = min(sessions, (most - _SPARE_DESCRIPTORS) // 2)
    if possible < sessions:
        say(f"the limit of {most} descriptors allows {possible} sessions")
    return possible


def _shared(count: int, processes: int, step: int) -> int:
    """Return *count* less what *processes* cannot share evenly, in whole steps each."""
    return max(count // (processes * step), 1) * processes * step


@contextmanager
def _idle_sessions(
    server: Server, sessions: int, processes: int, seconds: float
) -> Iterator[list[Load]]:
    each = sessions // processes
    with ExitStack() as stack:
        loads = [
            stack.enter_context(_idle_load(server, each, number, seconds))
            for number in range(processes)
        ]
        announcer = Announcer(server)
        stack.callback(announcer.close)
        for _ in range(0, each, _STEP):
            for load in loads:
                load.feed(announcer.announce(_STEP), last=False)
                load.wait_for("READY")
        yield loads


def _idle_load(server: Server, sessions: int, number: int, seconds: float) -> Load:
    return Load(
        "loadgen",
        "idle",
        limit_s=seconds + _REGISTER_S,
        uuids="-",
        port=server.relay_port,
        key=server.key,
        sessions=sessions,
        first=number * sessions,
        source=f"127.3{number}.0.1",
        step=_STEP,
        seconds=seconds,
        beat=_SILENCE_S,
    )


@contextmanager
def _heartbeats(
    server: Server, devices: int, processes: int, seconds: float
) -> Iterator[list[Load]]:
    """Let the devices register, then send; each process has a part of the sockets."""
    each = devices // processes
    with ExitStack() as stack:
        loads = [
            stack.enter_context(
                Load(
                    "udpgen",
                    limit_s=seconds + _REGISTER_S,
                    port=server.id_port,
                    devices=each,
                    first_id=FIRST_ID + number * each,
                    source=SOURCE,
                    sockets=SOCKETS,
                    rate=each / _HEARTBEAT_S,
                    seconds=seconds,
                )
            )
            for number in range(processes)
        ]
        for load in loads:
            load.wait_for("REGISTERED")
        yield loads


def _watch(server: Server, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    before = cpu_s(server.pid), time.monotonic()
    while time.monotonic() < until_s:
        time.sleep(_SAMPLE_S)
        after = cpu_s(server.pid), time.monotonic()
        part = (after[0] - before[0]) / (after[1] - before[1])
        before = after
        memory = rss_bytes(server.pid) >> 20
        say(f"server: {part:.1%} of a core, {memory} MiB, {descriptors(server.pid)}")


def _run(
    server: Server, sessions: int, devices: int, processes: int, seconds: float
) -> bool:
    empty = rss_bytes(server.pid)
    idle = _idle_sessions(server, sessions, processes, seconds + _REGISTER_S)
    with idle:
        with_sessions = rss_bytes(server.pid)
        say(
            f"{sessions} sessions: {(with_sessions - empty) / 1024 / sessions:.2f} KiB each"
        )
        crowd = _heartbeats(server, devices, processes, seconds)
        with crowd as loads:
            with_devices = rss_bytes(server.pid) - with_sessions
            say(
                f"{devices} devices: {with_devices / devices:.0f} "
                f"bytes each; all: {rss_bytes(server.pid) >> 20} MiB"
            )
            _watch(server, seconds)
            results = [load.result() for load in loads]
        dropped = udp_drops(server.pid, server.id_port)
        kept = descriptors(server.pid).get("socket", 0) >= 2 * sessions
    for result in results:
        say(heartbeat_words(result))
    say(f"{dropped} datagrams dropped by the server's socket")
    say("all sessions are still there" if kept else "sessions were cut")
    lost = sum(result["lost"] + result["asked_for_key"] for result in results)
    return kept and not lost


def main() -> int:
    """Run the crowd; return the exit status."""
    arguments = _arguments()
    if not namespace.is_inside():
        build()
    namespace.enter("bench.crowd")
    leave_server_cpu()
    processes, seconds = arguments.processes, arguments.seconds
    sessions = _shared(_possible(arguments.sessions), processes, _STEP)
    devices = _shared(arguments.devices, processes, SOCKETS)
    with tempfile.TemporaryDirectory(prefix="bench-store-") as store:
        setting = Setting(
            seconds=seconds,
            quick=False,
            build=chosen_build(arguments),
            options=tuple(arguments.server_option),
            store=Path(store),
        )
        with setting.server("ours", RULES, devices=devices) as server:
            try:
                good = _run(server, sessions, devices, processes, seconds)
            except LoadError as e:
                say(str(e))
                good = False
    say("good" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
