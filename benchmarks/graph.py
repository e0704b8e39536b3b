"""Measure the graph: updates, as-of and paths with 10,000 machines and 100,000 edges, and how they grow.

The rows of graphs in a history are of an SQLite file: what a question costs that has to read, and the ones after it.
All is CPU time of the process, its other threads among it.

python benchmarks/graph.py [--json]
"""

from __future__ import annotations

import gc
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from functools import partial
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
from history.store import Store

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


def median_ms(*work: Callable[[], object], runs: int = RUNS) -> float:
    """Return the CPU time of one of some calls, the median of all of them, several times over."""
    gc.collect()  # once: of a large graph it takes longer than most of what is measured
    spent = []
    for _ in range(runs):
        for one in work:
            began = time.process_time()
            one()
            spent.append(time.process_time() - began)
    return statistics.median(spent) * 1e3


def measure(report: Report, machines: int, *, with_goals: bool) -> None:
    graph, timeline, pipes = build(machines)
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
    report.add(name + "a path", median_ms(*(partial(view.path, a, b) for a, b in ends)), "ms", goal(5))
    other = nx.MultiDiGraph((edge.source, edge.target, edge) for edge in pipes)

    def path_of(a: object, b: object) -> None:
        if a in other and b in other and nx.has_path(other, a, b):
            nx.shortest_path(other, a, b)

    theirs = median_ms(*(partial(path_of, a, b) for a, b in ends))
    report.add(name + "  networkx, pipes alone", theirs, "ms")
    keys = [(part.key, part.since) for part in graph if isinstance(part.key, EdgeKey)]

    def made_of() -> nx.MultiDiGraph[object]:
        made: nx.MultiDiGraph[object] = nx.MultiDiGraph()
        made.add_edges_from((key.source, key.target, key) for key, since in keys if since <= last // 2)
        return made

    report.add(name + "  networkx, that graph", median_ms(made_of), "ms")
    tracemalloc.start()
    again = build(machines)
    report.add(name + "memory, with its past", tracemalloc.get_traced_memory()[0] / 1e6, "MB", goal(200))
    tracemalloc.stop()
    del again


def measure_recorded(report: Report, machines: int, folder: str, *, rounds: int, with_goals: bool = False) -> None:
    """Record a graph, and then take 1,000 pipes out and put them in again, so many times; ask what is stored."""
    graph, _, pipes = build(machines)
    url = f"sqlite:///{folder}/{machines}-{rounds}.db"
    rng = random.Random(SEED)
    count = 2 * rounds * min(1000, len(pipes))

    async def record() -> tuple[float, float, list[int]]:
        async with open_history(url) as history, open_graph(history) as recorded:
            began = time.process_time()
            for part in graph:
                if isinstance(part.key, EdgeKey):
                    recorded.live.add_edge(part.key)
                else:
                    recorded.live.add_vertex(part.key)
            await recorded.sync()
            first = time.process_time() - began
            began, moments = time.process_time(), [history.clock.latest()]
            for _ in range(rounds):
                for edge in rng.sample(pipes, min(1000, len(pipes))):
                    recorded.live.remove_edge(edge)
                    recorded.live.add_edge(edge)
                await recorded.sync()
                moments.append(history.clock.latest())
            return first / len(graph), (time.process_time() - began) / count, moments

    each, change, moments = trio.run(record)
    name = f"{machines:,} stored, {count:,} changes: "
    report.add(name + "a part that comes", each * 1e6, "us")
    report.add(name + "a later change", change * 1e6, "us")
    size = Path(url.removeprefix("sqlite:///")).stat().st_size
    report.add(name + "on disk", size / 1e6, "MB")
    store = open_store(url)
    store.open()
    middle = moments[len(moments) // 2]
    ask_recorded(report, name, store, middle, moments[0], with_goals=with_goals)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        file.execute("DELETE FROM graph_checkpoint")
        file.commit()
    report.add(name + "  the first, without checkpoints", median_ms(lambda: PastGraph(store).as_of(middle)), "ms")
    store.close()


def ask_recorded(report: Report, name: str, store: Store, middle: int, start: int, *, with_goals: bool) -> None:
    goal = 50 if with_goals else None
    report.add(name + "as of a moment, first question", median_ms(lambda: PastGraph(store).as_of(middle)), "ms", goal)
    report.add(name + "  of the last moment", median_ms(lambda: PastGraph(store).as_of()), "ms", goal)
    past = PastGraph(store)
    moments = [start + (middle - start) * n // 20 for n in range(21)]
    past.as_of(moments.pop())
    steps = median_ms(*(partial(past.as_of, at) for at in reversed(moments)), runs=1)
    report.add(name + "  each of 20 before, one by one", steps, "ms", goal)
    report.add(name + "  a moment between them", median_ms(lambda: past.as_of((start + middle) // 2)), "ms", goal)
    report.add(name + "a difference, of half of them", median_ms(lambda: past.diff(start, middle)), "ms")
    began, count = time.process_time(), sum(1 for _ in past.changes())
    report.add(name + f"each of all {count:,} changes", (time.process_time() - began) / count * 1e6, "us")
    tracemalloc.start()
    fresh = PastGraph(store)
    view = fresh.as_of(middle)
    report.add(name + "memory of who asks", tracemalloc.get_traced_memory()[0] / 1e6, "MB")
    list(view)
    report.add(name + "  who looked at every part", tracemalloc.get_traced_memory()[0] / 1e6, "MB")
    tracemalloc.stop()


def main() -> None:
    report = Report("graph")
    for machines in (100, 1_000, 10_000):
        measure(report, machines, with_goals=machines == 10_000)
    with tempfile.TemporaryDirectory() as folder:
        for machines, rounds in ((100, 2), (1_000, 2), (1_000, 50), (10_000, 2), (10_000, 20)):
            measure_recorded(report, machines, folder, rounds=rounds, with_goals=machines == 10_000)
    report.show()


if __name__ == "__main__":
    main()
