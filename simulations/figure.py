"""Figures for pages: lines over numbers, or bars, as SVG without scripts, legible on dark and on light paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 620, 380
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 18, 52  # of the plot; a legend stands to the right of the picture's width
LETTER = 6.6  # px of a letter, at most, in a legend
COLOURS = ("#2f7ed8", "#d9822b", "#2ca25f", "#b04ab0", "#c0392b", "#7f8c8d", "#8c6d1f", "#17a2a2", "#6a5acd", "#d6517d")
GREY = "#808890"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line with its label. `low`, `high`: how far the seeds are spread, at each point."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From the data to the picture. `ticks`: where numbers stand."""

    low: float
    high: float
    log: bool
    begin: float
    end: float

    def place(self, value: float) -> float:
        """Return where a value is."""
        low, high = self._scale(self.low), self._scale(self.high)
        share = (self._scale(max(value, self.low)) - low) / ((high - low) or 1.0)
        return self.begin + share * (self.end - self.begin)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.log else value

    @property
    def ticks(self) -> list[float]:
        """Return round numbers between both ends."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 4 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low or 1.0) / 5
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
            found = [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]
        return [tick for tick in found if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def _axis(values: Sequence[float], log: bool, begin: float, end: float, *, zero: bool) -> Axis:
    known = [value for value in values if value > 0] if log else list(values)
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    if log:
        low, high = low / 1.1, high * 1.1
    elif zero:
        low, high = min(low, 0.0), high * 1.05 or 1.0
    return Axis(low=low, high=high, log=log, begin=begin, end=end)


def short(value: float) -> str:
    """Return a number as an axis has it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def lines(drawn: Sequence[Line], *, x_label: str, y_label: str, log: str = "") -> str:
    """Return lines over numbers."""
    every = [value for line in drawn for value in (*line.y, *line.low, *line.high)]
    x_axis = _axis([x for line in drawn for x in line.x], "x" in log, LEFT, WIDTH - RIGHT, zero=False)
    y_axis = _axis(every, "y" in log, HEIGHT - BOTTOM, TOP, zero=True)
    parts = [*_grid(x_axis, y_axis, x_label, y_label)]
    for number, line in enumerate(drawn):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x_axis.place(x), y_axis.place(y)) for x, y in zip(line.x, line.y, strict=True)]
        parts += [
            f'<path d="M{x_axis.place(x):.1f} {y_axis.place(low):.1f}V{y_axis.place(high):.1f}" stroke="{colour}" '
            'stroke-width="5" stroke-opacity="0.3"/>'
            for x, low, high in zip(line.x, line.low, line.high, strict=False)
            if high > low
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) <= 20:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts += _legend(number, line.label, colour)
    legend = 46 + LETTER * max(len(line.label) for line in drawn)
    return _svg(parts, WIDTH + legend, HEIGHT, y_label)


def _grid(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y_axis.ticks:
        at = y_axis.place(tick)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="{GREY}" stroke-opacity="0.25"/>')
        parts.append(_text(LEFT - 8, at + 4, short(tick), "end"))
    for tick in x_axis.ticks:
        at = x_axis.place(tick)
        parts.append(f'<path d="M{at:.1f} {bottom}v5" stroke="{GREY}"/>')
        parts.append(_text(at, bottom + 19, short(tick), "middle"))
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="{GREY}"/>')
    parts.append(_text((LEFT + right) / 2, HEIGHT - 12, x_label, "middle"))
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 16 {middle:.0f})"'
    parts.append(_text(16, middle, y_label, "middle", turned))
    return parts


def _legend(number: int, label: str, colour: str) -> list[str]:
    at = TOP + 10 + 20 * number
    left = WIDTH
    return [f'<path d="M{left} {at - 4}h16" stroke="{colour}" stroke-width="3"/>', _text(left + 22, at, label, "start")]


def bars(values: Sequence[tuple[str, float]], *, x_label: str, log: bool = False) -> str:
    """Return horizontal bars, one for each label."""
    left, right = 210, WIDTH - 90
    height = TOP + 28 * len(values) + BOTTOM
    axis = _axis([value for _, value in values], log, left, right, zero=True)
    parts = []
    for number, (label, value) in enumerate(values):
        at = TOP + 28 * number
        end = axis.place(value) if value > 0 or not log else left
        parts.append(
            f'<rect x="{left}" y="{at + 4}" width="{max(end - left, 0):.1f}" height="18" fill="{COLOURS[0]}"/>'
        )
        parts.append(_text(left - 8, at + 17, label, "end"))
        parts.append(_text(end + 6, at + 17, short(float(f"{value:.4g}")), "start"))
    bottom = TOP + 28 * len(values)
    parts.append(f'<path d="M{left} {TOP}V{bottom}H{right}" fill="none" stroke="{GREY}"/>')
    for tick in axis.ticks:
        parts.append(_text(axis.place(tick), bottom + 18, short(tick), "middle"))
    parts.append(_text((left + right) / 2, height - 12, x_label, "middle"))
    return _svg(parts, WIDTH, height, x_label)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _svg(parts: Sequence[str], width: float, height: float, title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{GREY}"><title>{escape(title)}</title>'
    )
    return "\n".join([head, *(" ".join(part.split()) for part in parts), "</svg>\n"])


__all__ = ["Line", "bars", "lines"]
