"""What is shown while a replay runs: a table that is drawn anew in a terminal, or a line now and then without one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import trio
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

import asyncmachine as am
from asyncmachine.flights.fleet import Fleet
from asyncmachine.flights.observe import STAGES, Tower
from asyncmachine.flights.replay import Plan
from asyncmachine.flights.report import STYLES, minute

FRAMES = 4  # a second
LINES = 16  # of a whole replay, without a terminal

#: Titles (``>``: to the right) with the least width, in which what they have mostly fits, so that nothing moves.
_COLUMNS = {"peer": 8, ">process": 7, "state": 8, ">machines": 8, ">changes": 7, ">p50/p99": 10, "airport": 21}
_STATUS = {"alive": "green", "suspect": "yellow", "dead": "red", "killed": "red"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to show."""

    plan: Plan
    fleet: Fleet
    tower: Tower
    peer: am.Peer

    def status(self, code: str) -> str:
        """Return how an airport is: what its process is, and if that runs, what its peer is held for."""
        airport = self.fleet.airports[code]
        if airport.status != "running":
            return airport.status
        members = {member.id: member.status.value for member in self.peer.members()}
        return members.get(self.tower.owners[code], "unknown")


class Screen:
    """Shows a scene.

    Args:
        console: where.
        live: whether it is a terminal that can be drawn on anew.
    """

    def __init__(self, console: Console, *, live: bool) -> None:
        self.console = console
        self.live = live

    async def run(self, scene: Scene) -> None:
        """Show it until cancelled."""
        if self.live:
            await self._draw(scene)
        else:
            await self._tell(scene)

    async def _draw(self, scene: Scene) -> None:
        began = trio.current_time()

        def picture() -> RenderableType:
            return draw(scene, trio.current_time() - began)

        with Live(picture(), console=self.console, auto_refresh=False, vertical_overflow="crop") as live:
            try:
                while True:
                    await trio.sleep(1 / FRAMES)
                    live.update(picture(), refresh=True)
            finally:
                live.update(picture(), refresh=True)

    async def _tell(self, scene: Scene) -> None:
        part, told = (scene.plan.end - scene.plan.start) // LINES, scene.plan.start
        while True:
            await trio.sleep(0.1)
            if scene.tower.replayed >= told + part:
                told += (scene.tower.replayed - told) // part * part
                self.say(line(scene))

    def say(self, text: str) -> None:
        """Print a line, if nothing is drawn."""
        if not self.live:
            self.console.print(Text(text), soft_wrap=True)


def line(scene: Scene) -> str:
    """Return a scene as one line."""
    tower = scene.tower
    moods = ", ".join(f"{code} {seen.mood or 'unknown'}" for code, seen in tower.airports.items())
    stages = ", ".join(f"{tower.stages[word]} {word}" for word in ("airborne", "landed", "cancelled"))
    return f"{minute(tower.replayed)}  {share(scene):3.0%}  {moods}; {stages}; {tower.rate():,.0f} transitions/s"


def share(scene: Scene) -> float:
    """Return how much of the replay is done."""
    plan = scene.plan
    return (scene.tower.replayed - plan.start) / (plan.end - plan.start)


def draw(scene: Scene, seconds: float) -> RenderableType:
    """Return a scene as a picture."""
    return Group(_top(scene, seconds), Text(), _peers(scene), Text(), _flights(scene))


def _top(scene: Scene, seconds: float) -> RenderableType:
    table = Table.grid(expand=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    bar = ProgressBar(total=1.0, completed=share(scene), width=36, complete_style="cyan", finished_style="green")
    passed = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    table.add_row(Text(minute(scene.tower.replayed), "bold"), bar, f"{share(scene):4.0%}", Text(passed, "dim"))
    return table


def _peers(scene: Scene) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, width in _COLUMNS.items():
        justify: JustifyMethod = "right" if title.startswith(">") else "left"
        table.add_column(title.removeprefix(">"), justify=justify, min_width=width, no_wrap=True)
    tower = scene.tower
    for code, seen in tower.airports.items():
        status = scene.status(code)
        mood = Text(seen.mood, STYLES.get(seen.mood, ""))
        if seen.mood:
            mood.append(f" {am.format_time(seen.since)[5:16].replace('T', ' ')}", "dim")
        table.add_row(
            Text(code, "bold"),
            str(scene.fleet.airports[code].pid or ""),
            Text(status, _STATUS.get(status, "yellow")),
            f"{seen.machines:,}",
            f"{seen.rows:,}",
            _milliseconds(seen.latency.quantile),
            mood,
        )
    table.add_row(
        Text("observer", "bold"),
        str(os.getpid()),
        Text("alive", "green"),
        f"{tower.machines:,}",
        f"{tower.rows:,}",
        "",
        Text(f"{tower.rate():,.0f} transitions/s", "cyan"),
    )
    return table


def _milliseconds(quantile: Callable[[float], int | None]) -> str:
    p50, p99 = quantile(0.5), quantile(0.99)
    return "" if p50 is None else f"{p50}/{p99} ms"


def _flights(scene: Scene) -> RenderableType:
    stages = [word for _, word in reversed(STAGES)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for word in (*stages, "delayed"):
        table.add_column(word, justify="right", no_wrap=True)
    counts = scene.tower.stages
    cells = [Text(f"{counts[word]:,}", STYLES.get(word, "") if counts[word] else "dim") for word in stages]
    table.add_row(*cells, f"{scene.tower.delayed:,}")
    return table
