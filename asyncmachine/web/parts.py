"""Vertices and edges of a graph, as the page gets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyncmachine.web.answers import EdgeAnswer, VertexAnswer
from asyncmachine.web.roster import key_of
from asyncmachine.web.source import Source
from graph.parts import PIPES, EdgeKey, Kind, Link, Part, Vertex

_MUTATIONS = {Link.PIPE_ADD: "add", Link.PIPE_REMOVE: "remove"}


class Keys:
    """Which machine of the history a vertex is. Machines of the process that recorded have no owner there.

    Args:
        source: the history.
        selves: peers that recorded it.
    """

    def __init__(self, source: Source, selves: Iterable[str]) -> None:
        self._known = {(one.row.owner, one.row.name) for one in source.roster.all()}
        self._selves = {"", *selves}

    def of(self, vertex: Vertex) -> str | None:
        """Return the key of a machine, or of that of a state; None: it is not recorded."""
        name = vertex.machine
        if (vertex.peer, name) in self._known:
            return key_of(vertex.peer, name)
        if vertex.peer in self._selves and ("", name) in self._known:
            return key_of("", name)
        return None


def id_of(vertex: Vertex, *, whole: bool = True) -> str:
    """Return what to call a vertex; without its state, if that is not to be seen."""
    if vertex.kind is Kind.PEER:
        return f"p:{vertex.peer}"
    machine = f"{vertex.peer}/{vertex.machine}"
    return f"s:{machine}.{vertex.state}" if whole and vertex.kind is Kind.STATE else f"m:{machine}"


def short(peer: str) -> str:
    """Return what to call a peer that nobody has named."""
    return f"…{peer[-8:]}" if len(peer) > 20 else peer or "this process"


def vertex_of(part: Part, keys: Keys, names: Mapping[str, str]) -> VertexAnswer:
    """Return a vertex of a graph."""
    vertex = part.key
    assert isinstance(vertex, Vertex)
    if vertex.kind is Kind.PEER:
        return peer_answer(vertex.peer, names, part.since, part.tags)
    return machine_answer(vertex, keys.of(vertex), part.since, part.tags)


def peer_answer(peer: str, names: Mapping[str, str], since: int, tags: Iterable[str] = ()) -> VertexAnswer:
    """Return a peer as a vertex."""
    label = names.get(peer) or short(peer)
    return VertexAnswer(id=f"p:{peer}", kind="peer", peer=peer, label=label, since=str(since), tags=list(tags))


def machine_answer(vertex: Vertex, key: str | None, since: int, tags: Iterable[str] = ()) -> VertexAnswer:
    """Return a machine, or a state of one, as a vertex."""
    is_state = vertex.kind is Kind.STATE
    name = vertex.state if is_state else vertex.machine
    return VertexAnswer(
        id=id_of(vertex),
        kind="state" if is_state else "machine",
        peer=vertex.peer,
        machine=vertex.machine,
        key=key,
        name=name,
        label=name,
        since=str(since),
        tags=list(tags),
    )


def edge_answer(key: EdgeKey, since: int, tags: Iterable[str] = (), *, whole: bool = False) -> EdgeAnswer:
    """Return an edge; between the machines of its states, unless the whole is to be seen."""
    link, source, target, label = key
    told = label or None
    if link in PIPES:
        ends = f"{source.state or source.machine} → {target.state or target.machine}"
        told = f"{ends} ({label})" if label else ends
    return EdgeAnswer(
        id=f"{link.value}|{id_of(source)}|{id_of(target)}|{label}",
        kind=link.value,
        source=id_of(source, whole=whole),
        target=id_of(target, whole=whole),
        since=str(since),
        mutation=_MUTATIONS.get(link),
        label=told,
        tags=list(tags),
    )
