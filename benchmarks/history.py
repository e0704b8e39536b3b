"""Measure history beside the raw limit of its database, in one run.

python benchmarks/history.py [--rows 1000000] [--postgresql URL] [--json]
"""

from __future__ import annotations

import argparse
import gc
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import trio

from benchmarks.harness import RUNS, Report
from history import History, open_history, open_store
from history.codec import WRITTEN, encode_ticks
from history.connections import PRAGMAS
from history.questions import Questions
from history.stream import Identity, Stream
from machine import Machine, Schema, State

SEED = 20130207
START = 1_360_195_200_000_000_000  # 2013-02-07T00:00Z, in ns
EIGHT = [f"S{i}" for i in range(8)]
RING = Schema({n: State(remove=EIGHT) for n in EIGHT})
"""A flow of eight steps, one of them active: what most machines are."""
FREE = Schema({n: State() for n in EIGHT})
"""Eight states without relations: 256 sets of active states in 8! orders, so that nearly every step is a new one."""

RAW_ONE = "SELECT * FROM transition WHERE machine_id = ? AND at <= ? ORDER BY at DESC LIMIT 1"
RAW_PAGE = "SELECT * FROM transition WHERE machine_id = ? AND at > ? ORDER BY at LIMIT 51"
RAW_EACH = """
SELECT t.machine_id, t.at, t.epoch, t.seq, t.ticks FROM machine JOIN transition AS t ON t.id = (
    SELECT id FROM transition WHERE machine_id = machine.id AND at <= ? ORDER BY at DESC LIMIT 1
) ORDER BY machine.id"""

Step = tuple[Callable[..., object], str]


def flows(count: int) -> tuple[list[Machine], list[Step]]:
    """Return 100 machines, and steps of them at random, each to its next state."""
    rng, places = random.Random(SEED), [0] * 100
    machines = [Machine(RING, id=f"m{i}") for i in range(100)]
    steps: list[Step] = []
    for _ in range(count):
        m = rng.randrange(100)
        places[m] = (places[m] + 1) % 8
        steps.append((machines[m].add, EIGHT[places[m]]))
    return machines, steps


def toggles(count: int) -> tuple[list[Machine], list[Step]]:
    """Return 100 machines, and random states of them to toggle."""
    rng = random.Random(SEED)
    machines = [Machine(FREE, id=f"m{i}") for i in range(100)]
    return machines, [(rng.choice(machines).toggle, rng.choice(EIGHT)) for _ in range(count)]


async def produce(history: History, machines: list[Machine], steps: list[Step]) -> float:
    """Return the transitions a second from the first mutation to the end of sync."""
    for machine in machines:
        history.record(machine)
    await history.sync()
    began = time.perf_counter()
    for at, (mutate, name) in enumerate(steps):
        mutate(name)
        if at % 250 == 249:
            await history.room()
    await history.sync()
    return len(steps) / (time.perf_counter() - began)


async def heartbeat(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await trio.sleep(0.001)
        stalls.append(time.perf_counter() - began - 0.001)


async def end_to_end(url: str, work: tuple[list[Machine], list[Step]], beating: bool = False) -> tuple[float, float]:
    """Return transitions a second, and the 99th percentile of the loop's stalls in ms, if a heart is to beat."""
    stalls: list[float] = []
    async with open_history(url) as history, trio.open_nursery() as nursery:
        if beating:
            nursery.start_soon(heartbeat, stalls)
        rate = await produce(history, *work)
        nursery.cancel_scope.cancel()
    return rate, statistics.quantiles(stalls, n=100)[98] * 1e3 if beating else 0.0


def raw_rate(path: Path, rows: list[tuple[Any, ...]], batch: int = 10_000) -> float:
    """Return the rows a second that sqlite3 itself takes: same table, same indexes, same rows."""
    store = open_store(f"sqlite:///{path}")
    store.open()
    store.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
    insert = f"INSERT INTO transition ({','.join(WRITTEN)}) VALUES ({','.join('?' * len(WRITTEN))})"
    began = time.perf_counter()
    for at in range(0, len(rows), batch):
        connection.execute("BEGIN")
        connection.executemany(insert, rows[at : at + batch])
        connection.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - began)
    connection.close()
    return rate


