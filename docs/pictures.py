"""Make the pictures of the README and the pages, from real runs.

    python docs/pictures.py [demo.svg] [graph.svg] [network.svg] [page.png]

* `demo.svg`: what `am demo` shows in a terminal, at 2013-02-09T02:00Z of the replay.
* `graph.svg`: the graph of an airport and its flights at that time.
* `network.svg`: the peers of the demo at that time, with a flight of each, from the history that it has recorded.
* `page.png`: the page over the history of the whole demo, at that time. It needs Debian's chromium.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # not this folder, whose names would hide packages

import trio
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import asyncmachine as am
from asyncmachine.flights.data import HOUR, read_legs
from asyncmachine.flights.replay import AirportReplay, Plan, ReplayClock
from asyncmachine.flights.report import MOMENT
from asyncmachine.flights.supervisor import Settings, run
from asyncmachine.flights.view import Scene, Screen, draw
from graph.graph import Graph, increasing
from graph.parts import Kind, Link
from graph.svg import to_svg
from tests import chromium

AM = Path(sys.executable).with_name("am")
PICTURES = ["demo.svg", "graph.svg", "network.svg", "page.png"]
WIDTH = 88  # characters
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # it would fetch a font


class Photographer(Screen):
    """Waits for the moment, takes its picture, and ends the replay."""

    def __init__(self, path: Path) -> None:
        super().__init__(Console(file=io.StringIO()), live=False)
        self._path = path

    async def run(self, scene: Scene) -> None:
        """See above."""
        began = trio.current_time()
        while scene.tower.replayed < MOMENT:  # noqa: ASYNC110 - it is somebody else's progress
            await trio.sleep(0.05)
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
        console.print(draw(scene, trio.current_time() - began))
        svg = console.export_svg(title="am demo", code_format=FORMAT, unique_id="demo")
        self._path.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE) + "\n")
        os.kill(os.getpid(), signal.SIGINT)


class Board:
    """Keeps the machines of a replay, and shows them to a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def enter(self, machine: am.Machine) -> None:
        """Take a machine."""
        self._graph.follow(machine)

    async def come_back(self, machine: am.Machine) -> bool:
        """Take none from an earlier life."""
        return False

    def leave(self, machine: am.Machine) -> None:
        """Let go of it: it is disposed of, and tells the graph so."""


async def draw_graph() -> str:
    """Replay LGA up to the moment, without a network, and return a picture of what is there."""
    legs = read_legs()
    plan = Plan(legs, HOUR)
    now = ReplayClock(plan.start)
    graph = Graph(increasing(now))
    airport = AirportReplay("LGA", legs, plan, now, Board(graph))
    await airport.open()
    while plan.end_of(airport.done) < MOMENT:
        await airport.run_step()
    here = list(airport.flights.values())
    for machine in here[:-6]:
        graph.unfollow(machine)
    for craft in airport.aircraft.values():
        if not any(pipe.source in here[-6:] for pipe in craft.pipes_in):
            graph.unfollow(craft)
    graph.unfollow(airport.clock)
    return to_svg(graph.as_of(), links=(Link.PIPE_ADD, Link.PIPE_REMOVE, Link.REQUIRE))


def photograph_page(url: str, path: Path) -> None:
    """Serve a history of the demo as `am web` does, and take a picture of it in a browser."""
    command = [str(AM), "web", "--history", url, "--address", "127.0.0.1:0", "--json"]
    states = "Cancelled,Delayed,Airborne,Landed,Scheduled,Parked"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, chromium.launched() as browser:
        assert server.stdout is not None
        site = json.loads(server.stdout.readline())["url"].rstrip("/")
        page = browser.new_page(viewport={"width": 1440, "height": 810}, color_scheme="light")
        page.goto(f"{site}/#at={am.format_time(MOMENT)}&s={states}")
        page.wait_for_selector('#graph[data-ready="true"]', state="attached")
        page.fill("#search", "JFK")
        page.press("#search", "Enter")
        page.wait_for_selector("#lanes .lane")
        page.click("#zoom-fit")
        page.wait_for_timeout(1500)  # what moves has come to rest
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=path)
        server.terminate()


def draw_network(url: str) -> str:
    """Return a picture of the peers in a demo's history, with a flight of each that is in the air, or else any."""
    store = am.open_store(url)
    store.open()
    view = am.PastGraph(store).as_of(MOMENT)
    store.close()
    peers = [part.key for part in view.vertices(Kind.PEER)]
    flights = {part.key.peer: part.key for part in reversed(view.vertices(Kind.MACHINE, tag="flight"))}
    wanted: dict[am.Vertex, None] = dict.fromkeys([*peers, *flights.values()])
    for part in view.edges((Link.PIPE_ADD, Link.PIPE_REMOVE)):
        source, target = (am.machine_vertex(end.machine, end.peer) for end in (part.key.source, part.key.target))
        if source in flights.values():
            wanted[target] = None
    states = (part.key for part in view.vertices(Kind.STATE))
    wanted.update((key, None) for key in states if am.machine_vertex(key.machine, key.peer) in wanted)
    links = (Link.CONNECTION, Link.REPLICA, Link.PARENT, Link.PIPE_ADD, Link.PIPE_REMOVE)
    return to_svg(view.only(wanted), links=links)


def main() -> None:
    """Make those that are asked for, or all."""
    wanted = sys.argv[1:] or PICTURES
    unknown = ", ".join(name for name in wanted if name not in PICTURES)
    if unknown:
        sys.exit(f"{unknown}: there are only {', '.join(PICTURES)}")
    if "graph.svg" in wanted:
        (HERE / "graph.svg").write_text(trio.run(draw_graph))
    with tempfile.TemporaryDirectory() as folder:
        if "demo.svg" in wanted or "network.svg" in wanted:
            url, picture = f"sqlite:///{folder}/demo.db", HERE / "demo.svg"
            settings = Settings(legs=tuple(read_legs()), speed=2000.0, url=url, began=time.monotonic())
            trio.run(run, settings, Photographer(picture if "demo.svg" in wanted else Path(folder) / "demo.svg"))
            if "network.svg" in wanted:
                (HERE / "network.svg").write_text(draw_network(url))
        if "page.png" in wanted:
            whole = f"sqlite:///{tempfile.mkdtemp(dir=folder)}/demo.db"
            subprocess.run([AM, "demo", "--speed", "max", "--no-tty", "--web", "off", "--history", whole], check=True)
            photograph_page(whole, HERE / "page.png")


if __name__ == "__main__":
    main()
