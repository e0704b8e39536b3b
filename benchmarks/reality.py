"""Engine A against reality: the same peers, edges and changes on libp2p and in a simulation, side by side.

The simulated network is told one thing of the real one: how long a message takes between two peers that have nothing
else to do. A second simulation is told what was measured in the network itself, where all peers share one process: how
long its messages took, and how late its timers were. Where only the second one agrees, that is the reason.

`--only NAME` runs one row, `--list` names them, `--runs` says how many of each, `--json` is for programs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

import trio
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not this folder, whose names would hide the packages

from benchmarks.harness import Figure, Report
from machine import Machine, Schema, State
from pubsub.boundary import LINK, NEVER, NOTIFY, SECOND, SEND, WAKE, Host, Message, Output, Outputs, P
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.events import Committed, Published
from pubsub.identity import Domain, Identity
from pubsub.keys import NoDisk
from pubsub.messages import Frame
from pubsub.opening import wall_ms
from pubsub.state import OwnerState
from pubsub.transport.clock import now, sleep_until
from pubsub.transport.libp2p import Libp2pTransport, open_libp2p
from simulations.conditions import Conditions, Constant
from simulations.seeds import derive, stream
from simulations.simulation import Simulation
from simulations.topology import Pairs, regular

SEED = 1
DOMAIN = Domain("reality")
Run = dict[str, dict[str, float]]
"""Whose figures -> the figures."""
STATES = [f"S{number}" for number in range(8)]
SETTLE = 5 * SECOND  # us before the first change: all know each other, and repair has become rare
QUIET = 2 * SECOND  # us after the last one
SECONDS = 20.0
GOAL = 1.2


@dataclass(frozen=True)
class Scenario:
    """What happens on both sides. Times in us, from when the links are up."""

    peers: int
    rate: float
    seconds: float = SECONDS

    @property
    def pairs(self) -> Pairs:
        """Who dials whom."""
        return [(0, 1)] if self.peers == 2 else regular(4)(self.peers, SEED)

    @property
    def changes(self) -> list[tuple[int, int, str]]:
        """When, whose machine, which state: a Poisson process over random machines."""
        rng, at, out = stream(SEED, "workload"), float(SETTLE), []
        while (at := at + rng.expovariate(self.rate) * SECOND) < SETTLE + self.seconds * SECOND:
            out.append((int(at), rng.randrange(self.peers), rng.choice(STATES)))
        return out

    @property
    def until(self) -> int:
        """When it is over."""
        return SETTLE + round(self.seconds * SECOND) + QUIET

    @property
    def identities(self) -> list[Identity]:
        """Who the peers are."""
        return [Identity(derive(SEED, "key", peer).to_bytes(8, "big") * 4) for peer in range(self.peers)]


@dataclass
class Watch:
    """Sees what all peers of a network take in and give out, and counts it from the first change on. Times in us."""

    scenario: Scenario
    took: list[int] = field(default_factory=list)
    """From a change to each replica that has it, whatever it was joined with."""
    last: list[int] = field(default_factory=list)
    """The same for the last replica."""
    hops: list[int] = field(default_factory=list)
    """Of each new state that a peer took over: how many links it had come along."""
    flights: list[int] = field(default_factory=list)
    """How long each frame took."""
    late: list[int] = field(default_factory=list)
    """How late each timer was."""
    volume: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Bytes sent, by channel."""
    frames: int = 0
    records: int = 0
    commits: int = 0
    changes: int = 0
    counting: bool = False
    over: bool = False
    _unpublished: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _published: dict[int, list[tuple[tuple[int, int], int]]] = field(default_factory=lambda: defaultdict(list))
    _seen: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _missing: dict[tuple[int, int], int] = field(default_factory=dict)
    _far: dict[tuple[int, int, tuple[int, int]], int] = field(default_factory=dict)
    _flying: dict[tuple[int, int], deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give numbers to the owners."""
        self._numbers = {identity.owner: peer for peer, identity in enumerate(self.scenario.identities)}

    def changed(self, now: int, peer: int) -> None:
        """Note a change of a machine."""
        self.counting = True
        self.changes += 1
        self._unpublished[peer].append(now)

    def sent(self, now: int, peer: int, other: int, channel: int, message: Message) -> None:
        """Note a message that goes out."""
        if channel == LINK:
            self._flying[peer, other].append(now)
        if self.counting:
            self.volume[channel] += message.size
            if channel == LINK and isinstance(message, Frame):
                self.frames += 1
                self.records += len(message.parcels)

    def arrived(self, now: int, other: int, peer: int) -> None:
        """Note a frame that comes in: each link keeps its order."""
        sent = self._flying[other, peer].popleft()
        if self.counting:
            self.flights.append(now - sent)

    def rang(self, late: int) -> None:
        """Note a timer."""
        if self.counting:
            self.late.append(late)

    def published(self, peer: int, state: OwnerState) -> None:
        """Note which version holds the changes so far."""
        self._far[peer, peer, state.order] = 0
        for began in self._unpublished.pop(peer, ()):
            self._missing[peer, len(self._published[peer])] = self.scenario.peers - 1
            self._published[peer].append((state.order, began))

    def committed(self, now: int, peer: int, source: int, state: OwnerState) -> None:
        """Note a new state of a replica, and whose message brought it."""
        owner = self._numbers[state.owner]
        far = self._far[peer, owner, state.order] = self._far[source, owner, state.order] + 1
        if self.counting:
            self.commits += 1
            self.hops.append(far)
        versions, at = self._published[owner], self._seen[peer, owner]
        while at < len(versions) and versions[at][0] <= state.order:
            self.took.append(now - versions[at][1])
            self._missing[owner, at] -= 1
            if not self._missing[owner, at]:
                self.last.append(now - versions[at][1])
            at += 1
        self._seen[peer, owner] = at

    def results(self) -> dict[str, float]:
        """Return the figures that are compared."""
        each = self.changes * self.scenario.peers
        return {
            "p50": quantile(self.took, 0.5),
            "p99": quantile(self.took, 0.99),
            "last": quantile(self.last, 0.5),
            "hops": statistics.mean(self.hops),
            "hop": quantile(self.flights, 0.5),
            "hop p10": quantile(self.flights, 0.1),
            "hop p90": quantile(self.flights, 0.9),
            "late": quantile(self.late, 0.5),
            "link": self.volume[LINK] / each,
            "all": sum(self.volume.values()) / each,
            "frames": self.frames / each,
            "records": self.records / each,
            "repeats": (self.records - self.commits) / each,
            "missing": self.changes * (self.scenario.peers - 1) - len(self.took),
        }


def quantile(values: list[int], share: float) -> float:
    """Return a quantile of times in us, ms."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1000 if ordered else float("nan")


class Witness(Generic[P]):
    """A core whose messages, timers and events are watched.

    Args:
        watch: sees them.
        peer: its number.
        core: it.
        number_of: returns the number of a neighbour.
        late: us by which its timers are to be late.
    """

    def __init__(self, watch: Watch, peer: int, core: Core[P], number_of: Callable[[P], int], late: int = 0) -> None:
        self.core = core
        self.machine = Machine(Schema({name: State() for name in STATES}), id=f"machine{peer}")
        core.expose(0, self.machine)
        self._watch = watch
        self._peer = peer
        self._number_of = number_of
        self._late = late
        self._wake = NEVER

    def _note(self, now: int, source: int, outputs: Outputs[P]) -> list[Output[P]]:
        watch, peer, carried = self._watch, self._peer, list(outputs)
        for at, out in enumerate(carried):
            if out[0] == SEND:
                watch.sent(now, peer, self._number_of(out[1]), out[2], out[4])
            elif out[0] == WAKE:
                self._wake = max(out[1], now)
                carried[at] = (WAKE, self._wake + self._late)
            elif out[0] == NOTIFY and isinstance(out[1], Published):
                watch.published(peer, out[1].state)
            elif out[0] == NOTIFY and isinstance(out[1], Committed):
                watch.committed(now, peer, source, out[1].state)
        return carried

    def start(self, now: int) -> Outputs[P]:
        """See `Node`."""
        return self._note(now, -1, self.core.start(now))

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> Outputs[P]:
        """See `Node`."""
        return self._note(now, -1, self.core.link_up(now, peer, dialed_by_us))

    def link_down(self, now: int, peer: P) -> Outputs[P]:
        """See `Node`. No link may end before all do: then the two sides would not be the same."""
        if self._watch.over:
            return ()
        raise AssertionError(f"peer {self._peer} has lost {self._number_of(peer)}")

    def receive(self, now: int, peer: P, channel: int, stream: int, message: Message) -> Outputs[P]:
        """See `Node`."""
        other = self._number_of(peer)
        if channel == LINK:
            self._watch.arrived(now, other, self._peer)
        return self._note(now, other, self.core.receive(now, peer, channel, stream, message))

    def topic(self, now: int, peer: P, message: Message) -> Outputs[P]:
        """See `Node`."""
        raise AssertionError("the topic is off")

    def timer(self, now: int) -> Outputs[P]:
        """See `Node`."""
        self._watch.rang(now - self._wake)
        return self._note(now, -1, self.core.timer(now))

    def change(self, now: int, state: str) -> Outputs[P]:
        """Change the machine."""
        self._watch.changed(now, self._peer)
        self.machine.toggle(state)
        return self._note(now, -1, self.core.changed(now))


def simulated(scenario: Scenario, low: float, median: float, late: float = 0.0) -> dict[str, float]:
    """Run a scenario in engine A. A message takes at least `low` and as often more than `median` as less, ms.

    The times are spread evenly; timers are late by `late`, ms.
    """
    watch, identities = Watch(scenario), scenario.identities
    base, jitter = round(low * 1000), round(2 * (median - low) * 1000)

    def make(peer: int, host: Host) -> Witness[int]:
        core: Core[int] = Core(host, identities[peer], DOMAIN, owner_of=lambda other: identities[other].owner)
        return Witness(watch, peer, core, lambda other: other, round(late * 1000))

    simulation = Simulation(
        SEED,
        make,
        peers=scenario.peers,
        topology=lambda peers, seed: scenario.pairs,
        conditions=Conditions(latency=Constant(base), jitter=jitter),
        tick_us=1,
    )
    for at, peer, state in scenario.changes:
        simulation.call(at, peer, lambda node, now, state=state: node.change(now, state))  # type: ignore[misc]
    simulation.run(scenario.until)
    return watch.results()


async def on_libp2p(scenario: Scenario) -> dict[str, float]:
    """Run a scenario with real peers on loopback, all of them in this process."""
    watch, identities = Watch(scenario), scenario.identities
    numbers = {identity.owner: peer for peer, identity in enumerate(identities)}
    transports: list[Libp2pTransport] = []
    witnesses: list[Witness[bytes]] = []
    drivers: list[Driver[bytes]] = []
    async with AsyncExitStack() as stack:
        for peer, identity in enumerate(identities):
            transports.append(await stack.enter_async_context(open_libp2p(identity, topic=DOMAIN, gossip=False)))
            host = Host(random=stream(SEED, "peer", peer, 1), wall=wall_ms, disk=NoDisk())
            core: Core[bytes] = Core(host, identity, DOMAIN, owner_of=lambda other: other)
            witnesses.append(Witness(watch, peer, core, numbers.__getitem__))
            drivers.append(Driver(witnesses[-1], transports[-1]))
        nursery = await stack.enter_async_context(trio.open_nursery())
        for driver in drivers:
            await nursery.start(driver.run)
        began = now()
        for left, right in scenario.pairs:
            transports[left].learn(transports[right].addresses[0])
            drivers[left].dial(identities[right].owner)
        await sleep_until(began + SETTLE)
        assert all(len(witness.core.ledger) == scenario.peers for witness in witnesses)
        assert sum(len(driver.peers) for driver in drivers) == 2 * len(scenario.pairs)
        spent, sent = time.process_time(), sum(t.statistics().bytes_sent for t in transports)
        for at, peer, state in scenario.changes:
            await sleep_until(began + at)
            drivers[peer].call(witnesses[peer].change, state)
        await sleep_until(began + scenario.until)
        spent, out = time.process_time() - spent, watch.results()
        sent = sum(t.statistics().bytes_sent for t in transports) - sent
        out["cpu"] = spent / (scenario.seconds + QUIET / SECOND) * 100
        out["cpu of a frame"] = spent / watch.frames * 1e6
        out["all"] = sent / watch.changes / scenario.peers  # as encoded, instead of by the sizes of messages
        watch.over = True
        for driver in drivers:
            await driver.stop()
    return out


# name in the results -> what it is called, its unit
COMPARED = {
    "p50": ("a change at a replica, p50", "ms"),
    "p99": ("a change at a replica, p99", "ms"),
    "last": ("a change at the last replica, p50", "ms"),
    "hops": ("links that a new state came along", ""),
    "link": ("bytes on links, an update and peer", "B"),
    "all": ("bytes of all channels, an update and peer", "B"),
    "frames": ("frames, an update and peer", ""),
    "records": ("records, an update and peer", ""),
    "repeats": ("  of them known already", ""),
}
MEASURED = {
    "hop": ("a frame on its way, p50", "ms"),
    "hop p90": ("  p90", "ms"),
    "late": ("a timer is late by, p50", "ms"),
    "cpu": ("CPU of all peers", "%"),
    "cpu of a frame": ("CPU of a frame, everything included", "us"),
    "missing": ("changes that did not arrive", ""),
}
ROWS = {f"{peers}-at-{rate}": Scenario(peers, rate) for peers in (5, 10) for rate in (10, 100)}


def run(name: str) -> Run:
    """Run a row once: two peers, the real network, and the two simulations of it."""
    scenario = ROWS[name]
    pair = trio.run(on_libp2p, Scenario(2, 20, 5.0))
    real = trio.run(on_libp2p, scenario)
    return {
        "two peers": pair,
        "real": real,
        "simulated": simulated(scenario, pair["hop p10"], pair["hop"]),
        "explained": simulated(scenario, real["hop p10"], real["hop"], real["late"]),
        "machine": {"load": os.getloadavg()[0]},
    }


def compare(report: Report, name: str, runs: list[Run]) -> Table:
    """Note the medians of some runs, and return them side by side. A ratio is that of the larger to the smaller."""

    def add(what: str, values: list[float], unit: str, goal: float | None = None) -> Figure:
        middle = statistics.median(values)
        report.figures.append(Figure(f"{name}: {what}", middle, unit, goal, low=min(values), high=max(values)))
        return report.figures[-1]

    def cells(what: str, key: str, unit: str, sides: tuple[str, ...]) -> list[str]:
        found = [add(f"{what}, {side}", [each[side][key] for each in runs], unit) for side in sides]
        return [f"{figure.value:.3g}" for figure in found]

    def apart(what: str, key: str, side: str, goal: float | None) -> str:
        pairs = [sorted((each["real"][key], each[side][key])) for each in runs]
        values = [high / low if low else 1.0 if high == low else float("inf") for low, high in pairs]
        figure = add(f"{what}, real and {side} apart", values, "", goal)
        return f"{figure.value:.2f}{' MISSED' if figure.met is False else ''}"

    table = Table(title=f"{name}, medians of {len(runs)} runs")
    for heading in ("what", "real", "simulated", f"≤ {GOAL}", "explained", "", "two peers"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for key, (what, unit) in (COMPARED | MEASURED).items():
        title = f"{what}, {unit}" if unit else what
        if key in COMPARED:
            real, near, told = cells(what, key, unit, ("real", "simulated", "explained"))
            ratios = apart(what, key, "simulated", GOAL), apart(what, key, "explained", None)
            table.add_row(title, real, near, ratios[0], told, ratios[1])
        else:
            real, pair = cells(what, key, unit, ("real", "two peers"))
            table.add_row(title, real, "", "", "", "", pair)
    table.add_row("load of the machine", f"{add('load', [each['machine']['load'] for each in runs], '').value:.2g}")
    return table


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", choices=list(ROWS), help="run this row; may be repeated")
    options.add_argument("--runs", type=int, default=3, help="how many of each row")
    options.add_argument("--list", action="store_true", help="name the rows")
    options.add_argument("--json", action="store_true", help="print JSON")
    chosen = options.parse_args()
    if chosen.list:
        print("\n".join(ROWS))
        return
    report, tables = Report("reality"), list[Table]()
    for name in chosen.only or ROWS:
        began, runs = time.perf_counter(), []
        for _ in range(chosen.runs):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                runs.append(pool.apply(run, (name,)))
        tables.append(compare(report, name, runs))
        print(f"{name} … {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if chosen.json:
        report.show(json_output=True)
    for table in () if chosen.json else tables:
        Console().print(table)


if __name__ == "__main__":
    main()
