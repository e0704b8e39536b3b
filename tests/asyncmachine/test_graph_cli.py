"""`am graph`: the same answers as in Python, for people and for programs, and one line for whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from asyncmachine.cli import main
from asyncmachine.graph_cli import FORMATS, LINKS
from graph.formats import graph_formats
from graph.parts import EdgeKey, Link, peer_vertex
from graph.recorder import open_graph
from history import open_history
from machine import Machine, Schema, State, bind_state

SECOND = 10**9
BEGINNING = 1_360_375_200 * SECOND  # 2013-02-09T02:00:00Z


class Door(Schema):
    Closed = State(auto=True, remove="Open")
    Open = State(remove=[Closed, "Locked"])
    Locked = State(require=Closed)


class Light(Schema):
    On = State()


class Wall:
    at = BEGINNING

    def __call__(self) -> int:
        return self.at


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with two graphs: a house, ten seconds a step, and three peers."""
    path, wall = tmp_path_factory.mktemp("cli") / "house.db", Wall()

    async def story() -> None:
        async with open_history(f"sqlite:///{path}", now=wall) as history:
            async with open_graph(history, "house") as graph:
                door, light = Machine(Door, id="door", tags=("front",)), Machine(Light, id="light")
                graph.follow(door, light)
                wall.at += 10 * SECOND
                bind_state(door, "Open", light, "On")
                wall.at += 10 * SECOND
            async with open_graph(history, "net") as graph:
                for id in ("12D3KooWann", "12D3KooWbob", "12D3KooWcat"):
                    graph.live.add_vertex(peer_vertex(id))
                graph.live.add_edge(EdgeKey(Link.CONNECTION, peer_vertex("12D3KooWann"), peer_vertex("12D3KooWbob")))
                await graph.sync()
                wall.at += 10 * SECOND

    trio.run(story)
    return path


def am(*words: str, house: Path | None = None, name: str | None = "house") -> Result:
    where = [] if house is None else ["-H", str(house), *([] if name is None else ["-g", name])]
    return CliRunner().invoke(main, ["graph", *where, *words], catch_exceptions=False)


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_was_there_is_shown_and_that_the_recording_has_ended(house: Path) -> None:
    result = am("show", house=house)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["kind", "vertex", "edges", "since", "tags"]
    assert [row[:3] for row in rows[1:]] == [["machine", "door", "4"], ["machine", "light", "2"]]
    assert rows[1][-1] == "front"
    assert result.stderr.startswith("the recording ended at 2013-02-09T02:00:20")
    assert result.stderr.endswith("Z: this is how it was then\n")


def test_a_vertex_is_shown_with_what_leads_to_it(house: Path) -> None:
    found = lines(am("show", "light.On", "--json", house=house))
    assert [one["edge"] for one in found] == ["has", "pipe add", "pipe remove"]
    assert found[1]["source"] == ["state", "", "door", "Open"]
    assert found[1]["since_time"].startswith("2013-02-09T02:00:10")
    table = am("show", "light.On", house=house).stdout
    assert "pipe remove  door.Open  light.On  deactivation" in table


def test_as_of_a_moment_there_is_what_there_was(house: Path) -> None:
    for at, edges in (("2013-02-09T02:00:05Z", 1), ("2013-02-09T02:00:15Z", 3)):
        assert len(lines(am("show", "light.On", "--json", "--at", at, house=house))) == edges
    early = am("show", "--at", "2012-01-01", house=house)
    assert early.exit_code == 0
    assert "nothing was there then: it is known from 2013-02-09T02:00:00" in early.stderr


def test_filters(house: Path) -> None:
    assert [one["vertex"][3] for one in lines(am("show", "--tag", "auto", "--json", house=house))] == ["Closed"]
    assert len(lines(am("show", "--kind", "state", "--json", house=house))) == 6
    assert lines(am("show", "--peer", "ann", "--json", house=house)) == []
    peers = lines(am("show", "--peer", "ann", "--json", house=house, name=None))
    assert [one["vertex"] for one in peers] == [["peer", "12D3KooWann", "", ""]]


