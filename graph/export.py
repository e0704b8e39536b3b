"""A graph as text that other tools read: DOT, GraphML, Mermaid, D2, JSON, Markdown, XML.

All are made from a `View`, in its order, so the same graph gives the same text. Names are escaped as each format needs
it; nothing that a machine is called can break out of its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from xml.etree import ElementTree

from graph.parts import EdgeKey, Kind, Link, Vertex, key_to_json
from graph.view import View

COLOURS = {
    Link.REQUIRE: "#2b6cb0",
    Link.ADD: "#2f855a",
    Link.REMOVE: "#c53030",
    Link.AFTER: "#718096",
    Link.PIPE_ADD: "#276749",
    Link.PIPE_REMOVE: "#9b2c2c",
    Link.PARENT: "#805ad5",
    Link.OWNS: "#4a5568",
    Link.REPLICA: "#b7791f",
    Link.CONNECTION: "#1a202c",
    Link.MESH: "#319795",
    Link.NEIGHBOUR: "#4a5568",
    Link.SESSION: "#d69e2e",
}
"""The same colour for the same kind of edge, in every picture."""


def _vertices(view: View) -> list[Vertex]:
    return [key for key in view.all_keys() if isinstance(key, Vertex)]


def _edges(view: View) -> list[EdgeKey]:
    """Return the edges that are drawn: a state stands in the box of its machine, so that needs no line."""
    return [key for key in view.all_keys() if isinstance(key, EdgeKey) and key.link is not Link.HAS]


def _numbered(view: View) -> dict[Vertex, str]:
    return {vertex: f"n{i}" for i, vertex in enumerate(_vertices(view))}


def _boxes(view: View) -> list[tuple[Vertex, list[Vertex]]]:
    """Return each machine with its states."""
    vertices = _vertices(view)
    states: dict[tuple[str, str], list[Vertex]] = {}
    for vertex in vertices:
        if vertex.kind is Kind.STATE:
            states.setdefault((vertex.peer, vertex.machine), []).append(vertex)
    return [(v, states.get((v.peer, v.machine), [])) for v in vertices if v.kind is Kind.MACHINE]


def to_dot(view: View) -> str:
    """Return the graph for Graphviz: machines as boxes around their states."""

    def quoted(text: str) -> str:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # Graphviz takes it for the end of the file
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    names = _numbered(view)
    lines = ["digraph asyncmachine {", '  graph [rankdir="LR"];', '  node [fontname="sans-serif", shape="box"];']
    for vertex, name in names.items():
        if vertex.kind is Kind.PEER:
            lines.append(f'  {name} [label={quoted(str(vertex))}, shape="hexagon"];')
    for machine, states in _boxes(view):
        lines.append(f"  subgraph cluster_{names[machine]} {{")
        lines.append(f"    label={quoted(str(machine))};")
        lines.append(f'    {names[machine]} [label={quoted(machine.machine)}, shape="plaintext"];')
        lines += [f"    {names[state]} [label={quoted(state.state)}];" for state in states]
        lines.append("  }")
    for edge in _edges(view):
        style = f"label={quoted(edge.link)}, color={quoted(COLOURS[edge.link])}"
        lines.append(f"  {names[edge.source]} -> {names[edge.target]} [{style}];")
    return "\n".join([*lines, "}", ""])


def to_mermaid(view: View) -> str:
    """Return the graph for Mermaid, as Markdown pages show it."""

    def quoted(text: str) -> str:
        # entities of its own: a quote, or a tag, would end the label
        return '"' + re.sub(r'["<>#&;`\[\]{}|\\\n]', lambda found: f"#{ord(found[0])};", text) + '"'

    names = _numbered(view)
    lines = ["flowchart LR"]
    for vertex, name in names.items():
        if vertex.kind is Kind.PEER:
            lines.append(f"  {name}{{{{{quoted(str(vertex))}}}}}")
    for machine, states in _boxes(view):
        if not states:  # an empty box is none
            lines.append(f"  {names[machine]}[{quoted(str(machine))}]")
            continue
        lines.append(f"  subgraph {names[machine]} [{quoted(str(machine))}]")
        lines += [f"    {names[state]}[{quoted(state.state)}]" for state in states]
        lines.append("  end")
    edges = _edges(view)
    lines += [f"  {names[edge.source]} -->|{edge.link}| {names[edge.target]}" for edge in edges]
    lines += [f"  linkStyle {i} stroke:{COLOURS[edge.link]}" for i, edge in enumerate(edges)]
    return "\n".join([*lines, ""])


def to_d2(view: View) -> str:
    """Return the graph for D2: machines as containers of their states."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$", "\\$") + '"'

    names = _numbered(view)
    paths = dict(names)
    lines = ["direction: right"]
    for vertex, name in names.items():
        if vertex.kind is Kind.PEER:
            lines.append(f"{name}: {quoted(str(vertex))} {{shape: hexagon}}")
    for machine, states in _boxes(view):
        lines.append(f"{names[machine]}: {quoted(str(machine))} {{")
        for state in states:
            paths[state] = f"{names[machine]}.{names[state]}"
            lines.append(f"  {names[state]}: {quoted(state.state)}")
        lines.append("}")
    for edge in _edges(view):
        style = f"{{style.stroke: {quoted(COLOURS[edge.link])}}}"
        lines.append(f"{paths[edge.source]} -> {paths[edge.target]}: {edge.link} {style}")
    return "\n".join([*lines, ""])


