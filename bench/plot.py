"""
Draws a result file and writes its table into the documentation.

``python -m bench.plot bench/results/last.json docs`` writes the plots beside
``docs/performance.md`` and renews what stands between the marks in that page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.build import say
from bench.figures import Spread, spread
from bench.svg import bar_chart, line_chart
from bench.table import markdown
from bench.websocket_rows import DIRECTIONS, SIZES

_NAMES = {
    "ours": "rdserver",
    "T relay": "tokio",
    "T udp": "tokio",
    "C64": "C, 64 KiB copies",
    "C8": "C, 8 KiB copies",
    "C splice": "C, splice",
    "C batch": "C, recvmmsg",
    "tungstenite": "tokio, tungstenite",
    "tungstenite, mended": "tokio, tungstenite, mended",
}
_BEGIN, _END = "<!-- table: written by bench/plot.py -->", "<!-- end of the table -->"

Rows = Mapping[str, Mapping[str, Any]]


def _figures(rows: Rows, row: str, figure: str) -> dict[str, Spread]:
    runs = rows.get(row, {}).get("runs", {})
    found = {name: spread(measured, figure) for name, measured in runs.items()}
    return {_NAMES.get(name, name): s for name, s in found.items() if s is not None}


def _inverse(spreads: dict[str, Spread], numerator: float) -> dict[str, Spread]:
    return {
        name: Spread(numerator / s.middle, numerator / s.most, numerator / s.least)
        for name, s in spreads.items()
        if s.least > 0
    }


def throughput(rows: Rows) -> str:
    """What one core carries."""
    groups = {
        "1 session": "bulk-1",
        "50 sessions": "bulk-50",
        "1, MTU 1500": "mtu-1",
        "50, MTU 1500": "mtu-50",
        "50, 16 KiB messages": "messages",
    }
    bars = {
        title: _inverse(_figures(rows, row, "cpu_s_per_gb"), 8.0)
        for title, row in groups.items()
        if row in rows
    }
    return bar_chart("Relayed by one core", "Gbit/s for a core's time", bars)


def latency(rows: Rows) -> str:
    """A ping beside nothing and beside everything."""
    groups = {
        "idle, p50": ("ping-idle", "p50us"),
        "idle, p99": ("ping-idle", "p99us"),
        "saturated, p50": ("ping-saturated", "p50us"),
        "saturated, p99": ("ping-saturated", "p99us"),
    }
    bars = {
        title: _figures(rows, row, figure)
        for title, (row, figure) in groups.items()
        if row in rows
    }
    title = "64 bytes to and fro, alone and while 50 sessions saturate the relay"
    return bar_chart(title, "us, logarithmic", bars, logarithmic=True)


def websocket(rows: Rows) -> str:
    """Messages of each size, to and from WebSocket."""
    bars = {
        f"{a} to {b}, {size}K": _figures(rows, f"{a}-to-{b}-{size}k", "mb_s")
        for a, b in DIRECTIONS
        for size in SIZES
    }
    bars = {title: found for title, found in bars.items() if found}
    return bar_chart("Messages relayed by one core", "MB/s", bars)


def _sweep(rows: Rows, prefix: str, figure: str) -> dict[str, dict[float, float]]:
    series: dict[str, dict[float, float]] = {}
    for row in rows:
        if not row.startswith(prefix):
            continue
        for name, found in _figures(rows, row, figure).items():
            series.setdefault(name, {})[float(row.removeprefix(prefix))] = found.middle
    return series


def sessions(rows: Rows) -> str:
    """Cost of bulk over the number of sessions."""
    series = _sweep(rows, "sessions-", "cpu_s_per_gb")
    return line_chart("Cost of relaying", "CPU s per GB", "sessions", series)


def devices(rows: Rows) -> str:
    """Cost of a heartbeat over the number of devices."""
    series = _sweep(rows, "devices-", "cpu_us_each")
    return line_chart("Cost of a heartbeat", "CPU us", "devices", series)


_PLOTS = {
    "throughput": throughput,
    "latency": latency,
    "sessions": sessions,
    "devices": devices,
    "websocket": websocket,
}


def _draw(rows: Rows, folder: Path) -> list[str]:
    """Write the plots there are figures for; return their files' names."""
    names = []
    for name, draw in _PLOTS.items():
        path = folder / f"performance-{name}.svg"
        try:
            path.write_text(draw(rows))
        except ValueError as e:
            say(f"left out: {e}")
            continue
        say(f"written: {path}")
        names.append(path.name)
    return names


def _machine(result: Mapping[str, Any]) -> str:
    machine, method = result["machine"], result["method"]
    return (
        f"{machine['date'][:10]}, {machine['cpu']}, {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}, Python {machine['python']}, "
        f"Twisted {machine['twisted']}, congestion control "
        f"{machine['congestion_control']}; medians of {method['repeats']} runs of "
        f"{method['seconds']:g} s, with the range in brackets."
    )


def _renew_page(result: Mapping[str, Any], plots: list[str], page: Path) -> None:
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise SystemExit(f"{page} has no marks for the table")
    images = [f"![{name}]({name})" for name in plots]
    parts = [_BEGIN, _machine(result), markdown(result), *images, _END]
    page.write_text(before + "\n\n".join(parts) + after)
    say(f"renewed: {page}")


def main() -> None:
    """Run as ``plot RESULT FOLDER``."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    result = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    plots = _draw(result["rows"], folder)
    page = folder / "performance.md"
    if page.exists():
        _renew_page(result, plots, page)


if __name__ == "__main__":
    main()