def written_rows(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {','.join(WRITTEN)} FROM transition ORDER BY id").fetchall()
    connection.close()
    return rows


def writing(report: Report, folder: Path, count: int) -> None:
    ours, beating, raw, stalls, cold = [], [], [], [], []
    rows: list[tuple[Any, ...]] = []
    for run in range(RUNS):
        path = folder / f"ours{run}.db"
        work = flows(count)
        gc.collect()
        ours.append(trio.run(end_to_end, f"sqlite:///{path}", work)[0])
        rate, stall = trio.run(end_to_end, f"sqlite:///{folder / f'beating{run}.db'}", flows(count), True)
        beating.append(rate)
        stalls.append(stall)
        rows = rows or written_rows(path)
        gc.collect()
        raw.append(raw_rate(folder / f"raw{run}.db", rows))
        cold.append(trio.run(end_to_end, f"sqlite:///{folder / f'cold{run}.db'}", toggles(count // 2))[0])
    rate, limit = statistics.median(ours), statistics.median(raw)
    report.add(f"{count:,} transitions, mutated and recorded", rate, "/s", 120_000, at_least=True)
    report.add("  sqlite3 executemany of the same rows", limit, "/s")
    report.add("  ours / raw", rate / limit, "x", 0.6, at_least=True)
    report.add("  with a heartbeat of the loop each ms beside it", statistics.median(beating), "/s")
    report.add("    that / raw", statistics.median(beating) / limit, "x", 0.6, at_least=True)
    report.add("  stall of the loop meanwhile, p99", statistics.median(stalls), "ms", 10)
    report.add("  if nearly every step is a new one to its machine", statistics.median(cold), "/s")


def go_scenario(report: Report, folder: Path) -> None:
    async def once(url: str) -> float:
        async with open_history(url) as history:
            machine = Machine({"A": State(), "B": State()}, id="go")
            began = time.perf_counter()
            history.record(machine, states=["A"])
            for at in range(50_000):
                machine.toggle("A")
                if at % 250 == 249:
                    await history.room()
            await history.sync()
            spans = await history.intervals("go", "A")
            assert len(spans) == 25_000
            return time.perf_counter() - began

    took = [trio.run(once, f"sqlite:///{folder / f'go{i}.db'}") for i in range(RUNS)]
    report.add("50,000 toggles of a tracked state, recorded, asked for", statistics.median(took), "s", 0.6)


def synthetic(url: str, count: int, machines: int = 1000) -> tuple[str, int]:
    """Fill a store with transitions of machines of 5 to 50 states; return the busiest one and the last stamp."""
    rng = random.Random(SEED)
    store = open_store(url)
    store.open()
    streams, ticks, active = [], [], []
    for i in range(machines):
        size = rng.choice((5, 8, 12, 20, 50))
        machine = Machine(Schema({f"S{k}": State() for k in range(size)}), id=f"machine{i:04}")
        stream = Stream(Identity("", machine.id), machine, None)
        stream.begin(store.register(stream))
        streams.append(stream)
        ticks.append([0] * (size + 1))
        active.append(0)
    at = START
    rows = [
        s.encode((s, at + i, s.base(Machine(s.schema.schema(), id="x")), (), 0, None, None))
        for i, s in enumerate(streams)
    ]
    store.write(rows, streams)
    for s in streams:
        s.periods.clear()
    done = 0
    while done < count:
        rows = []
        for _ in range(min(10_000, count - done)):
            m = int(machines * rng.random() ** 3)  # a few are busy, most are not
            known = streams[m].known
            assert known is not None
            k = rng.randrange(len(ticks[m]) - 1)
            ticks[m][k] += 1
            active[m] ^= 1 << k
            known.seq += 1
            at += rng.randrange(1, 40_000_000)
            known.last_at = at
            mask = 1 << k
            tx = f"0:{known.seq}"
            total = sum(ticks[m])
            packed = encode_ticks(ticks[m])
            known.ticks = packed
            head = (known.machine_id, at, known.epoch, known.seq, 0, mask, mask, active[m], None, total, 1, packed, tx)
            rows.append((*head, None, None, None))
        store.write(rows, streams)
        done += len(rows)
    store.close()
    return "machine0000", at


def time_question(question: Callable[[], object], count: int) -> list[float]:
    question()
    spent = []
    for _ in range(count):
        began = time.perf_counter()
        question()
        spent.append((time.perf_counter() - began) * 1e3)
    return spent


def asking(report: Report, url: str, count: int, label: str, goals: bool = True) -> None:
    hot, last = synthetic(url, count)
    store = open_store(url)
    store.open()
    asked = Questions(store, lambda: last)
    rng = random.Random(SEED)
    span = last - START

    def moment() -> int:
        return START + 10_000_000 + int(span * rng.random())

    def window() -> tuple[int, int]:
        low = moment() - span // 100
        return max(low, START), max(low, START) + span // 100

    def goal(value: float) -> float | None:
        return value if goals else None

    machines = asked.machines()
    names, ids = [m.name for m in machines], [m.id for m in machines]
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))  # what the database alone takes for the same rows
    for pragma, value in PRAGMAS.items():
        raw.execute(f"PRAGMA {pragma}={value}")

    def one() -> object:
        return raw.execute(RAW_ONE, (rng.choice(ids), moment())).fetchall()

    def each() -> object:
        return raw.execute(RAW_EACH, (moment(),)).fetchall()

    def page() -> object:
        return raw.execute(RAW_PAGE, (hot_id, moment())).fetchall()

    hot_id = ids[names.index(hot)]
    rows, size = store.size()
    report.add(f"{label}: {rows:,} transitions, each", size / rows, "B", goal(160))
    for name, question, repeat, limit in (
        ("as of, one machine", lambda: asked.as_of(rng.choice(names), moment()), 2000, 0.1),
        ("  sqlite3 alone", one, 2000, None),
        ("as of, network of 1,000 machines", lambda: asked.network(moment()), 50, 10),
        ("  sqlite3 alone", each, 50, None),
        ("as of a logical clock", lambda: asked.as_of(hot, f"@{rng.randrange(1, 1000)}"), 200, None),
        ("intervals, hot machine, 1 % window", lambda: list(asked.intervals(hot, "S1", *window())), 200, 1),
        ("intervals, hot machine, all", lambda: list(asked.intervals(hot, "S1")), 5, None),
        ("a page of 50, hot machine", lambda: asked.page(50, t1=moment(), machines=hot), 200, 0.5),
        ("  sqlite3 alone", page, 200, None),
        ("a page of 50, all machines", lambda: asked.page(50, t1=moment()), 10, None),
        ("a feed of 1,000", lambda: asked.feed(rng.randrange(count // 2), 1000), 20, None),
    ):
        spent = time_question(question, repeat)
        report.add(f"  {name}", statistics.median(spent), "ms", None if limit is None else goal(limit))
    raw.close()
    store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000, help="transitions in the store that is asked")
    options.add_argument("--postgresql", help="URL of an empty database, to measure it too")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    report = Report("history")
    with tempfile.TemporaryDirectory() as folder:
        go_scenario(report, Path(folder))  # first: what the others leave in the heap makes the garbage collector slower
        writing(report, Path(folder), 200_000)
        if chosen.postgresql:
            rate, _ = trio.run(end_to_end, chosen.postgresql, flows(200_000))
            report.add("PostgreSQL: 200,000 transitions, mutated and recorded", rate, "/s", 50_000, at_least=True)
        asking(report, f"sqlite:///{Path(folder) / 'asked.db'}", chosen.rows, "SQLite", chosen.rows == 1_000_000)
    report.show(json_output=chosen.json)


if __name__ == "__main__":
    main()
