"""Measurements of the relay: one run each, with a fresh server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.announce import Announcer
from bench.child import rss_bytes
from bench.load import Figures, Load
from bench.servers import Server
from bench.setting import Setting

_BITS_PER_MEGABIT = 1024 * 1024
_LIMIT_WARM_S = 1.0
_SETTLE_S = 0.5

# Sessions, options of the server, and what all of them together may then move.
_LIMITS = (
    (1, "--single-bandwidth=16", 16),
    (8, "--single-bandwidth=128", 8 * 128),
    (50, "--total-bandwidth=1000", 1000),
)


@contextmanager
def relayed(server: Server, mode: str, sessions: int, **options: Any) -> Iterator[Load]:
    """Run loadgen with sessions that *server* was told of before."""
    announcer = Announcer(server)
    seconds = options["seconds"] + options.get("warm", 0.3)
    load = Load(
        "loadgen",
        mode,
        limit_s=seconds,
        uuids="-",
        port=server.relay_port,
        key=server.key or None,
        pid=None if mode == "idle" else server.pid,
        sessions=sessions,
        **options,
    )
    try:
        with load:
            load.feed(announcer.announce(sessions))
            yield load
    finally:
        announcer.close()


def bulk(sessions: int) -> Callable[[Setting, str], Figures]:
    """As much as goes through *sessions* sessions."""

    def measure(setting: Setting, candidate: str) -> Figures:
        with setting.server(candidate) as server:
            seconds = setting.seconds
            with relayed(server, "bulk", sessions, seconds=seconds) as load:
                return load.result()

    return measure


def messages(setting: Setting, candidate: str) -> Figures:
    """1 Gbit/s in messages of 16 KiB, over 50 sessions."""
    options = {"seconds": setting.seconds, "rate": 1000, "chunk": 16384}
    with (
        setting.server(candidate) as server,
        relayed(server, "bulk", 50, **options) as load,
    ):
        return load.result()


def pingpong(setting: Setting, candidate: str) -> Figures:
    """100 sessions that each send 64 bytes to and fro without a pause."""
    with (
        setting.server(candidate) as server,
        relayed(server, "pingpong", 100, seconds=setting.seconds) as load,
    ):
        return load.result()


def ping_beside(sessions: int) -> Callable[[Setting, str], Figures]:
    """One ping every 2 ms, while *sessions* other sessions carry all they can."""

    def measure(setting: Setting, candidate: str) -> Figures:
        with setting.server(candidate) as server, ExitStack() as beside:
            if sessions:
                seconds = setting.seconds + 3.0
                load = relayed(server, "bulk", sessions, seconds=seconds)
                beside.enter_context(load).wait_for("START")
            return _ping(setting, server)

    return measure


def _ping(setting: Setting, server: Server) -> Figures:
    options = {
        "seconds": setting.seconds,
        "interval_us": 2000,
        "size": 64,
        "sleep": 1,
        "fifo": 1,
        "first": 1000,
    }
    with relayed(server, "pingpong", 1, **options) as load:
        return load.result()


def idle_memory(setting: Setting, candidate: str) -> Figures:
    """Resident memory of the server, from some sessions to many."""
    some, many = setting.scaled(1000, 100), setting.scaled(4000, 300)
    with setting.server(candidate) as server:
        announcer = Announcer(server)
        load = Load(
            "loadgen",
            "idle",
            limit_s=60,
            uuids="-",
            port=server.relay_port,
            key=server.key or None,
            sessions=many,
            step=50,
            seconds=2,
        )
        with load:
            before = _open(load, announcer, server, some)
            after = _open(load, announcer, server, many - some)
        announcer.close()
    return {"kib_per_session": (after - before) / 1024 / (many - some), "rss": after}


def _open(load: Load, announcer: Announcer, server: Server, count: int) -> int:
    """Open *count* sessions, not many announced at a time; return the memory then."""
    for _ in range(0, count, 50):
        load.feed(announcer.announce(50), last=False)
        load.wait_for("READY")
    time.sleep(_SETTLE_S)
    return rss_bytes(server.pid)


def limits(setting: Setting, candidate: str) -> Figures:
    """How exactly limits are kept, and how fairly; the worst of some cases."""
    figures: Figures = {"error_percent": 0.0, "min_share": 1.0, "max_share": 1.0}
    for sessions, option, mbit_s in _LIMITS:
        with setting.server(candidate, (option,)) as server:
            result = _limited(setting, server, sessions)
        error = result["gbit_s"] * 1e9 / (mbit_s * _BITS_PER_MEGABIT) - 1
        figures["error_percent"] = max(figures["error_percent"], abs(error) * 100)
        figures["min_share"] = min(figures["min_share"], result["min_share"])
        figures["max_share"] = max(figures["max_share"], result["max_share"])
        figures[f"error_percent{option}"] = error * 100
    return figures


def _limited(setting: Setting, server: Server, sessions: int) -> Figures:
    seconds = max(3 * setting.seconds, 2.0)
    options = {"seconds": seconds, "warm": _LIMIT_WARM_S}
    with relayed(server, "bulk", sessions, **options) as load:
        return load.result()
