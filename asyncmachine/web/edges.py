"""The answer about the graph: peers, machines and what is between them; of one machine its states and relations, too.

Where no graph was recorded, one is derived; see `derived`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from asyncmachine.web.answers import EdgeAnswer, GraphAnswer, VertexAnswer
from asyncmachine.web.asked import MOST, AskGraph, WrongError
from asyncmachine.web.derived import derived
from asyncmachine.web.parts import Keys, edge_answer, short, vertex_of
from asyncmachine.web.source import Source
from graph.errors import NotRecordedError
from graph.parts import BETWEEN_PEERS, PIPES, RELATIONS, EdgeKey, Kind, Link, Part, Vertex, machine_vertex
from graph.view import View
from machine.errors import did_you_mean

SHOWN = (*PIPES, Link.PARENT, Link.REPLICA, *BETWEEN_PEERS)  # unless others are asked for
AROUND = (*RELATIONS, *SHOWN, Link.OWNS)
EDGES = 5 * MOST


def graph(source: Source, ask: AskGraph) -> GraphAnswer:
    """Return the graph of a moment; around one machine, if one is asked about."""
    links = _links(ask.kinds)
    at = _last_known(source) if ask.at is None and source.mode != "peer" else source.moment(ask.at)
    if ask.form == "brief":
        return _in_brief(source, ask, at, SHOWN if links is None else links)
    if ask.pipes is not None:
        raise WrongError("pipes is for form=brief: in full they are in the answer in any case", "pipes")
    try:
        view = source.recorded_graph(ask.name).as_of(at)
    except NotRecordedError:
        view = None
    if view is None or (not len(view) and ask.name is None):
        return _answer(at, *derived(source, at, ask, SHOWN if links is None else links), is_derived=True)
    if ask.machine is not None:
        return _answer(at, *_around(source, view, ask, AROUND if links is None else links), is_derived=False)
    edges = [edge_answer(key, since, tags) for key, since, tags in _edges(view, SHOWN if links is None else links)]
    peers, names = view.vertices(Kind.PEER), source.names()
    keys = _keys(source, peers)
    vertices = [vertex_of(part, keys, names) for part in (*peers, *view.vertices(Kind.MACHINE))]
    return _answer(at, vertices, edges, is_derived=False)


def _last_known(source: Source) -> int:
    """Return the last moment of a stored history; if its graphs have ended, the last at which something was there."""
    lives = source.lives()
    return max(life.end for life in lives) if lives and all(life.ended for life in lives) else source.now()


def _in_brief(source: Source, ask: AskGraph, at: int, links: Collection[Link]) -> GraphAnswer:
    if ask.machine is not None or ask.owner is not None:
        raise WrongError("the states of a machine have no numbers: leave out form=brief, or machine and owner", "form")
    pipes_of = None if ask.pipes is None else source.roster.find(ask.pipes, None).row.id
    try:
        view = source.recorded_graph(ask.name).as_of(at)
    except NotRecordedError:
        view = None
    if view is None or (not len(view) and ask.name is None):
        return GraphAnswer(asked=str(at), vertices=[], edges=[], kinds={}, derived=True, truncated=False)
    names = source.names()
    brief, counts, is_cut = source.numbering.brief(
        view,
        called=lambda peer: names.get(peer) or short(peer),
        shown=links,
        counted=SHOWN,
        pipes_of=pipes_of,
        most=EDGES,
    )
    return GraphAnswer(asked=str(at), vertices=[], edges=[], kinds=counts, derived=False, truncated=is_cut, brief=brief)


def _links(kinds: str | None) -> tuple[Link, ...] | None:
    if kinds is None:
        return None
    known = {link.value: link for link in Link}
    found = []
    for kind in (text.strip() for text in kinds.split(",")):
        if kind not in known:
            raise WrongError(f"{kind[:80]!r} is no kind of edge{did_you_mean(kind[:80], known)}", "kinds")
        found.append(known[kind])
    return tuple(dict.fromkeys(found))


def _edges(view: View, links: Collection[Link]) -> Iterator[tuple[EdgeKey, int, tuple[str, ...]]]:
    for part in view.edges(links):
        assert isinstance(part.key, EdgeKey)
        yield part.key, part.since, part.tags


def _keys(source: Source, peers: Iterable[Part]) -> Keys:
    return Keys(source, [part.key.peer for part in peers if isinstance(part.key, Vertex) and "self" in part.tags])


def _around(
    source: Source, view: View, ask: AskGraph, links: Collection[Link]
) -> tuple[list[VertexAnswer], list[EdgeAnswer]]:
    """Return a machine with its states, their relations, and all that leads there or from there."""
    assert ask.machine is not None
    one, keys, names = (
        source.roster.find(ask.machine, ask.owner),
        _keys(source, view.vertices(Kind.PEER)),
        source.names(),
    )
    there = [part.key for part in view.vertices(machine=one.row.name) if isinstance(part.key, Vertex)]
    mine = {v for v in there if keys.of(v) == one.key} or {v for v in there if v.peer == one.peer}
    wanted = set(links)
    # by their keys: parts are made of the few that lead there only
    (columns, rows), (edges, edge_rows) = view.tables
    keyed = zip(edge_rows.tolist(), edges.keys_of(edge_rows), strict=True)
    found = [
        (key, edges.part(row))
        for row, key in keyed
        if isinstance(key, EdgeKey) and key.link in wanted and (key.source in mine or key.target in mine)
    ]
    ends = dict.fromkeys(end for key, _ in found for end in (key.source, key.target))
    near = {*mine, *ends, *(machine_vertex(end.machine, end.peer) for end in ends if end.machine)}
    places = zip(rows.tolist(), columns.keys_of(rows), strict=True)
    vertices = [vertex_of(columns.part(row), keys, names) for row, key in places if key in near]
    return vertices, [edge_answer(key, part.since, part.tags, whole=True) for key, part in found]


def _answer(at: int, vertices: list[VertexAnswer], edges: Iterable[EdgeAnswer], *, is_derived: bool) -> GraphAnswer:
    ids = {vertex.id for vertex in vertices}
    held = [edge for edge in edges if edge.source in ids and edge.target in ids]
    return GraphAnswer(
        asked=str(at),
        vertices=vertices,
        edges=held[:EDGES],
        kinds=dict(Counter(edge.kind for edge in held)),
        derived=is_derived,
        truncated=len(held) > EDGES,
    )
