"""Measurements of the relay: one run each, with a fresh server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.announce import Announcer
from bench.child import descriptors, rss_bytes
from bench.load import Figures, Load, LoadError
from bench.servers import Server
from bench.setting import Setting

_BITS_PER_MEGABIT = 1024 * 1024
_LIMIT_WARM_S = 1.0
_SETTLE_S = 0.5
_CHECKED_SESSIONS = 50
_CHECKED_S = 60.0
_LOAD_S = 30.0
"""The longest that a ping may take, from its session's announcement on."""

# Sessions, options of the server, and what all of them together may then move.
_LIMITS = (
    (1, "--single-bandwidth=16", 16),
    (8, "--single-bandwidth=128", 8 * 128),
    (50, "--total-bandwidth=1000", 1000),
)


@contextmanager
def relayed(
    server: Server, mode: str, sessions: int, number: int = 0, **options: Any
) -> Iterator[Load]:
    """
    Run loadgen with sessions that *server* was told of before.

    :param number: of the device they lead to, which may not register too often.
    """
    announcer = Announcer(server, number)
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


def checked(setting: Setting, candidate: str) -> Figures:
    """So many bytes both ways through 50 sessions, each of which must be the right one."""
    options = {
        "seconds": _CHECKED_S,
        "bytes": setting.scaled(8_000_000, 200_000),
        "both": 1,
        "verify": 1,
    }
    with (
        setting.server(candidate) as server,
        relayed(server, "bulk", _CHECKED_SESSIONS, **options) as load,
    ):
        return load.result()


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
        with setting.server(candidate) as server:
            if not sessions:
                return _ping(setting, server)
            seconds = setting.seconds + _LOAD_S
            with relayed(server, "bulk", sessions, seconds=seconds) as load:
                load.wait_for("START")
                figures = _ping(setting, server)
                return {**figures, "load_gbit_s": load.finish()["gbit_s"]}

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
        sockets = _sockets(server)
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
            _expect(server, sockets + 2 * some)
            after = _open(load, announcer, server, many - some)
            _expect(server, sockets + 2 * many)
        announcer.close()
    return {"kib_per_session": (after - before) / 1024 / (many - some), "rss": after}


def _open(load: Load, announcer: Announcer, server: Server, count: int) -> int:
    """Open *count* sessions, not many announced at a time; return the memory then."""
    for _ in range(0, count, 50):
        load.feed(announcer.announce(50), last=False)
        load.wait_for("READY")
    time.sleep(_SETTLE_S)
    return rss_bytes(server.pid)


def _sockets(server: Server) -> int:
    return descriptors(server.pid).get("socket", 0)


def _expect(server: Server, sockets: int) -> None:
    """
    Let the sessions be there whose memory was measured.

    :raises LoadError: some were cut.
    """
    there = _sockets(server)
    if there < sockets:
        raise LoadError(f"idle sessions were cut: {there} sockets instead of {sockets}")


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
