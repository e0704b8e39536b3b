"""Measure the page's server: how long its answers take with 50 peers and 1,000 machines, and how large they are.

python benchmarks/web.py [--json]
python benchmarks/web.py --make FILE.db     only make the history, to look at: am web -H FILE.db
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import msgspec
import trio

import asyncmachine as am
from asyncmachine.web import asked
from asyncmachine.web.questions import QUESTIONS
from asyncmachine.web.source import Source
from benchmarks.harness import RUNS, Report
from graph.parts import EdgeKey, Link, machine_vertex, peer_vertex

SEED = 20130207
PEERS, EACH, ROUNDS = 50, 20, 40
BEGAN = 1_360_195_200 * 10**9  # 2013-02-07T00:00Z
STEP = 250_000_000  # ns between two changes


class Worker(am.Schema):
    Idle = am.State(auto=True, remove="Working")
    Working = am.State(remove=[Idle, "Failed"])
    Overdue = am.State(require=Working)
    Failed = am.State(remove=[Working, Overdue])
    Warm = am.State(add="Checked")
    Checked = am.State(multi=True)


class Watch:
    """A clock that moves with each change."""

    ns = BEGAN

    def __call__(self) -> int:
        return self.ns


async def make(url: str, *, peers: int = PEERS, each: int = EACH, rounds: int = ROUNDS) -> int:
    """Record a made-up network and its graph; return how many rows that came to."""
    rng, watch = random.Random(SEED), Watch()
    names = [f"peer-{i:02}" for i in range(peers)]
    async with am.open_history(url, now=watch) as history, am.open_graph(history, peer_of=lambda r: owner[r]) as graph:
        owner: dict[am.Reader, str] = {}
        machines: list[am.Machine] = []
        for name in names:
            for n in range(each):
                machine = am.Machine(Worker, id=f"worker-{n:02}", tags=[f"room:{n % 5}"])
                owner[machine] = name
                machines.append(machine)
                history.record(machine, owner=name)
                graph.follow(machine)
                graph.live.add_vertex(machine_vertex(machine.id, name), tuple(machine.tags))
                graph.live.add_edge(EdgeKey(Link.OWNS, peer_vertex(name), machine_vertex(machine.id, name)))
        for name in names:
            graph.live.add_vertex(peer_vertex(name), ("alive",))
            for other in rng.sample(names, 4):
                if other != name:
                    graph.live.add_edge(EdgeKey(Link.CONNECTION, peer_vertex(name), peer_vertex(other)))
                    for n in rng.sample(range(each), 5):
                        replica = EdgeKey(Link.REPLICA, peer_vertex(name), machine_vertex(f"worker-{n:02}", other))
                        graph.live.add_edge(replica)
        for machine in rng.sample(machines, len(machines) // 2):
            am.bind_state(machine, "Failed", rng.choice(machines), "Warm")
        for _ in range(rounds * len(machines)):
            watch.ns += STEP
            machine = rng.choice(machines)
            state = rng.choice(("Working", "Working", "Idle", "Overdue", "Warm", "Checked", "Failed"))
            if rng.random() < 0.001:
                machine.add_error(ValueError("something broke"))
            elif machine.is_error:
                machine.remove(am.EXCEPTION)
            else:
                machine.add(state)
            if watch.ns % (2000 * STEP) == BEGAN % (2000 * STEP):
                await history.room()
                await graph.sync()
        await history.sync()
        return history.statistics().committed


#: path and parameters, its goal in ms; the machine and the moment are filled in.
ASKED: tuple[tuple[str, dict[str, str], float | None], ...] = (
    ("network", {"at": "{middle}"}, 50),
    ("network", {"at": "{middle}", "form": "brief"}, 50),
    ("graph", {"at": "{middle}"}, 100),
    ("graph", {"at": "{middle}", "kinds": "connection,pipe add,pipe remove", "form": "brief"}, 20),
    ("graph", {"at": "{middle}", "machine": "{key}"}, None),
    ("machine", {"at": "{middle}", "machine": "{key}"}, None),
    ("log", {"limit": "50"}, None),
    ("intervals", {"machine": "{key}"}, None),
    ("step", {"at": "{middle}"}, 20),
    ("step", {"at": "{middle}", "to": "previous", "by": "change", "state": "Failed"}, 20),
    ("step", {"at": "{middle}", "machine": "{key}"}, 20),
    ("diff", {"t1": "{middle}", "t2": "{end}"}, None),
    ("density", {}, None),
)


def measure(url: str) -> None:
    """Ask everything, as the server does: from the text of the parameters to the bytes of the answer."""
    report = Report(f"The page's answers: {PEERS} peers, {PEERS * EACH:,} machines", f"medians of {5 * RUNS}, CPU time")
    store = am.open_store(url, read_only=True)
    store.open()
    source = Source(store, mode="history", title="benchmark")
    first, last = source.span()
    values = {"middle": str((first + last) // 2), "end": str(last), "key": "peer-07/worker-03"}
    rng = random.Random(SEED)
    by_path = {question.path: question for question in QUESTIONS}
    for path, given, goal in ASKED:
        question = by_path[path]
        sizes: list[int] = []
        spent: list[float] = []
        for n in range(5 * RUNS + 1):
            values["middle"] = str(rng.randrange(first, last))  # another moment each time, as somebody drags
            pairs = [(name, text.format(**values)) for name, text in given.items()]
            began = time.process_time()
            body = msgspec.json.encode(question.function(source, asked.read(question.asked, pairs)))
            took = (time.process_time() - began) * 1e3
            if n == 0:
                report.add(f"{path} {_told(given)}, first", took, "ms")
            else:
                spent.append(took)
            sizes.append(len(body))
        report.add(f"{path} {_told(given)}", statistics.median(spent), "ms", goal)
        report.add(f"{path} {_told(given)}, size", statistics.median(sizes) / 1000, "kB")
    store.close()
    report.show()


def _told(given: dict[str, str]) -> str:
    return " ".join(f"{name}={text.strip('{}')}" for name, text in given.items())


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        rows = trio.run(make, f"sqlite:///{Path(sys.argv[2]).absolute()}")
        print(f"{rows:,} rows: am web -H {sys.argv[2]}")
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/web.db"
        trio.run(make, url)
        measure(url)


if __name__ == "__main__":
    main()