def to_graphml(view: View) -> str:
    """Return the graph as GraphML: for Gephi, yEd and networkx; parallel edges have ids of their own."""
    root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for owner, fields in (("node", ("kind", "peer", "machine", "state")), ("edge", ("link", "label"))):
        for field in (*fields, "tags", "since"):
            kind = "long" if field == "since" else "string"
            spec = {"id": f"{owner}_{field}", "for": owner, "attr.name": field, "attr.type": kind}
            ElementTree.SubElement(root, "key", spec)
    graph = ElementTree.SubElement(root, "graph", id="asyncmachine", edgedefault="directed")
    names = _numbered(view)
    for i, part in enumerate(view):
        key, about = part.key, {"tags": " ".join(part.tags), "since": str(part.since)}
        if isinstance(key, Vertex):
            element = ElementTree.SubElement(graph, "node", id=names[key])
            about |= {"kind": key.kind, "peer": key.peer, "machine": key.machine, "state": key.state}
        else:
            ends = {"id": f"e{i}", "source": names[key.source], "target": names[key.target]}
            element = ElementTree.SubElement(graph, "edge", ends)
            about |= {"link": key.link, "label": key.label}
        for name, value in about.items():
            ElementTree.SubElement(element, "data", key=f"{element.tag}_{name}").text = xml_text(value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def to_json(view: View) -> str:
    """Return the graph as JSON, node-link as d3 and networkx read it."""
    names = _numbered(view)
    nodes, links = [], []
    for part in view:
        about = {"since": part.since, "tags": list(part.tags)}
        if isinstance(part.key, Vertex):
            kind, peer, machine, state = part.key
            nodes.append(
                {"id": names[part.key], "kind": kind, "peer": peer, "machine": machine, "state": state, **about}
            )
        else:
            ends = {"source": names[part.key.source], "target": names[part.key.target]}
            links.append({**ends, "key": f"{part.key.link}:{part.key.label}", "link": part.key.link, **about})
    graph = {"directed": True, "multigraph": True, "graph": {"at": view.at}, "nodes": nodes, "links": links}
    return json.dumps(graph, indent=1) + "\n"


def to_markdown(view: View) -> str:
    """Return the graph as a page to read: peers, then each machine with its states and what leads from them."""

    def plain(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text.replace("\n", " "))

    leaving: dict[Vertex, list[EdgeKey]] = {}
    for edge in _edges(view):
        leaving.setdefault(edge.source, []).append(edge)

    def told(vertex: Vertex, indent: str) -> Iterable[str]:
        return (f"{indent}- {edge.link} {plain(str(edge.target))}" for edge in leaving.get(vertex, ()))

    lines = ["# Graph", ""]
    peers = [vertex for vertex in _vertices(view) if vertex.kind is Kind.PEER]
    for peer in peers:
        lines += [f"## Peer {plain(str(peer))}", "", *told(peer, ""), ""]
    for machine, states in _boxes(view):
        lines += [f"## {plain(str(machine))}", "", *told(machine, "")]
        for state in states:
            lines += [f"- **{plain(state.state)}**", *told(state, "  ")]
        lines.append("")
    return "\n".join(lines)


def to_xml(view: View) -> str:
    """Return the graph as XML: an element for each vertex and edge."""
    root = ElementTree.Element("graph", at=str(view.at))
    for part in view:
        fields: dict[str, str] = {"since": str(part.since)}
        if part.tags:
            fields["tags"] = xml_text(" ".join(part.tags))
        if isinstance(part.key, Vertex):
            about = {f: xml_text(v) for f, v in zip(("peer", "machine", "state"), part.key[1:], strict=True) if v}
            ElementTree.SubElement(root, part.key.kind, {**about, **fields})
            continue
        edge = ElementTree.SubElement(
            root, "edge", {"kind": part.key.link, "label": xml_text(part.key.label), **fields}
        )
        for name, end in (("source", part.key.source), ("target", part.key.target)):
            about = {f: xml_text(v) for f, v in zip(("peer", "machine", "state"), end[1:], strict=True) if v}
            ElementTree.SubElement(edge, name, {"kind": end.kind, **about})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def to_jsonl(view: View) -> str:
    """Return a line of JSON for each vertex and edge, for scripts."""
    parts = ({"since": part.since, "tags": list(part.tags), **key_to_json(part.key)} for part in view)
    return "".join(json.dumps(part) + "\n" for part in parts)


def xml_text(text: str) -> str:
    """Return a text without what XML cannot hold at all; the rest is escaped by whoever writes it."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)