def test_paths(house: Path) -> None:
    result = am("path", "door", "light", house=house)
    assert result.stdout == "door.Open -pipe add-> light.On (activation)\n"
    assert lines(am("path", "door.Open", "light.On", "--json", house=house))[0]["edge"] == "pipe add"
    none = am("path", "light", "door", house=house)
    assert (none.exit_code, none.stdout) == (1, "")
    assert "there is no way from light to door" in none.stderr
    back = am("path", "door.Locked", "door.Closed", "--along", "require", house=house)
    assert back.stdout == "door.Locked -require-> door.Closed\n"


def test_neighbours(house: Path) -> None:
    found = lines(
        am("neighbours", "light.On", "-d", "2", "--along", "pipe add", "--along", "has", "--json", house=house)
    )
    assert [(one["distance"], *one["vertex"][2:]) for one in found] == [
        (1, "door", "Open"),
        (1, "light", ""),
        (2, "door", ""),
        (2, "light", "Exception"),
    ]
    ahead = am("neighbours", "door.Open", "--forward", "--along", "pipe add", house=house)
    assert ahead.stdout.splitlines()[1].split() == ["1", "state", "light.On"]


def test_differences_and_changes(house: Path) -> None:
    found = lines(am("diff", "2013-02-09T02:00:05Z", "--json", house=house))
    assert [(one["came"], one["edge"]) for one in found] == [(True, "pipe add"), (True, "pipe remove")]
    assert am("diff", "2013-02-09T02:00:05Z", "2013-02-09T02:00:06Z", house=house).stdout == ""
    changes = lines(am("changes", "--since", "2013-02-09T02:00:05Z", "--json", house=house))
    assert sum(one["came"] for one in changes) == 2
    assert [one["number"] for one in changes] == list(range(changes[0]["number"], changes[0]["number"] + len(changes)))
    assert "door.Open -pipe add-> light.On (activation)" in am("changes", house=house).stdout


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_to_a_file_and_to_the_output(house: Path, format: str, tmp_path: Path) -> None:
    path = tmp_path / f"graph.{format}"
    assert am("export", "-o", str(path), house=house).exit_code == 0
    result = am("export", "--format", format, house=house)
    assert result.stdout_bytes == path.read_bytes()
    assert b"light" in result.stdout_bytes


def test_a_part_is_exported_with_whole_machines(house: Path) -> None:
    text = am("export", "--around", "light", "--distance", "1", "-f", "mermaid", house=house).stdout
    assert '["On"]' in text
    assert "door" not in text
    assert '["Locked"]' in am("export", "--around", "light", "-f", "mermaid", house=house).stdout


def test_recordings_are_listed(house: Path) -> None:
    found = lines(am("list", "--json", house=house, name=None))
    assert [(one["graph"], one["ended"]) for one in found] == [("house", True), ("net", True)]
    assert am("list", house=house).stdout.split()[-1] == "ended"


