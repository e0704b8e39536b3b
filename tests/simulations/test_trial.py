"""`am sim`: trials are drawn from their seeds, campaigns run them, and the commands tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner

from asyncmachine import sim_fuzz_cli
from asyncmachine.cli import main
from simulations import campaign
from simulations.campaign import Campaign, Result
from simulations.errors import SetupError
from simulations.scenarios import SCENARIOS
from simulations.trial import Trial


def test_a_seed_draws_the_same_trial_again_and_another_one_another(seed: int) -> None:
    assert Trial.draw(seed) == Trial.draw(seed)
    assert len({repr(replace(Trial.draw(seed + i), seed=0, replay="")) for i in range(50)}) == 50


def test_a_trial_does_the_same_again(seed: int) -> None:
    trial = Trial.draw(seed, peers=5)
    assert trial.run() == trial.run()


def test_a_network_of_one_peer_is_refused() -> None:
    with pytest.raises(SetupError, match="2 peers or more, not 1"):
        Trial.draw(1, peers=1)


def test_processes_give_what_this_one_does(seed: int) -> None:
    results = [result for result in Campaign(seed, peers=4, count=2, jobs=2) if result is not None]
    assert sorted(results, key=lambda r: r.seed) == [campaign.attempt(s, 4) for s in (seed, seed + 1)]


def test_a_campaign_ends_when_the_time_is_up(seed: int) -> None:
    short = Campaign(seed, seconds=0.05)
    assert [result for result in short if result is not None] == []
    assert short.given_up == 1


def test_fuzzing_tells_seed_and_counts() -> None:
    done = CliRunner().invoke(main, ["sim", "fuzz", "--count", "2", "--seed", "7", "--peers", "4", "--jobs", "2"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "seed: 7"
    assert done.stdout.splitlines()[1].startswith("2 seeds passed")


def test_fuzzing_tells_programs_the_same() -> None:
    done = CliRunner().invoke(main, ["sim", "fuzz", "--count", "1", "--seed", "7", "--peers", "4", "--json"])
    told = json.loads(done.stdout)
    assert (told["seed"], told["passed"], told["failure"]) == (7, 1, None)
    assert [trial["seed"] for trial in told["trials"]] == [7]


class Failing(Campaign):
    """A campaign whose second trial breaks a promise."""

    def __iter__(self) -> Iterator[Result | None]:
        yield Result(seed=7, peers=4, events=10)
        yield None
        yield Result(seed=8, peers=4, error="peer 1 went back", replay="am sim fuzz --count 1 --seed 8")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_failure_tells_its_seed_and_how_to_repeat_it(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_fuzz_cli, "Campaign", Failing)
    done = CliRunner().invoke(main, ["sim", "fuzz", "--seed", "7", "--no-shrink", *(["--json"] if as_json else [])])
    assert done.exit_code == 1
    if as_json:
        failure = json.loads(done.stdout)["failure"]
        assert failure == {"seed": 8, "error": "peer 1 went back", "replay": "am sim fuzz --count 1 --seed 8"}
    else:
        assert done.stdout.splitlines()[1:] == [
            "1 seeds passed in 0 s: 10 events, 0 simulated seconds",
            "FAILED: seed 8, 4 peers: peer 1 went back",
            "replay: am sim fuzz --count 1 --seed 8",
        ]


def test_a_scenario_tells_its_seed_first_and_then_what_happened() -> None:
    done = CliRunner().invoke(main, ["sim", "run", "ping", "--seed", "3"])
    told = done.stdout.splitlines()
    assert done.exit_code == 0
    assert told[:2] == ["seed: 3", f"scenario: ping: {SCENARIOS['ping'].what}"]
    assert told[2].startswith("trace: ")
