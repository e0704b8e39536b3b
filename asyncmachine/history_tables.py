"""The answers of `am history` as people get them: tables, with what belongs beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
import msgspec
from rich.text import Text

from asyncmachine.history_view import (
    TextTable,
    bar,
    console,
    print_hint,
    safe,
    size_text,
    span_text,
    time_or,
)
from history import Diff, Interval, MachineInfo, Moment, Record, format_time

TOP = 10  # machines that `stats` ranks


def print_machines(found: Iterable[MachineInfo]) -> None:
    """Print what was recorded."""
    table = TextTable("machine", "owner", ">states", ">epoch", "first", "last", "parent", "tags")
    for m in found:
        about = (len(m.states), m.epoch, format_time(m.first_at), format_time(m.last_at), m.parent, " ".join(m.tags))
        table.add(m.name, m.owner, *about)
    table.print("nothing was recorded here yet")


def print_moments(moments: Iterable[Moment], begun: int | None) -> None:
    """Print how machines were; `begun`: when the first one was known, ns since 1970; None: none is."""
    table = TextTable("machine", "owner", "active", ">@", "since")
    for m in moments:
        active = Text(" ".join(f"{s}:{m.clock[s]}" for s in m.active), "green")
        table.add(m.machine, m.owner, active, m.clock.sum, format_time(m.at))
    table.print(
        "nothing was recorded here yet" if begun is None else f"nothing was known then: see {format_time(begun)}"
    )


def print_moment(m: Moment) -> None:
    """Print how a machine was, state by state."""
    console().print(
        Text.assemble(
            (safe(m.machine), "bold"),
            f" as of {format_time(m.asked)}: the same since {format_time(m.at)}, @{m.clock.sum},"
            f" epoch {m.epoch}, seq {m.seq}",
        ),
        soft_wrap=True,
    )
    table = TextTable("state", ">tick", "")
    for name, tick in m.clock.items():
        style = "green" if tick & 1 else "dim"
        table.add(Text(name, style), Text(str(tick), style), Text("active" if tick & 1 else "", style))
    table.print()


def print_records(records: Iterable[Record]) -> None:
    """Print transitions."""
    table = TextTable("time", "machine", "owner", ">@", "mutation", "changes", "by", "arguments")
    for r in records:
        changes = [f"+{s}" for s in r.activated] + [f"-{s}" for s in r.deactivated]
        outcome = Text(" ".join(changes), "green")
        if r.mutation == "base":
            outcome = Text(str(r.clock), "dim")  # as the recording found it
        elif r.rejected and not changes:
            outcome = Text("refused", "red")
        kind = " ".join(["auto" if r.auto else r.mutation, *r.called])
        arguments = None if r.arguments is None else msgspec.json.encode(r.arguments).decode()
        table.add(format_time(r.at), r.machine, r.owner, r.time_sum, kind, outcome, r.source_machine, arguments)
    table.print("no transitions in that window")


def print_intervals(state: str, spans: Sequence[Interval], low: int, high: int, share: float | None) -> None:
    """Print when a state was active in a window, ns since 1970, and for which share of it."""
    table = TextTable("from", "until", ">lasted", "")
    for span in spans:
        end = high if span.end is None else span.end
        begin = format_time(span.start) if span.began else f"before {format_time(span.start)}"
        until_when = format_time(end) if span.ended else "still active"
        table.add(begin, until_when, span_text(end - span.start), Text(bar(span.start, end, low, high), "green"))
    table.print(f"{state} was not active in that window")
    if share is not None and spans:
        window = f"from {format_time(low)} until {format_time(high)}"
        click.echo(f"active {share:.1%} of the {span_text(high - low)} {window}")


def print_differences(found: Iterable[Diff]) -> None:
    """Print what became of machines between two moments."""
    table = TextTable("machine", "owner", "states", "ticks", ">transitions", "")
    for d in found:
        changes = Text(" ").join(
            [Text(f"+{s}", "green") for s in d.activated] + [Text(f"-{s}", "red") for s in d.deactivated]
        )
        grown = " ".join(f"{s}{t:+d}" for s, t in d.ticks.items())
        same_life = d.before is not None and d.before.epoch == d.after.epoch
        count = d.after.seq - d.before.seq if d.before is not None and same_life else None
        note = "new" if d.before is None else "" if same_life else "another life"
        table.add(d.machine, d.after.owner, changes, grown, count, note)
    table.print("nothing changed between these moments")


def print_stats(
    url: str,
    rows: int,
    size: int,
    reach: tuple[int | None, int | None, int | None],
    ranked: Sequence[tuple[int, MachineInfo]],
) -> None:
    """Print how much there is.

    Args:
        url: where.
        rows, size: of all machines, and in bytes.
        reach: the first moment, the last one, and the latest horizon, ns since 1970; None: there is none.
        ranked: (rows, machine), the busiest first.
    """
    first, last, horizon = reach
    table = TextTable("", "")
    table.add("history", url)
    table.add("rows", f"{rows:,}")
    table.add("size", f"{size_text(size)}{f', {size / rows:.0f} bytes a row' if rows >= 1000 else ''}")
    table.add("machines", f"{len(ranked):,}")
    table.add("first", time_or(first, "nothing was recorded here yet"))
    table.add("last", time_or(last, ""))
    table.add("horizon", time_or(horizon, "nothing was let go"))
    table.print()
    if ranked:
        console().print()
        top = TextTable("machine", "owner", ">rows", "")
        for count, m in ranked[:TOP]:
            top.add(m.name, m.owner, f"{count:,}", Text(bar(0, count, 0, ranked[0][0], ""), "green"))
        top.print()
        if len(ranked) > TOP:
            print_hint(f"and {len(ranked) - TOP:,} more machines: --json has them all")
