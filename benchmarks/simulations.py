"""How many events a second does the simulation engine work off? `--json` for programs.

The last rows are networks of more and more peers: raw events, of nodes that answer each frame
with one, and then the whole protocol. Beside each stands how fast the machine was right then.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

from benchmarks.harness import RUNS, Report, calibrate
from pubsub.boundary import SECOND
from simulations.checkers import Conservation, NothingFromTheDead
from simulations.conditions import MEASURED, Conditions
from simulations.gossip import GossipNetwork
from simulations.scenarios import write
from simulations.simulation import Simulation
from simulations.topic import Gossipsub
from simulations.topology import regular
from simulations.toys import Echo, Flood, Shout

SEED = 20130207
SLICE = 500_000  # events that one of the runs is about
NUMBERS = (100, 300, 1_000, 3_000, 10_000, 30_000)
UPDATES = 150_000  # pairs of an update and a peer, that the protocol works off in each network


def events(report: Report, name: str, simulation: Simulation, goal: float | None = None) -> None:
    """Note the events per CPU-second, a median of five runs of one simulation that goes on."""
    simulation.run(SECOND)
    step = max(SECOND * SLICE // max(simulation.statistics().events, 1), SECOND // 2)
    rates = []
    for _ in range(RUNS):
        before = simulation.statistics().events
        began = time.process_time()
        simulation.run(simulation.now + step)
        spent = time.process_time() - began
        rates.append((simulation.statistics().events - before) / spent)
    report.add(name, statistics.median(rates), "1/s", goal, at_least=True)


def echoes(peers: int, conditions: Conditions) -> Simulation:
    return Simulation(SEED, Echo, peers=peers, topology=regular(6), conditions=conditions)


def spreading(peers: int, node: type[Flood]) -> Simulation:
    simulation = Simulation(SEED, node, peers=peers, topology=regular(6), topic=Gossipsub())
    write(simulation, 2_000, 20 * SECOND)
    return simulation


def against_peers(report: Report) -> None:
    """Note events per CPU-second by the number of peers."""
    for peers in NUMBERS:
        events(report, f"{peers:,} peers, raw events", echoes(peers, Conditions()))
        if peers <= 10_000:
            protocol(report, peers)
        report.add("  Python counts to 1,000,000 in", calibrate(), "ms")


def protocol(report: Report, peers: int) -> None:
    """Note what the whole protocol comes to on links, with 40 updates/s of the whole network."""
    made = GossipNetwork(seed=SEED, peers=peers, rate=40, warm=True, checkers="none")
    made.settle(3)
    began = time.process_time()
    made.work(UPDATES / 40 / peers)
    spent = time.process_time() - began
    measured = made.report()
    report.add("  with the protocol, 40 updates/s", measured.events / spent, "1/s")
    report.add("  records of these", measured.records / spent, "1/s")


def main() -> None:
    report = Report("simulations")
    plain = Conditions()
    rough = replace(MEASURED, loss=0.01, retransmit=200_000, duplicate=0.01, reorder=0.01, bandwidth=10_000_000)
    events(report, "raw events, 1,000 peers", echoes(1_000, plain), 600_000)
    events(report, "raw events, 10,000 peers", echoes(10_000, plain), 350_000)
    events(report, "with loss, repeats, bandwidth and CPU time, 1,000 peers", echoes(1_000, rough))
    watched = echoes(1_000, plain)
    watched.checkers += [Conservation(), NothingFromTheDead()]
    events(report, "with checkers, 1,000 peers", watched)
    events(report, "100 updates/s flooded to 1,000 peers", spreading(1_000, Flood))
    events(report, "100 updates/s on the topic, 1,000 peers", spreading(1_000, Shout))
    began = time.process_time()
    Simulation(SEED, Echo, peers=10_000, topology=regular(6)).run(0)
    report.add("setting up 10,000 peers with 30,000 connections", time.process_time() - began, "s")
    against_peers(report)
    report.show()


if __name__ == "__main__":
    main()
