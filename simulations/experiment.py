"""Run a scenario with a seed, and return the outcome: what was measured, and what checkers objected to.

    outcome = run(scenario_of({"peers": 100, "network": {"loss": 0.1}}), seed=7)
    print(outcome.measures["coverage"].value)

The network settles, then comes the workload, then quiet. A violation ends the run, and is part of its outcome.
"""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pubsub.core import Core
from pubsub.parameters import Parameters
from simulations.byzantine import Byzantine, Equivocate, Flooding, Forge, Hide, Replay
from simulations.checkers import Checker, Conservation, NothingFromTheDead
from simulations.errors import Violation
from simulations.go_rules import GoNode
from simulations.gossip import DOMAIN, GossipNetwork
from simulations.instruments import Board, instruments
from simulations.liars import lying
from simulations.outcome import Engine, Outcome
from simulations.plain_gossipsub import GossipsubNode
from simulations.promises import Everybody, EverySchema, promises
from simulations.scenario import Scenario
from simulations.scenario_check import conditions_of, crowd_of, degrees, members_of, schema_of
from simulations.scenario_faults import Scene, scheduled
from simulations.scenario_parts import KeyFault, microseconds
from simulations.scenario_who import Who
from simulations.seeds import stream
from simulations.shards import seats_in
from simulations.workload import Change, Draw

Progress = Callable[[float], None]  # the share that is done, from 0 to 1

LIARS: dict[str, type[Byzantine]] = {
    "forge": Forge,
    "equivocate": Equivocate,
    "hide": Hide,
    "replay": Replay,
    "flood": Flooding,
}
STEPS = 40  # looks at a run while it lasts, by checkers and by whoever watches it


