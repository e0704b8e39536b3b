"""Real peers on libp2p, on loopback: how late a change is elsewhere, what it costs, and how many there may be.

`--only NAME` runs one row, `--list` names them, `--full` also those that take long, `--json` is for programs. Beside
ours: the same change sent with libp2p's gossipsub, as it comes and tuned. All peers of a row are in one process, so
that the CPU time is that of the whole network; each row has a process of its own. In `start` and `processes` each peer
has one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not this folder, whose names would hide the packages

from benchmarks.harness import Figure, Report
from benchmarks.processes import AT_ONCE, processes, pss, rss
from machine import Machine, Schema, State, Tracer, Transition
from pubsub.opening import open_peer
from pubsub.peer import Peer
from pubsub.replica import Replica

SCHEMA = Schema({f"S{number}": State() for number in range(8)})
SECONDS = 10.0
GOSSIP = Path(__file__).with_name("gossipsub.py")


class Watch(Tracer):
    """Takes the time from each change of a machine until a replica has it, whatever it was joined with."""

    id = "watch"

    def __init__(self, changes: list[tuple[int, float]], took: list[float]) -> None:
        self._changes = changes
        self._at = 0
        self._took = took

    def transition_end(self, transition: Transition) -> None:
        now, changes, seen = time.perf_counter(), self._changes, sum(transition.ticks_after)
        while self._at < len(changes) and changes[self._at][0] <= seen:
            self._took.append(now - changes[self._at][1])
            self._at += 1


class Network:
    """Peers in this process, each with one machine."""

    def __init__(self, peers: list[Peer]) -> None:
        self.peers = peers
        self.machines = [Machine(SCHEMA, id="machine") for _ in peers]
        self.changes: list[list[tuple[int, float]]] = [[] for _ in peers]
        self.took: list[float] = []
        for peer, machine in zip(peers, self.machines, strict=True):
            peer.expose(machine)

    async def meet(self) -> None:
        """Wait until everybody has everybody's machine."""
        numbers = {peer.owner: number for number, peer in enumerate(self.peers)}
        for peer in self.peers:
            for other in self.peers:
                if other is not peer:
                    replica: Replica = await peer.replica("machine", owner=other.owner)
                    replica.add_tracer(Watch(self.changes[numbers[other.owner]], self.took))
        await trio.sleep(2)

    def change(self, number: int) -> None:
        machine = self.machines[number]
        self.changes[number].append((machine.time().sum + 1, time.perf_counter()))
        machine.toggle(f"S{random.randrange(8)}")

    async def work(self, rate: float, seconds: float) -> int:
        """Change machines in turn at a rate; return how many changes were made."""
        began, made = trio.current_time(), 0
        while True:
            due = int((trio.current_time() - began) * rate)
            if trio.current_time() >= began + seconds:
                return made
            for _ in range(due - made):
                self.change(made % len(self.machines))
                made += 1
            await trio.sleep(1 / rate if rate < 1000 else 0.001)

    async def settle(self, limit: float) -> float:
        """Wait until all replicas are as their machines; return how long that took, s."""
        began = time.perf_counter()
        truth = {peer.owner: tuple(m.time()) for peer, m in zip(self.peers, self.machines, strict=True)}
        for peer in self.peers:
            waiting = deque(peer.replicas())
            while waiting:
                if tuple(waiting[0].time()) == truth[waiting[0].owner]:
                    waiting.popleft()
                elif time.perf_counter() - began > limit:
                    return limit
                else:
                    await trio.sleep(0.002)
        return time.perf_counter() - began

    def sent(self) -> int:
        return sum(peer.statistics()["links"]["bytes_out"] for peer in self.peers)

    def accepted(self) -> int:
        return sum(peer.statistics()["records"]["committed"] for peer in self.peers)


async def with_network(count: int, work: Callable[[Network], Any]) -> Any:
    async with AsyncExitStack() as stack:
        peers: list[Peer] = []
        for _ in range(count):
            connect = peers[0].addresses if peers else ()
            peers.append(await stack.enter_async_context(open_peer("bench", connect=connect)))
        network = Network(peers)
        await network.meet()
        return await work(network)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000 if ordered else float("nan")


