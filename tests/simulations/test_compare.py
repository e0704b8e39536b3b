"""Comparing runs: intervals over seeds, what falls behind and what does not, and the baseline of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulations.compare import Comparison, compare, load_outcomes, save_outcomes
from simulations.errors import SetupError
from simulations.experiment import Experiment
from simulations.intervals import compare_values, interval, t_quantile
from simulations.outcome import Curve, Measure, Outcome
from simulations.report import report
from simulations.scenario_file import read

BASELINES = Path(__file__).resolve().parents[2] / "simulations" / "baselines"


def runs(latency: list[float | None], *, violations: list[str] | None = None, **scenario: Any) -> list[Outcome]:
    """Return outcomes of seeds 1, 2, ... with a latency each."""
    return [
        Outcome(
            scenario={"name": "toy", "peers": 3, **scenario},
            seed=seed,
            violations=violations or [],
            measures={"latency": Measure(value=value, unit="ms", bound=1.0, better="lower")},
            curves={"missing": Curve(x=[0.0], y=[1.0])},
        )
        for seed, value in enumerate(latency, 1)
    ]


def one(name: str, before: float, after: float, **about: Any) -> Comparison:
    """Compare single runs of one measure."""
    sides = [
        [Outcome(scenario={}, seed=1, measures={name: Measure(value=value, **about)})] for value in (before, after)
    ]
    return compare(*sides)


# -- intervals


def test_an_interval_is_that_of_student() -> None:
    found = interval([1.0, 2.0, 3.0, None])  # deviation 1, two degrees of freedom: 4.303 / sqrt(3)
    assert found is not None
    assert (found.mean, round(found.half, 3), found.count, found.of) == (2.0, 2.484, 3, 4)
    assert round(found.low + found.high, 9) == 4.0


def test_one_run_has_no_interval_and_none_has_no_mean() -> None:
    alone = interval([5.0])
    assert alone is not None
    assert alone.half == 0
    assert interval([None]) is None


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(0, float("inf")), (1, 12.706), (2.9, 4.303), (30, 2.042), (35, 2.042), (59, 2.021), (10**6, 1.98)],
)
def test_between_the_degrees_of_a_table_the_wider_interval_counts(freedom: float, t: float) -> None:
    assert t_quantile(freedom) == t


def test_the_same_seeds_are_compared_pair_by_pair() -> None:
    before = {1: 10.0, 2: 20.0, 3: 30.0}
    found = compare_values(before, {seed: value + 1 + seed / 100 for seed, value in before.items()})
    assert found is not None
    assert (found.how, found.significant) == ("paired", True)  # though the seeds themselves are far apart


def test_other_seeds_are_compared_by_their_scatter() -> None:
    found = compare_values({1: 10.0, 2: 20.0, 3: 30.0}, {4: 11.0, 5: 21.0, 6: 31.0})
    assert found is not None
    assert (found.how, found.significant) == ("Welch", False)
    apart = compare_values({1: 10.0, 2: 10.1, 3: 9.9}, {4: 12.0, 5: 12.1, 6: 11.9})
    assert apart is not None
    assert apart.significant


# -- what falls behind


def test_the_same_runs_fall_behind_in_nothing() -> None:
    found = compare(runs([10, 11, 12]), runs([10, 11, 12]))
    assert (found.status, found.lines()) == (0, ["1 measures are the same", "nothing fell behind"])


def test_what_is_worse_in_all_seeds_fell_behind() -> None:
    found = compare(runs([10, 11, 12]), runs([12, 13, 14.1]))
    assert [row.name for row in found.behind] == ["latency"]
    assert found.status == 1
    assert found.lines()[1].startswith("latency   11 ms  13.03 ms  +18.5%")


def test_what_is_better_or_worse_by_less_than_the_tolerance_did_not() -> None:
    assert compare(runs([10, 11, 12]), runs([8, 9, 10])).status == 0
    assert compare(runs([10, 11, 12]), runs([10.2, 11.2, 12.2])).status == 0
    assert compare(runs([10, 11, 12]), runs([10.2, 11.2, 12.21]), tolerance=0.01).status == 1
    assert compare(runs([10, 11, 12]), runs([12, 13, 14.1]), tolerances={"latency": 0.3}).status == 0


def test_what_the_seeds_do_not_agree_about_did_not() -> None:
    found = compare(runs([10, 11, 12]), runs([20, 9, 13]))
    assert found.status == 0
    assert "(within what seeds differ by)" in found.lines()[1]


def test_who_leaves_the_bound_falls_behind_whatever_the_tolerance() -> None:
    coverage = one("coverage", 100.0, 99.9, bound=100.0, better="higher")
    assert coverage.behind[0].behind == "it was at its bound of 100"
    assert one("missing", 0, 1, bound=0.0, better="lower").status == 1
    assert one("missing", 1, 0, bound=0.0, better="lower").status == 0


def test_a_count_of_which_neither_is_better_cannot_fall_behind() -> None:
    assert one("updates", 10, 1).status == 0


def test_a_measure_that_has_no_value_any_more_fell_behind() -> None:
    found = compare(runs([10, 11]), runs([10, None]))
    assert found.behind[0].behind == "1 of 2 runs have no value"
    assert compare(runs([10, None]), runs([10, None])).status == 0


def test_a_promise_that_was_kept_and_is_broken_makes_the_status_1() -> None:
    broken = runs([10], violations=["peer 1 went back"])
    assert compare(runs([10]), broken).broken == ("seed 1: peer 1 went back",)
    assert compare(runs([10]), broken).status == 1
    assert compare(broken, broken).status == 0


def test_scenarios_are_matched_and_what_is_alone_is_named() -> None:
    before = [*runs([10, 11], loss=0.1), *runs([20, 21], loss=0.2), *runs([30], loss=0.3)]
    found = compare(before, [*runs([20, 21], loss=0.2), *runs([15, 16.1], loss=0.1)])
    assert [(row.scenario, bool(row.behind)) for row in found.rows] == [("loss = 0.2", False), ("loss = 0.1", True)]
    assert found.notes == ("1 scenarios are on one side only, and not compared",)


def test_a_key_that_came_with_newer_code_does_not_keep_scenarios_apart() -> None:
    before = [*runs([10], loss=0.1), *runs([20], loss=0.2)]
    found = compare(before, [*runs([10], loss=0.1, new=1), *runs([20], loss=0.2, new=1)])
    assert (len(found.rows), found.status, found.notes) == (2, 0, ())


def test_two_different_scenarios_are_compared_and_their_differences_named() -> None:
    found = compare(runs([10], peers=3), runs([10], peers=4))
    assert found.notes == ("peers: 3 before, 4 after",)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SetupError, match="there are no outcomes"):
        compare([], runs([1]))
    two = [*runs([1], loss=1), *runs([1], loss=2)]
    with pytest.raises(SetupError, match="no scenario is on both sides"):
        compare(two, [*runs([1], loss=3), *runs([1], loss=4)])


# -- files


def test_outcomes_come_from_a_file_a_list_a_report_or_a_folder(tmp_path: Path) -> None:
    first, second = runs([10, 11])
    first.save(tmp_path / "a.json")
    save_outcomes([second], tmp_path / "b.json")
    (tmp_path / "page.html").write_text(report([first, second]), encoding="utf-8")
    assert load_outcomes(tmp_path / "a.json") == [first]
    assert load_outcomes(tmp_path / "b.json") == [second]
    assert load_outcomes(tmp_path) == load_outcomes(tmp_path / "page.html") == [first, second]
    save_outcomes([first], tmp_path / "b.json", curves=False)
    assert load_outcomes(tmp_path / "b.json")[0].curves == {}


@pytest.mark.parametrize(
    ("data", "said"),
    [("[1]", "holds no outcomes"), ("<p>", "is no report"), ("{}", "is no outcome"), ("", "is no outcome")],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, data: str, said: str) -> None:
    (tmp_path / "x").write_text(data)
    with pytest.raises(SetupError, match=rf"x {said}"):
        load_outcomes(tmp_path / "x")


def test_a_folder_without_outcomes_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there are no outcomes"):
        load_outcomes(tmp_path)
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        load_outcomes(tmp_path / "none")


# -- the baseline


def test_nothing_falls_behind_the_stored_baseline() -> None:
    scenario, _ = read(BASELINES / "small.toml")
    stored = load_outcomes(BASELINES / "small.json")
    now = [Experiment(scenario, seed=outcome.seed).run() for outcome in stored]
    found = compare(stored, now)
    assert found.rows
    assert found.status == 0, "\n".join(found.lines())
