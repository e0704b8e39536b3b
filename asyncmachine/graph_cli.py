"""`am graph`: what was connected to what, from the graphs in a history's database.

Invariants: as in `am history`, asking never makes a database, and what cannot be answered ends in one line and a status
of 2 (1 if it was the database's fault). ``--json`` prints one object a line, in which ``…at`` is a moment in ns since
1970 and ``…time`` the same as ISO 8601. Nothing heavy is imported before a question is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asyncmachine.command import Misused, failing, history_option, json_option

if TYPE_CHECKING:
    from graph.parts import Link, Part, Vertex
    from graph.past import PastGraph
    from graph.view import View

FORMATS: Final = ("d2", "dot", "graphml", "json", "jsonl", "markdown", "mermaid", "svg", "xml")
LINKS: Final = (
    "has",
    "require",
    "add",
    "remove",
    "after",
    "pipe add",
    "pipe remove",
    "parent",
    "owns",
    "replica",
    "connection",
    "mesh",
    "neighbour",
    "session",
)
MANY: Final = 12  # names in a line
SILENCE: Final = 60 * 10**9  # ns without a sign of life, after which that is said

KINDS: Final = ("peer", "machine", "state")

peer_option = click.option("--peer", metavar="END", help="Only those of a peer, by the end of its id.")
tag_option = click.option("--tag", help="Only those with a tag.")
at_option = click.option("--at", metavar="TIME", help="The moment. [default: the last one that is known]")


@click.group()
@history_option
@click.option("--graph", "-g", "name", metavar="NAME", help="Which graph. [default: all that are there, as one]")
@click.pass_context
def graph(ctx: click.Context, url: str | None, name: str | None) -> None:
    """Ask what was connected to what: machines, states, pipes and peers.

    A program records it with open_graph. A TIME is ISO 8601 (UTC, unless it names a zone), "5m ago", or now. A VERTEX
    is a machine, a state as machine.State, or a peer by the end of its id; END/machine is the one of that peer.
    """
    ctx.obj = (url, name)


class Asked:
    """An open history, and the graph in it that is asked for."""

    def __init__(self, past: PastGraph, now: int) -> None:
        self.past = past
        self._now = now

    def moment(self, text: str) -> int:
        """Return a moment in ns."""
        from history import LogicalTime, QuestionError, parse_when

        when = parse_when(text, self._now)
        if isinstance(when, LogicalTime):
            raise QuestionError(f"{text} is a machine's own time, and a graph has many machines: name a moment")
        return when

    def view(self, at: str | None) -> View:
        """Return the graph of a moment, and say what one should know of it."""
        from asyncmachine.history_view import print_hint, span_text
        from history import format_time

        lives = self.past.lives()
        view = self.past.as_of(None if at is None else self.moment(at))
        if at is not None and not len(view):
            first, last = min(life.began for life in lives), self.past.latest()
            print_hint(f"nothing was there then: it is known from {format_time(first)} until {format_time(last)}")
        if at is None:
            last_life = max(lives, key=lambda life: life.last)
            silent = self._now - last_life.last
            if last_life.ended:
                print_hint(f"the recording ended at {format_time(last_life.last)}: this is how it was then")
            elif silent > SILENCE:
                print_hint(
                    f"nothing was heard of it for {span_text(silent)}: this is how it was at"
                    f" {format_time(last_life.last)}"
                )
        return view


@contextmanager
def opened(ctx: click.Context) -> Iterator[Asked]:
    """Open the history for reading; it has to be there."""
    import time

    from asyncmachine.stored import opened_store
    from graph.past import PastGraph

    url, name = ctx.obj
    maker = "open_history, and records its graph there with open_graph"
    with failing(), opened_store(url, "am graph", maker) as (store, last):
        yield Asked(PastGraph(store, name), max(time.time_ns(), last))


# -- the commands


@graph.command("list")
@json_option
@click.pass_context
def list_lives(ctx: click.Context, as_json: bool) -> None:
    """List the recordings: of which graph, from when until when."""
    from asyncmachine.history_view import TextTable, print_lines, times
    from history import format_time

    with opened(ctx) as asked:
        lives = asked.past.lives()
    if as_json:
        print_lines({"graph": one.graph, **times(began=one.began, last=one.last), "ended": one.ended} for one in lives)
        return
    table = TextTable("graph", "from", "until", "")
    for one in lives:
        table.add(one.graph, format_time(one.began), format_time(one.last), "ended" if one.ended else "")
    table.print()


@graph.command()
@click.argument("vertex", required=False)
@at_option
@click.option("--kind", type=click.Choice(KINDS), help="Only these. [default: no states]")
@peer_option
@tag_option
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    vertex: str | None,
    at: str | None,
    kind: str | None,
    peer: str | None,
    tag: str | None,
    as_json: bool,
) -> None:
    """Show what was there, or what leads to a VERTEX and from it."""
    from asyncmachine.history_view import TextTable, print_lines
    from graph.parts import EdgeKey, Kind, Vertex
    from history import format_time

    with opened(ctx) as asked:
        view = asked.view(at)
        if vertex is not None:
            found = find(view, vertex)
            edges = [p for p in view.edges() if isinstance(p.key, EdgeKey) and found in (p.key.source, p.key.target)]
            if as_json:
                print_lines(part_json(part) for part in edges)
                return
            table = TextTable("edge", "from", "to", "label", "since", "tags")
            for part in edges:
                assert isinstance(part.key, EdgeKey)
                link, source, target, label = part.key
                table.add(link, source, target, label, format_time(part.since), " ".join(part.tags))
            table.print(f"nothing leads to {found} or from it")
            return
        parts = matching(view, kind, peer, tag)
        if as_json:
            print_lines(part_json(part) for part in (parts if kind or peer or tag else view))
            return
        degrees = view.degrees()
        table = TextTable("kind", "vertex", "peer", ">edges", "since", "tags")
        for part in parts:
            key = part.key
            if not isinstance(key, Vertex) or (kind is None and key.kind is Kind.STATE):
                continue
            table.add(key.kind, key, key.peer, degrees.get(key, 0), format_time(part.since), " ".join(part.tags))
        table.print("nothing is there" if len(view) else "")


@graph.command()
@click.option(
    "--format", "-f", "format", type=click.Choice(FORMATS), help="[default: as the file's name ends, else dot]"
)
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="The file. [default: to the standard output]")
@click.option("--around", metavar="VERTEX", help="Only what is near this.")
@click.option("--distance", type=click.IntRange(min=1), default=2, show_default=True, help="How near, in edges.")
@click.option("--kind", type=click.Choice(KINDS), help="Only these. [default: all]")
@peer_option
@tag_option
@at_option
@click.pass_context
def export(
    ctx: click.Context,
    format: str | None,
    output: str | None,
    around: str | None,
    distance: int,
    kind: str | None,
    peer: str | None,
    tag: str | None,
    at: str | None,
) -> None:
    """Write the graph for another tool, or as a picture (svg)."""
    import sys

    from asyncmachine.history_view import print_hint, size_text
    from graph.formats import graph_formats
    from graph.parts import Vertex

    chosen = format or format_of(output)
    with opened(ctx) as asked:
        view = asked.view(at)
        if around is not None:
            view = near(view, find(view, around), distance)
        if kind or peer or tag:
            view = view.only(part.key for part in matching(view, kind, peer, tag) if isinstance(part.key, Vertex))
        text = graph_formats[chosen](view).encode()
    if output is None:
        sys.stdout.buffer.write(text)
        return
    try:
        Path(output).write_bytes(text)
    except OSError as error:
        raise Misused(ValueError(f"cannot write {output}: {error.strerror or error}")) from error
    print_hint(f"{len(view):,} vertices and edges in {output}, {size_text(len(text))}")


@graph.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--along", multiple=True, type=click.Choice(LINKS), help="Along these edges. [default: as changes go]")
@at_option
@json_option
@click.pass_context
def path(ctx: click.Context, source: str, target: str, along: tuple[str, ...], at: str | None, as_json: bool) -> None:
    """Tell how a change of one state or machine can reach another: along pipes, require and add."""
    from asyncmachine.history_view import print_hint, print_lines, safe
    from graph.parts import key_to_json

    with opened(ctx) as asked:
        view = asked.view(at)
        ends = find(view, source), find(view, target)
        found = view.path(*ends, links=links_of(along))
    if found is None:
        print_hint(f"there is no way from {ends[0]} to {ends[1]}")
        ctx.exit(1)
    if as_json:
        print_lines(key_to_json(edge) for edge in found.edges)
        return
    for edge in found.edges:
        click.echo(safe(str(edge)))
    if not found.edges:
        print_hint(f"{ends[0]} is {ends[1]}")


@graph.command()
@click.argument("vertex")
@click.option("--distance", "-d", type=click.IntRange(min=1), default=1, show_default=True, help="In edges, at most.")
@click.option("--along", multiple=True, type=click.Choice(LINKS), help="Along these edges. [default: all]")
@click.option("--forward", is_flag=True, help="Only along the direction of the edges.")
@at_option
@json_option
@click.pass_context
def neighbours(
    ctx: click.Context,
    vertex: str,
    distance: int,
    along: tuple[str, ...],
    forward: bool,
    at: str | None,
    as_json: bool,
) -> None:
    """List what is near a VERTEX, nearest first."""
    from asyncmachine.history_view import TextTable, print_lines
    from graph.parts import key_to_json

    with opened(ctx) as asked:
        view = asked.view(at)
        found = view.neighbours(find(view, vertex), distance, links=links_of(along), back=not forward)
    if as_json:
        print_lines({"distance": far, **key_to_json(one)} for one, far in found.items())
        return
    table = TextTable(">distance", "kind", "vertex")
    for one, far in found.items():
        table.add(far, one.kind, one)
    table.print("nothing is near it")


@graph.command()
@at_option
@json_option
@click.pass_context
def network(ctx: click.Context, at: str | None, as_json: bool) -> None:
    """Tell how the peers hold together: in which parts, and what must not fail.

    A peer is critical if the others would fall apart without it, a bridge is a connection that nothing can replace.
    """
    from asyncmachine.history_view import TextTable, print_lines
    from graph.parts import BETWEEN_PEERS, Kind, Vertex

    with opened(ctx) as asked:
        view = asked.view(at)
        peers = view.only(part.key for part in view.vertices(Kind.PEER) if isinstance(part.key, Vertex))
        parts, critical, bridges = peers.components(), peers.articulation_points(), peers.bridges()
        degrees, central = peers.degrees(BETWEEN_PEERS), peers.centrality(BETWEEN_PEERS)
        tags = {part.key: " ".join(part.tags) for part in peers.vertices()}
    rows = [(number, peer) for number, part in enumerate(parts, 1) for peer in part]
    if as_json:
        print_lines(
            {
                "peer": peer.peer,
                "part": number,
                "critical": peer in critical,
                "bridges": [other.peer for pair in bridges if peer in pair for other in pair if other != peer],
                "edges": degrees.get(peer, 0),
                "centrality": central.get(peer, 0.0),
                "tags": tags[peer].split(),
            }
            for number, peer in rows
        )
        return
    table = TextTable(">part", "peer", ">edges", ">centrality", "critical", "tags")
    for number, peer in rows:
        share = f"{central.get(peer, 0.0):.3f}"
        table.add(number, peer, degrees.get(peer, 0), share, "critical" if peer in critical else "", tags[peer])
    table.print("no peers were there")
    if bridges:
        click.echo()
        table = TextTable("bridge", "")
        for a, b in bridges:
            table.add(a, b)
        table.print()


@graph.command()
@click.argument("peer")
@at_option
@json_option
@click.pass_context
def loss(ctx: click.Context, peer: str, at: str | None, as_json: bool) -> None:
    """Tell what the loss of a PEER would cut off."""
    from asyncmachine.history_view import print_lines, safe

    with opened(ctx) as asked:
        view = asked.view(at)
        gone = view.cut_off(find_peer(view, peer))
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


@graph.command()
@click.option("--along", multiple=True, type=click.Choice(LINKS), help="Along these edges. [default: as changes go]")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many, at most.")
@at_option
@json_option
@click.pass_context
def central(ctx: click.Context, along: tuple[str, ...], limit: int, at: str | None, as_json: bool) -> None:
    """List what most shortest ways lead over: its failure, or its slowness, is felt by most others."""
    from itertools import islice

    from asyncmachine.history_view import TextTable, print_lines
    from graph.parts import PIPES, Link, key_to_json

    links = links_of(along) or [Link.REQUIRE, Link.ADD, *PIPES]
    with opened(ctx) as asked:
        view = asked.view(at)
        found = list(islice(((one, share) for one, share in view.centrality(links).items() if share), limit))
        degrees = view.degrees(links)
    if as_json:
        print_lines({"centrality": share, "edges": degrees[one], **key_to_json(one)} for one, share in found)
        return
    table = TextTable(">centrality", ">edges", "kind", "vertex")
    for one, share in found:
        table.add(f"{share:.6f}", degrees[one], one.kind, one)
    table.print("no way leads over anything")


@graph.command()
@click.argument("t1")
@click.argument("t2", required=False)
@json_option
@click.pass_context
def diff(ctx: click.Context, t1: str, t2: str | None, as_json: bool) -> None:
    """Tell what came and what went from moment T1 to T2, or to the last one that is known."""
    from asyncmachine.history_view import TextTable, print_lines
    from history import format_time

    with opened(ctx) as asked:
        found = asked.past.diff(asked.moment(t1), None if t2 is None else asked.moment(t2))
    both = [*((True, part) for part in found.came), *((False, part) for part in found.went)]
    if as_json:
        print_lines({"came": came, **part_json(part)} for came, part in both)
        return
    table = TextTable("", "what", "since")
    for came, part in both:
        table.add("+" if came else "-", part.key, format_time(part.since))
    table.print("the same was there at these moments")


@graph.command()
@click.option("--since", metavar="TIME", help="Only what is later. [default: the beginning]")
@json_option
@click.pass_context
def changes(ctx: click.Context, since: str | None, as_json: bool) -> None:
    """List what came and went, in order."""
    from asyncmachine.history_view import TextTable, print_lines, times
    from history import format_time

    with opened(ctx) as asked:
        found = asked.past.changes(0 if since is None else asked.moment(since))
        if as_json:
            print_lines({**change.to_json(), "time": times(_=change.at)["__time"]} for change in found)
            return
        table = TextTable("time", "", "what", "tags")
        for change in found:
            table.add(format_time(change.at), "+" if change.came else "-", change.key, " ".join(change.tags))
    table.print("nothing has changed")


# -- inner


def find(view: View, text: str) -> Vertex:
    """Return the vertex that a text names.

    Raises:
        NotInGraphError: there is none, or there are several.
    """
    from difflib import get_close_matches

    from graph.errors import NotInGraphError
    from graph.parts import Vertex
    from history import format_time

    vertices = [key for key in view.all_keys() if isinstance(key, Vertex)]
    found = [vertex for vertex in vertices if is_named(vertex, text)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(map(str, found[:4])) + (", …" if len(found) > 4 else "")
        raise NotInGraphError(f"{text!r} may be {several}: put the end of the peer's id and / before the name")
    known = {vertex.machine + (f".{vertex.state}" if vertex.state else "") or vertex.peer: None for vertex in vertices}
    close = get_close_matches(text, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "am graph show lists what was there"
    raise NotInGraphError(f"there is no {text!r} in the graph at {format_time(view.at)}: {hint}")


def find_peer(view: View, text: str) -> Vertex:
    """Return the peer that a text names, by the end of its id.

    Raises:
        NotInGraphError: there is none, or there are several.
    """
    from graph.errors import NotInGraphError
    from graph.parts import Kind

    vertex = find(view, text)
    if vertex.kind is not Kind.PEER:
        raise NotInGraphError(f"{text!r} is a {vertex.kind}, and a peer is asked for: give the end of its id")
    return vertex


def is_named(vertex: Vertex, text: str) -> bool:
    """Tell whether a text names a vertex: a machine, a state of one, or a peer."""
    if not vertex.machine:
        return str(vertex) == text or (len(text) > 3 and vertex.peer.endswith(text.lstrip("….")))
    name = vertex.machine + (f".{vertex.state}" if vertex.state else "")
    if text == name:
        return True
    return text.endswith(f"/{name}") and vertex.peer.endswith(text.removesuffix(f"/{name}").lstrip("…."))


def near(view: View, vertex: Vertex, distance: int) -> View:
    """Return the part of a graph around a vertex, with whole machines."""
    from graph.parts import Kind, Vertex, machine_vertex

    close = [vertex, *view.neighbours(vertex, distance)]
    machines = dict.fromkeys(machine_vertex(one.machine, one.peer) for one in close if one.machine)
    states = (
        key
        for key in view.all_keys()
        if isinstance(key, Vertex) and key.kind is Kind.STATE and machine_vertex(key.machine, key.peer) in machines
    )
    return view.only([*close, *machines, *states])


def matching(view: View, kind: str | None, peer: str | None, tag: str | None) -> list[Part]:
    """Return the vertices of a kind, of a peer (the end of its id), with a tag; None: of any."""
    from graph.parts import Kind, Vertex

    end = "" if peer is None else peer.lstrip("….")
    found = view.vertices(None if kind is None else Kind(kind), tag=tag)
    return [part for part in found if isinstance(part.key, Vertex) and part.key.peer.endswith(end)]


def links_of(names: Iterable[str]) -> list[Link] | None:
    """Return kinds of edges by their names; None for none."""
    from graph.parts import Link

    return [Link(name) for name in names] or None


def format_of(output: str | None) -> str:
    """Return the format that a file's name ends with."""
    ends = {"md": "markdown", "mmd": "mermaid", "gv": "dot"}
    end = "dot" if output is None else Path(output).suffix.lstrip(".").lower()
    chosen = ends.get(end, end)
    if chosen not in FORMATS:
        raise Misused(ValueError(f"{output} does not say which format: give --format, one of {', '.join(FORMATS)}"))
    return chosen


def part_json(part: Part) -> dict[str, Any]:
    """Return a vertex or an edge as JSON."""
    from asyncmachine.history_view import times
    from graph.parts import key_to_json

    return {**key_to_json(part.key), "tags": list(part.tags), **times(since=part.since)}