def test_the_formats_and_kinds_of_the_command_are_those_that_there_are() -> None:
    assert tuple(graph_formats) == FORMATS
    assert tuple(Link) == LINKS


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("show lihgt", 2, "there is no 'lihgt' in the graph at 2013-"),
        ("show lihgt", 2, "did you mean light"),
        ("path door nobody", 2, "there is no 'nobody' in the graph at"),
        ("show --at yesterday-ish", 2, "'yesterday-ish' is no moment"),
        ("diff @5", 2, "@5 is a machine's own time"),
        ("-g garden show", 2, "no graph 'garden' was recorded in"),
        ("-g garden show", 2, "but 'house', 'net'"),
        ("export -o picture.bmp", 2, "picture.bmp does not say which format: give --format"),
        ("export -o /nowhere/at/all.svg", 2, "cannot write /nowhere/at/all.svg: No such file or directory"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(house: Path, words: str, status: int, message: str) -> None:
    result = am(*words.split(), house=house)
    assert result.exit_code == status
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


def test_a_name_that_several_have_wants_the_peer(tmp_path: Path) -> None:
    path = tmp_path / "twins.db"

    async def story() -> None:
        async with open_history(f"sqlite:///{path}") as history:
            peers = {"one": "12D3KooWann", "two": "12D3KooWbob"}
            async with open_graph(history, peer_of=lambda reader: peers[reader.tags[0]]) as graph:
                graph.follow(*(Machine(Light, id="lamp", tags=(tag,)) for tag in peers))

    trio.run(story)
    result = am("show", "lamp", house=path, name=None)
    assert result.exit_code == 2
    assert "'lamp' may be 3KooWann/lamp, 3KooWbob/lamp: put the end of the peer's id and /" in result.stderr
    assert lines(am("show", "ann/lamp", "--json", house=path, name=None))[0]["source"][1] == "12D3KooWann"


def test_a_history_that_is_not_there_or_has_no_graph(tmp_path: Path) -> None:
    missing = am("show", house=tmp_path / "no.db", name=None)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "there is no history at sqlite:///" in missing.stderr
    assert not (tmp_path / "no.db").exists()

    async def empty() -> None:
        async with open_history(f"sqlite:///{tmp_path}/empty.db"):
            pass

    trio.run(empty)
    result = am("show", house=tmp_path / "empty.db", name=None)
    assert result.exit_code == 2
    assert "no graph was recorded in" in result.stderr
    assert am("-H", "memory:", "show").exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from asyncmachine.cli import main\n"
        "for command in ('', 'show', 'export', 'path', 'diff', 'neighbours', 'changes', 'list'):\n"
        "    main(['graph', *command.split(), '--help'], standalone_mode=False)\n"
        "heavy = {'libp2p', 'trio', 'rich', 'sqlalchemy', 'numpy', 'rustworkx'}\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & heavy)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_a_part_of_it_is_exported(house: Path) -> None:
    found = json.loads(am("export", "-f", "json", "--kind", "state", "--tag", "auto", house=house).stdout)
    assert [node["state"] for node in found["nodes"]] == ["Closed"]
    found = json.loads(am("export", "-f", "json", "--peer", "ann", house=house, name=None).stdout)
    assert [node["peer"] for node in found["nodes"]] == ["12D3KooWann"]


def test_what_holds_the_peers_together(house: Path) -> None:
    found = lines(am("network", "--json", house=house, name="net"))
    assert [(one["peer"][-3:], one["part"], one["critical"], len(one["bridges"])) for one in found] == [
        ("ann", 1, False, 1),
        ("bob", 1, False, 1),
        ("cat", 2, False, 0),
    ]
    table = am("network", house=house, name="net").stdout
    assert "12D3KooWann  12D3KooWbob" in table.split("bridge")[1]


def test_what_the_loss_of_a_peer_would_cut_off(house: Path) -> None:
    (told,) = lines(am("loss", "Wbob", "--json", house=house, name="net"))
    assert told == {"peer": "12D3KooWbob", "parts": [["12D3KooWann"]], "machines": []}
    assert am("loss", "Wbob", house=house, name="net").stdout.splitlines() == [
        "It owns none.",
        "The other peers would still reach each other.",
    ]
    wrong = am("loss", "door", house=house)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "'door' is a machine, and a peer is asked for" in wrong.stderr


def test_what_most_ways_lead_over(house: Path) -> None:
    found = lines(am("central", "--along", "remove", "--json", house=house))  # from Closed to Locked
    assert [(one["vertex"][2:], one["edges"]) for one in found] == [(["door", "Open"], 3)]
    assert "no way leads over anything" in am("central", house=house).stderr
    found = lines(am("central", "--along", "has", "--along", "remove", "--json", "--limit", "1", house=house))
    assert found[0]["centrality"] > 0
