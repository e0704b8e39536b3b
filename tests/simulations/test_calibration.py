"""Calibration: real runs beside simulated ones, how far they are apart, and what is near enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.calibration import Calibration, apart, calibration_page, lines, load, rows, save
from simulations.errors import SetupError
from simulations.outcome import Curve, Measure, Outcome
from simulations.report import outcomes_in


def outcome(hops: float | None, late: float | None = None) -> Outcome:
    measures = {"hops_mean": Measure(value=hops, about="links")}
    if late is not None:
        measures["timer_late"] = Measure(value=late, unit="ms")
    curve = Curve(x=[1.0, 2.0], y=[50.0, 100.0], x_unit="ms", y_unit="%")
    return Outcome(scenario={"name": "toy", "peers": 5}, seed=1, measures=measures, curves={"coverage": curve})


def calibration(real: list[float | None], simulated: list[float | None], told: list[float | None]) -> Calibration:
    return Calibration(
        name="5-at-10 <b>",
        compared=["hops_mean"],
        real=[outcome(value, 0.5) for value in real],
        simulated=[outcome(value) for value in simulated],
        explained=[outcome(value) for value in told],
        load=[0.5, 2.0],
    )


NEAR = calibration([2.0, 2.0, 2.0], [2.2, 1.0, 2.1], [2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("left", "right", "far"),
    [(2, 1, 2), (1, 2, 2), (0, 0, 1), (0, 1, float("inf")), (None, 1, None), (3, 3, 1)],
)
def test_apart_is_the_larger_by_the_smaller(left: float | None, right: float | None, far: float | None) -> None:
    assert apart(left, right) == far


def test_runs_are_compared_one_by_one_and_the_median_counts() -> None:
    hops, late = rows(NEAR)
    assert (hops.real, hops.simulated, hops.explained) == (2.0, 2.1, 2.0)
    assert (hops.apart, hops.told_apart, hops.met) == (1.1, 1.0, True)
    assert (late.real, late.simulated, late.apart, late.met) == (0.5, None, None, None)


def test_what_is_too_far_apart_is_missed() -> None:
    far = calibration([2.0], [1.0], [2.0])
    assert rows(far)[0].met is False
    assert rows(far, goal=2.0)[0].met is True
    assert lines(far)[2].endswith("MISSED")


def test_a_table_says_how_it_was_measured() -> None:
    head, names, hops, late = lines(NEAR)
    assert head == "5-at-10 <b>, loopback, medians of 3 runs, load 0.5 to 2.0"
    assert names.split() == ["what", "real", "simulated", "apart", "told", "apart"]
    assert hops.split() == ["hops", "mean", "2", "2.1", "1.10", "2", "1.00"]
    assert late.split() == ["timer", "late,", "ms", "0.5"]


def test_what_has_no_value_on_a_side_is_neither_met_nor_missed() -> None:
    assert rows(calibration([None], [1.0], [1.0]))[0].met is None


def test_a_real_run_without_its_simulations_is_refused() -> None:
    with pytest.raises(SetupError, match="each real run needs one of each simulation beside it"):
        rows(calibration([2.0, 2.0], [2.0], [2.0]))
    with pytest.raises(SetupError, match="there are no calibrations"):
        calibration_page([])


def test_a_page_shows_both_sides_and_holds_their_outcomes() -> None:
    page = calibration_page([NEAR, calibration([2.0], [1.0], [2.0])])
    assert page.count("<h2>5-at-10 &lt;b&gt;</h2>") == 2
    assert "<td>1.10 <small>(1.00)</small></td><td class=missed>2.00 missed <small>(1.00)</small></td>" in page
    assert '"label": "real"' in page
    assert '"label": "simulated"' in page
    assert len(outcomes_in(page)) == 8


def test_calibrations_survive_a_file(tmp_path: Path) -> None:
    save([NEAR], tmp_path / "a.json")
    assert load(tmp_path / "a.json") == [NEAR]
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(SetupError, match=r"b\.json holds no calibrations"):
        load(tmp_path / "b.json")
    with pytest.raises(SetupError, match="cannot be read"):
        load(tmp_path / "c.json")
