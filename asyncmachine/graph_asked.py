"""The graph that a command asks about: how it is opened, and what the names mean that a user gives.

A vertex is a machine, a state as ``machine.State``, or a peer by the end of its id; ``END/machine`` is the one of that
peer. Nothing heavy is imported before a question is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from asyncmachine.command import failing

if TYPE_CHECKING:
    from graph.parts import Link, Part, Vertex
    from graph.past import PastGraph
    from graph.view import View

SILENCE: Final = 60 * 10**9  # ns without a sign of life, after which that is said


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