def latency(report: Report, count: int, rate: float, p50: float | None = None, p99: float | None = None) -> None:
    async def work(network: Network) -> None:
        sent, accepted, spent = network.sent(), network.accepted(), time.process_time()
        made = await network.work(rate, SECONDS)
        took = await network.settle(10)
        spent = time.process_time() - spent
        what = f"{count} peers, {rate:g} changes/s"
        report.add(f"{what}: p50", quantile(network.took, 0.5), "ms", p50)
        report.add("  p99", quantile(network.took, 0.99), "ms", p99)
        report.add("  not everywhere in the end", made * (count - 1) - len(network.took), "", 0)
        report.add("  all equal after the last change in", took * 1000, "ms")
        report.add("  CPU of a record that was accepted", spent / max(network.accepted() - accepted, 1) * 1e6, "us")
        report.add("  sent an update and peer", (network.sent() - sent) / made / count, "B")
        report.add("  CPU of all", spent / SECONDS * 100, "%")

    trio.run(with_network, count, work)


def throughput(report: Report) -> None:
    """Raise the rate until ten peers do not converge within 2 s any more; beside it what gossipsub carries."""

    async def work(network: Network) -> tuple[float, float]:
        best, efficiency = 0.0, 0.0
        for rate in (500, 1000, 2000, 4000, 8000):
            spent, began = time.process_time(), time.perf_counter()
            made = await network.work(rate, 5)
            actual = made / (time.perf_counter() - began)
            took = await network.settle(5)
            spent = time.process_time() - spent
            report.add(f"10 peers, {actual:.0f} changes/s made: all equal after", took, "s", 2)
            if took >= 2 or actual < 0.8 * rate:
                break
            best, efficiency = actual, made / spent
        return best, efficiency

    best, ours = trio.run(with_network, 10, work)
    report.add("changes/s at which ten peers converge", best, "1/s", 2000, at_least=True)
    report.add("changes a CPU-second, ten peers", ours, "1/s")
    for name, goal in (("tuned", 20.0), ("stock", None)):
        theirs = gossip(10, 4.0, name)
        per_cpu = theirs["messages"] / theirs["cpu"]
        report.add(f"  gossipsub, {name}: changes a CPU-second", per_cpu, "1/s")
        report.add("    ours are so many times that", ours / per_cpu, "", goal, at_least=True)


