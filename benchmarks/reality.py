"""Engine A against reality: the same scenario on libp2p and in a simulation, side by side.

The simulated network is told one thing of the real one: how long a message takes between two peers that have nothing
else to do. A second simulation is told what was measured in the network itself, where all peers share one process: how
long its messages took, and how late its timers were. Where only the second one agrees, that is the reason.

By default the rows are 5, 10 and 20 peers at 10 and 100 changes/s. `--only NAME` runs one, `--list` names them and
`--runs` says how many of each. `--scenario FILE` takes one of `am sim run` instead, with `--peers` of other sizes:
`benchmarks/calibration.toml` has links of 10 to 30 ms. `--network` says what is between the peers: `loopback`, `relay`
(a process that delays as the scenario says), or `netem` (the kernel does, in a network namespace of its own).
`--report` writes a page, `--save` what it was made of, `--json` is for programs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not this folder, whose names would hide the packages

from benchmarks.witness import Case, Watch, Witness
from pubsub.boundary import SECOND, Host
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.identity import Domain
from pubsub.keys import NoDisk
from pubsub.opening import wall_ms
from pubsub.transport.clock import now, sleep_until
from pubsub.transport.libp2p import Libp2pTransport, open_libp2p
from simulations.calibration import Calibration, calibration_page, lines, save
from simulations.conditions import Conditions, Constant, Latency
from simulations.errors import SetupError
from simulations.experiment import commit, parameters_of
from simulations.outcome import Curve, Measure, Outcome
from simulations.scenario import Machines, Scenario
from simulations.scenario_check import conditions_of
from simulations.scenario_file import find, read
from simulations.scenario_network import Regular
from simulations.scenario_parts import microseconds
from simulations.seeds import stream
from simulations.simulation import Simulation
from simulations.workload import Poisson

SEED = 1
DOMAIN = Domain("reality")
NETWORKS = ("loopback", "relay", "netem")
POINTS = 200
MEETING = 120  # s
PATIENCE = 5  # s for one connection, before the next one is tried; the core goes on with it by itself
CLONE_NEWNET = 0x40000000  # of Linux, <sched.h>


def preset(peers: int, rate: float, seconds: float = 20.0) -> Scenario:
    """Return a row: up to four neighbours a peer, changes of random machines."""
    return Scenario(
        name=f"{peers}-at-{rate:g}",
        peers=peers,
        topology=Regular(degree=4),
        workload=Poisson(rate=rate),
        settle=5.0,  # all know each other, and repair has become rare
        seconds=seconds,
        quiet=2.0,
    )


ROWS = {made.name: made for made in (preset(peers, rate) for peers in (5, 10, 20) for rate in (10.0, 100.0))}


# -- what is between the peers


@dataclass(frozen=True)
class Over:
    """A latency, and what a message takes beside it on this machine (us)."""

    latency: Latency
    more: int

    def base(self, seed: int, left: int, right: int) -> int:
        """Add up."""
        return self.latency.base(seed, left, right) + self.more


def weather(case: Case, network: str) -> Conditions:
    """Return what the network does to frames on purpose: nothing on loopback."""
    if network == "loopback":
        return Conditions(latency=Constant(0), jitter=0)
    return conditions_of(case.scenario)


@asynccontextmanager
async def relayed(case: Case, network: str, ports: Sequence[int]) -> AsyncIterator[list[int]]:
    """Return the ports to dial for each pair: those of the peers, or of a relay before them."""
    behind = [ports[right] for _, right in case.pairs]
    if network != "relay":
        yield behind
        return
    between = weather(case, network)
    edges = [
        {
            "port": port,
            "delay": between.latency.base(case.seed, left, right) / SECOND,
            "jitter": between.jitter / SECOND,
            "loss": between.loss,
            "retransmit": between.retransmit / SECOND,
        }
        for (left, right), port in zip(case.pairs, behind, strict=True)
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "relay.py")]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send_all(json.dumps(edges).encode() + b"\n")
        told = b""
        while not told.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            if not piece:
                raise SetupError("the relay has ended: see what it said above")
            told += piece
        yield json.loads(told)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def check(scenario: Scenario, network: str) -> None:
    """Refuse what real peers cannot do here."""
    if scenario.protocol != "clk" or scenario.planes.eager:
        raise SetupError(
            f"{scenario.name}: only links and repair (protocol = clk, planes.eager = false) run on both sides"
        )
    if scenario.machines != Machines(states=scenario.machines.states):
        raise SetupError(f"{scenario.name}: each peer has one machine here: of `machines`, set `states` only")
    if scenario.faults or scenario.liars or scenario.absent is not None:
        raise SetupError(f"{scenario.name}: faults, liars and absent peers are simulated only: leave them out")
    lossy = scenario.network.loss and (network == "loopback" or not scenario.network.retransmit_ms)
    if lossy:
        raise SetupError(
            f"{scenario.name}: TCP sends again what is lost: set network.retransmit_ms to how long that takes, and"
            " --network relay or netem"
        )
    if network == "netem" and scenario.network.latency.__struct_config__.tag != "constant":
        raise SetupError(
            f"{scenario.name}: netem delays all frames of loopback alike: set network.latency.kind = constant"
        )


def enter_netem(scenario: Scenario) -> None:
    """Put this process into a network namespace of its own, whose loopback delays and loses. Needs root.

    Raises:
        SetupError: the kernel has no netem, or does not let us.
    """
    between = conditions_of(scenario)
    delay = between.latency.base(SEED, 0, 1)
    rule = (
        f"tc qdisc add dev lo root netem limit 100000 delay {delay}us {between.jitter // 2}us loss {between.loss:.4%}"
    )
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare is of Python 3.12
    if libc.unshare(CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        raise SetupError(f"no network namespace can be made here ({reason}): be root, or use --network relay")
    for command in ("ip link set lo up", rule):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"{command!r} says {done.stderr.strip()!r}: use --network relay, which needs no kernel")


# -- the two sides


def simulated(case: Case, network: str, low: float, middle: float, late: float = 0.0) -> dict[str, Any]:
    """Run a case in engine A. Beside what the network does on purpose, a message takes at least `low`, ms.

    As often it takes more than `middle` as less; the times are spread evenly. Timers are late by `late`, ms.
    """
    watch, identities = Watch(case), case.identities
    between, parameters = weather(case, network), parameters_of(case.scenario)
    jitter = between.jitter + max(round(2 * (middle - low) * 1000), 0)

    def make(peer: int, host: Host) -> Witness[int]:
        core: Core[int] = Core(
            host, identities[peer], DOMAIN, parameters=parameters, owner_of=lambda other: identities[other].owner
        )
        return Witness(watch, peer, core, lambda other: other, round(late * 1000))

    simulation = Simulation(
        case.seed,
        make,
        peers=case.scenario.peers,
        topology=lambda peers, seed: case.pairs,
        conditions=Conditions(
            latency=Over(between.latency, max(round(low * 1000), 0)),
            jitter=jitter,
            loss=between.loss,
            retransmit=between.retransmit,
        ),
        tick_us=1,
    )
    for change in case.changes:
        name = f"S{change.state}"
        simulation.call(change.at, change.peer, lambda node, now, name=name: node.change(now, name))  # type: ignore[misc]
    simulation.run(case.until)
    return {**watch.results(), "curve": curve(watch), "trace": simulation.trace_hash()}


async def on_libp2p(case: Case, network: str) -> dict[str, Any]:
    """Run a case with real peers, all of them in this process."""
    between, parameters = weather(case, network), parameters_of(case.scenario)
    watch = Watch(case, lambda source, target: between.latency.base(case.seed, source, target))
    identities = case.identities
    numbers = {identity.owner: peer for peer, identity in enumerate(identities)}
    transports: list[Libp2pTransport] = []
    witnesses: list[Witness[bytes]] = []
    drivers: list[Driver[bytes]] = []
    async with AsyncExitStack() as stack:
        for peer, identity in enumerate(identities):
            transports.append(await stack.enter_async_context(open_libp2p(identity, topic=DOMAIN, gossip=False)))
            host = Host(random=stream(case.seed, "peer", peer, 1), wall=wall_ms, disk=NoDisk())
            core: Core[bytes] = Core(host, identity, DOMAIN, parameters=parameters, owner_of=lambda other: other)
            witnesses.append(Witness(watch, peer, core, numbers.__getitem__))
            drivers.append(Driver(witnesses[-1], transports[-1]))
        addresses = [transport.addresses[0].split("/") for transport in transports]
        place = addresses[0].index("tcp") + 1
        ports = [int(address[place]) for address in addresses]
        dialled = await stack.enter_async_context(relayed(case, network, ports))
        nursery = await stack.enter_async_context(trio.open_nursery())
        for driver in drivers:
            await nursery.start(driver.run)
        for (left, right), port in zip(case.pairs, dialled, strict=True):
            address = addresses[right].copy()
            address[place] = str(port)
            transports[left].learn("/".join(address))
            drivers[left].dial(identities[right].owner)
            with trio.move_on_after(PATIENCE):  # one after another: all at once, they would run out of time
                while identities[right].owner not in drivers[left].peers:  # noqa: ASYNC110  a driver has no event for it
                    await trio.sleep(0.01)
        await meet(case, witnesses, drivers)
        began = now()
        await sleep_until(began + microseconds(case.scenario.settle))
        spent, sent = time.process_time(), sum(t.statistics().bytes_sent for t in transports)
        for change in case.changes:
            await sleep_until(began + change.at)
            drivers[change.peer].call(witnesses[change.peer].change, f"S{change.state}")
        await sleep_until(began + case.until)
        spent, out = time.process_time() - spent, dict[str, Any](watch.results())
        sent = sum(t.statistics().bytes_sent for t in transports) - sent
        out["cpu"] = spent / (case.scenario.seconds + case.scenario.quiet) * 100
        out["cpu of a frame"] = spent / max(watch.frames, 1) * 1e6
        out["all"] = sent / watch.changes / case.scenario.peers  # as encoded, instead of by the sizes of messages
        out["curve"] = curve(watch)
        watch.over = True
        for driver in drivers:
            await driver.stop()
    return out


async def meet(case: Case, witnesses: Sequence[Witness[bytes]], drivers: Sequence[Driver[bytes]]) -> None:
    """Wait until all peers know each other: encrypting a connection takes some 50 ms of CPU time on either side.

    Raises:
        SetupError: some never do.
    """
    peers, links, met = case.scenario.peers, 0, 0
    with trio.move_on_after(MEETING):
        while met < peers or links != len(case.pairs):
            await trio.sleep(0.1)
            links = sum(len(driver.peers) for driver in drivers) // 2
            met = sum(len(witness.core.ledger) == peers for witness in witnesses)
        return
    raise SetupError(
        f"{case.scenario.name}: after {MEETING} s, {met} of {peers} peers know all others, over {links} of"
        f" {len(case.pairs)} links: try fewer peers, as all share one process here"
    )


# -- what is compared

# name in the results -> name of the measure, what it is, unit
COMPARED = {
    "p50": ("latency_p50", "a change at a replica, half of all", "ms"),
    "p99": ("latency_p99", "a change at a replica, of 100 the slowest but one", "ms"),
    "last": ("time_to_100", "a change at the last replica, median", "ms"),
    "hops": ("hops_mean", "links that a new state came along", ""),
    "link": ("bytes_per_update_link", "bytes on links, an update and peer", "B"),
    "all": ("bytes_per_update", "bytes of all channels, an update and peer", "B"),
    "frames": ("frames_per_update", "frames, an update and peer", ""),
    "records": ("records_per_update", "records, an update and peer", ""),
    "repeats": ("duplicates", "records that were known already, an update and peer", ""),
}
MEASURED = {
    "hop p10": ("frame_p10", "a frame on its way, beyond what the network delays on purpose", "ms"),
    "hop": ("frame_p50", "the same, half of all", "ms"),
    "hop p90": ("frame_p90", "the same, of 10 the slowest but one", "ms"),
    "late": ("timer_late", "a timer is late by, half of all", "ms"),
    "cpu": ("cpu_of_all", "CPU of all peers", "%"),
    "cpu of a frame": ("cpu_of_a_frame", "CPU of a frame, everything included", "us"),
    "missing": ("missing_at_end", "changes that did not arrive", ""),
}


def curve(watch: Watch) -> tuple[list[float], list[float]]:
    """Return which share (%) of all peers have a change so long (ms) after it."""
    took = sorted(watch.took)
    expected = max(watch.changes * (watch.case.scenario.peers - 1), 1)
    at = sorted({min(len(took) - 1, round(point * len(took) / POINTS)) for point in range(POINTS + 1)}) if took else []
    return [took[i] / 1000 for i in at], [100 * (i + 1) / expected for i in at]


def outcome(case: Case, found: dict[str, Any], *, real: bool) -> Outcome:
    """Return results as an outcome, by the names that simulations have for them."""
    named = {**COMPARED, **(MEASURED if real else {})}
    x, y = found["curve"]
    return Outcome(
        scenario=case.scenario.to_dict(),
        seed=case.seed,
        commit=commit(),
        trace=found.get("trace", ""),
        measures={
            name: Measure(value=found[key] if found[key] == found[key] else None, unit=unit, about=about)
            for key, (name, about, unit) in named.items()
            if key in found
        },
        curves={"coverage": Curve(x=x, y=y, x_unit="ms", y_unit="%")},
    )


def run(told: bytes, network: str) -> tuple[list[bytes], float]:
    """Run a scenario once: two peers, the real network, and the two simulations of it."""
    scenario = msgspec.json.decode(told, type=Scenario)
    if network == "netem":
        enter_netem(scenario)
    case, between = Case(scenario, SEED), scenario.network
    calm = msgspec.structs.replace(between, jitter_ms=0.0, loss=0.0)
    two = msgspec.structs.replace(scenario, peers=2, workload=Poisson(rate=20.0), seconds=5.0, network=calm)
    try:
        pair = trio.run(on_libp2p, Case(two, SEED), network)
        real = trio.run(on_libp2p, case, network)
    except* SetupError as group:
        raise _first(group) from None
    jitter = weather(case, network).jitter / 1000
    low, middle = real["hop p10"] - 0.1 * jitter, real["hop"] - 0.5 * jitter
    near = simulated(case, network, pair["hop p10"], pair["hop"])
    explained = simulated(case, network, low, middle, real["late"])
    sides = ((real, True), (near, False), (explained, False))
    return [outcome(case, found, real=is_real).encode() for found, is_real in sides], os.getloadavg()[0]


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def calibrate(scenario: Scenario, network: str, runs: int) -> Calibration:
    """Run a scenario some times, each in a process of its own."""
    found = []
    for _ in range(runs):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(run, (msgspec.json.encode(scenario), network)))
    sides = [[msgspec.json.decode(each[0][side], type=Outcome) for each in found] for side in range(3)]
    compared = [name for name, _, _ in COMPARED.values()]
    return Calibration(
        name=scenario.name,
        compared=compared,
        real=sides[0],
        simulated=sides[1],
        explained=sides[2],
        network=network,
        load=[each[1] for each in found],
    )


def chosen(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that the command line asks for."""
    if options.scenario is None:
        rows = [ROWS[name] for name in options.only or ROWS]
        return [row for row in rows if not options.peers or row.peers in options.peers]
    scenario = read(find(options.scenario))[0]
    sizes = options.peers or [scenario.peers]
    names = [f"{scenario.name}, {peers} peers" for peers in sizes]
    return [msgspec.structs.replace(scenario, peers=p, name=n) for p, n in zip(sizes, names, strict=True)]


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", action="append", choices=list(ROWS), help="run this row; may be repeated")
    options.add_argument(
        "--scenario", metavar="FILE", help="run this scenario instead: a file, or a name of `am sim list`"
    )
    options.add_argument("--peers", type=int, action="append", help="of this size; may be repeated")
    options.add_argument("--network", choices=NETWORKS, default="loopback", help="what is between the peers")
    options.add_argument("--runs", type=int, default=3, help="how many of each row")
    options.add_argument("--list", action="store_true", help="name the rows")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--report", type=Path, metavar="FILE", help="write a page")
    options.add_argument("--save", type=Path, metavar="FILE", help="write all outcomes")
    given = options.parse_args()
    if given.list:
        print("\n".join(ROWS))
        return
    try:
        found = []
        for scenario in chosen(given):
            check(scenario, given.network)
            began = time.perf_counter()
            found.append(calibrate(scenario, given.network, given.runs))
            print(f"{scenario.name} … {time.perf_counter() - began:.0f} s", file=sys.stderr)
            if not given.json:
                print("\n".join((*lines(found[-1]), "")))
        if given.save is not None:
            save(found, given.save)
        if given.report is not None:
            given.report.write_text(calibration_page(found), encoding="utf-8")
    except SetupError as error:
        raise SystemExit(f"reality.py: {error}") from None
    if given.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
