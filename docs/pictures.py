"""Make the pictures of the README and the pages, from real runs.

    python docs/pictures.py

* `demo.svg`: what `am demo` shows in a terminal, at 2013-02-09T02:00Z of the replay.
* `graph.svg`: the graph of an airport and its flights at that time.
"""

from __future__ import annotations

import io
import os
import re
import signal
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
from graph.parts import Link
from graph.svg import to_svg

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


def main() -> None:
    """Make them all."""
    (HERE / "graph.svg").write_text(trio.run(draw_graph))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            legs=tuple(read_legs()), speed=2000.0, url=f"sqlite:///{folder}/demo.db", began=time.monotonic()
        )
        trio.run(run, settings, Photographer(HERE / "demo.svg"))


if __name__ == "__main__":
    main()
