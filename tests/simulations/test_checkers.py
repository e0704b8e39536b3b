"""Checkers bite, and what they say replays."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pubsub.boundary import SECOND, Message, Outputs
from simulations.checkers import Agreement, BoundedQueues, Conservation, NothingFromTheDead
from simulations.errors import SetupError, Violation
from simulations.faults import Crash, Partition
from simulations.scenarios import make, run
from simulations.simulation import Simulation
from simulations.toys import Echo, Listener

ROOT = Path(__file__).parents[2]
AM = "from asyncmachine.cli import main; main()"


@pytest.mark.parametrize("name", ["ping", "liar", "storm"])
def test_a_scenario_passes_its_checkers(name: str, seed: int) -> None:
    simulation, statistics = run(name, seed)
    assert statistics.counts.delivered > 0
    assert simulation.checkers


def test_a_scenario_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SetupError, match="no scenario 'flod', but there are ping, flood"):
        make("flod", 1)


def test_a_violation_tells_seed_and_time_and_a_command_that_repeats_it() -> None:
    with pytest.raises(Violation) as first:
        run("forgetful", 20130207)
    message = str(first.value)
    command = shlex.split(message.partition("replay: ")[2].removesuffix("]"))
    assert command == ["am", "sim", "run", "forgetful", "--seed", "20130207"]
    done = subprocess.run(
        [sys.executable, "-c", AM, *command[1:]], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "seed: 20130207"
    assert f"VIOLATION: {message}" in done.stdout


def test_an_error_of_a_node_is_passed_on_with_the_way_to_repeat_it(seed: int) -> None:
    class Broken(Listener):
        def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
            raise KeyError("broken")

    simulation = Simulation(seed, Broken, peers=2, replay="do it again")
    simulation.call(0, 0, lambda node, now: node.say(1))  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="broken") as raised:
        simulation.run(SECOND)
    (note,) = raised.value.__notes__
    assert note.startswith(f"in a simulation: seed {seed}, 0.")
    assert note.endswith("replay: do it again")


def test_conservation_misses_a_stolen_frame(room: Callable[..., Any]) -> None:
    network = room(checkers=[Conservation()])
    network.say(0, 0, 1)
    network.run(5_000)
    for bucket in network.simulation.queue.wheel:
        bucket.clear()
    with pytest.raises(Violation, match="0 frames are in flight, by the counters it is 1"):
        network.run(SECOND)


def test_nobody_calls_a_peer_that_there_is_not(room: Callable[..., Any]) -> None:
    with pytest.raises(SetupError, match="no peer 2 among 2"):
        room().say(0, 2, 0)


def test_nobody_speaks_through_a_wall_that_was_left_open(room: Callable[..., Any]) -> None:
    network = room(checkers=[NothingFromTheDead()], faults=[(50_000, Partition([0]))])
    network.run(60_000)
    network.simulation.network.links[0][1].state = 0  # as if the partition had forgotten this link
    network.say(70_000, 0, 1)
    with pytest.raises(Violation, match=r"0->1 \(link\) passed a partition"):
        network.run(SECOND)


def test_nobody_speaks_from_beyond_the_grave(room: Callable[..., Any]) -> None:
    network = room(checkers=[NothingFromTheDead()], faults=[(50_000, Crash(0))])
    network.say(45_000, 0, 1)
    network.run(52_000)
    network.simulation.network.links[0][1].state = 0
    with pytest.raises(Violation, match="while 0 was down"):
        network.run(SECOND)


def test_a_node_that_hoards_is_found(room: Callable[..., Any]) -> None:
    checker = BoundedQueues("frames", lambda node: len(node.heard), 3)  # type: ignore[attr-defined]
    network = room(checkers=[checker])
    for at in range(4):
        network.say(at * 100_000, 0, 1)
    network.run(250_000)
    assert checker.highest == 3
    with pytest.raises(Violation, match="peer 1 holds 4 frames, more than 3"):
        network.run(SECOND)


def test_nodes_that_disagree_at_the_end_are_named(room: Callable[..., Any]) -> None:
    network = room(4, checkers=[Agreement(lambda node: len(node.heard), among=lambda peer: peer != 3)])  # type: ignore[attr-defined]
    network.say(0, 0, 3)
    network.run(SECOND)
    network.simulation.finish()
    network.say(SECOND, 0, 1)
    network.run(2 * SECOND)
    with pytest.raises(Violation, match="1 of 3 peers do not agree with peer 0: 1"):
        network.simulation.finish()


def test_checkers_do_not_change_what_happens(seed: int) -> None:
    def trace(*checkers: Any) -> str:
        simulation = Simulation(seed, Echo, peers=10, checkers=checkers)
        simulation.run(SECOND)
        return simulation.trace_hash()

    assert trace() == trace(Conservation(), NothingFromTheDead())
