"""The rows of the table: what is measured, with whom, and the goals."""

from __future__ import annotations

from bench import id_rows, relay_rows, websocket_rows
from bench.figures import Goal, Kind
from bench.row import Row, never

_CPU_PER_GB = "cpu_s_per_gb"
_C8_FOR_T = (("T relay", "C8"),)


def _bulk_goals(must_t: float, aim_t: float, *more: Goal) -> tuple[Goal, ...]:
    return (Goal(_CPU_PER_GB, "T relay", must_t, aim_t), *more)


def _share(must: float | None, aim: float) -> Goal:
    label = "worst session's share"
    return Goal("min_share", "", must, aim, kind=Kind.VALUE, at_least=True, label=label)


_NONE_LOST = (
    never("lost", "heartbeats lost"),
    Goal("late", kind=Kind.VALUE, label="answered after 0.5-3 s", worst=True),
    never("asked_for_key", "known devices asked for their key"),
)
_NONE_FAILED = never("failed", "failed requests")
_OF_C64 = Goal(_CPU_PER_GB, "C64", 0.65, 0.45)
_BESIDE_C64 = Goal(_CPU_PER_GB, "C64")
_OF_SPLICE = Goal(_CPU_PER_GB, "C splice")
_RELAYS = ("ours", "T relay", "C64")


