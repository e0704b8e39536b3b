"""A graph written for other tools is read back by them as it was, whatever its parts are called."""

from __future__ import annotations

import io
import json
import re
from itertools import count
from xml.etree import ElementTree

import networkx as nx
import pydot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.export import to_dot, to_graphml, to_json, to_jsonl, to_markdown, to_xml
from graph.feed import MachineFeed
from graph.formats import graph_formats
from graph.live import LiveGraph
from graph.parts import EdgeKey, Kind, Link, Vertex, machine_vertex, peer_vertex, state_vertex
from graph.svg import to_svg
from graph.timeline import Timeline
from graph.view import View
from machine import Machine, Schema, State, bind_state, pipe_add

NASTY = [
    "a",
    "q\"uo'te",
    "<b>&amp;</b>",
    "back\\slash",
    "new\nline",
    "]]>--%",
    "|end|;",
    "\x00\x1b",
    "ünïcödé 🚪",
    "$x {y}",
]


def named(names: list[str]) -> View:
    """Return a graph whose parts have these names."""
    clock = count(1)
    graph, past = LiveGraph(lambda: next(clock)), Timeline()
    graph.listen(past.apply)
    for name in names:
        peer, machine, state = peer_vertex(name), machine_vertex(name, name), state_vertex(name, name, name)
        for vertex in (peer, machine, state):
            graph.add_vertex(vertex, (name,))
        graph.add_edge(EdgeKey(Link.OWNS, peer, machine, name))
        graph.add_edge(EdgeKey(Link.HAS, machine, state))
        for label in ("", name):
            graph.add_edge(EdgeKey(Link.PIPE_ADD, state, state_vertex(names[0], names[0], names[0]), label))
    assert not graph.waiting
    return past.as_of()


# its parser calls the one beneath it by names of before
pydots_own = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def read_dot(text: str) -> pydot.Dot:
    read = pydot.graph_from_dot_data(text)
    assert read is not None
    (graph,) = read
    return graph


def label_of(part: pydot.Common) -> str:
    """Return what Graphviz would draw: the text in the quotes, without their escapes."""
    quoted = part.get("label")
    assert quoted[0] == quoted[-1] == '"'
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], quoted[1:-1])


@pytest.fixture
def house() -> View:
    clock = count(1)
    graph, past = LiveGraph(lambda: next(clock)), Timeline()
    graph.listen(past.apply)
    door = Machine(Schema({"Open": State(remove="Shut"), "Shut": State(auto=True)}), id="door")
    light = Machine(Schema({"On": State()}), id="light", tags=("kitchen",))
    bind_state(door, "Open", light, "On")
    pipe_add(door, "Open", light, "On")
    feed = MachineFeed(graph)
    feed.follow(door)
    feed.follow(light)
    return past.as_of()


def test_networkx_reads_the_graphml_with_parallel_edges(house: View) -> None:
    read = nx.read_graphml(io.BytesIO(to_graphml(house).encode()), force_multigraph=True)
    keys = list(house.all_keys())
    assert len(read) == sum(isinstance(key, Vertex) for key in keys)
    links = sorted(data["link"] for _, _, data in read.edges(data=True))
    assert links == sorted(key.link.value for key in keys if isinstance(key, EdgeKey))
    assert links.count("pipe add") == 2
    (light,) = (data for _, data in read.nodes(data=True) if data["kind"] == "machine" and data["machine"] == "light")
    assert light["tags"] == "kitchen"
    assert isinstance(light["since"], int)


def test_networkx_reads_the_json(house: View) -> None:
    read = nx.node_link_graph(json.loads(to_json(house)), edges="links")
    assert read.is_multigraph()
    assert len(read) + read.number_of_edges() == len(house)
    assert read.graph["at"] == house.at


