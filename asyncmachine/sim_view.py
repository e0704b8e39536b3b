"""What the commands of `am sim` show: a bar of progress, and outcomes as tables."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulations.errors import SetupError
from simulations.outcome import Measure, Outcome
from simulations.report_tables import number

settings_option = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another value for a key, such as network.loss=0.1 or faults.0.at=5. Repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes at a time; as many as there are cores."
)


EVERY = 60.0  # s between two lines about how far something is, where there is no bar


def check_folder(*paths: Path | None) -> None:
    """See that files can be written, before anything takes its time.

    Raises:
        SetupError: the folder of one is not there.
    """
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise SetupError(f"{path} cannot be written: there is no folder {path.parent}")


def time_text(seconds: float) -> str:
    """Return how long something takes, as people say it: "40 s", "12 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


class Bar:
    """Show how far something is, on stderr: as a bar where somebody can see it, else in a line now and then."""

    def __init__(self, what: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=1.0)
        self._told = time.monotonic()

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, share: float, what: str | None = None) -> None:
        """Show that a share is done."""
        if what is None:
            self._progress.update(self._task, completed=share)
        else:
            self._progress.update(self._task, completed=share, description=what)
            if self._progress.disable and time.monotonic() >= self._told + EVERY:
                self.say(what)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._told = time.monotonic()
        self._progress.console.print(line, markup=False, highlight=False)


def measure_text(measure: Measure) -> str:
    """Return a measure with its unit, and its bound."""
    value = f"{number(measure.value)} {measure.unit}".strip()
    return value if measure.bound is None else f"{value}  (bound {number(measure.bound)})"


def show_outcome(outcome: Outcome) -> None:
    """Print what a run has to say."""
    engine = outcome.engine
    width = max([len(name) for name in outcome.measures], default=0)
    for name, measure in outcome.measures.items():
        click.echo(f"{name:<{width}}  {measure_text(measure):<34}  {measure.about}".rstrip())
    for name, plane in outcome.planes.items():
        if plane.frames:
            click.echo(f"channel {name}: {plane.frames:,} frames, {plane.bytes:,} bytes")
    for note in outcome.notes:
        click.echo(f"note: {note}")
    click.echo(
        f"engine: {engine.events:,} events in {engine.cpu_s:.1f} s of CPU for {engine.simulated_s:g} simulated, "
        f"{engine.memory_mb:.0f} MB"
    )
    click.echo(f"trace: {outcome.trace}")
    for violation in outcome.violations:
        click.echo(f"VIOLATION: {violation}")


__all__ = [
    "Bar",
    "check_folder",
    "jobs_option",
    "json_option",
    "measure_text",
    "settings_option",
    "show_outcome",
    "time_text",
]
