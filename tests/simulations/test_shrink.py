"""Shrinking: what fails is made small, in the same way, and becomes a file that fails."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncmachine import sim_fuzz_cli
from asyncmachine.cli import main
from pubsub.core import Core
from simulations.campaign import Campaign, Result
from simulations.experiment import run
from simulations.scenario import Scenario
from simulations.scenario_file import changed, read, scenario_of, to_toml
from simulations.shrink import failure_of, scenario_of_trial, shrink
from simulations.trial import Trial


class Touchy(Core[int]):
    """Breaks when a neighbour is lost."""

    def link_down(self, now: int, peer: int) -> Any:
        raise ZeroDivisionError(f"{peer} is gone")


LOSING = {
    "peers": 4,
    "settle": 0,
    "seconds": 2,
    "quiet": 1,
    "planes": {"repair": False},
    "network": {"loss": 0.6},
}
LARGE = {
    "peers": 30,
    "seconds": 8,
    "quiet": 10,
    "network": {"loss": 0.05},
    "faults": [
        {"kind": "storm", "lasts": 8, "count": 5},
        {"kind": "churn", "at": 4, "lasts": 3, "rate": 2},
        {"kind": "partition", "at": 1, "who": "50 %", "lasts": 2},
    ],
}


def test_a_crash_that_breaks_others_is_shrunk_to_two_peers_and_one_crash(seed: int, tmp_path: Path) -> None:
    fails = partial(failure_of, node=Touchy)
    told: list[int] = []
    found = shrink(
        scenario_of(LARGE), seed, seconds=900, fails=fails, tell=lambda scenario, runs: told.append(scenario.peers)
    )
    assert found is not None
    small = found.scenario
    assert found.failure.place == "ZeroDivisionError in Touchy.link_down"
    assert (small.peers, len(small.faults), small.network.loss) == (2, 1, 0)
    assert small.seconds + small.quiet < 8
    assert told == sorted(told, reverse=True)
    path = tmp_path / "small.toml"
    path.write_text(to_toml(small))
    again = fails(read(path)[0], seed)
    assert again is not None
    assert again.place == found.failure.place


def test_what_is_missing_at_the_end_is_not_looked_for_sooner(seed: int) -> None:
    settings = {"peers": 8, "planes.repair": False, "network.loss": 0.4, "seconds": 4.0, "quiet": 9.0}
    found = shrink(changed(Scenario(), settings), seed, seconds=900)
    assert found is not None
    assert found.failure.place == "Violation in Everybody.ended"
    assert found.scenario.quiet == 9
    assert found.scenario.seconds < 4
    assert found.scenario.peers < 8


def test_a_search_whose_time_is_up_says_so_and_gives_what_it_has(seed: int) -> None:
    settings = {"peers": 8, "planes.repair": False, "network.loss": 0.4, "seconds": 4.0, "quiet": 9.0}
    scenario = changed(Scenario(), settings)
    found = shrink(scenario, seed, seconds=0)
    assert found is not None
    assert (found.is_late, found.runs, found.scenario) == (True, 1, scenario)


def test_what_does_not_fail_is_not_shrunk(seed: int) -> None:
    assert shrink(scenario_of({"peers": 3, "seconds": 1, "quiet": 5}), seed) is None


@pytest.mark.parametrize("trial_seed", [1, 4, 11])
def test_a_trial_as_a_scenario_does_the_same(trial_seed: int) -> None:
    trial = Trial.draw(trial_seed, peers=6)
    assert run(scenario_of_trial(trial), seed=trial_seed).trace == trial.run().trace


def test_fuzzing_shrinks_the_network_of_a_seed_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Failing(Campaign):
        def __iter__(self) -> Iterator[Result | None]:
            yield Result(seed=8, peers=4, error="it went back", replay="am sim fuzz --count 1 --seed 8 --peers 4")

    monkeypatch.setattr(sim_fuzz_cli, "Campaign", Failing)
    monkeypatch.chdir(tmp_path)
    command = ["sim", "fuzz", "--seed", "8", "--peers", "4"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "it did not fail again, and was not shrunk"  # a seed that is good
    monkeypatch.setattr("simulations.shrink.scenario_of_trial", lambda trial: scenario_of({**LOSING, "seed": 8}))
    done = CliRunner().invoke(main, command)
    assert done.stdout.splitlines()[-1] == "replay: am sim run trial-8.toml"
    assert CliRunner().invoke(main, ["sim", "run", "trial-8.toml"]).exit_code == 1


def test_the_command_writes_what_still_fails_and_says_so_if_nothing_does(tmp_path: Path) -> None:
    path, small = tmp_path / "large.toml", tmp_path / "small.toml"
    path.write_text("peers = 4\nseconds = 3\nquiet = 2\n[planes]\nrepair = false\n[network]\nloss = 0.5\n")
    done = CliRunner().invoke(main, ["sim", "shrink", str(path), "--seed", "3", "--into", str(small)])
    assert done.exit_code == 0, done.output
    assert f"replay: am sim run {small}" in done.stdout
    again = CliRunner().invoke(main, ["sim", "run", str(small)])
    assert again.exit_code == 1
    assert "VIOLATION: peer" in again.stdout
    fine = CliRunner().invoke(main, ["sim", "shrink", str(path), "--set", "network.loss=0", "--into", str(small)])
    assert "large does not fail with seed 20130207" in fine.stdout
