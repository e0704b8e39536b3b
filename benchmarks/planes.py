"""What do the planes of the protocol cost and take, in networks of 1,000 and 10,000 peers? All of it simulated.

`--quick` (the default) takes about two minutes, `--full` runs everything, `--only NAME` one row, `--list` names them,
`--json` is for programs. Each row has a process of its own, since peak memory is that of a process. A hop takes 30 to
120 ms, as in the prototype, whose figures stand in brackets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

from benchmarks.alone import bytes_alone
from benchmarks.harness import Figure, Report
from machine import Machine, Schema, State
from pubsub.boundary import LINK, SECOND, Host
from pubsub.core import Core
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.members import MemberChanged, Status
from pubsub.messages import Frame, Parcel
from pubsub.parameters import Parameters
from pubsub.publisher import Publisher
from pubsub.record import decode_record
from simulations.conditions import Conditions
from simulations.disk import Disk
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.measures import Opinions
from simulations.measures import Report as Measured
from simulations.shards import interests, seats_in
from simulations.topic import Gossipsub
from simulations.topology import regular

SEED = 20130207
BENCH = Domain("bench")
SECONDS = 20.0  # of workload, where nothing else is said
EAGER = Parameters(eager=True, links=False, eager_rate=1_000)  # P1 and P3
LINKS = Parameters()  # P2 and P3, as they come
THRIFTY = Parameters(tau=250_000, pace=10_000)  # where what counts is how much a simulation does


def network(peers: int, rate: float, parameters: Parameters, **more: Any) -> GossipNetwork:
    """Return a network that has been together for some seconds: nobody has anything to catch up with."""
    topic = Gossipsub() if parameters.eager else None
    made = GossipNetwork(
        seed=SEED,
        peers=peers,
        rate=rate,
        parameters=parameters,
        topic=topic,
        warm=True,
        **{"checkers": "none", **more},
    )
    made.settle(3)
    return made


def rss() -> float:
    """Return the peak memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def split(measured: Measured) -> str:
    """Return which planes the bytes belong to."""
    return ", ".join(f"{name} {sent / 1000:.2f}" for name, sent in measured.planes.items() if sent >= 1)


def workload(
    report: Report,
    what: str,
    made: GossipNetwork,
    seconds: float,
    *,
    p99: float,
    prototype: tuple[float, ...],
    **goals: float,
) -> None:
    """Run updates, and note latencies, traffic and speed."""
    began = time.process_time()
    made.work(seconds)
    spent = time.process_time() - began
    measured = made.report()
    old_p50, old_p99, old_rate, old_bytes = prototype
    report.add(f"{what}: p50 [{old_p50:g}]", measured.p50, "ms")
    report.add(f"  p99 [{old_p99:g}]", measured.p99, "ms", p99)
    kilo = goals.get("kilobytes")
    report.add(f"  sent a peer [{old_rate:g}]: {split(measured)}", measured.bytes_per_second / 1000, "kB/s", kilo)
    report.add(f"  sent an update and peer [{old_bytes:g}]", measured.bytes_per_update, "B", goals.get("bytes"))
    report.add("  events a CPU-second", measured.events / spent, "1/s", goals.get("events"), at_least=True)
    report.add("  records a CPU-second, duplicates included", measured.records / spent, "1/s")
    report.add("  new states a CPU-second", measured.commits / spent, "1/s")


# -- rows


def eager(report: Report) -> None:
    made = network(1_000, 10, EAGER, conditions=Conditions(loss=0.01))
    proto = (247, 332, 8.1, 1548)
    workload(report, "1,000 peers, P1 and P3, 10/s, 1 % loss", made, SECONDS, p99=350, prototype=proto, kilobytes=8)


def links_few(report: Report) -> None:
    made = network(1_000, 10, LINKS, conditions=Conditions(loss=0.01))
    proto = (247, 332, 8.1, 1548)
    workload(report, "1,000 peers, P2 and P3, 10/s, 1 % loss", made, SECONDS, p99=350, prototype=proto, kilobytes=8)


def links_eight(report: Report) -> None:
    """Do the same with eight neighbours each, as soon as the ways of many owners are found: each has its own."""
    made = network(1_000, 10, LINKS, conditions=Conditions(loss=0.01), topology=regular(8))
    made.work(40)
    made.settle(0.001)
    what = "1,000 peers with 8 neighbours, P2 and P3, 10/s, 1 % loss, 40 s later"
    workload(report, what, made, 30, p99=350, prototype=(247, 332, 8.1, 1548), kilobytes=8)


