"""The experiments that are shipped: each runs, does the same in every process, and becomes a page with its answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from asyncmachine.cli import main
from simulations import figure
from simulations.errors import SetupError
from simulations.outcome import Curve, Measure, Outcome
from simulations.scenario_file import scenario_of, shipped
from simulations.study import Figure, Study, load
from simulations.study_claims import BOUND, Claim
from simulations.study_page import Page
from simulations.sweep import Done

ROOT = Path(__file__).parents[2]
IN_ISSUE_9 = {
    "scaling", "planes", "loss", "partition", "churn", "late-joiner", "crash-storm", "liars", "degree", "tau",
    "repair-period", "regions", "clock-skew", "go-rules", "gossipsub",
}  # fmt: skip


def test_there_is_an_experiment_for_each_question_with_the_question_in_the_first_line() -> None:
    assert set(shipped()) >= IN_ISSUE_9
    for path in shipped().values():
        first, second = path.read_text().splitlines()[:2]
        assert first.startswith("# ")
        assert second == f'question = "{first[2:]}"'


@pytest.mark.parametrize("name", sorted(shipped()))
def test_all_forms_of_an_experiment_can_be_planned_and_have_an_answer(name: str) -> None:
    scenario, study = load(shipped()[name])
    full, quick, tiny = (study.plan(scenario, form) for form in ("full", "quick", "test"))
    assert len(full) >= len(quick) >= len(tiny) >= 1
    assert study.answer
    labels = {job.label for job in quick}
    for label, _ in re.findall(r"\{([^{}|]+)\|([^{}|]+)\}", study.answer):
        assert label in labels, f"the answer speaks of {label}, which the quick form does not run"
    for claim in study.claims:
        for label, measure in Claim(claim).places:
            assert label in {job.label for job in full}, f"a claim is about {label}, which is not run"
            assert measure.removesuffix(BOUND) in study.columns, (
                f"a claim is about {measure}, which the page does not show"
            )


EVERY = """
import msgspec
from hashlib import blake2b
from simulations.experiment import run
from simulations.outcome import Engine
from simulations.scenario_file import shipped
from simulations.study import load

for name, path in shipped().items():
    scenario, study = load(path)
    for job in study.plan(scenario, "test"):
        outcome = run(job.scenario, seed=job.seed)
        decided = msgspec.structs.replace(outcome, engine=Engine(), commit="", version="")
        print(name, job.label, outcome.trace, blake2b(decided.encode(), digest_size=8).hexdigest(), outcome.violations)
