"""A scenario with shards: what has to be simulated together is one simulation, and there are as many as that makes.

Which these are follows from the scenario and the seed, see `simulations.shards.units`, and not from how many processes
work on them. So the outcome is the same with one as with many: what was measured is added up in the order of the
shards, and the trace is a hash over the traces.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import msgspec

from simulations.errors import Violation
from simulations.experiment import Experiment, outcome_of
from simulations.instruments import Board
from simulations.outcome import Engine, Outcome
from simulations.scenario import Scenario
from simulations.scenario_check import conditions_of, members_of
from simulations.shards import units

COLLECT = 5_000  # nodes that were simulated, after which their memory is looked for: they are full of cycles


@dataclass(frozen=True, slots=True)
class Part:
    """What came of some shards."""

    board: Board
    trace: str
    events: int
    simulated: int
    violations: tuple[str, ...]


def run_shards(
    scenario: Scenario,
    seed: int,
    *,
    jobs: int = 1,
    progress: Callable[[float], None] | None = None,
    replay: str | None = None,
) -> Outcome:
    """Run all shards of a scenario, in `jobs` processes at a time, and return what came of them together."""
    wall, cpu = time.monotonic(), _cpu()
    members = members_of(scenario, seed)
    assert members is not None
    conditions = conditions_of(scenario)
    planned = units(members, coupled=bool(conditions.costly or conditions.uplink))
    board: Board | None = None
    trace, events, simulated = hashlib.blake2b(digest_size=16), 0, 0
    violations: list[str] = []
    for done, part in enumerate(_parts(scenario, seed, planned, jobs, progress, replay), 1):
        if board is None:
            board = part.board
        else:
            board.add(part.board)
        trace.update(bytes.fromhex(part.trace))
        events += part.events
        simulated = max(simulated, part.simulated)
        violations += part.violations
        if progress is not None:
            progress(done / len(planned))
    assert board is not None
    board.peers = scenario.peers
    engine = Engine(
        events=events,
        cpu_s=round(_cpu() - cpu, 3),
        wall_s=round(time.monotonic() - wall, 3),
        memory_mb=round(max(_used(who).ru_maxrss for who in _WHO) / 1024, 1),
        simulated_s=simulated / 1e6,
    )
    return outcome_of(scenario, seed, board, trace=trace.hexdigest(), engine=engine, violations=violations)


def _parts(
    scenario: Scenario,
    seed: int,
    planned: Sequence[tuple[int, ...]],
    jobs: int,
    progress: Callable[[float], None] | None,
    replay: str | None,
) -> Iterator[Part]:
    """Yield what came of each unit, in their order."""
    if jobs <= 1 or len(planned) == 1:
        for number, shards in enumerate(planned):

            def share(done: float, before: int = number) -> None:
                if progress is not None:
                    progress((before + done) / len(planned))

            yield play(scenario, seed, shards, share, replay)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share what this process has imported and opened
    told = msgspec.json.encode(scenario)
    pool = ProcessPoolExecutor(min(jobs, len(planned)), mp_context=context)
    try:
        waiting = [pool.submit(_work, told, seed, shards, replay) for shards in planned]
        waiting.reverse()
        while waiting:
            yield waiting.pop().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _work(told: bytes, seed: int, shards: Sequence[int], replay: str | None) -> Part:
    return play(msgspec.json.decode(told, type=Scenario), seed, shards, None, replay)


class _Litter:
    """How many nodes were simulated here since their memory was looked for."""

    nodes = 0

    @classmethod
    def leave(cls, nodes: int) -> None:
        cls.nodes += nodes
        if cls.nodes >= COLLECT:
            cls.nodes = 0
            gc.collect()


def play(
    scenario: Scenario,
    seed: int,
    shards: Sequence[int],
    progress: Callable[[float], None] | None = None,
    replay: str | None = None,
) -> Part:
    """Simulate some shards together, and return what came of them."""
    experiment = Experiment(scenario, seed=seed, shards=shards, replay=replay)
    violations: tuple[str, ...] = ()
    try:
        experiment.play(progress)
    except Violation as violation:
        which = f"shard {shards[0]}" if len(shards) == 1 else f"shards {shards[0]} to {shards[-1]}"
        violations = (f"in {which}: {violation}",)
    simulation, board = experiment.network.simulation, experiment.instruments
    board.detach()
    trace, events = simulation.trace_hash(), simulation.statistics().events
    _Litter.leave(simulation.peers)
    return Part(board, trace, events, simulation.now, violations)


_WHO = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


def _used(who: int) -> resource.struct_rusage:
    return resource.getrusage(who)


def _cpu() -> float:
    """Return the CPU time of this process, and of those that it has waited for, s."""
    return sum(_used(who).ru_utime + _used(who).ru_stime for who in _WHO)


__all__ = ["Part", "play", "run_shards"]
