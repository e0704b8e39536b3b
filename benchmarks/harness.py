"""What the benchmarks share: CPU time in medians, figures beside their goals, a table or JSON."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

RUNS = 5


@dataclass
class Figure:
    """One measured number. ``goal`` is an upper bound unless ``at_least`` says otherwise; None: just to compare."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass
class Report:
    """The figures of one run."""

    title: str
    how: str = f"medians of {RUNS}, CPU time"
    figures: list[Figure] = field(default_factory=list)
    pace: float = field(default_factory=lambda: calibrate())

    def add(self, name: str, value: float, unit: str, goal: float | None = None, **rest: bool) -> float:
        """Note a number that was measured by other means, and return it."""
        self.figures.append(Figure(name, value, unit, goal, **rest))
        return value

    def time(
        self, name: str, work: Callable[[int], object], count: int, goal: float | None = None, unit: str = "us"
    ) -> float:
        """Note the CPU time of one of `count` operations of ``work(count)``: the median of five runs."""
        scale = {"us": 1e6, "ns": 1e9, "ms": 1e3}[unit]
        work(max(count // 10, 1))
        spent = []
        for _ in range(RUNS):
            gc.collect()
            began = time.process_time()
            work(count)
            spent.append((time.process_time() - began) / count * scale)
        median = statistics.median(spent)
        self.figures.append(Figure(name, median, unit, goal, low=min(spent), high=max(spent)))
        return median

    def show(self, *, json_output: bool | None = None) -> None:
        """Print everything, as a table or as JSON; by default as the command line says. Missed goals are to be read."""
        if json_output is None:
            options = argparse.ArgumentParser(description=self.title)
            options.add_argument("--json", action="store_true", help="print JSON")
            json_output = options.parse_args().json
        if json_output:
            figures = [{**asdict(f), "met": f.met} for f in self.figures]
            pace = {"before": self.pace, "after": calibrate()}
            version = platform.python_version()
            print(json.dumps({"title": self.title, "python": version, "figures": figures, "pace_ms": pace}))
            return
        table = Table(title=f"{self.title} (CPython {platform.python_version()}, {self.how})")
        for heading in ("what", "median", "min", "max", "goal", ""):
            table.add_column(heading, justify="left" if heading in ("what", "") else "right")
        for f in self.figures:
            spread = ["" if x is None else f"{x:.3g}" for x in (f.low, f.high)]
            goal = "" if f.goal is None else f"{'≥' if f.at_least else '≤'} {f.goal:g}"
            table.add_row(
                f.name, f"{f.value:.3g} {f.unit}", *spread, goal, {None: "", True: "met", False: "MISSED"}[f.met]
            )
        table.caption = (
            f"Python counts to 1,000,000 in {self.pace:.1f} ms at the start and {calibrate():.1f} ms at the end: "
            "compare seconds with those of a run in which it was as fast"
        )
        Console().print(table)


def calibrate() -> float:
    """Return how long a loop of pure Python takes here and now, ms; best of seven. Shared machines change their pace.

    A run in which this is a third slower than in another one is not to be compared with that in seconds.
    """
    spent = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(1_000_000):
            pass
        spent.append(time.perf_counter() - began)
    return min(spent) * 1e3