class Experiment:
    """A scenario with a seed, ready to run.

    Args:
        scenario, seed: what and which.
        replay: the command that does it again.
        watching: more checkers, such as a recording.
        node: makes a core; a test plants a faulty one.
        shards: those that are simulated, of a scenario that has several; by default all, in one simulation.

    Raises:
        SetupError: the scenario cannot be run.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        replay: str | None = None,
        watching: Iterable[Checker] = (),
        node: Callable[..., Core[int]] = Core,
        shards: Sequence[int] | None = None,
    ) -> None:
        self.scenario, self.seed = scenario, seed
        self._began_wall, self._began_cpu = time.monotonic(), time.process_time()
        crowd = crowd_of(scenario, seed)
        begin = microseconds(scenario.settle)
        self._end = begin + microseconds(scenario.seconds + scenario.quiet)
        scene = Scene(crowd=crowd, begin=begin, end=self._end)
        members = members_of(scenario, seed)
        self._seats = seats = None if members is None else seats_in(members, shards)

        def nodes(who: Who, key: str) -> tuple[int, ...]:
            picked = crowd.pick(who, key)
            return picked if seats is None else seats.of(picked)

        liars = {
            node: lying(LIARS[liar.kind], DOMAIN, liar.rate)
            for number, liar in enumerate(scenario.liars)
            for node in nodes(liar.who, f"liars.{number}.who")
        }
        faults = scheduled(scenario.faults, scene)
        uses_topic = scenario.planes.eager or scenario.protocol != "clk"
        self.network = GossipNetwork(
            seed=seed,
            peers=scenario.peers if seats is None else len(seats),
            rate=0,
            states=scenario.machines.states,
            schema=schema_of(scenario),
            machines=scenario.machines.each,
            own_schemas=scenario.machines.own_schemas,
            turnover=scenario.machines.turnover,
            warm=scenario.warm,
            parameters=parameters_of(scenario),
            conditions=conditions_of(scenario),
            topology=scenario.topology.draw(),
            topic=degrees(scenario.topic) if uses_topic else None,
            faults=faults if seats is None else seats.place(faults),
            absent=() if scenario.absent is None else nodes(scenario.absent, "absent"),
            checkers="none",
            node=_node_of(scenario, node),
            liars=liars,
            replay=replay,
            seats=seats,
        )
        self.instruments: Board = instruments(scenario.measure or None, hooked=True, liars=tuple(liars))
        self.network.on_change = self.instruments.changed
        lying_owners = [self.network.identities[peer].owner for peer in liars]
        self.network.simulation.checkers += [
            *_checkers(scenario, tuple(liars), lying_owners),
            self.instruments,
            *watching,
        ]

    def run(self, progress: Progress | None = None) -> Outcome:
        """Run it to its end, and return what came of it."""
        violations: list[str] = []
        try:
            self.play(progress)
        except Violation as violation:
            violations.append(str(violation))
        return self._outcome(violations)

    def play(self, progress: Progress | None = None) -> None:
        """Run it to its end; raise what a checker or a node raises."""
        network, scenario = self.network, self.scenario
        begin = microseconds(scenario.settle)
        network.settle(scenario.settle)
        self.instruments.begin(network.simulation.now)
        network.schedule(self._changes(begin))
        for step in range(1, STEPS + 1):
            if progress is not None:
                progress((step - 1) / STEPS)
            network.advance(begin + (self._end - begin) * step // STEPS)
        network.simulation.finish()
        if progress is not None:
            progress(1.0)

    def _changes(self, begin: int) -> Iterator[Change]:
        """Yield what the workload changes: of each shard, what it would change if there were no other."""
        scenario, machines, seats = self.scenario, self.scenario.machines, self._seats
        states = len(machines.schema) or machines.states
        names: list[tuple[int, ...]] = [()] if seats is None else [(shard,) for shard in seats.shards]
        for name, shard in zip(names, self.network.simulation.shards, strict=True):
            draw = Draw(stream(self.seed, "workload", *name), len(shard), states, machines.turnover, machines.each)
            for change in scenario.workload.changes(draw, begin, begin + microseconds(scenario.seconds)):
                yield change._replace(peer=shard.start + change.peer) if shard.start else change

    def _outcome(self, violations: list[str]) -> Outcome:
        simulation = self.network.simulation
        engine = Engine(
            events=simulation.statistics().events,
            cpu_s=round(time.process_time() - self._began_cpu, 3),
            wall_s=round(time.monotonic() - self._began_wall, 3),
            memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            simulated_s=simulation.now / 1e6,
        )
        trace = simulation.trace_hash()
        return outcome_of(self.scenario, self.seed, self.instruments, trace=trace, engine=engine, violations=violations)


def outcome_of(
    scenario: Scenario, seed: int, board: Board, *, trace: str, engine: Engine, violations: list[str]
) -> Outcome:
    """Return what a run has to say, from all that was measured."""
    found = board.results()
    return Outcome(
        scenario=scenario.to_dict(),
        seed=seed,
        commit=commit(),
        version=_version(),
        trace=trace,
        engine=engine,
        measures=found.measures,
        curves=found.curves,
        planes=found.planes,
        violations=violations,
        notes=found.notes,
    )


def run(
    scenario: Scenario,
    *,
    seed: int | None = None,
    progress: Progress | None = None,
    replay: str | None = None,
    watching: Iterable[Checker] = (),
    jobs: int = 1,
) -> Outcome:
    """Run a scenario, with its own seed unless another one is given. See `Experiment`.

    Shards that have nothing to do with each other are simulated one by one, and by as many processes as `jobs` says,
    with the same outcome.

    Raises:
        SetupError: something is `watching`, and there are several shards.
    """
    given = scenario.seed if seed is None else seed
    watchers = list(watching)
    if scenario.shards.count > 1:
        from simulations.shard_runs import run_shards  # only here: it makes experiments itself

        if watchers:
            raise KeyFault("shards.count", "shards are simulated one by one, and nobody can watch, or record, them all")
        return run_shards(scenario, given, jobs=jobs, progress=progress, replay=replay)
    return Experiment(scenario, seed=given, replay=replay, watching=watchers).run(progress)


def parameters_of(scenario: Scenario) -> Parameters:
    """Return the parameters of clk/1 that a scenario asks for."""
    planes, tuning = scenario.planes, scenario.parameters
    return Parameters(
        tau=round(tuning.tau_ms * 1000),
        pace=tuning.pace_us,
        eager=planes.eager,
        links=planes.links,
        lazy=tuning.lazy,
        repair=planes.repair,
        liveness=planes.liveness,
        eager_rate=tuning.eager_rate,
        repair_period=microseconds(tuning.repair),
        forget_after=microseconds(tuning.forget_after),
    )


def _node_of(scenario: Scenario, core: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes the node of a peer, with the arguments of a core."""
    if scenario.protocol == "go":
        return GoNode.under(scenario.go)
    return GossipsubNode if scenario.protocol == "gossipsub" else core


def _checkers(scenario: Scenario, liars: tuple[int, ...], owners: list[bytes]) -> list[Checker]:
    if scenario.check == "none":
        return []
    engine: list[Checker] = [Conservation(), NothingFromTheDead()]
    if scenario.protocol != "clk":
        return engine
    promised = promises(liars, owners)
    if scenario.check == "safety":
        promised = [checker for checker in promised if not isinstance(checker, Everybody | EverySchema)]
    return [*promised, *engine]


@cache
def commit() -> str:
    """Return the commit of this code, short; "" where that cannot be told."""
    command = ("git", "rev-parse", "--short=12", "HEAD")
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def _version() -> str:
    try:
        return version("asyncmachine")
    except PackageNotFoundError:
        return ""


__all__ = ["Experiment", "commit", "outcome_of", "parameters_of", "run"]