def links_eight_large(report: Report) -> None:
    made = network(10_000, 8, LINKS, topology=regular(8))
    what = "10,000 peers with 8 neighbours, P2 and P3, 8/s"
    workload(report, what, made, 10, p99=450, prototype=(333, 419, 6.0, 1649), events=100_000)


def eager_large(report: Report) -> None:
    made = network(10_000, 8, EAGER)
    workload(report, "10,000 peers, P1 and P3, 8/s", made, 10, p99=450, prototype=(333, 419, 6.0, 1649), events=100_000)


def links(report: Report) -> None:
    made = network(1_000, 500, LINKS)
    proto = (693, 996, 329, 668)
    workload(report, "1,000 peers, P2, 500/s", made, 8, p99=1000, prototype=proto, bytes=700, events=120_000)


def links_quick(report: Report) -> None:
    made = network(1_000, 100, LINKS)
    proto = (424, 577, 89, 849)
    workload(report, "1,000 peers, P2, 100/s", made, 10, p99=577, prototype=proto, events=120_000)


def links_large(report: Report) -> None:
    made = network(10_000, 40, LINKS)
    proto = (859, 1163, 36, 783)
    workload(report, "10,000 peers, P2, 40/s", made, 10, p99=1163, prototype=proto, events=100_000)


def heal(report: Report) -> None:
    """Cut half of the peers off for 30 s; nobody changes anything after that."""
    made = parted(report, "P1 and P3", EAGER, "5-6", "7.6")
    report.add("  sent a peer for P3 [0.8], all in all", made.report().planes["sync"] / 1000, "kB/s")


def heal_links(report: Report) -> None:
    """Do the same where links carry the news."""
    parted(report, "P2 and P3", LINKS, "-", "-")


