"""What `am history` prints: tables and bars for people, JSON lines for programs."""

import sys
from collections.abc import Iterable
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from history import (
    Diff,
    Interval,
    MachineInfo,
    Moment,
    format_time,
)

WIDE = 100_000  # characters: no terminal, no end of the line
BAR = 32  # characters for the whole window of `intervals`


def print_lines(values: Iterable[dict[str, Any]]) -> None:
    """Print a JSON document a line."""
    for value in values:
        click.echo(msgspec.json.encode(value))  # bytes: UTF-8 whatever the terminal has


def times(**moments: int | None) -> dict[str, int | str | None]:
    """Return each moment twice: as ``…_at`` in ns, and as ``…_time`` in ISO 8601."""
    told: dict[str, int | str | None] = {}
    for name, at in moments.items():
        told[f"{name}_at"] = at
        told[f"{name}_time"] = None if at is None else format_time(at)
    return told


def machine_json(m: MachineInfo) -> dict[str, Any]:
    """Return what is known of a machine as JSON."""
    return {
        "machine": m.name,
        "owner": m.owner,
        "states": m.states,
        "tags": m.tags,
        "parent": m.parent,
        **times(first=m.first_at, last=m.last_at, horizon=m.horizon),
        "epoch": m.epoch,
        "seq": m.seq,
        "machine_tick": m.machine_tick,
    }


def moment_json(m: Moment) -> dict[str, Any]:
    """Return a moment of a machine as JSON."""
    return {
        "machine": m.machine,
        "owner": m.owner,
        **times(asked=m.asked),
        "at": m.at,
        "time": format_time(m.at),
        "epoch": m.epoch,
        "seq": m.seq,
        "active": m.active,
        "ticks": dict(m.clock),
        "time_sum": m.clock.sum,
    }


def interval_json(i: Interval) -> dict[str, Any]:
    """Return an activity as JSON."""
    return {
        "machine": i.machine,
        "state": i.state,
        **times(start=i.start, end=i.end),
        "began": i.began,
        "ended": i.ended,
    }


def diff_json(d: Diff) -> dict[str, Any]:
    """Return what became of a machine as JSON."""
    return {
        "machine": d.machine,
        "owner": d.after.owner,
        "activated": d.activated,
        "deactivated": d.deactivated,
        "ticks": d.ticks,
        "before": None if d.before is None else moment_json(d.before),
        "after": moment_json(d.after),
    }


# -- from answers to tables


class TextTable:
    """Rows of text; a column of which no row has anything is left out. ``>`` before a title puts it to the right."""

    def __init__(self, *titles: str) -> None:
        self._titles = titles
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *cells: object) -> None:
        """Add a row; None is an empty cell."""
        made = (c if isinstance(c, Text) else Text("" if c is None else safe(str(c))) for c in cells)
        self._rows.append(tuple(made))

    def print(self, empty: str = "") -> None:
        """Print the table on stdout; if it has no rows, say `empty` on stderr."""
        if not self._rows:
            print_hint(empty)
            return
        used = [i for i in range(len(self._titles)) if any(row[i].plain for row in self._rows)]
        titles = any(t for t in self._titles)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=titles)
        for i in used:
            title = self._titles[i].removeprefix(">")
            whole = not any(" " in row[i].plain for row in self._rows)
            right = title != self._titles[i]
            table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=whole)
        for row in self._rows:
            table.add_row(*(row[i] for i in used))
        out = console()
        needed = out.measure(table, options=out.options.update(max_width=WIDE)).minimum
        out.width = max(out.width, needed)  # lines break between words only
        with out.capture() as printed:
            out.print(table)
        click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def console() -> Console:
    """Return a console on stdout, as wide as it takes where there is no terminal to be wide."""
    made = Console(highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty():
        made.width = WIDE
    return made


def print_hint(text: str) -> None:
    """Say something beside the answer, on stderr."""
    click.echo(safe(text), err=True)


def safe(text: str) -> str:
    """Return text in which nothing commands the terminal: names may come from other people's machines."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def bar(start: int, end: int, low: int, high: int, rest: str = "·") -> str:
    """Return where in a window a span lies; one character at least."""
    width = max(high - low, 1)
    first = min(BAR * (start - low) // width, BAR - 1)
    last = max(-(-BAR * (end - low) // width), first + 1)
    full, empty = ("█", rest) if (sys.stdout.encoding or "").lower().startswith("utf") else ("#", rest and ".")
    return empty * first + full * (last - first) + empty * (BAR - last)


def span_text(ns: int) -> str:
    """Return a span of time in its two largest units."""
    for unit, size, below, smaller in (
        ("d", 86400 * 10**9, "h", 3600 * 10**9),
        ("h", 3600 * 10**9, "m", 60 * 10**9),
        ("m", 60 * 10**9, "s", 10**9),
    ):
        if ns >= size:
            return f"{ns // size}{unit}{ns % size // smaller:02d}{below}"
    for name, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.3g}{name}"
    return f"{ns}ns"


def size_text(count: float) -> str:
    """Return a number of bytes for people."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GiB"


def time_or(at: int | None, otherwise: str) -> str:
    """Return a moment as ISO 8601, or another text for none."""
    return otherwise if at is None else format_time(at)
