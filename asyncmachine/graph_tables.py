"""The answers of `am graph`: tables for people, and what a line of JSON says for programs.

It imports what it prints with: so it is imported when there is something to print, and no sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from asyncmachine.history_view import TextTable, print_lines, safe, times
from graph.parts import BETWEEN_PEERS, Change, EdgeKey, Kind, Part, Vertex, key_to_json
from graph.spans import Difference
from graph.view import CutOff, View
from history import format_time
from history.graphs import GraphLife

MANY: Final = 12  # names in a line


def part_json(part: Part) -> dict[str, Any]:
    """Return a vertex or an edge as JSON."""
    return {**key_to_json(part.key), "tags": list(part.tags), **times(since=part.since)}


def print_lives(lives: Iterable[GraphLife], *, as_json: bool) -> None:
    """Print the recordings of graphs."""
    if as_json:
        print_lines({"graph": one.graph, **times(began=one.began, last=one.last), "ended": one.ended} for one in lives)
        return
    table = TextTable("graph", "from", "until", "")
    for one in lives:
        table.add(one.graph, format_time(one.began), format_time(one.last), "ended" if one.ended else "")
    table.print()


def print_edges(vertex: Vertex, edges: Iterable[Part], *, as_json: bool) -> None:
    """Print the edges of a vertex."""
    if as_json:
        print_lines(part_json(part) for part in edges)
        return
    table = TextTable("edge", "from", "to", "label", "since", "tags")
    for part in edges:
        assert isinstance(part.key, EdgeKey)
        link, source, target, label = part.key
        table.add(link, source, target, label, format_time(part.since), " ".join(part.tags))
    table.print(f"nothing leads to {vertex} or from it")


def print_vertices(view: View, parts: Iterable[Part], *, states: bool) -> None:
    """Print vertices of a graph; ``states``: those of machines too."""
    degrees = view.degrees()
    table = TextTable("kind", "vertex", "peer", ">edges", "since", "tags")
    for part in parts:
        key = part.key
        if not isinstance(key, Vertex) or (not states and key.kind is Kind.STATE):
            continue
        table.add(key.kind, key, key.peer, degrees.get(key, 0), format_time(part.since), " ".join(part.tags))
    table.print("nothing is there" if len(view) else "")


def print_way(edges: Iterable[EdgeKey], *, as_json: bool) -> None:
    """Print a way, edge by edge."""
    if as_json:
        print_lines(key_to_json(edge) for edge in edges)
        return
    for edge in edges:
        click.echo(safe(str(edge)))


def print_near(found: Mapping[Vertex, int], *, as_json: bool) -> None:
    """Print vertices with how far away they are."""
    if as_json:
        print_lines({"distance": far, **key_to_json(one)} for one, far in found.items())
        return
    table = TextTable(">distance", "kind", "vertex")
    for one, far in found.items():
        table.add(far, one.kind, one)
    table.print("nothing is near it")


def print_central(found: Iterable[tuple[Vertex, float]], degrees: Mapping[Vertex, int], *, as_json: bool) -> None:
    """Print vertices with their share of the shortest ways."""
    if as_json:
        print_lines({"centrality": share, "edges": degrees[one], **key_to_json(one)} for one, share in found)
        return
    table = TextTable(">centrality", ">edges", "kind", "vertex")
    for one, share in found:
        table.add(f"{share:.6f}", degrees[one], one.kind, one)
    table.print("no way leads over anything")


def print_difference(found: Difference, *, as_json: bool) -> None:
    """Print what came and what went."""
    both = [*((True, part) for part in found.came), *((False, part) for part in found.went)]
    if as_json:
        print_lines({"came": came, **part_json(part)} for came, part in both)
        return
    table = TextTable("", "what", "since")
    for came, part in both:
        table.add("+" if came else "-", part.key, format_time(part.since))
    table.print("the same was there at these moments")


def print_changes(found: Iterable[Change], *, as_json: bool) -> None:
    """Print what came and went, in order."""
    if as_json:
        print_lines({**change.to_json(), "time": times(_=change.at)["__time"]} for change in found)
        return
    table = TextTable("time", "", "what", "tags")
    for change in found:
        table.add(format_time(change.at), "+" if change.came else "-", change.key, " ".join(change.tags))
    table.print("nothing has changed")


@dataclass(frozen=True)
class Cohesion:
    """How the peers of a graph hold together; worked out while the graph is open, and printed after it."""

    rows: Sequence[tuple[int, Vertex]]  # the number of a part, and a peer in it
    critical: Sequence[Vertex]
    bridges: Sequence[tuple[Vertex, Vertex]]
    degrees: Mapping[Vertex, int]
    centrality: Mapping[Vertex, float]
    tags: Mapping[Any, str]

    @classmethod
    def of(cls, view: View) -> Cohesion:
        """Work it out."""
        peers = view.only(part.key for part in view.vertices(Kind.PEER) if isinstance(part.key, Vertex))
        return cls(
            [(number, peer) for number, part in enumerate(peers.components(), 1) for peer in part],
            peers.articulation_points(),
            peers.bridges(),
            peers.degrees(BETWEEN_PEERS),
            peers.centrality(BETWEEN_PEERS),
            {part.key: " ".join(part.tags) for part in peers.vertices()},
        )

    def print(self, *, as_json: bool) -> None:
        """Print each peer with what depends on it, and then the bridges."""
        if as_json:
            print_lines(
                {
                    "peer": peer.peer,
                    "part": number,
                    "critical": peer in self.critical,
                    "bridges": [other.peer for pair in self.bridges if peer in pair for other in pair if other != peer],
                    "edges": self.degrees.get(peer, 0),
                    "centrality": self.centrality.get(peer, 0.0),
                    "tags": self.tags[peer].split(),
                }
                for number, peer in self.rows
            )
            return
        table = TextTable(">part", "peer", ">edges", ">centrality", "critical", "tags")
        for number, peer in self.rows:
            share, critical = f"{self.centrality.get(peer, 0.0):.3f}", "critical" if peer in self.critical else ""
            table.add(number, peer, self.degrees.get(peer, 0), share, critical, self.tags[peer])
        table.print("no peers were there")
        if self.bridges:
            click.echo()
            table = TextTable("bridge", "")
            for a, b in self.bridges:
                table.add(a, b)
            table.print()


def print_loss(gone: CutOff, *, as_json: bool) -> None:
    """Print what the loss of a peer would cut off."""
    if as_json:
        parts = [[one.peer for one in part] for part in gone.parts]
        print_lines([{"peer": gone.peer.peer, "parts": parts, "machines": [one.machine for one in gone.machines]}])
        return
    names = ", ".join(one.machine for one in gone.machines[:MANY]) + (", …" if len(gone.machines) > MANY else "")
    click.echo(
        safe(f"Its {len(gone.machines):,} machines would be moved by nobody: {names}" if names else "It owns none.")
    )
    if len(gone.parts) < 2:
        click.echo("The other peers would still reach each other.")
        return
    click.echo(f"The other peers would fall into {len(gone.parts)} parts:")
    for number, part in enumerate(gone.parts, 1):
        click.echo(safe(f"{number}: {', '.join(str(one) for one in part)}"))
