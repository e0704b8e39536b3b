"""What is known when a replay is over: asked of the observer's history, and of nothing else."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

import asyncmachine as am
from asyncmachine.flights.data import HOUR, MINUTE
from asyncmachine.flights.model import Airport, Flight
from asyncmachine.flights.observe import MOODS, STAGES, first_active
from asyncmachine.history_view import size_text, span_text

SETTLED = 10**9  # ns after which all that a file has for a minute is done: it is stamped with that minute, and some ns
MOMENT = 1_360_375_200 * 10**9  # 2013-02-09T02:00:00Z: in the middle of the blizzard
IN_MEMORY = ("memory:", "sqlite://", "sqlite:///:memory:")  # URLs of what is gone with the program
ENDS = ("landed", "diverted", "cancelled")  # of a flight
STYLES = {"closed": "red", "disrupted": "yellow", "cancelled": "red", "open": "green", "busy": "green"}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took: seconds of a processor, and the most bytes in memory at a time."""

    cpu: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a replay took.

    Attributes:
        seconds: from the go to the end.
        first_replica, all_replicas: seconds from the start of the program to the first replica, and to one of each.
        latency: of records, ms, at 50 and 99 of 100.
        peers: by name, those that could still say.
        restarts: how often an airport was started again.
        complete: whether all that happened is in the history.
        believed: rows of what airports believed of each other.
    """

    seconds: float
    first_replica: float | None
    all_replicas: float | None
    latency: tuple[int | None, int | None]
    peers: dict[str, Spent]
    restarts: int
    complete: bool
    believed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a history says. Times in ns since 1970.

    Attributes:
        url: where the history is.
        start, end: of the whole replay.
        until: up to where it came.
        flights: how many of each airport ended how, or are how far, in the end; ``delayed`` counts on top of that.
        carriers: the same by carrier.
        closed: from when to when each airport was; None: it still is.
        moment: one in the middle.
        airborne, moods: what was in the air then, and how the airports were, by airport.
        example: a flight to ask about.
        rows: of the history, but for what was believed.
        bytes: of it.
        cost: see `Cost`.
    """

    url: str
    start: int
    end: int
    until: int
    flights: dict[str, dict[str, int]]
    carriers: dict[str, dict[str, int]]
    closed: dict[str, list[tuple[int, int | None]]]
    moment: int
    airborne: dict[str, int]
    moods: dict[str, str]
    example: str
    rows: int
    bytes: int
    cost: Cost
    totals: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Add up what the airports have."""
        totals: Counter[str] = Counter()
        for counts in self.flights.values():
            totals.update(counts)
        object.__setattr__(self, "totals", dict(totals))

    @property
    def is_whole(self) -> bool:
        """Whether the replay came to its end."""
        return self.until >= self.end


async def ask(
    store: am.History, airports: Mapping[str, str], *, start: int, end: int, replayed: int, cost: Cost
) -> Report:
    """Ask a history what happened.

    Args:
        store: the history.
        airports: peer ids by code.
        start, end: of the whole replay.
        replayed: up to where everything is there.
        cost: what it took.
    """
    codes = {owner: code for code, owner in airports.items()}
    flights = {code: Counter[str]() for code in airports}
    carriers: dict[str, Counter[str]] = {}
    machines = [info for info in await store.machines() if info.owner in codes]
    infos = {(info.owner, info.name): info for info in machines if "flight" in info.tags}
    known = {(info.owner, info.name) for info in machines}
    until = min(max((info.last_at for info in machines), default=start), end) if cost.complete else replayed
    examples: list[str] = []
    for then in (await store.network(until)).values():
        info = infos.get((then.owner, then.machine))
        if info is None or then.owner not in codes:
            continue
        words = [first_active(then.clock, STAGES)]
        if then.clock[Flight.Delayed]:
            words.append("delayed")
        carrier = next(tag.partition(":")[2] for tag in info.tags if tag.startswith("carrier:"))
        flights[codes[then.owner]].update(words)
        carriers.setdefault(carrier, Counter()).update(words)
        if words[0] == "cancelled":
            examples.append(then.machine)
    moment = MOMENT if start < MOMENT <= until else max((start + (until - start) // 2) // HOUR * HOUR, start)
    network = await store.network(moment + SETTLED)
    airborne = dict.fromkeys(airports, 0)
    moods = {}
    for then in network.values():
        code = codes.get(then.owner)
        if code is None:
            continue
        if (then.owner, then.machine) in infos:
            airborne[code] += then.is_active(Flight.Airborne)
        elif then.machine == code:
            moods[code] = first_active(then.clock, MOODS)
    closed = {}
    for code, owner in airports.items():
        spans = await store.intervals((owner, code), Airport.Closed, start, until) if (owner, code) in known else []
        closed[code] = [(span.start, span.end if span.ended else None) for span in spans]
    rows, size = await trio.to_thread.run_sync(store.store.size)
    return Report(
        url=store.store.url,
        start=start,
        end=end,
        until=until,
        flights={code: dict(counts) for code, counts in flights.items()},
        carriers={carrier: dict(carriers[carrier]) for carrier in sorted(carriers)},
        closed=closed,
        moment=moment,
        airborne=airborne,
        moods=moods,
        example=min(examples, default=""),
        rows=rows - cost.believed,
        bytes=size,
        cost=cost,
    )


# -- for people


def minute(at: int) -> str:
    """Return a moment to the minute."""
    return f"{am.format_time(at // MINUTE * MINUTE)[:-4]}Z"


def show(report: Report, console: Console) -> None:
    """Print it."""
    console.print(_heading(report))
    console.print()
    console.print(_flights(report))
    console.print()
    console.print(_closed(report))
    console.print()
    console.print(_network(report))
    console.print()
    for line in _costs(report):
        console.print(line, soft_wrap=True)
    commands = list(suggestions(report))
    if commands:
        console.print()
        console.print(Text("Ask more:", "bold"))
        for command in commands:
            console.print(Text(f"  {command}", "cyan"), soft_wrap=True)


def _heading(report: Report) -> Text:
    window = f"{minute(report.start)} to {minute(report.until)}"
    if report.is_whole:
        return Text(f"All of it: {window}.", "bold")
    missing = "" if report.cost.complete else " Some of what happened last is not in the history."
    return Text(f"Interrupted: {window}, of what goes on until {minute(report.end)}.{missing}", "bold")


def _grid(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left", no_wrap=True)
    return table


def _flights(report: Report) -> Table:
    columns: dict[str, tuple[str, ...]] = {word: (word,) for word in ENDS}
    if not report.is_whole:
        columns |= {"airborne": ("airborne",), "waiting": ("scheduled", "boarding")}
    columns |= {"in all": tuple(word for _, word in STAGES), "delayed": ("delayed",)}
    table = _grid("flights", *(f">{title}" for title in columns))
    for code, counts in [*sorted(report.flights.items()), ("all", report.totals)]:
        cells = []
        for title, words in columns.items():
            count = sum(counts.get(word, 0) for word in words)
            cells.append(Text(f"{count:,}", STYLES.get(title, "") if count else ""))
        table.add_row(code, *cells, style="bold" if code == "all" else "")
    return table


def _closed(report: Report) -> Table:
    table = _grid("closed", "from", "until", ">for")
    for code, spans in sorted(report.closed.items()):
        for start, end in spans:
            lasted = span_text(((report.until if end is None else end) // MINUTE - start // MINUTE) * MINUTE)
            table.add_row(
                code, minute(start), "still closed" if end is None else minute(end), lasted.removesuffix("00s")
            )
        if not spans:
            table.add_row(code, Text("never", "dim"), "", "")
    return table


def _network(report: Report) -> Table:
    table = _grid(f"as of {minute(report.moment)}", "airport", ">airborne")
    for code in sorted(report.airborne):
        mood = report.moods.get(code, "unknown")
        table.add_row(code, Text(mood, STYLES.get(mood, "")), f"{report.airborne[code]:,}")
    return table


def _costs(report: Report) -> Iterator[Text]:
    cost = report.cost
    rate = report.rows / cost.seconds if cost.seconds else 0.0
    size = "" if report.url in IN_MEMORY else f"; {size_text(report.bytes)} on disk"
    yield Text(f"{report.rows:,} transitions in {cost.seconds:.1f} s, {rate:,.0f} a second{size}.")
    if cost.believed:
        yield Text(f"{cost.believed:,} times an airport heard of another one; what it then believed is kept, too.")
    p50, p99 = cost.latency
    if p50 is not None:
        yield Text(f"A record of an airport was here after {p50} ms (p50), {p99} ms (p99).")
    if cost.restarts:
        yield Text(f"Airports that were killed and came back: {cost.restarts}.", "yellow")


def suggestions(report: Report) -> Iterator[str]:
    """Yield commands that ask the same history, and work as they are."""
    url = report.url
    if url in IN_MEMORY:
        return
    code = min(report.flights)
    place = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else url
    yield f"export AM_HISTORY={shlex.quote(_short(place))}"
    yield f"am history intervals {code} Closed --until {minute(report.until)}"
    yield f"am history show {code} --at {minute(report.moment)}"
    yield f"am history log {code} --since {minute(report.moment)} --limit 5"
    if report.example:
        yield f"am history log {report.example}"


def _short(place: str) -> str:
    """Return a path with ``~`` for the home directory: `am history` reads that, too."""
    home = f"{Path.home()}/"
    return f"~/{place.removeprefix(home)}" if place.startswith(home) and len(home) > 2 else place


# -- for programs


def as_json(report: Report) -> dict[str, Any]:
    """Return it as one JSON object; moments twice, in ns and as ISO 8601."""
    cost = report.cost

    def moments(**named: int | None) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, at in named.items():
            out[f"{name}_at"] = at
            out[f"{name}_time"] = None if at is None else am.format_time(at)
        return out

    return {
        "history": report.url,
        "whole": report.is_whole,
        "complete": cost.complete,
        **moments(start=report.start, until=report.until, end=report.end),
        "flights": report.totals,
        "airports": report.flights,
        "carriers": report.carriers,
        "closed": {
            code: [moments(start=start, end=end) for start, end in spans] for code, spans in report.closed.items()
        },
        "network": {**moments(moment=report.moment), "airborne": report.airborne, "airports": report.moods},
        "transitions": report.rows,
        "beliefs": cost.believed,
        "bytes": report.bytes,
        "seconds": round(cost.seconds, 3),
        "first_replica_seconds": cost.first_replica,
        "all_replicas_seconds": cost.all_replicas,
        "latency_ms": {"p50": cost.latency[0], "p99": cost.latency[1]},
        "restarts": cost.restarts,
        "peers": {name: {"cpu_seconds": spent.cpu, "memory": spent.memory} for name, spent in cost.peers.items()},
        "commands": list(suggestions(report)),
    }