"""


def test_every_process_gives_the_same_traces_and_measures_whatever_its_hash_seed() -> None:
    told = []
    for hash_seed in ("0", "1", "random"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", EVERY], env=env, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert len(told[0].splitlines()) >= len(shipped())
    assert told[0] == told[1] == told[2]
    assert all(line.endswith(" []") for line in told[0].splitlines())


def test_the_command_writes_a_page_with_a_figure_and_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [
        "sim",
        "experiments",
        "loss",
        "tau",
        "--test",
        "--pages",
        str(tmp_path),
        "--into",
        str(tmp_path / "kept"),
    ]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "loss.md").read_text()
    assert page.startswith("# Loss\n\n**How much loss does the protocol bear?**")
    assert "the form for tests, whose numbers mean nothing: 6 peers; 1 variant with seed 1" in page
    assert "| loss 0.2 | 100 (100) |" in page
    ElementTree.parse(tmp_path / "loss.svg")
    assert "* [How much loss does the protocol bear?](loss.md)" in (tmp_path / "README.md").read_text()
    again = CliRunner().invoke(main, command)
    assert "loss: 1 run, 1 of them kept" in again.stdout
    assert (tmp_path / "loss.md").read_text() == page


def test_a_study_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for text, said in (
        ("", "has no .study."),
        ("[study]\ncolums = []", "study.colums: there is no such key — did you mean 'columns'"),
        ("[study.quick]\nvariants = ['x']", "study.variants has no 'x'"),
        ("[study]\nclaims = ['{a|b} is large']", "study.claims: .* is no comparison"),
        ("study = 3", "study: is a table"),
    ):
        path.write_text(text)
        with pytest.raises(SetupError, match=said):
            load(path)
    path.write_text("[study.over]\npeers = [4, 1]")
    scenario, study = load(path)
    with pytest.raises(SetupError, match="peers: 1 does not do"):
        study.plan(scenario, "full")


# -- pages


def page_of(study: Study, values: dict[float, list[float | None]], **more: Any) -> Page:
    scenario = scenario_of({"name": "a-page", "question": "Why?"})
    over = study.plan(scenario, "full")
    ended = []
    for job in over:
        value = values[job.scenario.network.loss][job.seed]
        measures = {"latency_p50": Measure(value=value, unit="ms", bound=1.0, about="how long")}
        curves = {"missing_updates": Curve(x=[0, 1], y=[0, float(job.seed)])}
        outcome = Outcome(
            scenario=job.scenario.to_dict(), seed=job.seed, commit="abc", measures=measures, curves=curves, **more
        )
        ended.append(Done(job=job, outcome=outcome))
    return Page(scenario, study, ended, "full")


STUDY = Study(
    seeds=(0, 1),
    over={"network.loss": [0.1, 0.5]},
    columns=("latency_p50", "never_measured"),
    figure=Figure(y=("latency_p50",), x="network.loss"),
    answer="With half it is {loss 0.5|latency_p50}, with none {loss 0|latency_p50}.",
)


def test_a_page_has_means_with_their_spread_and_bounds_and_an_answer_of_them() -> None:
    text = page_of(STUDY, {0.1: [2.0, 4.0], 0.5: [8.0, None]}).text()
    assert "With half it is 8 ms, with none (not measured in this form)." in text
    assert "| loss 0.1 | 3 ± 12.71 (1) |" in text
    assert "| loss 0.5 | 8 (1), 1 of 2 seeds |" in text
    assert "never measured" not in text
    assert "50 peers; 2 variants with seeds 0, 1" in text
    assert "at commit abc" in text


def test_a_page_tells_what_its_answer_says_and_its_numbers_do_not() -> None:
    claims = ("{loss 0.5|latency_p50} < 3 * {loss 0.1|latency_p50}", "{loss 0.1|latency_p50} == 3")
    study = msgspec.structs.replace(STUDY, claims=claims)
    fits = page_of(study, {0.1: [2.0, 4.0], 0.5: [8.0, None]})
    assert fits.objections == []
    assert "what these numbers do not" not in fits.text()
    not_so = page_of(study, {0.1: [2.0, 4.0], 0.5: [9.0, None]})
    assert not_so.objections == [f"{claims[0]}: not so, that is 9 < 3 * 3"]
    assert f"The answer says in words what these numbers do not:\n\n* `{claims[0]}" in not_so.text()
    assert "was not measured" in page_of(study, {0.1: [2.0, 4.0], 0.5: [None, None]}).objections[0]


def test_a_claim_compares_numbers_and_does_nothing_else() -> None:
    def mean(label: str, name: str) -> float:
        return float(len(label))

    for text, holds in (
        ("{a|x} < {bb|x}", True),
        ("0.9 < {bb|x} / {a|x} / 2 < 1.1", True),
        ("{a|x} + 1 >= {bb|x} and {a|x} - 1 != 0", False),
        ("{a|x} == 2 or {a|x} * 2 <= 2", True),
        ("1 / ({a|x} - 1) > 0", False),
    ):
        assert (Claim(text).objection(mean) == "") is holds, text
    for text in ("{a|x}", "{a|x} <", "exit() < 1", "{a|x} < b", "'a' < 'b'", "{a|x} in (1, 2)", "1 + 1"):
        with pytest.raises(SetupError, match=r"study\.claims"):
            Claim(text)


def test_a_page_tells_violations() -> None:
    assert (
        "loss 0.1, seed 0: it went back"
        in page_of(STUDY, {0.1: [1, 1], 0.5: [1, 1]}, violations=["it went back"]).text()
    )


@pytest.mark.parametrize(
    "shown",
    [
        Figure(y=("latency_p50",), x="network.loss", log="xy"),
        Figure(y=("latency_p50",)),
        Figure(curve="missing_updates"),
    ],
    ids=["lines", "bars", "curve"],
)
def test_figures_are_pictures_with_all_variants(shown: Figure) -> None:
    study = Study(seeds=STUDY.seeds, over=STUDY.over, columns=STUDY.columns, figure=shown)
    picture = page_of(study, {0.1: [2.0, 4.0], 0.5: [8.0, 9.0]}).svg()
    assert picture is not None
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "latency p50" in texts if shown.x else "loss 0.5" in texts
    assert page_of(study, {0.1: [None, None], 0.5: [None, None]}).svg() is None or shown.curve


def test_an_axis_has_round_numbers() -> None:
    lines = figure.lines([figure.Line(label="a", x=[1, 10, 100], y=[0, 5, 97])], x_label="x", y_label="y", log="x")
    texts = [element.text for element in ElementTree.fromstring(lines).iter("{http://www.w3.org/2000/svg}text")]
    assert {"1", "10", "100"} <= set(texts)
    assert {"0", "50", "100"} <= set(texts)