ROWS = (
    Row(
        "bulk-1",
        "bulk, 1 session: CPU s/GB",
        (*_RELAYS, "C splice"),
        relay_rows.bulk(1),
        _bulk_goals(0.30, 0.20, _OF_C64, _OF_SPLICE),
        _C8_FOR_T,
    ),
    Row(
        "bulk-50",
        "bulk, 50 sessions: CPU s/GB",
        (*_RELAYS, "C splice"),
        relay_rows.bulk(50),
        _bulk_goals(0.30, 0.20, _OF_C64, _OF_SPLICE, _share(0.8, 0.9)),
        _C8_FOR_T,
    ),
    Row(
        "mtu-1",
        "bulk, MTU 1500, no offload, 1 session: CPU s/GB",
        (*_RELAYS, "C splice"),
        relay_rows.bulk(1),
        _bulk_goals(0.60, 0.45, _BESIDE_C64, _OF_SPLICE),
        _C8_FOR_T,
        small_packets=True,
    ),
    Row(
        "mtu-50",
        "bulk, MTU 1500, no offload, 50 sessions: CPU s/GB",
        (*_RELAYS, "C splice"),
        relay_rows.bulk(50),
        _bulk_goals(0.60, 0.45, _BESIDE_C64, _OF_SPLICE, _share(None, 0.8)),
        _C8_FOR_T,
        small_packets=True,
    ),
    Row(
        "verify",
        "50 sessions both ways, every byte checked: wrong pieces",
        _RELAYS,
        relay_rows.checked,
        (
            never("bad", ""),
            never("bad", "of T relay", "T relay"),
            never("bad", "of C64", "C64"),
        ),
    ),
    Row(
        "messages",
        "1 Gbit/s of 16 KiB messages, 50 sessions: CPU s/GB",
        (*_RELAYS, "C splice"),
        relay_rows.messages,
        (Goal(_CPU_PER_GB, "T relay", 1.0, 0.85), _BESIDE_C64, _OF_SPLICE),
    ),
    Row(
        "pingpong",
        "64 B to and fro, 100 sessions: CPU us per round trip",
        _RELAYS,
        relay_rows.pingpong,
        (
            Goal("cpu_us_each", "T relay", 1.3, 1.0),
            Goal("cpu_us_each", "C64"),
        ),
    ),
    Row(
        "ping-saturated",
        "64 B ping while 50 sessions saturate: p99 us",
        _RELAYS,
        relay_rows.ping_beside(50),
        (
            Goal("p99us", "T relay", 0.05, 0.01),
            Goal("p99us", "C64", 0.25, 0.1),
            Goal("p50us", "T relay", label="p50 us"),
            Goal("load_gbit_s", "T relay", label="Gbit/s of the 50 meanwhile"),
        ),
    ),
    Row(
        "ping-idle",
        "64 B ping on an idle relay: p50 us",
        _RELAYS,
        relay_rows.ping_beside(0),
        (
            Goal("p50us", "T relay", 1.25, 1.1),
            Goal("p50us", "C64"),
            Goal("p99us", "T relay", label="p99 us"),
        ),
    ),
    Row(
        "idle-memory",
        "idle session: resident KiB",
        ("ours", "T relay"),
        relay_rows.idle_memory,
        (
            Goal("kib_per_session", "", 2.5, 1.5, Kind.VALUE),
            Goal("kib_per_session", "T relay"),
        ),
    ),
    *websocket_rows.ROWS,
    Row(
        "heartbeats",
        "UDP heartbeats: CPU us per packet",
        ("ours", "T udp", "C batch"),
        id_rows.heartbeats,
        (
            Goal("cpu_us_each", "T udp", 0.75, 0.60),
            Goal("cpu_us_each", "C batch", 1.7, 1.35),
            Goal(
                "bytes_per_device",
                "",
                750,
                600,
                Kind.VALUE,
                label="resident bytes per known device",
            ),
            *_NONE_LOST,
        ),
    ),
    Row(
        "heartbeats-ipv6",
        "UDP heartbeats over IPv6: CPU us per packet",
        ("ours",),
        id_rows.heartbeats_over_ipv6,
        (Goal("cpu_us_each", kind=Kind.VALUE), *_NONE_LOST),
        ipv6=True,
    ),
    Row(
        "heartbeat-latency",
        "UDP heartbeats at the rate of 100,000 devices: p99 us",
        ("ours", "T udp", "C batch"),
        id_rows.heartbeat_latency,
        (
            Goal("p99us", "C batch"),
            Goal("maxus", "C batch", label="longest us"),
            *_NONE_LOST,
        ),
    ),
    Row(
        "online-query",
        "short TCP request (online query): CPU us each",
        ("ours", "C epoll", "T tcp"),
        id_rows.short_request("online"),
        (
            Goal("cpu_us_each", "C epoll", 2.6, 1.5),
            Goal("cpu_us_each", "T tcp", None, 1.0),
            _NONE_FAILED,
        ),
    ),
    Row(
        "nat-test",
        "short TCP request (NAT test): CPU us each",
        ("ours", "C epoll", "T tcp"),
        id_rows.short_request("nat"),
        (Goal("cpu_us_each", "C epoll"), Goal("cpu_us_each", "T tcp"), _NONE_FAILED),
    ),
    Row(
        "probe",
        "connection without a byte: CPU us each",
        ("ours", "C epoll", "T tcp"),
        id_rows.short_request("probe"),
        (Goal("cpu_us_each", "C epoll"), Goal("cpu_us_each", "T tcp"), _NONE_FAILED),
    ),
    Row(
        "punch",
        "short TCP request (punch, unknown id): CPU us each",
        ("ours", "C epoll", "T tcp"),
        id_rows.short_request("punch"),
        (Goal("cpu_us_each", "C epoll"), Goal("cpu_us_each", "T tcp"), _NONE_FAILED),
    ),
    Row(
        "limits",
        "bandwidth limits: worst error, %",
        ("ours",),
        relay_rows.limits,
        (
            Goal("error_percent", "", 2.0, 0.5, Kind.VALUE),
            Goal(
                "min_share", "", 0.9, 0.95, Kind.VALUE, at_least=True, label="least share"
            ),
            Goal("max_share", "", 1.1, 1.05, Kind.VALUE, label="greatest share"),
        ),
    ),
    Row(
        "start",
        "start with 1,000,000 stored devices, over an empty start: s",
        ("stored", "empty"),
        id_rows.start,
        (Goal("start_s", "empty", 1.0, 0.3, Kind.DIFFERENCE, of="stored"),),
    ),
)

SWEEPS = (
    *(
        Row(
            f"sessions-{count}",
            f"bulk, {count} sessions: CPU s/GB",
            _RELAYS,
            relay_rows.bulk(count),
            (),
        )
        for count in (1, 10, 100, 500)
    ),
    *(
        Row(
            f"devices-{count}",
            f"heartbeats of {count} devices: CPU us per packet",
            ("ours", "T udp", "C batch"),
            id_rows.heartbeats_of(count),
            (),
        )
        for count in (1_000, 10_000, 100_000, 300_000)
    ),
)
"""For the plots only: how cost depends on the number of sessions and devices."""
