"""The answer about two moments: which machines differ, and what came into the graph, or went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncmachine.web.answers import DiffAnswer, GraphDiff, GraphPart, MachineDiff
from asyncmachine.web.asked import MOST, AskDiff
from asyncmachine.web.roster import Listed
from asyncmachine.web.source import Source
from graph.errors import NotRecordedError
from graph.parts import Kind, Link, Part, Vertex
from history.codec import Standing, decode_ticks

PARTS: Final = 2000  # of a graph that came, or went


def diff(source: Source, ask: AskDiff) -> DiffAnswer:
    """Return what is different between two moments, the earlier one first."""
    t1, t2 = sorted((source.moment(ask.t1, "t1"), source.moment(ask.t2, "t2")))
    before, after = _standing(source, t1), _standing(source, t2)
    machines: list[MachineDiff] = []
    unchanged = 0
    for base, (one, row) in after.items():
        was = before.get(base)
        if was is not None and was[1].ticks == row.ticks and was[1].at == row.at:
            unchanged += 1
            continue
        made = _differ(source, was, one, row)
        if made is None:
            unchanged += 1
        else:
            machines.append(made)
    graph, cut = _graph(source, t1, t2)
    return DiffAnswer(
        t1=str(t1),
        t2=str(t2),
        machines=machines[:MOST],
        graph=graph,
        unchanged=unchanged,
        truncated=cut or len(machines) > MOST,
    )


def _standing(source: Source, at: int) -> dict[tuple[str, str], tuple[Listed, Standing]]:
    rows = source.roster.standing(source.store.snapshot(at, None))
    return {one.base: (one, row) for one, row in rows}


def _ticks(source: Source, one: Listed, row: Standing) -> dict[str, int]:
    directory = source.roster.directory
    states = directory.schema_at(directory.entry(one.row.id), row.at).states
    return dict(zip(states, decode_ticks(row.ticks), strict=False))


def _differ(source: Source, was: tuple[Listed, Standing] | None, one: Listed, row: Standing) -> MachineDiff | None:
    then, now = {} if was is None else _ticks(source, *was), _ticks(source, one, row)
    ticks = {name: tick - then.get(name, 0) for name, tick in now.items() if tick != then.get(name, 0)}
    if not ticks and was is not None:
        return None
    return MachineDiff(
        key=one.key,
        machine=one.row.name,
        owner=one.row.owner,
        new=was is None,
        activated=[name for name, tick in now.items() if tick & 1 and not then.get(name, 0) & 1],
        deactivated=[name for name, tick in then.items() if tick & 1 and not now.get(name, 0) & 1],
        ticks=ticks,
    )


def _graph(source: Source, t1: int, t2: int) -> tuple[GraphDiff | None, bool]:
    try:
        found = source.graph.diff(t1, t2)
    except NotRecordedError:
        return None, False
    came, went = _shown(found.came), _shown(found.went)
    return GraphDiff(came=came[:PARTS], went=went[:PARTS]), max(len(came), len(went)) > PARTS


def _shown(parts: Sequence[Part]) -> list[GraphPart]:
    """Return what is worth telling: a state comes and goes with its machine."""
    found = []
    for part in parts:
        key = part.key
        if isinstance(key, Vertex):
            if key.kind is not Kind.STATE:
                found.append(GraphPart(kind=key.kind.value, label=str(key), vertex=True))
        elif key.link not in (Link.HAS, Link.REQUIRE, Link.ADD, Link.REMOVE, Link.AFTER):
            found.append(GraphPart(kind=key.link.value, label=str(key), vertex=False))
    return found
