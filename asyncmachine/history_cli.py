"""`am history`: questions about the past on the command line, and export.

Invariants: asking never makes a database; a question that cannot be answered ends in one line that shows what would
work, and a status of 2 (1 if it was the database's fault). People get tables, which keep all their text and lose their
colours in a pipe. Programs get JSON lines with ``--json``, in which ``…at`` is a moment in ns since 1970 and ``…time``
the same as ISO 8601. `docs/history.md` lists the keys; they only ever grow in number.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from asyncmachine import history_tables as tables
from asyncmachine.command import failing, history_option
from asyncmachine.history_view import (
    diff_json,
    interval_json,
    machine_json,
    moment_json,
    print_hint,
    print_lines,
    size_text,
    times,
)
from asyncmachine.stored import opened_store
from history import QuestionError, Questions, export_file, format_time
from history.codec import KINDS
from history.export import FORMATS, Format, as_row, check_format, export, format_of, watched
from history.store import Store

LIMIT = 50  # lines that a person gets, unless more are asked for
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class _Group(click.Group):
    """Turn what goes wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        with failing():
            return super().invoke(ctx)


@click.group(cls=_Group)
@history_option
@click.pass_context
def history(ctx: click.Context, url: str | None) -> None:
    """Ask what recorded machines were and did, and export it.

    A TIME is ISO 8601 (UTC, unless it names a zone), "5m ago", "1h30m ago", now, or @N: when the machine's own time,
    the sum of its ticks, reached N.
    """
    ctx.obj = url
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no reason to fail


@dataclass(frozen=True)
class _Asked:
    """An open history. ``now`` stands still for the whole command."""

    store: Store
    questions: Questions
    now: int


@contextmanager
def _opened(ctx: click.Context) -> Iterator[_Asked]:
    """Open the history for reading; it has to be there."""
    with opened_store(ctx.obj, "am history", "open_history({url}) and .record(machine)") as (store, last):
        store.generation = -1  # another program may be writing
        now = max(time.time_ns(), last)
        yield _Asked(store, Questions(store, lambda: now), now)


# -- options that several commands have

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _window(since: str) -> Decorator:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        until = click.option(
            "--until", metavar="TIME", help="The end of the window, which belongs to it. [default: now]"
        )
        begin = click.option("--since", metavar="TIME", help=f"The beginning, which does not. [default: {since}]")
        return begin(until(command))

    return add


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Add what `log` and `export` leave out by."""
    for option in reversed(
        (
            click.option("--state", "changed", multiple=True, help="At least one of these states changed."),
            click.option("--called", multiple=True, metavar="STATE", help="At least one of these was asked for."),
            click.option("--activated", multiple=True, metavar="STATE", help="All of these came up."),
            click.option("--deactivated", multiple=True, metavar="STATE", help="All of these went off."),
            click.option("--mutation", multiple=True, metavar="KIND", help=f"One of {', '.join(KINDS)}."),
            click.option("--by", "source", metavar="MACHINE", help="Caused by this machine."),
            click.option("--newest", "newest_first", is_flag=True, help="Newest first."),
        )
    ):
        command = option(command)
    return _window("the beginning")(command)


# -- the commands


@history.command("list")
@_json
@click.pass_context
def list_machines(ctx: click.Context, as_json: bool) -> None:
    """List the machines that were recorded."""
    with _opened(ctx) as asked:
        found = asked.questions.machines()
    if as_json:
        print_lines(machine_json(m) for m in found)
        return
    tables.print_machines(found)


@history.command()
@click.argument("machine", required=False)
@click.option("--at", metavar="TIME", help="The moment. [default: now]")
@_json
@click.pass_context
def show(ctx: click.Context, machine: str | None, at: str | None, as_json: bool) -> None:
    """Show a machine as of a moment, or without a name all of them."""
    with _opened(ctx) as asked:
        if machine is not None:
            moments = [asked.questions.as_of(machine, at)]
        else:
            moments = list(asked.questions.network(at).values())
        known = asked.questions.machines()
    if as_json:
        print_lines(moment_json(m) for m in moments)
    elif machine is None:
        tables.print_moments(moments, min((m.first_at for m in known), default=None))
    else:
        tables.print_moment(moments[0])


@history.command()
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@_filters
@click.option("--limit", type=click.IntRange(min=1), help=f"At most so many. [default: {LIMIT}, with --json: all]")
@click.option("--after", metavar="PLACE", help="Go on where a page ended, as it said.")
@_json
@click.pass_context
def log(
    ctx: click.Context,
    /,
    machines: tuple[str, ...],
    limit: int | None,
    after: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List the transitions of machines, or of all, by time."""
    with _opened(ctx) as asked:
        question = {**_question(machines, filters), "after": None if after is None else _place(after)}
        if as_json and limit is None:
            print_lines(as_row(r) for r in asked.questions.between(**question))
            return
        page = asked.questions.page(limit or LIMIT, **question)
        if as_json:
            print_lines(as_row(r) for r in page.records)
        else:
            tables.print_records(page.records)
        if page.next is not None:
            print_hint(f"there are more: the same again with --after {page.next[0]}:{page.next[1]}")


