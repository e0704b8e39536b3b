"""Outcomes: they go to JSON and back, and tell whether two runs did the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from simulations.errors import SetupError
from simulations.outcome import Curve, Engine, Measure, Outcome, Plane, decode_outcome, load_outcome

OUTCOME = Outcome(
    scenario={"name": "toy", "network": {"peers": 3}},
    seed=7,
    commit="abc",
    trace="00ff",
    engine=Engine(events=10, cpu_s=0.5),
    measures={"latency_p50": Measure(value=12.5, unit="ms", bound=3.0, better="lower"), "none": Measure(value=None)},
    curves={"missing_updates": Curve(x=[0.0, 1.0], y=[3.0, 0.0])},
    planes={"link": Plane(frames=4, bytes=100)},
    violations=["peer 1 went back"],
)


def test_an_outcome_survives_json() -> None:
    assert decode_outcome(OUTCOME.encode()) == OUTCOME


def test_an_outcome_survives_a_file_and_leaves_no_part_of_one(tmp_path: Path) -> None:
    OUTCOME.save(tmp_path / "a.json")
    assert load_outcome(tmp_path / "a.json") == OUTCOME
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_runs_are_the_same_whatever_machine_they_ran_on() -> None:
    elsewhere = msgspec.structs.replace(OUTCOME, engine=Engine(cpu_s=9.0), commit="def")
    assert OUTCOME.same_run(elsewhere)
    assert not OUTCOME.same_run(msgspec.structs.replace(OUTCOME, trace="00fe"))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"seed": "x"}', b'{"scenario": {}}', b'{"scenario": 3, "seed": 1}'])
def test_what_is_no_outcome_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(SetupError, match=r"a\.json is no outcome"):
        decode_outcome(data, source="a.json")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"none\.json cannot be read: No such file"):
        load_outcome(tmp_path / "none.json")
