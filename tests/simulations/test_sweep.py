"""Sweeps: all variants with all seeds, each in a process of its own; what is there is not run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import simulations.sweep as sweep_module
from asyncmachine.cli import main
from simulations.errors import SetupError
from simulations.experiment import run
from simulations.outcome import load_outcome
from simulations.scenario import Scenario
from simulations.scenario_file import changed, scenario_of
from simulations.sources import code
from simulations.sweep import Ahead, Done, Sweep, plan

TINY = scenario_of({"name": "tiny", "peers": 4, "settle": 1, "seconds": 2, "quiet": 5})


def ended(sweep: Sweep) -> list[Done]:
    return [news for news in sweep if isinstance(news, Done)]


def test_a_plan_has_each_variant_with_each_combination_and_each_seed() -> None:
    jobs = plan(TINY, {"peers": [4, 6], "network.loss": [0, 0.25]}, [1, 2])
    assert [(job.label, job.seed) for job in jobs][:3] == [
        ("peers 4, loss 0", 1),
        ("peers 4, loss 0", 2),
        ("peers 4, loss 0.25", 1),
    ]
    assert len(jobs) == len({job.file for job in jobs}) == 8
    assert (jobs[-1].scenario.peers, jobs[-1].scenario.network.loss) == (6, 0.25)
    named = plan(TINY, {}, [1], variants={"all": {}, "no links": {"planes.links": False}})
    assert [(job.label, job.scenario.planes.links) for job in named] == [("all", True), ("no links", False)]


def test_a_plan_says_what_cannot_be_run_before_anything_is() -> None:
    with pytest.raises(SetupError, match="peers: 1 does not do"):
        plan(TINY, {"peers": [4, 1]}, [1])
    for values, seeds in (([], [1]), ([4], [])):
        with pytest.raises(SetupError, match="nothing to run"):
            plan(TINY, {"peers": values}, seeds)


def test_an_outcome_is_kept_under_what_decides_it() -> None:
    (job,), (other,) = plan(TINY, {}, [1]), plan(changed(TINY, {"question": "Why?", "name": "x", "seed": 5}), {}, [1])
    assert job.file == other.file
    assert job.file != plan(changed(TINY, {"peers": 5}), {}, [1])[0].file


def test_processes_give_what_this_one_does_and_the_next_sweep_finds_it(tmp_path: Path) -> None:
    jobs = plan(TINY, {"network.loss": [0, 0.2]}, [7])
    news = list(Sweep(jobs, tmp_path, workers=2))
    shares = [sign.share for sign in news if isinstance(sign, Ahead)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    lefts = [sign.left for sign in news if isinstance(sign, Ahead)]
    assert lefts[-1] == pytest.approx(0)
    assert max(left for left in lefts if left is not None) > 0
    done = sorted((one for one in news if isinstance(one, Done)), key=lambda one: one.job.label)
    for one in done:
        assert one.outcome is not None
        assert not one.kept
        assert one.outcome.same_run(run(one.job.scenario, seed=7, replay=""))
    again = ended(Sweep(jobs, tmp_path))
    assert [(one.kept, one.outcome) for one in again] == [(True, one.outcome) for one in done]
    assert [one.kept for one in ended(Sweep(jobs[:1], tmp_path, fresh=True))] == [False]


def test_a_sweep_that_is_left_goes_on_where_it_was(tmp_path: Path) -> None:
    jobs = plan(TINY, {}, [1, 2, 3])
    sweep = iter(Sweep(jobs, tmp_path))
    first = next(one for one in sweep if isinstance(one, Done))
    sweep.close()  # type: ignore[attr-defined]
    assert [one.kept for one in ended(Sweep(jobs, tmp_path))] == [True, False, False]
    assert first.job.seed == 1


def test_what_other_code_has_made_is_run_again_and_told(tmp_path: Path) -> None:
    jobs = plan(TINY, {}, [1, 2])
    made = ended(Sweep(jobs, tmp_path))
    path = tmp_path / jobs[0].file
    for other in ("0123", ""):  # that of another commit, and one from before this was kept
        outcome = msgspec.structs.replace(load_outcome(path), code=other, measures={})
        outcome.save(path)
        sweep = Sweep(jobs, tmp_path)
        assert sweep.kept.text() == f"2 runs; 1 kept; 1 kept of other code than this ({code()}), and run again"
        done = sorted(ended(sweep), key=lambda one: one.job.seed)
        assert [one.kept for one in done] == [False, True]
        assert done[0].outcome is not None
        assert done[0].outcome.same_run(made[0].outcome or done[1].outcome)  # type: ignore[arg-type]
        assert load_outcome(path).code == code()


def test_a_run_whose_code_changes_meanwhile_is_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "code", lambda: "what it was when the sweep began")
    (done,) = ended(Sweep(plan(TINY, {}, [1]), tmp_path))
    assert done.failed
    assert "the code has changed since the sweep began" in done.error
    assert not list(tmp_path.iterdir())


KILLED = """
import sys
from pathlib import Path
from simulations.scenario_file import changed, scenario_of
from simulations.sweep import Done, Sweep, plan