def gossip(count: int, rate: float, name: str) -> dict[str, float]:
    command = [sys.executable, str(GOSSIP), str(count), str(rate), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def gossip_latency(report: Report) -> None:
    for count, rate in ((2, 10), (2, 200), (10, 4)):
        for name in ("tuned", "stock"):
            measured = gossip(count, rate, name)
            what = f"gossipsub, {name}, {count} peers, {rate:g} changes/s"
            report.add(f"{what}: p50", measured["p50"], "ms")
            report.add("  p99", measured["p99"], "ms")
            report.add("  lost", measured["lost"], "%")
            report.add("  CPU of a delivery", measured["cpu"] / max(measured["delivered"], 1) * 1e6, "us")


def start(report: Report) -> None:
    """One peer in a process of its own: from its start to an address, and what it then holds."""
    took, resident, shared = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            began = time.perf_counter()
            with processes(Path(folder) / str(number), 1) as (peer,):
                took.append(time.perf_counter() - began)
                resident.append(rss(peer.pid))
                shared.append(pss(peer.pid))
    report.add("start of a process until it listens", sorted(took)[1], "s", 2)
    report.add("its memory then", sorted(resident)[1], "MB", 90)
    report.add("  of that its own, and its share of what others use too", sorted(shared)[1], "MB")
    report.add("memory of a bare process with trio", bare(), "MB")


def bare() -> float:
    program = "import os, trio; print(open('/proc/self/statm').read().split()[1])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout) * resource.getpagesize() / 1e6


def fifty(report: Report, count: int = 50, at_once: int = AT_ONCE) -> None:
    """Fifty peers in fifty processes, started some at a time; all know the first of them only."""

    def wait(what: str, done: Callable[[dict[str, Any]], bool], limit: float = 120) -> None:
        began = time.perf_counter()
        for peer in peers:
            while not done(peer.ask("state")):
                if time.perf_counter() - began > limit:
                    report.add(f"{what}: not after", limit, "s", 0)
                    return
                time.sleep(0.2)
        report.add(what, time.perf_counter() - began, "s")

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder), count, at_once) as peers:
        report.add(f"{count} processes, {at_once} started at a time, listen after", time.perf_counter() - began, "s")
        wait("  then everybody has everybody's machine after", lambda state: len(state["replicas"]) == count - 1)
        wait("  then everybody has four neighbours or more after", lambda state: state["connected"] >= 4)
        links = [peer.ask("state")["connected"] for peer in peers]
        report.add("  neighbours of a peer, the fewest", min(links), "")
        report.add("  the most", max(links), "")
        for peer in peers:
            peer.ask("tick 1 1")
        own = {peer.owner: peer.ask("state")["own"] for peer in peers}

        def is_equal(state: dict[str, Any]) -> bool:
            return all(own[owner] == ticks for owner, (_, ticks) in state["replicas"].items())

        wait("  each has changed its machine: all are equal after", is_equal)
        time.sleep(5)
        spent, began = sum(cpu(peer.pid) for peer in peers), time.perf_counter()
        time.sleep(10)
        spent = (sum(cpu(peer.pid) for peer in peers) - spent) / (time.perf_counter() - began)
        report.add("  CPU of all when nothing changes", spent * 100, "%")
        report.add("  memory of a process", sum(rss(peer.pid) for peer in peers) / count, "MB", 90)
        report.add(
            "    of that its own, and its share of what others use too", sum(pss(p.pid) for p in peers) / count, "MB"
        )


def cpu(pid: int) -> float:
    """Return the CPU time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ROWS: dict[str, tuple[Callable[[Report], None], bool]] = {
    "two-idle": (partial(latency, count=2, rate=2, p50=10, p99=30), True),
    "two": (partial(latency, count=2, rate=10), True),
    "two-busy": (partial(latency, count=2, rate=200), True),
    "five-idle": (partial(latency, count=5, rate=2), False),
    "five": (partial(latency, count=5, rate=10), False),
    "five-busy": (partial(latency, count=5, rate=200), False),
    "ten-idle": (partial(latency, count=10, rate=2), False),
    "ten": (partial(latency, count=10, rate=10), True),
    "ten-busy": (partial(latency, count=10, rate=200), True),
    "gossipsub": (gossip_latency, False),
    "throughput": (throughput, True),
    "start": (start, True),
    "processes": (fifty, False),
    "processes-at-once": (partial(fifty, at_once=50), False),
}


def row(name: str) -> list[dict[str, Any]]:
    report = Report("peers")
    ROWS[name][0](report)
    return [asdict(figure) for figure in report.figures]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", choices=list(ROWS), help="run this row; may be repeated")
    options.add_argument("--full", action="store_true", help="run all rows")
    options.add_argument("--list", action="store_true", help="name the rows")
    options.add_argument("--json", action="store_true", help="print JSON")
    chosen = options.parse_args()
    if chosen.list:
        print("\n".join(ROWS))
        return
    report = Report("peers", "one run each, real libp2p on loopback")
    for name in chosen.only or [name for name, (_, quick) in ROWS.items() if quick or chosen.full]:
        began = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            report.figures += [Figure(**figure) for figure in pool.apply(row, (name,))]
        took, load = time.perf_counter() - began, os.getloadavg()[0]
        print(f"{name} … {took:.0f} s, load of the machine {load:.1f}", file=sys.stderr)
    report.show(json_output=chosen.json)


if __name__ == "__main__":
    main()
