"""Scenarios: what a file may say, what is told about what it may not, and what becomes of it."""

from __future__ import annotations

import os
import sqlite3
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pubsub.boundary import SECOND
from simulations.errors import SetupError
from simulations.faults import Crash, Degrade, Heal, Jump, Partition, Restart
from simulations.regions import MATRIX_MS, NAMES
from simulations.scenario import Scenario
from simulations.scenario_check import check
from simulations.scenario_faults import Scene, scheduled
from simulations.scenario_file import changed, find, parse_over, parse_setting, read, scenario_of, to_toml
from simulations.scenario_parts import KeyFault
from simulations.scenario_who import Crowd
from simulations.simulation import Verb
from simulations.workload import Bursts, Change, Diurnal, Draw, Poisson, Replay, Silent, Workload

# -- files


def test_an_empty_file_is_a_scenario_that_is_named_like_it(tmp_path: Path) -> None:
    path = tmp_path / "nothing.toml"
    path.write_text("")
    scenario, study = read(path)
    assert (scenario.name, scenario.peers, study) == ("nothing", Scenario().peers, {})


def test_a_scenario_can_be_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text("from simulations.scenario import Scenario\nSCENARIO = Scenario(peers=2 * 7, check='safety')\n")
    assert read(path)[0] == scenario_of({"name": "half", "peers": 14, "check": "safety"})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.py", "OTHER = 1", "a.py has no SCENARIO: it needs `SCENARIO = Scenario"),
        ("a.py", "SCENARIO = {}", "a SCENARIO that is a dict"),
        (
            "a.py",
            "from simulations.scenario import Scenario\nSCENARIO = Scenario(absent='all')",
            "a.py: absent: nobody",
        ),
        ("a.py", "SCENARIO = 1\nx = 1 / 0", "a.py, line 2 raises ZeroDivisionError: division by zero"),
        ("a.py", "SCENARIO = ", "a.py raises SyntaxError: invalid syntax"),
        ("a.toml", "peers = ", "a.toml is no TOML"),
        ("a.toml", "peers = 1", "a.toml: peers: 1 does not do: it has to be a whole number >= 2, such as 50"),
    ],
)
def test_a_file_that_is_no_scenario_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SetupError, match=_escaped(said)):
        read(path)


def test_a_file_that_is_not_there_is_asked_for_by_what_there_is() -> None:
    with pytest.raises(SetupError, match="no file regoins, and no experiment of this name"):
        find("regoins")


def test_a_scenario_goes_to_toml_and_back(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "name": "back",
        "question": 'Is "this" the same?',
        "peers": 40,
        "absent": [3, 4],
        "topology": {"kind": "small-world", "rewired": 0.3},
        "network": {"latency": {"kind": "regions", "matrix_ms": [[1, 2], [2, 1]]}, "loss": 1e-5},
        "machines": {"each": 2, "schema": {"Off": {}, "On": {"remove": ["Off"], "multi": True}}},
        "planes": {"eager": True},
        "faults": [{"kind": "partition", "at": 1, "who": "50 %", "lasts": 2}, {"kind": "crash", "at": 2, "who": [1]}],
        "liars": [{"kind": "forge", "who": "7"}],
    }
    scenario = scenario_of(said)
    path = tmp_path / "back.toml"
    path.write_text(to_toml(scenario, comment=["a line", ""]))
    assert read(path)[0] == scenario


def _escaped(text: str) -> str:
    return "".join("\\" + char if char in "()[]{}.*+?|^$" else char for char in text)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"topologi": 1}, "topologi: there is no such key — did you mean 'topology'"),
        ({"topology": {"kind": "regulr"}}, "topology.kind: 'regulr' is no kind — did you mean 'regular'?"),
        ({"topology": {"degree": 3}}, "topology.kind: is missing; there are: regular, full, ring"),
        ({"topology": {"kind": "ring", "degree": 3}}, "topology.degree: there is no such key; there are: kind"),
        ({"topology": {"kind": "regions", "degree": 3}}, "topology: regions need degree 4 or more"),
        ({"topology": {"kind": "regions", "regions": 3}, "network": {"latency": {"kind": "regions"}}}, "has 8 rows"),
        ({"network": {"latency": {"kind": "regions", "matrix_ms": [[1, 2], [3, 1]]}}}, "the same both ways"),
        ({"network": {"latency": {"kind": "regions", "matrix_ms": [[1, 2]]}}}, "row 0 has 2 values, and there are 1"),
        ({"network": {"latency": {"kind": "uniform", "low_ms": 9, "high_ms": 1}}}, "low_ms: 9 is above high_ms, 1"),
        ({"network": {"loss": 2}}, "network.loss: 2 does not do: it has to be a number <= 1.0, such as 0.0"),
        ({"network": {"loss": "much"}}, "network.loss: 'much' does not do: it has to be a number, such as 0.0"),
        ({"planes": {"eager": 1}}, "planes.eager: 1 does not do: it has to be true or false"),
        ({"check": "all"}, "check: 'all' is none of 'promises', 'safety', 'none'"),
        ({"faults": {"kind": "heal"}}, "faults: {'kind': 'heal'} does not do: it has to be a list"),
        ({"faults": [{"kind": "heal"}]}, "faults.0.at: is missing, and has no default"),
        ({"faults": [{"kind": "heal", "at": 50}]}, "faults.0.at: 50 s is after the end, 40 s"),
        ({"faults": [{"kind": "crash", "at": 1, "who": "half"}]}, "faults.0.who: 'half' says nobody; what would work"),
        ({"faults": [{"kind": "crash", "at": 1, "who": "60"}]}, "'60' is beyond the 50 peers, which are 0 to 49"),
        ({"faults": [{"kind": "partition", "at": 1, "who": "all"}]}, "faults.0.who: 'all' leaves one of the two sides"),
        ({"faults": [{"kind": "crash", "at": 1, "who": "region 1"}]}, "there are no regions without"),
        ({"liars": [{"kind": "lie", "who": "1"}]}, "liars.0.kind: 'lie' is no kind"),
        ({"absent": "all"}, "absent: nobody would be there"),
        ({"machines": {"own_schemas": True}}, "warm: with machines.own_schemas nobody knows all"),
        ({"topic": {"degree": 6, "low": 7}}, "topic.degree: 6 is not between low, 7, and high, 8"),
        ({"protocol": "go"}, 'check: the promises are those of "clk"'),
        ({"machines": {"schema": {"A": {"adds": []}}}}, "machines.schema.*.adds: there is no such key — did you mean"),
        ({"machines": {"schema": {"A": {"add": "B"}}}}, "machines.schema.*.add: that does not do: it has to be a list"),
        ({"machines": {"schema": {"A": {"add": ["B"]}}}}, "machines.schema: A has add='B', which is not declared"),
        ({"protocol": "go", "check": "none", "machines": {"each": 2}}, "machines.each: with the protocol"),
        ({"protocol": "go", "check": "none", "machines": {"turnover": 0.1}}, "machines.turnover: with the protocol"),
        ({"protocol": "go", "check": "none", "liars": [{"kind": "hide", "who": "1"}]}, "liars: there are liars of"),
        ({"measure": ["coverag"]}, "measure.0: there is no instrument 'coverag'"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_what_is_wrong_is_told_by_the_name_of_the_key(said: dict[str, Any], message: str) -> None:
    with pytest.raises(KeyFault, match=_escaped(message)):
        scenario_of(said)


def test_a_setting_changes_one_key_and_another_kind_brings_its_own_defaults() -> None:
    scenario = scenario_of({"faults": [{"kind": "crash", "at": 1, "who": "3"}]})
    made = changed(scenario, {"faults.0.at": 2.5, "topology.degree": 8, "topology.kind": "small-world", "peers": 20})
    assert made.faults[0].at == 2.5
    assert made.topology == scenario_of({"topology": {"kind": "small-world", "degree": 8}}).topology
    assert changed(made, {"topology.kind": "full"}).topology == scenario_of({"topology": {"kind": "full"}}).topology


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("network.los", "network.los: there is no such key — did you mean 'loss'?"),
        ("netwrok.loss", "netwrok: there is no such key — did you mean 'network'?"),
        ("faults.0.at", "'0' is no place in a list of which there is none at all"),
        ("peers.x", "peers.x: peers is a value and no table"),
    ],
)
def test_a_setting_of_what_is_not_there_is_told(key: str, message: str) -> None:
    with pytest.raises(KeyFault, match=_escaped(message)):
        changed(Scenario(), {key: 1})


def test_settings_are_toml_or_words() -> None:
    assert parse_setting("network.loss=0.1") == ("network.loss", 0.1)
    assert parse_setting("absent=[1, 2]") == ("absent", [1, 2])
    assert parse_setting("absent=10 %") == ("absent", "10 %")
    assert parse_over("topology.kind=ring,full") == ("topology.kind", ["ring", "full"])
    assert parse_over("peers=10, 20") == ("peers", [10, 20])
    for parse in (parse_setting, parse_over):
        with pytest.raises(SetupError, match="such as --"):
            parse("peers")


# -- who


def test_who_is_meant_can_be_said_in_words(seed: int) -> None:
    crowd = Crowd(seed=seed, peers=20, regions=4)
    assert crowd.pick("all", "k") == tuple(range(20))
    assert crowd.pick("7", "k") == (7,)
    assert crowd.pick("2:5", "k") == (2, 3, 4)
    assert crowd.pick("17:", "k") == (17, 18, 19)
    assert crowd.pick((5, 1, 5), "k") == (1, 5)
    assert crowd.pick("region 1", "k") == (1, 5, 9, 13, 17)
    drawn = crowd.pick("25 %", "k")
    assert len(drawn) == 5
    assert drawn == crowd.pick("25%", "k") != crowd.pick("25 %", "another key")
    assert crowd.pick("0 %", "k") == ()
    assert len(crowd.pick("1 %", "k")) == 1


@pytest.mark.parametrize("who", ["", "some", "5:5", "20", "18:21", "region 4", "101 %", (-1,)])
def test_nobody_can_be_meant_by_what_is_not_there(who: Any) -> None:
    with pytest.raises(KeyFault, match="the key: "):
        Crowd(seed=1, peers=20, regions=4).pick(who, "the key")


# -- faults


def verbs_of(*faults: dict[str, Any], peers: int = 20, seed: int = 1) -> list[tuple[float, Verb]]:
    scenario = scenario_of({"peers": peers, "seconds": 50, "faults": faults})
    scene = Scene(crowd=Crowd(seed=seed, peers=peers), begin=3 * SECOND, end=73 * SECOND)
    return [(at / SECOND - 3, verb) for at, verb in scheduled(scenario.faults, scene)]


def test_faults_begin_and_end_in_the_order_of_time() -> None:
    found = verbs_of(
        {"kind": "partition", "at": 5, "who": "0:2", "lasts": 10},
        {"kind": "crash", "at": 1, "who": "3:5", "within": 2, "lasts": 4, "silent": True, "disk": False},
    )
    assert found == [
        (1, Crash(3, True)),
        (2, Crash(4, True)),
        (5, Partition((0, 1))),
        (5, Restart(3, False)),
        (6, Restart(4, False)),
        (15, Heal((0, 1))),
    ]


def test_loss_that_is_everywhere_is_between_all_and_all() -> None:
    ((_, worse),) = verbs_of({"kind": "loss", "at": 5, "who": "all", "loss": 0.2})
    assert isinstance(worse, Degrade)
    assert (worse.left, worse.right, worse.conditions.loss) == (tuple(range(20)), tuple(range(20)), 0.2)


def test_loss_can_be_both_ways() -> None:
    (_, there), (_, back) = verbs_of({"kind": "loss", "at": 5, "who": "0:2", "both_ways": True}, peers=5)
    assert isinstance(there, Degrade)
    assert isinstance(back, Degrade)
    assert (there.left, there.right, back.left, back.right) == ((0, 1), None, (2, 3, 4), (0, 1))


def test_churn_crashes_only_who_is_up_and_has_all_back_in_the_end(seed: int) -> None:
    found = verbs_of({"kind": "churn", "at": 2, "lasts": 40, "rate": 3, "down": 5}, seed=seed)
    down: set[int] = set()
    for at, verb in found:
        assert 2 <= at <= 42
        if isinstance(verb, Crash):
            assert verb.peer not in down
            down.add(verb.peer)
        else:
            assert isinstance(verb, Restart)
            down.remove(verb.peer)
    assert not down
    assert 60 < sum(isinstance(verb, Crash) for _, verb in found) < 180


def test_skew_is_drawn_between_bounds_or_the_same_for_all(seed: int) -> None:
    drawn = [verb for _, verb in verbs_of({"kind": "skew", "ms": 500}, seed=seed)]
    assert all(isinstance(verb, Jump) and -500 <= verb.ms <= 500 for verb in drawn)
    assert len({verb.ms for verb in drawn if isinstance(verb, Jump)}) > 10
    same = [verb for _, verb in verbs_of({"kind": "skew", "ms": 500, "drawn": False, "who": "2:4"})]
    assert same == [Jump(2, 500), Jump(3, 500)]


def test_every_kind_of_fault_becomes_verbs() -> None:
    sided = [{"kind": kind, "at": 1, "who": "0:9", "lasts": 2} for kind in ("partition", "hold", "loss")]
    whole = [{"kind": kind, "at": 4} for kind in ("heal", "release", "restore")]
    others = [{"kind": "restart", "at": 5, "who": "1"}, {"kind": "storm", "lasts": 9, "count": 3}]
    names = {type(verb).__name__ for _, verb in verbs_of(*sided, *whole, *others)}
    assert names >= {"Partition", "Heal", "Hold", "Release", "Degrade", "Restore", "Restart"}


# -- the world


def test_regions_are_2_to_220_ms_apart_and_the_same_both_ways() -> None:
    assert len(MATRIX_MS) == len(NAMES) == 8
    assert min(map(min, MATRIX_MS)) == 2
    assert max(map(max, MATRIX_MS)) == 220
    assert all(MATRIX_MS[a][b] == MATRIX_MS[b][a] for a in range(8) for b in range(8))
    check(scenario_of({"topology": {"kind": "regions"}, "network": {"latency": {"kind": "regions"}}}))


# -- workloads


def drawn_by(workload: Workload, seed: int, seconds: int = 100, peers: int = 10) -> list[Change]:
    draw = Draw(Random(seed), peers, 8)
    found = list(workload.changes(draw, 3 * SECOND, (3 + seconds) * SECOND))
    assert found == sorted(found, key=lambda change: change.at)
    assert all(3 * SECOND <= change.at < (3 + seconds) * SECOND and change.peer < peers for change in found)
    return found


def test_a_poisson_process_has_its_rate_and_silence_none(seed: int) -> None:
    found = drawn_by(Poisson(rate=20), seed)
    assert 1800 < len(found) < 2200
    assert {change.peer for change in found} == set(range(10))
    assert drawn_by(Silent(), seed) == drawn_by(Poisson(rate=0), seed) == []


def test_bursts_come_together(seed: int) -> None:
    found = drawn_by(Bursts(size=50, within=0.1, every=5), seed, seconds=1000)
    assert 5000 < len(found) < 15000
    near = sum(after.at - before.at < SECOND // 10 for before, after in pairwise(found))
    assert near > 0.95 * len(found)


def test_a_day_has_its_noon_and_its_night(seed: int) -> None:
    found = drawn_by(Diurnal(rate=20, swing=1, day=100), seed)
    morning = sum(change.at < 53 * SECOND for change in found)
    assert 1800 < len(found) < 2200
    assert morning > 0.75 * len(found)  # (1 + 2 / pi) / 2: 0.82


async def test_a_recorded_history_is_replayed(tmp_path: Path) -> None:
    from history import open_history
    from machine import Machine, Schema, State

    path = tmp_path / "recorded.db"
    async with open_history(f"sqlite:///{path}") as history:
        machines = [Machine(Schema({"A": State(), "B": State()}), id=name) for name in ("one", "two")]
        for machine in machines:
            history.record(machine)
        for step in range(3):
            machines[step % 2].toggle("B")
        await history.sync()
    found = drawn_by(Replay(history=os.fspath(path), speed=0.001), 1, seconds=10_000)
    assert [(change.peer, change.state) for change in found] == [(0, 1), (1, 1), (0, 1)]
    assert found[0].at == 3 * SECOND


@pytest.mark.parametrize("name", ["none.db", "empty.db"])
def test_a_history_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(KeyFault, match=rf"workload.history: .*{name}"):
        drawn_by(Replay(history=os.fspath(tmp_path / name)), 1)