if __name__ == "__main__":
    scenario = scenario_of({"name": "tiny", "peers": 40, "settle": 1, "seconds": 20, "quiet": 20})
    for news in Sweep(plan(scenario, {}, range(100)), Path(sys.argv[1])):
        if isinstance(news, Done):
            print(news.job.seed, news.kept, flush=True)
"""


def test_a_sweep_that_is_killed_goes_on_where_it_was_and_leaves_nobody_behind(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    for known in (0, 1, 2):
        # All processes of the sweep have the pipe open: it ends when the last one has.
        with subprocess.Popen([sys.executable, script, tmp_path / "kept"], stdout=subprocess.PIPE, text=True) as sweep:
            assert sweep.stdout is not None
            told = [sweep.stdout.readline().split() for _ in range(known + 1)]
            sweep.kill()
            sweep.stdout.read()
        assert told == [[str(seed), str(seed < known)] for seed in range(known + 1)]
    assert len(list((tmp_path / "kept").glob("*.json"))) >= 3


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="file cannot be made"):
        ended(Sweep(plan(TINY, {}, [1]), tmp_path / "file"))


def test_the_command_prints_a_line_for_each_variant(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text("peers = 4\nsettle = 1\nseconds = 2\nquiet = 5\n")
    command = ["sim", "sweep", str(path), "--over", "peers=4,5", "--seeds", "2", "--into", str(tmp_path / "kept")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["peers", "4", "2"], ["peers", "5", "2"]]
    assert lines[0].split()[:2] == ["seeds", "coverage"]
    told = CliRunner().invoke(main, [*command, "--json"])
    assert [(o["scenario"]["peers"], o["seed"]) for o in json.loads(told.stdout)] == [(4, 1), (4, 2), (5, 1), (5, 2)]
    assert "4 of 4 outcomes were kept" in CliRunner().invoke(main, command).stdout


def test_a_violation_is_told_with_its_replay_and_a_status(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("peers = 4\nseconds = 3\nquiet = 1\n[planes]\nrepair = false\n[network]\nloss = 0.6\n")
    done = CliRunner().invoke(main, ["sim", "sweep", str(path), "--seeds", "1", "--into", str(tmp_path / "kept")])
    assert done.exit_code == 1
    assert "replay: am sim run" in done.stderr.replace("\n", " ")


def test_a_run_is_told_with_its_seed_first_and_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text('question = "Why?"\npeers = 4\nsettle = 1\nseconds = 2\nquiet = 5\n')
    done = CliRunner().invoke(main, ["sim", "run", str(path), "--seed", "3", "--save", str(tmp_path / "o.json")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == ["seed: 3", "scenario: tiny: Why?"]
    told = CliRunner().invoke(main, ["sim", "run", str(path), "--seed", "3", "--json"])
    assert json.loads(told.stdout)["trace"] == json.loads((tmp_path / "o.json").read_text())["trace"]
    files = ["--record", str(tmp_path / "o.db"), "--report", str(tmp_path / "o.html")]
    again = CliRunner().invoke(main, ["sim", "run", str(path), "--seed", "3", *files])
    assert again.exit_code == 0, again.output
    assert "<html" in (tmp_path / "o.html").read_text()
    listed = CliRunner().invoke(main, ["history", "-H", str(tmp_path / "o.db"), "list", "--json"])
    assert "machine0" in listed.stdout
    wrong = CliRunner().invoke(main, ["sim", "run", str(path), "--set", "peers=many"])
    assert wrong.exit_code == 2
    assert wrong.stderr == "Error: peers: 'many' does not do: it has to be a whole number, such as 50\n"
    assert CliRunner().invoke(main, ["sim", "run", "flood", "--set", "peers=3"]).exit_code == 2
    nowhere = CliRunner().invoke(main, ["sim", "run", str(path), "--report", str(tmp_path / "none" / "o.html")])
    assert nowhere.exit_code == 2
    assert "o.html cannot be written: there is no folder" in nowhere.stderr


def test_scenarios_are_listed_with_their_questions() -> None:
    told = CliRunner().invoke(main, ["sim", "list"])
    assert "flood" in told.stdout
    names = [entry["name"] for entry in json.loads(CliRunner().invoke(main, ["sim", "list", "--json"]).stdout)]
    assert len(names) == len(set(names))
    assert Scenario().name not in names
