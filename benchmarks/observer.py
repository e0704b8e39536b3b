"""Measure how fast the log of an owner comes to an observer: on libp2p, each a process, SQLite on both sides.

python benchmarks/observer.py [--machines 1000] [--steps 50] [--json]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import trio

import asyncmachine as am
from benchmarks.harness import Report

RUNS = 3
STATES = [f"State{i}" for i in range(10)]
SCHEMAS = [am.Schema({**{n: am.State() for n in STATES}, f"Kind{k}": am.State(multi=True)}) for k in range(4)]


async def own(folder: str, machines: int, steps: int) -> None:
    """Record machines that live for a moment, a hundred at a time; then serve their logs until killed."""
    async with (
        am.open_history(f"sqlite:///{folder}/owner.db") as history,
        am.open_peer("bench", log=am.HistoryLog(history)) as peer,
    ):
        for first in range(0, machines, 100):
            made = [am.Machine(SCHEMAS[i % 4], id=f"m{i}") for i in range(first, min(first + 100, machines))]
            for machine in made:
                history.record(machine)
            for step in range(steps):
                for machine in made:
                    machine.toggle(STATES[step % 10])
            for machine in made:
                machine.dispose()
            await history.room()
        last = am.Machine(SCHEMAS[0], id="last")
        history.record(last)
        await history.sync()
        peer.expose(last)
        print(peer.addresses[0], flush=True)
        await trio.sleep_forever()


async def observe(folder: str, address: str) -> tuple[int, float, float]:
    """Return how many rows came, in how many seconds, for how many seconds of a processor here."""
    async with (
        am.open_history(f"sqlite:///{folder}/observer.db") as history,
        am.open_peer("bench", connect=[address]) as peer,
    ):
        await peer.replica("last")
        began, spent = time.perf_counter(), time.process_time()
        async with am.open_observer(history, peer) as observer:
            await observer.complete()
            took = time.perf_counter() - began
            return observer.counts.rows, took, time.process_time() - spent


def once(machines: int, steps: int) -> tuple[int, float, float, int]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--own", folder, "--machines", str(machines), "--steps", str(steps)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            try:
                rows, took, spent = trio.run(observe, folder, owner.stdout.readline().strip())
            finally:
                owner.kill()
        assert rows == machines * (steps + 1) + 1, rows
        return rows, took, spent, (Path(folder) / "observer.db").stat().st_size


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--machines", type=int, default=1000)
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--json", action="store_true")
    options.add_argument("--own", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.own:
        trio.run(own, chosen.own, chosen.machines, chosen.steps)
        return
    report = Report("observer", how=f"medians of {RUNS}")
    runs = [once(chosen.machines, chosen.steps) for _ in range(RUNS)]
    rows = runs[0][0]
    rates, costs = [rows / took for _, took, *_ in runs], [spent / rows * 1e6 for rows, _, spent, _ in runs]
    report.add(
        f"{rows:,} rows of {chosen.machines:,} machines", statistics.median(rates), "rows/s", 5000, at_least=True
    )
    report.add("  processor of the observer, a row", statistics.median(costs), "us")
    report.add("  its database, a row", runs[0][3] / rows, "B")
    report.show(json_output=chosen.json)


if __name__ == "__main__":
    main()