@history.command()
@click.argument("machine")
@click.argument("state")
@_window("the beginning")
@click.option("--limit", type=click.IntRange(min=1), help=f"At most so many. [default: {LIMIT}, with --json: all]")
@_json
@click.pass_context
def intervals(
    ctx: click.Context,
    machine: str,
    state: str,
    since: str | None,
    until: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Draw when a state of a machine was active."""
    with _opened(ctx) as asked:
        ask = asked.questions
        found = ask.intervals(machine, state, since, until)
        if as_json:
            print_lines(interval_json(i) for i in islice(found, limit))
            return
        horizon = ask.machine(machine).horizon
        low = horizon if since is None else max(ask.moment(since, machine), horizon)
        high = ask.moment(until, machine)
        most = limit or LIMIT
        spans = list(islice(found, most + 1))
        share = ask.uptime(state, low, high, machine) if low < high else None
    tables.print_intervals(state, spans[:most], low, high, share)
    if len(spans) > most:
        print_hint(
            f"there are more: the same again with --since {format_time(spans[most - 1].end or high)}, or with --limit"
        )


@history.command()
@click.argument("t1")
@click.argument("t2", required=False)
@click.option("--machine", "-m", "machines", multiple=True, help="Only this one; may be repeated. [default: all]")
@_json
@click.pass_context
def diff(ctx: click.Context, t1: str, t2: str | None, machines: tuple[str, ...], as_json: bool) -> None:
    """Compare all machines at moment T1 with T2, or with now."""
    with _opened(ctx) as asked:
        found = asked.questions.diff(t1, t2, list(dict.fromkeys(machines)) or None)
    if as_json:
        print_lines(diff_json(d) for d in found.values())
        return
    tables.print_differences(found.values())


@history.command()
@_json
@click.pass_context
def stats(ctx: click.Context, as_json: bool) -> None:
    """Tell how much is recorded, of whom, and from when on."""
    with _opened(ctx) as asked:
        rows, size = asked.store.size()
        counts = asked.store.counts()
        found = asked.questions.machines()
        url = asked.store.url
    ranked = sorted(((counts.get(m.id, 0), m) for m in found), key=lambda pair: (-pair[0], pair[1].name))
    first = min((m.first_at for m in found), default=None)
    last = max((m.last_at for m in found), default=None)
    horizon = max((m.horizon for m in found if m.horizon > m.first_at), default=None)
    if as_json:
        about = {"url": url, "rows": rows, "bytes": size, "machines": len(found)}
        each = [{"machine": m.name, "owner": m.owner, "rows": count} for count, m in ranked]
        print_lines([{**about, **times(first=first, last=last, horizon=horizon), "rows_per_machine": each}])
        return
    tables.print_stats(url, rows, size, (first, last, horizon), ranked)


@history.command("export")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@_filters
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="The file. [default: to the standard output]")
@click.option("--format", "format", type=click.Choice(FORMATS), help="[default: as the file's name ends, else jsonl]")
@click.pass_context
def export_records(
    ctx: click.Context, /, machines: tuple[str, ...], output: str | None, format: Format | None, **filters: Any
) -> None:
    """Write transitions as JSON lines, CSV or Parquet.

    A file appears, or is replaced, when it is complete.
    """
    chosen = format or (format_of(output) if output is not None else "jsonl")
    check_format(chosen)
    if chosen == "parquet" and output is None:
        raise QuestionError("Parquet is not written to a pipe: name a file, as in -o past.parquet")
    with _opened(ctx) as asked:
        _spare(output, getattr(asked.store, "path", None))
        question = _question(machines, filters)
        records = asked.questions.between(**question)
        low, high = _reach(asked, question)
        try:
            if output is None:
                export(records, sys.stdout.buffer, chosen)
                return
            with watched(records, low, high) as taken:
                count = export_file(taken, output, chosen)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise  # click knows what to do
            raise QuestionError(f"cannot write {output or 'the output'}: {error.strerror or error}") from error
    print_hint(f"{count:,} transitions in {output}, {size_text(Path(output).stat().st_size)}")


def _spare(output: str | None, database: str | None) -> None:
    """Refuse to write over the database that is read."""
    if output is None or database is None:
        return
    if Path(output).exists() and Path(output).samefile(database):
        raise QuestionError(f"{output} is the history itself: name another file")


def _reach(asked: _Asked, question: dict[str, Any]) -> tuple[int, int]:
    """Return the window of an export in ns, for its progress."""
    names = question["machines"]
    one = names[0] if names is not None and len(names) == 1 else None
    known = asked.questions.machines()
    first = min((m.horizon for m in known), default=asked.now)
    last = max((m.last_at for m in known), default=asked.now)
    low = first if question["t1"] is None else max(first, asked.questions.moment(question["t1"], one))
    high = min(last, asked.questions.moment(question["t2"], one))
    return (high, low) if question["newest_first"] else (low, high)


# -- from options to questions


def _question(machines: tuple[str, ...], filters: dict[str, Any]) -> dict[str, Any]:
    names = list(dict.fromkeys(machines)) or None
    return {"t1": filters.pop("since"), "t2": filters.pop("until"), "machines": names, **filters}


def _place(text: str) -> tuple[int, int]:
    at, _, machine = text.partition(":")
    if not (at.lstrip("-").isdecimal() and machine.isdecimal()):
        raise QuestionError(f"{text!r} is no place to go on from: give --after what the page before said")
    return int(at), int(machine)
