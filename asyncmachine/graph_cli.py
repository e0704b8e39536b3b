"""`am graph`: what was connected to what, from the graphs in a history's database.

Invariants: as in `am history`, asking never makes a database, and what cannot be answered ends in one line and a status
of 2 (1 if it was the database's fault). ``--json`` prints one object a line, in which ``…at`` is a moment in ns since
1970 and ``…time`` the same as ISO 8601. Nothing heavy is imported before a question is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asyncmachine.command import Misused, history_option, json_option
from asyncmachine.graph_asked import find, find_peer, links_of, matching, near, opened

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


@graph.command("list")
@json_option
@click.pass_context
def list_lives(ctx: click.Context, as_json: bool) -> None:
    """List the recordings: of which graph, from when until when."""
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        lives = asked.past.lives()
    tables.print_lives(lives, as_json=as_json)


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
    from asyncmachine import graph_tables as tables
    from asyncmachine.history_view import print_lines
    from graph.parts import EdgeKey

    with opened(ctx) as asked:
        view = asked.view(at)
        if vertex is not None:
            found = find(view, vertex)
            edges = [p for p in view.edges() if isinstance(p.key, EdgeKey) and found in (p.key.source, p.key.target)]
            tables.print_edges(found, edges, as_json=as_json)
            return
        parts = matching(view, kind, peer, tag)
        if as_json:
            print_lines(tables.part_json(part) for part in (parts if kind or peer or tag else view))
        else:
            tables.print_vertices(view, parts, states=kind is not None)


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
    from asyncmachine import graph_tables as tables
    from asyncmachine.history_view import print_hint

    with opened(ctx) as asked:
        view = asked.view(at)
        ends = find(view, source), find(view, target)
        found = view.path(*ends, links=links_of(along))
    if found is None:
        print_hint(f"there is no way from {ends[0]} to {ends[1]}")
        ctx.exit(1)
    tables.print_way(found.edges, as_json=as_json)
    if not (found.edges or as_json):
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
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        view = asked.view(at)
        found = view.neighbours(find(view, vertex), distance, links=links_of(along), back=not forward)
    tables.print_near(found, as_json=as_json)


@graph.command()
@at_option
@json_option
@click.pass_context
def network(ctx: click.Context, at: str | None, as_json: bool) -> None:
    """Tell how the peers hold together: in which parts, and what must not fail.

    A peer is critical if the others would fall apart without it, a bridge is a connection that nothing can replace.
    """
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        found = tables.Cohesion.of(asked.view(at))
    found.print(as_json=as_json)


@graph.command()
@click.argument("peer")
@at_option
@json_option
@click.pass_context
def loss(ctx: click.Context, peer: str, at: str | None, as_json: bool) -> None:
    """Tell what the loss of a PEER would cut off."""
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        view = asked.view(at)
        gone = view.cut_off(find_peer(view, peer))
    tables.print_loss(gone, as_json=as_json)


@graph.command()
@click.option("--along", multiple=True, type=click.Choice(LINKS), help="Along these edges. [default: as changes go]")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many, at most.")
@at_option
@json_option
@click.pass_context
def central(ctx: click.Context, along: tuple[str, ...], limit: int, at: str | None, as_json: bool) -> None:
    """List what most shortest ways lead over: its failure, or its slowness, is felt by most others."""
    from itertools import islice

    from asyncmachine import graph_tables as tables
    from graph.parts import PIPES, Link

    links = links_of(along) or [Link.REQUIRE, Link.ADD, *PIPES]
    with opened(ctx) as asked:
        view = asked.view(at)
        found = list(islice(((one, share) for one, share in view.centrality(links).items() if share), limit))
        degrees = view.degrees(links)
    tables.print_central(found, degrees, as_json=as_json)


@graph.command()
@click.argument("t1")
@click.argument("t2", required=False)
@json_option
@click.pass_context
def diff(ctx: click.Context, t1: str, t2: str | None, as_json: bool) -> None:
    """Tell what came and what went from moment T1 to T2, or to the last one that is known."""
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        found = asked.past.diff(asked.moment(t1), None if t2 is None else asked.moment(t2))
    tables.print_difference(found, as_json=as_json)


@graph.command()
@click.option("--since", metavar="TIME", help="Only what is later. [default: the beginning]")
@json_option
@click.pass_context
def changes(ctx: click.Context, since: str | None, as_json: bool) -> None:
    """List what came and went, in order."""
    from asyncmachine import graph_tables as tables

    with opened(ctx) as asked:
        found = asked.past.changes(0 if since is None else asked.moment(since))
        tables.print_changes(found, as_json=as_json)


# -- inner


def format_of(output: str | None) -> str:
    """Return the format that a file's name ends with."""
    ends = {"md": "markdown", "mmd": "mermaid", "gv": "dot"}
    end = "dot" if output is None else Path(output).suffix.lstrip(".").lower()
    chosen = ends.get(end, end)
    if chosen not in FORMATS:
        raise Misused(ValueError(f"{output} does not say which format: give --format, one of {', '.join(FORMATS)}"))
    return chosen
