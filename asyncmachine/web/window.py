"""A window of a history as a value: what was so at its beginning, and all that happened until its end; as a file, too.

    {"format": "asyncmachine window 1", "since": ns, "until": ns, "machines": [{"owner", "name", "rows": [[epoch, seq,
    base64]]}], "graph": [{"graph", "began", "last", "ended", "vertices", "edges"}]}

Rows are packed as the log of a machine is for a peer (`history.log`), and a file is judged as such a log is: it may
come from anybody. As SQLite, it is a history of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from asyncmachine.web.asked import WrongError
from asyncmachine.web.source import LAST, Source
from graph.parts import key_of
from history.codec import Row
from history.errors import LogError
from history.graphs import OPEN, GraphLife, GraphRow
from history.judging import judge
from history.log import LogPart
from history.packing import pack
from history.received import WrongError as WrongTextError
from history.received import check_text
from history.store import EVERY, Store

FORMAT: Final = "asyncmachine window 1"
ROWS: Final = 200_000  # of a window
PARTS: Final = 200_000  # of its graphs
CHUNK: Final = 2000

Number = Annotated[int, Meta(ge=0, le=LAST)]
Place = tuple[Number, Number, bytes]
Text = Annotated[str, Meta(max_length=4096)]


class WindowPart(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A vertex or an edge that was there in the window."""

    key: Annotated[list[Text], Meta(min_length=4, max_length=10)]
    tags: Annotated[list[Text], Meta(max_length=256)]
    since: Number
    until: Number


class WindowGraph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording of a graph, as far as it is in the window."""

    graph: Text
    began: Number
    last: Number
    ended: bool
    vertices: list[WindowPart]
    edges: list[WindowPart]


class WindowMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine, and its rows: the last one before the window first."""

    owner: Text
    name: Text
    rows: list[Place]


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window of a history. See above."""

    format: Annotated[str, Meta(max_length=80)]
    title: Text
    since: Annotated[int, Meta(ge=-LAST, le=LAST)]
    until: Annotated[int, Meta(ge=-LAST, le=LAST)]
    machines: list[WindowMachine]
    graph: list[WindowGraph]


# -- out of a history


def collect(source: Source, low: int, high: int) -> Window:
    """Return a window ``low < at <= high`` of a history.

    Raises:
        WrongError: there is too much in it.
    """
    rows = sum(count for _, count, _ in source.store.density(low, high, max(high - low, 1), None))
    if rows > ROWS:
        raise WrongError(f"the window has {rows:,} rows, and a file {ROWS:,} at most: choose a shorter one", "since")
    machines = []
    directory = source.roster.directory
    for one in source.roster.all():
        entry = directory.entry(one.row.id)
        directory.segments(entry, low, high)  # brings it up to date
        periods = list(zip(entry.starts, entry.schemas, strict=True))
        packed = pack(one.row, 0, _rows(source.store, one.row.id, low, high), periods, ROWS + 1, LAST).rows
        if packed:
            machines.append(WindowMachine(owner=one.row.owner, name=one.row.name, rows=list(packed)))
    graphs = [_graph(source.store, life, low, high) for life in source.lives() if life.began <= high]
    return Window(format=FORMAT, title=source.title, since=low, until=high, machines=machines, graph=graphs)


def _rows(store: Store, machine_id: int, low: int, high: int) -> Iterator[Row]:
    base = store.newest(machine_id, low)
    if base is not None:
        yield base
    while rows := store.scan(machine_id, low, high, EVERY, CHUNK, False):
        yield from rows
        low = rows[-1].at


def _graph(store: Store, life: GraphLife, low: int, high: int) -> WindowGraph:
    parts: dict[bool, list[WindowPart]] = {}
    for edges in (False, True):
        begin = max(low, life.began)
        found = [*store.graphs.rows(edges, life.id, min(begin, life.last))]
        for row in store.graphs.came(edges, life.id, begin, min(high, life.last)):
            found.append(row)
            if len(found) > PARTS:
                raise WrongError(f"the graph has more than {PARTS:,} changes: choose a shorter window", "since")
        found.sort(key=lambda row: row.number)
        parts[edges] = [
            WindowPart(list(row.key), list(row.tags), row.since, row.until if row.until <= high else OPEN)
            for row in found
        ]
    ended = life.ended and life.last <= high
    return WindowGraph(
        graph=life.graph,
        began=life.began,
        last=min(life.last, high),
        ended=ended,
        vertices=parts[False],
        edges=parts[True],
    )


# -- into a store


def read_window(body: bytes) -> Window:
    """Return a window that is in a JSON file.

    Raises:
        WrongError: it is none.
    """
    try:
        window = msgspec.json.decode(body, type=Window)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WrongError(f"this is no window of a history: {error}") from None
    if window.format != FORMAT:
        raise WrongError(f"this is a file of the format {window.format!r}, and this program knows {FORMAT!r}")
    return window


def fill(store: Store, window: Window) -> None:
    """Put a window into a store that is empty, and open.

    Raises:
        WrongError: something in it cannot be. Some of it is stored then.
    """
    try:
        for owner, parts in _judged(window).items():
            store.write_logs(owner, parts)
        for graph in window.graph:
            _fill_graph(store, graph)
    except (LogError, WrongTextError, ValueError) as error:
        raise WrongError(f"this is no window of a history: {error}") from None


def _judged(window: Window) -> dict[str, list[LogPart]]:
    if sum(len(machine.rows) for machine in window.machines) > ROWS + len(window.machines):
        raise WrongError(f"the file has more than {ROWS:,} rows", status=413)
    owners: dict[str, list[LogPart]] = {}
    seen: set[tuple[str, str]] = set()
    for machine in window.machines:
        identity = machine.owner, machine.name
        if identity in seen:
            raise WrongError(f"the file has {machine.name[:80]!r} of {machine.owner[:80]!r} twice")
        seen.add(identity)
        for text in identity:
            check_text(text)
        part = judge(identity, machine.rows, None, None, LAST)
        if part is not None:
            owners.setdefault(machine.owner, []).append(part)
    for parts in owners.values():
        number = 0
        for part in parts:  # each was judged alone: now they are one page
            part.order = list(range(number, number + len(part.rows)))
            number += len(part.rows)
    return owners


def _fill_graph(store: Store, graph: WindowGraph) -> None:
    if len(graph.vertices) + len(graph.edges) > 2 * PARTS or graph.last < graph.began:
        raise WrongError(f"the graph {graph.graph[:80]!r} ends before it begins, or is too large")
    check_text(graph.graph)
    life = store.graphs.begin(graph.graph, graph.began)
    if life.began != graph.began:
        raise WrongError(f"two recordings of the graph {graph.graph[:80]!r} are of the same time")
    made: dict[bool, list[GraphRow]] = {False: [], True: []}
    number = 0
    for edges, parts in ((False, graph.vertices), (True, graph.edges)):
        for part in parts:
            for text in (*part.key, *part.tags):
                check_text(text)
            key_of(part.key)
            if len(part.key) != (10 if edges else 4) or part.until <= part.since:
                raise WrongError(f"{part.key[0][:80]!r} of the graph {graph.graph[:80]!r} is none, or never was there")
            number += 1
            made[edges].append(GraphRow(life.id, number, tuple(part.key), tuple(part.tags), part.since, part.until))
    store.graphs.write(life.id, graph.last, made[False], made[True], (), ended=graph.ended)
