"""The same seed does the same, in every process; another one does something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub.boundary import SECOND
from simulations.conditions import Conditions
from simulations.faults import storm
from simulations.seeds import derive, stream
from simulations.simulation import Simulation
from simulations.toys import Pinger
from simulations.trace import Trace

ROOT = Path(__file__).parents[2]
WEATHER = Conditions(loss=0.05, duplicate=0.05, reorder=0.05, cpu_frame=450, bandwidth=50_000)


def pinging(seed: int, step: int = 5 * SECOND) -> Simulation:
    simulation = Simulation(seed, Pinger, peers=12, conditions=WEATHER, faults=storm(seed, 12, 4 * SECOND))
    for until in range(step, 5 * SECOND + 1, step):
        simulation.run(until)
    return simulation


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_trace_and_another_one_another(seed: int) -> None:
    first, again, other = pinging(seed), pinging(seed), pinging(seed + 1)
    assert first.trace_hash() == again.trace_hash()
    assert first.statistics() == again.statistics()
    assert first.trace_hash() != other.trace_hash()


def test_it_does_not_matter_in_how_many_steps_a_simulation_runs(seed: int) -> None:
    assert pinging(seed, SECOND // 10).trace_hash() == pinging(seed).trace_hash()


def test_asking_for_the_hash_on_the_way_changes_nothing(seed: int) -> None:
    simulation = pinging(seed)
    assert simulation.trace_hash() == simulation.trace_hash()
    asked, unasked = Trace(), Trace()
    for trace in (asked, unasked):
        trace.note(1, 2, 3)
        trace.end_tick(1)
        if trace is asked:
            trace.digest()
        trace.note(1, 2, 4)
    assert asked.digest() == unasked.digest()


def test_a_trace_depends_on_what_happened_to_whom_and_when() -> None:
    def digest(kind: int, peer: int, value: int, tick: int) -> str:
        trace = Trace()
        trace.note(kind, peer, value)
        trace.end_tick(tick)
        return trace.digest()

    traces = [digest(*what) for what in ((1, 2, 3, 4), (2, 2, 3, 4), (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3, 5))]
    assert len(set(traces)) == 5


@pytest.mark.parametrize("scenario", ["liar", "storm"])
def test_every_process_gives_the_same_trace_whatever_its_hash_seed(scenario: str) -> None:
    am = "from asyncmachine.cli import main; main()"
    command = [sys.executable, "-c", am, "sim", "run", scenario, "--seed", "7"]
    told = []
    for hash_seed in ("0", "1", "random"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0].startswith("seed: 7\n")
    assert told[0] == told[1] == told[2]


def test_streams_depend_on_seed_and_name_alone() -> None:
    assert derive(1, "a", 2) == derive(1, "a", 2)
    assert len({derive(1, "a", 2), derive(2, "a", 2), derive(1, "b", 2), derive(1, "a", 3)}) == 4
    assert stream(1, "a").random() == stream(1, "a").random()
    assert derive(7, "link", 0, 1, 0) == 0xB71A1429528502FE  # as in every process and version
