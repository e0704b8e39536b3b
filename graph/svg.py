"""A graph as a picture, without a browser: peers as columns, their machines as boxes below, states as rows in these.

The layout is fixed by the order of the graph, so the same graph is the same picture, and one that grew looks like the
one before with something added. Edges are curves beside the boxes, coloured by kind as in `graph.export.COLOURS`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from graph.export import COLOURS, xml_text
from graph.parts import PIPES, RELATIONS, EdgeKey, Kind, Link, Vertex
from graph.view import View

WIDTH, ROW, GAP, COLUMN, MARGIN = 210, 18, 22, 130, 24  # px
LETTERS = 24  # of a name; more are cut
TALLEST = 900  # px of a column, before the machines of a peer go on in the next one

DRAWN = (*PIPES, *RELATIONS, Link.PARENT, Link.REPLICA, Link.CONNECTION, Link.MESH, Link.NEIGHBOUR, Link.SESSION)


@dataclass(frozen=True, slots=True)
class _Box:
    """Where something is drawn, px."""

    x: float
    y: float
    height: float


def to_svg(view: View, *, links: Collection[Link] = DRAWN) -> str:
    """Return the graph as an SVG picture.

    Args:
        view: the graph.
        links: which edges are drawn. States stand in their machines, and machines below their peers, in any case.
    """
    places, body, size = _place(view)
    edges = [key for key in view.all_keys() if isinstance(key, EdgeKey) and key.link in links]
    curves = [_curve(edge, places[edge.source], places[edge.target]) for edge in edges]
    used = [link for link in Link if any(edge.link is link for edge in edges)]
    legend = [
        f'<text x="{MARGIN + 120 * i}" y="{size[1] + 14}" fill="{COLOURS[link]}">{escape(link)}</text>'
        for i, link in enumerate(used)
    ]
    width, height = max(size[0], MARGIN + 120 * len(used)), size[1] + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="sans-serif" font-size="12">'
    )
    marker = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="context-stroke"/></marker></defs>'
    )
    back = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, marker, back, *body, *curves, *legend, "</svg>", ""])


def _place(view: View) -> tuple[dict[Vertex, _Box], list[str], tuple[float, float]]:
    """Return where each vertex is, what is drawn of them, and how large it all is."""
    vertices = [key for key in view.all_keys() if isinstance(key, Vertex)]
    peers = list(dict.fromkeys(vertex.peer for vertex in vertices))
    states: dict[tuple[str, str], list[Vertex]] = {}
    for vertex in vertices:
        if vertex.kind is Kind.STATE:
            states.setdefault((vertex.peer, vertex.machine), []).append(vertex)
    known = set(vertices)
    places: dict[Vertex, _Box] = {}
    body: list[str] = []
    x, lowest = float(MARGIN), 0.0
    for peer in peers:
        y = float(MARGIN)
        vertex = Vertex(Kind.PEER, peer)
        if vertex in known:
            places[vertex] = _Box(x, y, ROW + 6)
            body.append(
                _rect(x, y, ROW + 6, "#edf2f7", 10) + _text(x + WIDTH / 2, y + 16, _end(str(vertex)), "middle", peer)
            )
            y += ROW + 6 + GAP
        top = y
        for machine in [v for v in vertices if v.kind is Kind.MACHINE and v.peer == peer]:
            rows = states.get((peer, machine.machine), [])
            height = ROW * (1 + len(rows)) + 8
            if y > top and y + height > TALLEST:
                x, y = x + WIDTH + COLUMN, top
            places[machine] = _Box(x, y, ROW)
            body.append(_rect(x, y, height, "#f7fafc", 4))
            body.append(_text(x + 8, y + 14, machine.machine, "start", machine.machine, bold=True))
            for i, state in enumerate(rows, 1):
                places[state] = _Box(x, y + ROW * i, ROW)
                body.append(_text(x + 16, y + ROW * i + 14, state.state, "start", state.state))
            y += height + GAP
            lowest = max(lowest, y)
        lowest = max(lowest, y)
        x += WIDTH + COLUMN
    return places, body, (x, lowest)


def _curve(edge: EdgeKey, source: _Box, target: _Box) -> str:
    """Return a curve from the side of one box to that of another; within a column it goes round on the right."""
    y1, y2 = source.y + source.height / 2, target.y + target.height / 2
    if source.x == target.x:
        x1 = x2 = source.x + WIDTH
        bow = 12 + min(COLUMN / 2 - 20, abs(y2 - y1) / 6)
        first, second = x1 + bow, x2 + bow
    elif source.x < target.x:
        x1, x2 = source.x + WIDTH, target.x
        first, second = x1 + COLUMN / 2, x2 - COLUMN / 2
    else:
        x1, x2 = source.x, target.x + WIDTH
        first, second = x1 - COLUMN / 2, x2 + COLUMN / 2
    above = 22 if y1 == y2 and abs(source.x - target.x) > WIDTH + COLUMN else 0  # over the boxes in between
    dashes = ' stroke-dasharray="4 3"' if edge.link in RELATIONS else ""
    return (
        f'<path d="M{x1:g},{y1:g} C{first:g},{y1 - above:g} {second:g},{y2 - above:g} {x2:g},{y2:g}" fill="none" '
        f'stroke="{COLOURS[edge.link]}" stroke-opacity="0.75"{dashes} marker-end="url(#tip)">'
        f"<title>{escape(xml_text(str(edge)))}</title></path>"
    )


def _end(id: str) -> str:
    """Return the end of a peer id, by which people tell them apart."""
    return id if len(id) <= LETTERS else "…" + id[1 - LETTERS :]


def _rect(x: float, y: float, height: float, fill: str, round: int) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{height:g}" rx="{round}" fill="{fill}" stroke="#a0aec0"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, whole: str, *, bold: bool = False) -> str:
    cut = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
    weight = ' font-weight="bold"' if bold else ""
    label = f" aria-label={quoteattr(xml_text(whole))}" if cut != whole else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{weight}{label}>{escape(xml_text(cut))}</text>'
