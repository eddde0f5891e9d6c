"""Charts as SVG text: grouped bars and lines.  Nothing but what bench/plot.py needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from attrs import Factory, define, frozen

from bench.figures import Spread, short

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 70, 50
_COLOURS = ("#1f6fb4", "#d1672a", "#7a7a7a", "#3a9a5c")
_INK, _GRID = "#222", "#ddd"


@define
class Canvas:
    """A drawing that grows."""

    parts: list[str] = Factory(list)

    def text(self, x: float, y: float, words: str, anchor: str = "middle") -> None:
        """Write *words*."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self.parts.append(f'<text {place} fill="{_INK}">{escape(words)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = _GRID) -> None:
        """Draw a line."""
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {ends} stroke="{colour}"/>')

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Draw a filled box."""
        size = f'width="{width:.1f}" height="{max(height, 0):.1f}"'
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}"/>')

    def path(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a line through *points*, each marked."""
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f'fill="none" stroke="{colour}" stroke-width="2"'
        self.parts.append(f'<polyline points="{way}" {style}/>')
        for x, y in points:
            self.parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
            )

    def document(self) -> str:
        """Return the whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        )
        back = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        return "\n".join([head, back, *self.parts, "</svg>", ""])


@frozen
class Scale:
    """From values to pixels, evenly or by powers of ten."""

    least: float
    most: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where *value* is."""
        low, high, here = self.least, self.most, max(value, self.least)
        if self.logarithmic:
            low, high, here = log10(low), log10(high), log10(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def marks(self) -> list[float]:
        """Return the values to be written beside the axis."""
        if self.logarithmic:
            powers = range(ceil(log10(self.least)), floor(log10(self.most)) + 1)
            return [10.0**power for power in powers]
        step = 10 ** floor(log10(self.most / 2))
        step = next(s for s in (step, 2 * step, 5 * step) if self.most / s <= 8)
        return [i * step for i in range(int(self.most / step) + 1)]


def _vertical(most: float, least: float, logarithmic: bool) -> Scale:
    bottom = HEIGHT - _BOTTOM
    if logarithmic:
        low, high = 10.0 ** floor(log10(least)), 10.0 ** ceil(log10(most))
        return Scale(low, high, bottom, _TOP, True)
    return Scale(0.0, most * 1.1, bottom, _TOP)


def _frame(canvas: Canvas, title: str, unit: str, scale: Scale) -> None:
    canvas.text(_LEFT, 20, f"{title} ({unit})", "start")
    for value in scale.marks():
        y = scale.at(value)
        canvas.line(_LEFT, y, WIDTH - _RIGHT, y)
        canvas.text(_LEFT - 8, y + 4, short(value), "end")


def _legend(canvas: Canvas, names: Sequence[str]) -> dict[str, str]:
    """Write who is who; return the colours."""
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    for i, (name, colour) in enumerate(colours.items()):
        x = _LEFT + i * 160
        canvas.box(x, 34, 12, 12, colour)
        canvas.text(x + 18, 45, name, "start")
    return colours


def bar_chart(
    title: str,
    unit: str,
    groups: Mapping[str, Mapping[str, Spread]],
    *,
    logarithmic: bool = False,
) -> str:
    """
    Return bars, by group and then by series, with a line for each range.

    :raises ValueError: there is nothing to show.
    """
    values = [spread for group in groups.values() for spread in group.values()]
    if not values:
        raise ValueError(f"{title}: no values")
    canvas = Canvas()
    most, least = max(v.most for v in values), min(v.least for v in values)
    scale = _vertical(most, least, logarithmic)
    _frame(canvas, title, unit, scale)
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    colours = _legend(canvas, names)
    width = (WIDTH - _LEFT - _RIGHT) / len(groups)
    for i, (group, members) in enumerate(groups.items()):
        left = _LEFT + i * width
        canvas.text(left + width / 2, HEIGHT - _BOTTOM + 20, group)
        bar = width * 0.8 / len(names)
        for name, spread in members.items():
            x = left + width * 0.1 + names.index(name) * bar
            _bar(canvas, scale, (x, bar), spread, colours[name])
    return canvas.document()


def _bar(
    canvas: Canvas, scale: Scale, place: tuple[float, float], spread: Spread, colour: str
) -> None:
    x, width = place
    top = scale.at(spread.middle)
    canvas.box(x + 1, top, width - 2, HEIGHT - _BOTTOM - top, colour)
    middle = x + width / 2
    canvas.line(middle, scale.at(spread.least), middle, scale.at(spread.most), _INK)
    canvas.text(middle, min(top, scale.at(spread.most)) - 4, short(spread.middle))


def line_chart(
    title: str, unit: str, label: str, series: Mapping[str, Mapping[float, float]]
) -> str:
    """
    Return a line for each series over a logarithmic axis called *label*.

    :raises ValueError: there is nothing to show.
    """
    ys = [y for points in series.values() for y in points.values()]
    xs = [x for points in series.values() for x in points]
    if not ys:
        raise ValueError(f"{title}: no values")
    canvas = Canvas()
    vertical = _vertical(max(ys), min(ys), False)
    horizontal = Scale(
        min(xs), max(*xs, min(xs) * 10), _LEFT + 20, WIDTH - _RIGHT - 20, True
    )
    _frame(canvas, title, unit, vertical)
    colours = _legend(canvas, list(series))
    for x in sorted(set(xs)):
        canvas.text(horizontal.at(x), HEIGHT - _BOTTOM + 20, f"{x:g}")
    canvas.text((WIDTH + _LEFT) / 2, HEIGHT - 10, label)
    for name, points in series.items():
        places = [(horizontal.at(x), vertical.at(y)) for x, y in sorted(points.items())]
        canvas.path(places, colours[name])
    return canvas.document()
