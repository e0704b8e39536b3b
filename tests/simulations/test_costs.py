"""How far many runs are, and how long the rest takes: guesses need only be in proportion."""

from __future__ import annotations

import pytest

from simulations.costs import Progress, guess
from simulations.scenario_file import scenario_of


def test_more_peers_time_and_changes_cost_more() -> None:
    plain = guess(scenario_of({"peers": 100}))
    for more in (
        {"peers": 200},
        {"peers": 100, "quiet": 100.0},
        {"peers": 100, "workload": {"kind": "poisson", "rate": 50.0}},
        {"peers": 100, "workload": {"kind": "bursts", "size": 300, "every": 1.0}},
    ):
        assert guess(scenario_of(more)) > plain
    assert 0 < guess(scenario_of({"peers": 100, "workload": {"kind": "silent"}})) < plain


def test_nobody_knows_what_is_left_before_anything_is_done() -> None:
    progress = Progress({0: 10.0, 1: 30.0})
    assert progress.left(0) is None
    progress.begins(0, 100.0)
    assert progress.left(100.0) is None
    assert progress.share == 0


def test_what_has_ended_says_how_long_the_rest_takes() -> None:
    progress = Progress({0: 10.0, 1: 30.0})
    progress.begins(0, 100.0)
    progress.shares(0, 0.5)
    assert progress.left(110.0) == pytest.approx((5 + 30) * 2)  # 10 s for the worth of 5
    progress.ends(0, 120.0)
    assert progress.share == 0.25
    assert progress.left(120.0) == pytest.approx(60)
    progress.begins(1, 120.0)
    progress.shares(1, 1 / 3)
    assert progress.left(150.0) == pytest.approx(20 * 50 / 20)  # this one is slower
    progress.ends(1, 180.0)
    assert (progress.share, progress.left(180.0)) == (1.0, 0.0)


def test_what_is_kept_is_done_and_says_nothing_about_this_machine() -> None:
    progress = Progress({0: 10.0, 1: 10.0, 2: 20.0}, workers=2)
    progress.keep(0)
    assert (progress.share, progress.left(5.0)) == (0.25, None)
    progress.begins(1, 5.0)
    progress.begins(2, 5.0)
    progress.shares(1, 0.5)
    progress.shares(2, 0.25)
    assert progress.left(15.0) == pytest.approx((5 + 15) * 2 / 2)