@pydots_own
def test_a_reader_of_dot_finds_machines_as_boxes_around_their_states(house: View) -> None:
    read = read_dot(to_dot(house))
    assert read.get_type() == "digraph"
    boxes = {label_of(box): box for box in read.get_subgraphs()}
    assert list(boxes) == ["door", "light"]
    assert [label_of(node) for node in boxes["door"].get_nodes()] == ["door", "Open", "Shut", "Exception"]
    names = {node.get_name(): label_of(node) for box in boxes.values() for node in box.get_nodes()}
    drawn = [(names[str(e.get_source())], label_of(e), names[str(e.get_destination())]) for e in read.get_edges()]
    keys = [key for key in house.all_keys() if isinstance(key, EdgeKey) and key.link is not Link.HAS]
    assert drawn == [(key.source.state, key.link, key.target.state) for key in keys]
    assert ("Open", "pipe add", "On") in drawn


def test_a_page_has_each_machine_and_what_leads_from_it(house: View) -> None:
    page = to_markdown(house)
    assert "## door\n\n- **Open**\n  - remove door.Shut\n  - pipe add light.On\n" in page
    assert "- **On**" in page.split("## light")[1]


def test_each_line_of_json_is_a_part(house: View) -> None:
    lines = [json.loads(line) for line in to_jsonl(house).splitlines()]
    assert len(lines) == len(house)
    assert {"vertex", "since", "tags"} == set(lines[0])


@pytest.mark.parametrize("name", graph_formats)
def test_the_same_graph_is_the_same_text_and_no_graph_is_one_too(house: View, name: str) -> None:
    write = graph_formats[name]
    assert write(house) == write(house)
    empty = write(Timeline().as_of())
    assert isinstance(empty, str)
    if name in ("graphml", "xml", "svg"):
        ElementTree.fromstring(empty)


@given(st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), min_size=1, max_size=5, unique=True))
def test_no_name_breaks_out_of_its_place(names: list[str]) -> None:
    view = named(names)
    for text in (to_graphml(view), to_xml(view), to_svg(view)):
        ElementTree.fromstring(text)
    assert len(json.loads(to_json(view))["nodes"]) == 3 * len(names)
    for form in ("dot", "mermaid", "d2"):
        text = graph_formats[form](view)
        outside = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
        assert outside.count('"') % 2 == 0
        assert re.fullmatch(r"[\w\s#:;,.\[\]{}=\->|%\"]*", outside, re.ASCII), outside


@pydots_own
@settings(max_examples=20)  # some 10 ms a line
@given(st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), min_size=1, max_size=3, unique=True))
def test_a_reader_of_dot_finds_every_name_as_it_is(names: list[str]) -> None:
    view = named(names)
    text = to_dot(view)
    assert "\0" not in text  # what Graphviz itself cannot read
    read = read_dot(text)
    names = [name.replace("\0", "\N{REPLACEMENT CHARACTER}") for name in names]
    boxes = read.get_subgraphs()
    assert [[label_of(node) for node in box.get_nodes()] for box in boxes] == [[name, name] for name in names]
    peers = [node for node in read.get_nodes() if node.get("shape") == '"hexagon"']
    assert [label_of(peer) for peer in peers] == [str(peer_vertex(name)) for name in names]
    drawn = (isinstance(key, EdgeKey) and key.link is not Link.HAS for key in view.all_keys())
    assert len(read.get_edges()) == sum(drawn)


def test_a_picture_has_every_name_and_every_edge(house: View) -> None:
    root = ElementTree.fromstring(to_svg(house))
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"door", "light", "Open", "Shut", "On"} <= set(texts)
    titles = [
        path.findtext(f"{space}title") for path in root.iter(f"{space}path") if path.find(f"{space}title") is not None
    ]
    drawn = [str(key) for key in house.all_keys() if isinstance(key, EdgeKey) and key.link is not Link.HAS]
    assert sorted(str(title) for title in titles) == sorted(drawn)
    assert not any("pipe" in str(t) for t in ElementTree.fromstring(to_svg(house, links=[Link.REMOVE])).itertext())


def test_many_machines_of_a_peer_go_on_in_the_next_column() -> None:
    clock = count(1)
    graph, past = LiveGraph(lambda: next(clock)), Timeline()
    graph.listen(past.apply)
    for i in range(100):
        graph.add_vertex(machine_vertex(f"m{i}"))
    root = ElementTree.fromstring(to_svg(past.as_of()))
    assert float(root.attrib["height"]) < 1600
    assert len(past.as_of().vertices(Kind.MACHINE)) == 100
