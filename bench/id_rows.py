"""Measurements of the ID server: one run each, with a fresh server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import servers
from bench.child import rss_bytes
from bench.devices import FIRST_ID, SOURCE, SOURCE_IPV6
from bench.load import Figures, Load
from bench.servers import RULES, Server
from bench.setting import SOCKETS, Setting

_DEVICES = 100_000
_QUICK_DEVICES = 2_000
_HEARTBEAT_S = 15.0
_REGISTER_S = 240.0
_WARM_PER_S = 50_000
"""So many heartbeats, at least, a second before anything is measured."""


def _with_devices(
    server: Server, count: int, source: str = SOURCE, **options: Any
) -> Figures:
    """Register *count* devices, send heartbeats; also return what a device takes."""
    before = rss_bytes(server.pid)
    load = Load(
        "udpgen",
        limit_s=options["seconds"] + _REGISTER_S,
        port=server.id_port,
        pid=server.pid,
        devices=count,
        first_id=FIRST_ID,
        source=source,
        sockets=SOCKETS,
        **options,
    )
    with load:
        load.wait_for("REGISTERED")
        figures = load.result()
        grown = rss_bytes(server.pid) - before
        return {**figures, "bytes_per_device": grown / count}


def heartbeats_of(
    devices: int, host: str = "127.0.0.1", source: str = SOURCE
) -> Callable[[Setting, str], Figures]:
    """As many heartbeats as the server answers, of *devices* devices in turn."""

    def measure(setting: Setting, candidate: str) -> Figures:
        count = setting.scaled(devices, min(devices, _QUICK_DEVICES))
        with setting.server(candidate, devices=count, source=source) as server:
            # A device's first heartbeat, which is more work, comes once in its life.
            warm_s = 0.5 + count / _WARM_PER_S
            times = {"seconds": setting.seconds, "warm": warm_s}
            return _with_devices(server, count, source, host=host, **times)

    return measure


heartbeats = heartbeats_of(_DEVICES)
heartbeats_over_ipv6 = heartbeats_of(_DEVICES, "::1", SOURCE_IPV6)


def heartbeat_latency(setting: Setting, candidate: str) -> Figures:
    """Heartbeats at the pace of real devices: one each 15 s."""
    count = setting.scaled(_DEVICES, _QUICK_DEVICES)
    seconds, rate = 3 * setting.seconds, _DEVICES / _HEARTBEAT_S
    with setting.server(candidate, devices=count) as server:
        return _with_devices(server, count, seconds=seconds, rate=rate)


def short_request(what: str) -> Callable[[Setting, str], Figures]:
    """Connect, ask, close; 200 at any time."""

    def measure(setting: Setting, candidate: str) -> Figures:
        with setting.server(candidate) as server:
            load = Load(
                "conngen",
                limit_s=setting.seconds,
                what=what,
                key=server.key,
                port=server.id_port if what == "punch" else server.nat_port,
                pid=server.pid,
                seconds=setting.seconds,
                at_once=200,
            )
            with load:
                return load.result()

    return measure


def start(setting: Setting, candidate: str) -> Figures:
    """The time from the process's start to its word that it is ready."""
    with servers.temporary_folder() as empty:
        folder = empty
        if candidate == "stored":
            devices = setting.scaled(1_000_000, 20_000)
            folder = setting.stored(devices).parent
        with servers.ours(folder, (*RULES, *setting.options), setting.build) as server:
            return {"start_s": server.start_s}