def parted(report: Report, planes: str, parameters: Parameters, old_most: str, old_all: str) -> GossipNetwork:
    faults = [(5 * SECOND, Partition(range(500))), (35 * SECOND, Heal())]
    made = network(1_000, 10, parameters, faults=faults)
    made.work(32)
    missing = made.spread.behind
    most = made.until(lambda: made.spread.behind <= missing // 100, 60)
    rest = made.until(lambda: not made.spread.behind, 60)
    report.add(f"a 30 s partition, {planes}, 10/s: {missing:,} states are missing", missing, "")
    healed(report, most, rest, old_most, old_all, 8)
    return made


def healed(report: Report, most: float | None, rest: float | None, old_most: str, old_all: str, goal: float) -> None:
    nobody = float("inf")
    report.add(f"  99 % of them are there after [{old_most}]", nobody if most is None else most, "s")
    total = nobody if most is None or rest is None else most + rest
    report.add(f"  all of them [{old_all}]", total, "s", goal)


def converge(report: Report) -> None:
    for what, parameters in (("P1 and P3", EAGER), ("P2 and P3", LINKS)):
        made = network(1_000, 20, parameters, conditions=Conditions(loss=0.2))
        made.work(10)
        took = made.until(lambda: not made.spread.behind, 60)  # noqa: B023  called at once
        report.add(f"20 % loss, 20/s, {what}: all agree after the last update", took or 60.0, "s", 15)


def late(report: Report) -> None:
    made = network(1_000, 10, LINKS, absent=[0])
    made.simulation.at(made.simulation.now, Restart(0))
    others = made.simulation.peers - 1

    def knows() -> bool:
        core = made.simulation.nodes[0]
        return isinstance(core, Core) and len(core.ledger) > others and not core.catalog.wanted

    took = made.until(knows, 30)
    report.add("a late joiner knows all of 1,000 peers after", 30.0 if took is None else took, "s", 3)


def idle(report: Report) -> None:
    made = network(1_000, 0, Parameters(eager=True))
    made.settle(20)
    made.work(60)
    measured = made.report()
    report.add(
        f"an idle network of 1,000, sent a peer: {split(measured)}", measured.bytes_per_second / 1000, "kB/s", 0.3
    )


def watched(parameters: Parameters, rate: float, **more: Any) -> tuple[GossipNetwork, Opinions]:
    """Return a network and what its peers think of each other."""
    measure = Opinions(
        lambda event: (event.owner, event.status) if isinstance(event, MemberChanged) else None,
        (Status.SUSPECT, Status.DEAD),
    )
    made = network(1_000, rate, parameters, **more)
    measure.started(made.simulation)
    made.simulation.checkers.append(measure)
    return made, measure


def dead(report: Report) -> None:
    """End a peer, with its connections or without a sign."""
    for silent in (False, True):
        made, measure = watched(LINKS, 10)
        made.work(10)
        made.simulation.at(made.simulation.now, Crash(3, silent=silent))
        owner, others = made.identities[3].owner, made.simulation.peers - 1
        took = made.until(lambda: measure.about(owner) >= others, 60)  # noqa: B023  called at once
        what = "the power of a peer fails" if silent else "a peer crashes"
        report.add(f"{what}: all of 1,000 suspect it after", 60.0 if took is None else took, "s", 20)


def suspicion(report: Report) -> None:
    made, measure = watched(LINKS, 10, conditions=Conditions(loss=0.1))
    made.work(60)
    report.add("10 % loss for 60 s: bad opinions of living peers, ever", measure.voiced, "")
    made.until(lambda: not measure.held, 60)
    report.add("  that stick", len(measure.held), "", 0)


def minute(report: Report) -> None:
    made = network(1_000, 100, THRIFTY)
    span(report, "1,000 peers, 60 s at 100/s", made, 120, None)


def minute_large(report: Report) -> None:
    made = network(10_000, 40, THRIFTY)
    span(report, "10,000 peers, 60 s at 40/s", made, 360, 8_000)


def span(report: Report, what: str, made: GossipNetwork, goal: float, memory: float | None) -> None:
    began, cpu = time.monotonic(), time.process_time()
    made.work(60)
    report.add(f"{what}: on the wall", time.monotonic() - began, "s", goal)
    report.add("  CPU time", time.process_time() - cpu, "s")
    measured = made.report()
    report.add("  p99", measured.p99, "ms")
    report.add("  events a CPU-second", measured.events / (time.process_time() - cpu), "1/s")
    report.add("  peak memory", rss(), "MB", memory)


def memory(report: Report) -> None:
    before = rss()
    made = GossipNetwork(seed=SEED, peers=1_000, rate=100, states=19, parameters=LINKS, warm=True, checkers="none")
    made.settle(1)
    report.add("1,000 peers know 1,000 machines of 20 states", rss(), "MB", 1_000)
    report.add("  over the bare process", rss() - before, "MB")
    made.work(10)
    report.add("  after 10 s at 100/s", rss(), "MB", 1_000)


def replicas(report: Report) -> None:
    """See what each replica takes of a peer alone, while updates come; what all share of a record is not in it.

    Of networks of 400 and 1,600 peers, each peer with the same number of updates a second, the difference of what a
    peer holds alone is that of 1,200 replicas more.
    """
    for what, seconds in (("at the beginning", 0.0), ("after 5 s with 1/40 update/s of each machine", 5.0)):
        alone = {}
        for peers in (400, 1_600):
            made = network(peers, peers / 40, LINKS)
            made.work(seconds)
            alone[peers] = statistics.median([bytes_alone(made, peer) for peer in (1, peers // 2, peers - 1)])
        report.add(f"a replica takes of a peer alone, {what}", (alone[1_600] - alone[400]) / 1_200, "B", 16)
        report.add("  a peer of 1,600 alone, without its replicas", (alone[400] * 4 - alone[1_600]) / 3 / 1000, "kB")


def sharded(report: Report) -> None:
    """Simulate 10,000 peers in 100 topics, each in two, in one simulation; `--only sharded-large`: 100,000."""
    many_topics(report, 10_000)


def sharded_large(report: Report) -> None:
    many_topics(report, 100_000)


def many_topics(report: Report, peers: int) -> None:
    """Build and run topics of 200 peers each, with a change every two seconds in each."""
    before, began = rss(), time.process_time()
    seats = seats_in(interests(SEED, peers, peers // 100, 2))
    made = GossipNetwork(seed=SEED, peers=len(seats), rate=peers / 200, warm=True, checkers="none", seats=seats)
    made.settle(1)
    report.add(f"{peers:,} peers in {len(seats.shards):,} topics, each in two: to build", spent(began), "s")
    report.add("  peak memory", rss(), "MB", 20_000)
    report.add("  of which a peer in a topic takes", (rss() - before) * 2**20 / len(seats) / 1000, "kB")
    began = time.process_time()
    made.work(2)
    measured = made.report()
    report.add("  events a CPU-second", measured.events / spent(began), "1/s")
    report.add("  new states a CPU-second", measured.commits / spent(began), "1/s")
    report.add("  p99", measured.p99, "ms")
    report.add("  peak memory then", rss(), "MB", 20_000)


def spent(began: float) -> float:
    """Return how much CPU time has passed, s."""
    return time.process_time() - began


MACHINES, OWNERS = 10_000, 100
TWENTY = Schema({f"S{i}": State(multi=True) for i in range(19)})  # and Exception
WALL = 1_700_000_000_000


def others() -> list[bytes]:
    """Return what 100 owners of 100 machines each publish, as bytes; each state has ticked."""
    records = []
    for number in range(OWNERS):
        publisher = Publisher(Identity(number.to_bytes(4, "big") * 8), BENCH, HybridClock(lambda: WALL), 1)
        for at in range(MACHINES // OWNERS):
            machine = Machine(TWENTY, id=f"machine-{number}-{at}")
            for name in TWENTY.names[:19]:
                machine.add(name)
            publisher.expose(machine)
        record = publisher.flush()
        assert record is not None
        records.append(record.encode())
    return records


def real(report: Report) -> None:
    """Let one peer alone, which shares nothing with others, know 10,000 machines. Another process makes the bytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        data = pool.apply(others)
    host = Host(random=Random(SEED), wall=lambda: WALL, disk=Disk())
    core: Core[int] = Core(host, Identity(bytes(range(32))), BENCH)
    core.start(0)
    core.link_up(0, 1, False)
    core.catalog.own(TWENTY)
    bare = _resident()
    for number, encoded in enumerate(data):
        now = SECOND * (number + 1)
        core.receive(now, 1, LINK, 0, Frame((Parcel.of(decode_record(encoded)),), 0))
        core.timer(now)
    known = _resident()
    replicas = core.replicas()
    assert len(replicas) == MACHINES
    report.add("one peer knows 10,000 machines of 20 states of 100 owners: more memory", known - bare, "MB")
    report.add("  and has a replica of each", _resident() - bare, "MB", 60)


def _resident() -> float:
    """Return the memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@dataclass(frozen=True)
class Row:
    """A part of the benchmark. ``quick``: it takes some seconds. ``huge``: it is run only where it is named."""

    work: Callable[[Report], None]
    quick: bool = True
    huge: bool = False


ROWS = {
    "eager": Row(eager),
    "links-few": Row(links_few),
    "links": Row(links, quick=False),
    "links-quick": Row(links_quick),
    "heal": Row(heal),
    "heal-links": Row(heal_links, quick=False),
    "converge": Row(converge, quick=False),
    "late": Row(late),
    "idle": Row(idle),
    "dead": Row(dead),
    "suspicion": Row(suspicion, quick=False),
    "memory": Row(memory, quick=False),
    "replicas": Row(replicas, quick=False),
    "sharded": Row(sharded, quick=False),
    "sharded-large": Row(sharded_large, quick=False, huge=True),
    "real": Row(real),
    "links-eight": Row(links_eight, quick=False),
    "links-eight-large": Row(links_eight_large, quick=False),
    "eager-large": Row(eager_large, quick=False),
    "links-large": Row(links_large, quick=False),
    "minute": Row(minute, quick=False),
    "minute-large": Row(minute_large, quick=False),
}


def apart(name: str) -> list[Figure]:
    """Return the figures of a row, from a process of its own."""
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, __file__, "--row", name], stdout=subprocess.PIPE, text=True, check=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return [Figure(**figure) for figure in json.loads(done.stdout)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--full", action="store_true", help="all rows but those that take still more: half an hour and 8 GB"
    )
    options.add_argument("--quick", action="store_true", help="the rows that take some seconds (the default)")
    options.add_argument("--only", choices=ROWS, action="append", help="this row, and others for which it is given")
    options.add_argument("--list", action="store_true", help="name the rows")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)  # what a process of its own is told
    given = options.parse_args()
    if given.list:
        print("\n".join(ROWS))
        return
    report = Report("planes", how="simulated; in brackets the prototype")
    if given.row:
        ROWS[given.row].work(report)
        print(json.dumps([asdict(figure) for figure in report.figures]))
        return
    for name in given.only or [name for name, row in ROWS.items() if row.quick or (given.full and not row.huge)]:
        report.figures += apart(name)
    report.show(json_output=given.json)


if __name__ == "__main__":
    main()
