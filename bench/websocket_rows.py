"""What the relay does for clients by WebSocket: the rows, and one run of each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from bench.figures import Goal
from bench.load import Figures
from bench.relay_rows import relayed
from bench.row import Row, never
from bench.setting import Setting

_TCP, _WS = "tcp", "ws"
_PEER = "tungstenite"
_MENDED = "tungstenite, mended"  # sends to TCP without taking each byte by itself
_CANDIDATES = ("ours", _PEER)
_NAMES = {_TCP: "TCP", _WS: "WebSocket"}

SIZES = (1, 16, 256)
"""Of messages, in KiB."""

# From A to B: how many times the peer's MB/s it has to be, if there is a goal.
DIRECTIONS: dict[tuple[str, str], float | None] = {
    (_WS, _TCP): 3.0,
    (_TCP, _WS): 1.2,
    (_WS, _WS): None,
}

_CHECKED_S = 60.0
_CHECKED_SESSIONS = 4
_CHECKED_MESSAGES = 20_000
# The last size at which a head is short, and what fills no buffer evenly.
_CHECKED_BYTES = (125, *(1024 * size for size in SIZES), 100_001)


def messages(a: str, b: str, size: int, sessions: int) -> Callable[[Setting, str], Figures]:
    """
    As many messages as go from A to B.

    :param size: KiB of each.
    """

    def measure(setting: Setting, candidate: str) -> Figures:
        options = {"a": a, "b": b, "size": size * 1024, "seconds": setting.seconds}
        with (
            setting.server(candidate) as server,
            relayed(server, "messages", sessions, **options) as load,
        ):
            return load.result()

    return measure


def checked(setting: Setting, candidate: str) -> Figures:
    """Messages of all sizes both ways, each byte of which must be the right one."""
    volume = setting.scaled(16_000_000, 400_000)
    figures: Figures = {"bad": 0, "messages": 0}
    cases = product((_TCP, _WS), _CHECKED_BYTES)
    with setting.server(candidate) as server:
        for number, (b, size) in enumerate(cases):
            options = {
                "a": _WS,
                "b": b,
                "size": size,
                "messages": min(max(volume // size, 1), _CHECKED_MESSAGES),
                "seconds": _CHECKED_S,
                "both": 1,
                "verify": 1,
            }
            load = relayed(server, "messages", _CHECKED_SESSIONS, number, **options)
            with load as running:
                result = running.result()
            figures["bad"] += result["bad"]
            figures["messages"] += result["messages"]
    return figures


def ping(interval_us: int) -> Callable[[Setting, str], Figures]:
    """
    64 bytes by WebSocket, which come back by TCP; both clients sleep meanwhile.

    :param interval_us: from one to the next; 0 is as soon as the last one is back.
    """

    def measure(setting: Setting, candidate: str) -> Figures:
        options = {"a": _WS, "b": _TCP, "size": 64, "seconds": setting.seconds}
        how = {"interval_us": interval_us, "sleep": 1, "fifo": 1}
        with (
            setting.server(candidate) as server,
            relayed(server, "pingpong", 1, **options, **how) as load,
        ):
            return load.result()

    return measure


def _row(a: str, b: str, size: int, sessions: int = 1) -> Row:
    times = DIRECTIONS[a, b] if sessions == 1 else None
    name = f"{a}-to-{b}-{size}k" + (f"-{sessions}" if sessions > 1 else "")
    what = f"{size} KiB, {sessions} sessions" if sessions > 1 else f"{size} KiB messages"
    more = (_MENDED,) if b == _TCP else ()
    return Row(
        name,
        f"{_NAMES[a]} to {_NAMES[b]}, {what}: MB/s",
        (*_CANDIDATES, *more),
        messages(a, b, size, sessions),
        (
            Goal("mb_s", _PEER, times, times, at_least=True),
            *(Goal("mb_s", peer, at_least=True, label="the same") for peer in more),
            *(
                Goal("cpu_us_each", peer, label="CPU us per message")
                for peer in (_PEER, *more)
            ),
            Goal("cpu_busy", _PEER, label="part of a core it had"),
        ),
    )


ROWS = (
    Row(
        "ws-verify",
        "WebSocket, every byte checked: wrong pieces",
        _CANDIDATES,
        checked,
        (never("bad", ""), never("bad", f"of {_PEER}", _PEER)),
    ),
    *(_row(a, b, size) for a, b in DIRECTIONS for size in SIZES),
    *(_row(a, b, 16, sessions=8) for a, b in DIRECTIONS),
    Row(
        "ws-ping",
        "64 B ping from WebSocket to TCP and back: p50 us",
        _CANDIDATES,
        ping(0),
        (
            Goal("p50us", _PEER, 1.15, 1.15),
            Goal("p99us", _PEER, label="p99 us"),
            Goal("cpu_us_each", _PEER, label="CPU us per round trip"),
        ),
    ),
    Row(
        "ws-ping-idle",
        "the same every 2 ms: p50 us",
        _CANDIDATES,
        ping(2000),
        (
            Goal("p50us", _PEER),
            Goal("p99us", _PEER, label="p99 us"),
            Goal("cpu_us_each", _PEER, label="CPU us per round trip"),
        ),
    ),
)
