"""
Devices that the server has stored: what start, loading, memory and strangers cost.

``python -m bench.memory`` starts our server over a million stored devices and over
none, lets every device be heard twice, and measures heartbeats while nothing else
happens.  ``python -m bench.memory --flood 20000`` measures them while so many ids a
second that nobody registered are asked for, and lets devices behind one address come
back meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import namespace
from bench.build import build, say
from bench.child import cpu_s, leave_server_cpu, rss_bytes, udp_drops
from bench.devices import FIRST_ID, SOURCE
from bench.first_heard import Devices, Heard, strangers
from bench.load import Load, LoadError, heartbeat_words
from bench.servers import RULES, Server, add_build_options, chosen_build
from bench.setting import SOCKETS, Setting

_HEARTBEAT_S = 15.0
_MOST_PER_S = 10_000.0
_FIRST = 5_000
"""Devices heard before anything is measured: what waits at once takes memory too."""
_KNOWN = 100_000
_SETTLED_S = 20.5
"""A device that was heard later than that ago may move to another port."""
_BEHIND_NAT = 20_000
_AT_ONCE = 500


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20, help="of heartbeats at pace")
    parser.add_argument("--flood", type=float, default=0, metavar="PER_S")
    parser.add_argument("--addresses", type=int, default=1, help="of the flood")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--store", type=Path, help="keep databases in this folder")
    add_build_options(parser)
    return parser.parse_args()


def _starts(setting: Setting, devices: int, times: int) -> None:
    for _ in range(times):
        seconds = []
        for stored in (0, devices):
            with setting.server("ours", RULES, devices=stored) as server:
                seconds.append(server.start_s)
        say(
            f"start: {seconds[0]:.3f} s over none, {seconds[1]:.3f} s over {devices} "
            f"devices, {seconds[1] - seconds[0]:+.3f} s"
        )


@contextmanager
def _devices(server: Server) -> Iterator[Devices]:
    devices = Devices(server.id_port)
    try:
        yield devices
    finally:
        devices.close()


def _memory(server: Server, count: int) -> None:
    """Let all devices be heard, twice, and say what each takes."""
    with _devices(server) as devices:
        devices.send_each(range(_FIRST))
        before = rss_bytes(server.pid)
        for what in ("first", "second"):
            used_s = cpu_s(server.pid)
            heard = devices.send_each(range(_FIRST, count))
            used_s = cpu_s(server.pid) - used_s
            each = (rss_bytes(server.pid) - before) / (count - _FIRST)
            say(f"{what} heartbeats: {_shown(heard, count - _FIRST, used_s)}")
            say(f"memory: {each:.0f} bytes a device")


def _shown(heard: Heard, count: int, used_s: float) -> str:
    return (
        f"{heard.seconds:.1f} s, {count / heard.seconds:.0f} a second, "
        f"{used_s / count * 1e6:.1f} us of CPU each, {heard.asked} asked for a key, "
        f"{heard.repeated} repeats"
    )


@contextmanager
def _at_pace(server: Server, devices: int, seconds: float) -> Iterator[None]:
    """Send the heartbeats of *devices* as they do, meanwhile and until they end."""
    time.sleep(_SETTLED_S)
    load = Load(
        "udpgen",
        limit_s=seconds,
        port=server.id_port,
        pid=server.pid,
        devices=devices,
        first_id=FIRST_ID,
        source=SOURCE,
        sockets=SOCKETS,
        register=0,
        rate=min(devices / _HEARTBEAT_S, _MOST_PER_S),
        seconds=seconds,
    )
    with load:
        yield
        result = load.result()
    say(
        f"at pace: {heartbeat_words(result)}, {udp_drops(server.pid, server.id_port)} "
        "dropped so far by the server's socket, "
        f"{result['cpu_s'] / result['seconds']:.1%} of a core"
    )


def _flood(server: Server, arguments: argparse.Namespace) -> None:
    with _devices(server) as devices:
        devices.send_each(range(_KNOWN))
        with _at_pace(server, _KNOWN, arguments.seconds):
            pass  # without the flood
        flood = strangers(server.id_port, arguments.addresses, arguments.flood)
        before = rss_bytes(server.pid)
        with _at_pace(server, _KNOWN, arguments.seconds), flood as sent:
            behind = range(_KNOWN, arguments.devices, SOCKETS)[:_BEHIND_NAT]
            used_s = cpu_s(server.pid)
            heard = devices.send_each(behind, _AT_ONCE)
            used_s = cpu_s(server.pid) - used_s
            say(f"behind one address: {_shown(heard, len(behind), used_s)}")
        memory = (rss_bytes(server.pid) - before) / 2**20
        say(f"{sent()} strangers were sent: {memory:.1f} MiB")


def _run(setting: Setting, arguments: argparse.Namespace) -> None:
    if not arguments.flood:
        _starts(setting, arguments.devices, arguments.starts)
    with setting.server("ours", RULES, devices=arguments.devices) as server:
        if arguments.flood:
            _flood(server, arguments)
        else:
            _memory(server, arguments.devices)
            with _at_pace(server, arguments.devices, arguments.seconds):
                pass


def main() -> int:
    """Measure; return the exit status."""
    arguments = _arguments()
    build()
    namespace.enter("bench.memory")
    leave_server_cpu()
    with tempfile.TemporaryDirectory(prefix="bench-store-") as temporary:
        setting = Setting(
            seconds=arguments.seconds,
            quick=False,
            build=chosen_build(arguments),
            options=tuple(arguments.server_option),
            store=arguments.store or Path(temporary),
        )
        try:
            _run(setting, arguments)
        except LoadError as e:
            say(str(e))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
