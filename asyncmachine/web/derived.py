"""A graph where none was recorded: owners as peers, machines, parents; of one machine its states and relations."""

from __future__ import annotations

from collections.abc import Collection

from asyncmachine.web.answers import EdgeAnswer, VertexAnswer
from asyncmachine.web.asked import AskGraph
from asyncmachine.web.parts import edge_answer, machine_answer, peer_answer
from asyncmachine.web.roster import Listed
from asyncmachine.web.source import Source
from graph.parts import RELATIONS, EdgeKey, Link, machine_vertex, peer_vertex, state_vertex


def derived(
    source: Source, at: int, ask: AskGraph, links: Collection[Link]
) -> tuple[list[VertexAnswer], list[EdgeAnswer]]:
    """Return what was known of machines at a moment as vertices and edges."""
    if ask.machine is not None:
        return _around(source, source.roster.find(ask.machine, ask.owner), at)
    known = source.roster.standing(source.store.snapshot(at, None))
    names = source.names()
    there = {one.base for one, _ in known}
    peers: dict[str, VertexAnswer] = {}
    machines: list[VertexAnswer] = []
    edges: list[EdgeAnswer] = []
    for one, _ in known:
        since, parent = one.row.first_at, one.row.parent
        if one.peer not in peers:
            peers[one.peer] = peer_answer(one.peer, names, since)
        machines.append(_machine(one))
        vertex = machine_vertex(one.row.name, one.peer)
        if Link.OWNS in links:
            edges.append(edge_answer(EdgeKey(Link.OWNS, peer_vertex(one.peer), vertex), since))
        if Link.PARENT in links and parent is not None and (one.peer, parent) in there:
            edges.append(edge_answer(EdgeKey(Link.PARENT, vertex, machine_vertex(parent, one.peer)), since))
    return [*peers.values(), *machines], edges


def _around(source: Source, one: Listed, at: int) -> tuple[list[VertexAnswer], list[EdgeAnswer]]:
    """Return a machine with its states and their relations, and the machines that it belongs to, or that to it."""
    name, peer, since = one.row.name, one.peer, one.row.first_at
    directory = source.roster.directory
    recorded = directory.schema_at(directory.entry(one.row.id), at)
    vertices = [peer_answer(peer, source.names(), since), _machine(one)]
    edges: list[EdgeAnswer] = []
    for state in recorded.states:
        vertices.append(machine_answer(state_vertex(name, state, peer), one.key, since))
    for state, rules in recorded.schema().items():
        for link in RELATIONS:
            for target in getattr(rules, link.value):
                ends = state_vertex(name, state, peer), state_vertex(name, target, peer)
                edges.append(edge_answer(EdgeKey(link, *ends), since, whole=True))
    machine = machine_vertex(name, peer)
    for other in source.roster.all():
        if other.peer != peer or other.rank != one.rank or other.row.first_at > at:
            continue
        far = machine_vertex(other.row.name, peer)
        if other.row.parent == name:
            edge = EdgeKey(Link.PARENT, far, machine)
        elif other.row.name == one.row.parent:
            edge = EdgeKey(Link.PARENT, machine, far)
        else:
            continue
        vertices.append(_machine(other))
        edges.append(edge_answer(edge, other.row.first_at))
    return vertices, edges


def _machine(one: Listed) -> VertexAnswer:
    return machine_answer(machine_vertex(one.row.name, one.peer), one.key, one.row.first_at, one.row.tags)
