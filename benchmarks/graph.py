"""Measure the graph: updates, as-of and paths with 10,000 machines and 100,000 edges, and how they grow.

The last rows are of the same graph in a history's database, an SQLite file.

python benchmarks/graph.py [--json]
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from itertools import count
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import networkx as nx
import trio

from benchmarks.harness import RUNS, Report
from graph.live import LiveGraph
from graph.parts import EdgeKey, Link, machine_vertex, state_vertex
from graph.past import PastGraph
from graph.recorder import open_graph
from graph.timeline import Timeline
from history import open_history, open_store

SEED = 20130207
STATES = ("A", "B", "C", "D")


def build(machines: int) -> tuple[LiveGraph, Timeline, list[EdgeKey]]:
    """Return a graph of machines with four states each, and ten edges a machine: four of states, six pipes."""
    rng, clock = random.Random(SEED), count(1)
    graph, timeline = LiveGraph(lambda: next(clock)), Timeline()
    graph.listen(timeline.apply)
    states = [[state_vertex(f"m{i}", s) for s in STATES] for i in range(machines)]
    pipes: list[EdgeKey] = []
    for i in range(machines):
        machine = machine_vertex(f"m{i}")
        graph.add_vertex(machine)
        for state in states[i]:
            graph.add_vertex(state)
            graph.add_edge(EdgeKey(Link.HAS, machine, state))
    for i in range(machines):
        for n in range(6):
            # most are near, as in real life; a few go anywhere
            j = rng.randrange(machines) if rng.random() < 0.1 else (i + rng.randrange(1, 20)) % machines
            edge = EdgeKey(Link.PIPE_ADD, rng.choice(states[i]), rng.choice(states[j]), str(n))
            pipes.append(edge)
            graph.add_edge(edge)
    return graph, timeline, pipes


def median_ms(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(RUNS):
        gc.collect()
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e3


def measure(report: Report, machines: int, *, with_goals: bool) -> None:
    tracemalloc.start()
    graph, timeline, pipes = build(machines)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    rng = random.Random(SEED)
    several = rng.sample(pipes, 5000 if len(pipes) > 5000 else len(pipes))

    def update() -> None:
        for edge in several:
            graph.remove_edge(edge)
            graph.add_edge(edge)

    def goal(value: float) -> float | None:
        return value if with_goals else None

    name = f"{machines:,} machines: "
    report.add(name + "an update", median_ms(update) / len(several) / 2 * 1e3, "us", goal(20))
    last = timeline.last
    report.add(name + "as of a moment", median_ms(lambda: timeline.as_of(last // 2)), "ms", goal(50))
    report.add(name + "  and the first question to it", median_ms(lambda: timeline.as_of(last // 2).components()), "ms")
    view = timeline.as_of()
    ends = [(rng.choice(pipes).source, rng.choice(pipes).target) for _ in range(20)]
    for a, b in ends[:1]:
        view.path(a, b)
    paths = [median_ms(lambda a=a, b=b: view.path(a, b)) for a, b in ends]  # type: ignore[misc]
    report.add(name + "a path", statistics.median(paths), "ms", goal(5))
    other = nx.MultiDiGraph((edge.source, edge.target, edge) for edge in pipes)

    def path_of(a: object, b: object) -> None:
        if a in other and b in other and nx.has_path(other, a, b):
            nx.shortest_path(other, a, b)

    theirs = [median_ms(lambda a=a, b=b: path_of(a, b)) for a, b in ends]  # type: ignore[misc]
    report.add(name + "  networkx, pipes alone", statistics.median(theirs), "ms")
    report.add(name + "memory, with its past", size / 1e6, "MB", goal(200))


def measure_recorded(report: Report, machines: int, folder: str) -> None:
    graph, _, pipes = build(machines)
    url = f"sqlite:///{folder}/{machines}.db"
    several = random.Random(SEED).sample(pipes, min(1000, len(pipes)))

    async def record() -> tuple[float, float, int]:
        async with open_history(url) as history, open_graph(history) as recorded:
            began = time.perf_counter()
            for part in graph:
                if isinstance(part.key, EdgeKey):
                    recorded.live.add_edge(part.key)
                else:
                    recorded.live.add_vertex(part.key)
            await recorded.sync()
            first = time.perf_counter() - began
            middle = history.clock.latest()
            began = time.perf_counter()
            for edge in several:
                recorded.live.remove_edge(edge)
                recorded.live.add_edge(edge)
            await recorded.sync()
            return first / len(graph), (time.perf_counter() - began) / len(several) / 2, middle

    each, change, middle = trio.run(record)
    name = f"{machines:,} machines in a history: "
    report.add(name + "a part that comes", each * 1e6, "us")
    report.add(name + "a later change", change * 1e6, "us")
    store = open_store(url)
    store.open()
    past = PastGraph(store)
    report.add(name + "as of a moment", median_ms(lambda: past.as_of(middle)), "ms")
    report.add(name + "a difference", median_ms(lambda: past.diff(middle)), "ms")
    report.add(name + f"{2 * len(several):,} changes", median_ms(lambda: list(past.changes(middle))), "ms")
    store.close()
    size = Path(url.removeprefix("sqlite:///")).stat().st_size
    report.add(name + "on disk", size / 1e6, "MB")


def main() -> None:
    report = Report("graph", how=f"medians of {RUNS}")
    for machines in (100, 1_000, 10_000):
        measure(report, machines, with_goals=machines == 10_000)
    with tempfile.TemporaryDirectory() as folder:
        for machines in (100, 1_000, 10_000):
            measure_recorded(report, machines, folder)
    report.show()


if __name__ == "__main__":
    main()
