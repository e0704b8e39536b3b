"""Shards: topics side by side. Each does what it does alone, and a peer's places share what its computer has."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub.core import Core
from pubsub.events import Committed, Published
from simulations.checkers import Checker
from simulations.errors import SetupError, Violation
from simulations.experiment import Experiment, run
from simulations.faults import Crash, Heal, Partition, Release
from simulations.outcome import Outcome
from simulations.scenario import Scenario
from simulations.scenario_check import members_of
from simulations.scenario_file import changed, read, scenario_of, to_toml
from simulations.shard_runs import play
from simulations.shards import Members, interests, seats_in, units
from simulations.simulation import Simulation

ROOT = Path(__file__).parents[2]
SMALL = scenario_of(
    {
        "peers": 20,
        "settle": 0.5,
        "seconds": 3,
        "quiet": 4,
        "shards": {"count": 4, "of": 2},
        "workload": {"kind": "poisson", "rate": 4},
    }
)
STORMY: dict[str, Any] = {
    "quiet": 20.0,
    "network.loss": 0.02,
    "machines.turnover": 0.3,
    "faults": [
        {"kind": "partition", "at": 0.5, "who": "0:7", "lasts": 1.5},
        {"kind": "crash", "at": 1.0, "who": "9", "lasts": 1.0},
        {"kind": "skew", "at": 0.0, "who": "3", "ms": 700},
    ],
}
BUSY: dict[str, Any] = {"network.cpu_frame_us": 3_000, "network.cpu_byte_ns": 20_000}


class Log(Checker):
    """What was published and taken over in each shard: when, by which place of all, whose, and how new."""

    def __init__(self) -> None:
        self.seen: dict[int, list[tuple[int, int, str, bytes, tuple[int, int]]]] = {}

    def started(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def notified(self, now: int, peer: int, event: object) -> None:
        if isinstance(event, Committed | Published):
            seats = self.simulation.seats
            assert seats is not None
            shard = seats.shards[seats.shard_of[peer]]
            told = (now, seats.names[peer], type(event).__name__, event.state.owner, event.state.order)
            self.seen.setdefault(shard, []).append(told)


def logged(scenario: Scenario, seed: int, shards: tuple[int, ...] | None = None) -> tuple[Log, Experiment]:
    log = Log()
    made = Experiment(scenario, seed=seed, shards=shards, watching=[log])
    made.play()
    return log, made


# -- who is interested in what


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(2, 9), st.data())
def test_each_peer_is_in_so_many_shards_and_all_shards_are_about_as_large(
    seed: int, count: int, each: int, data: st.DataObject
) -> None:
    of = data.draw(st.integers(1, count))
    members = interests(seed, count * each, count, of)
    assert members == interests(seed, count * each, count, of)
    mine = [peer for shard in members for peer in shard]
    assert sorted(mine) == sorted(list(range(count * each)) * of)
    assert all(len(set(shard)) == len(shard) >= 2 for shard in members)
    if of == 1:
        assert max(map(len, members)) - min(map(len, members)) <= 1


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, unique=True).map(tuple), min_size=1, max_size=12).map(tuple))
def test_shards_with_a_common_peer_are_simulated_together_if_that_matters(members: Members) -> None:
    assert units(members, coupled=False) == [(shard,) for shard in range(len(members))]
    found = units(members, coupled=True)
    assert sorted(shard for unit in found for shard in unit) == list(range(len(members)))
    place = {shard: number for number, unit in enumerate(found) for shard in unit}
    for one in range(len(members)):
        for other in range(one):
            if set(members[one]) & set(members[other]):
                assert place[one] == place[other]
    for unit in found:  # and not more than that takes: each is held together by common peers
        reached = {unit[0]}
        for _ in unit:
            known = {peer for shard in reached for peer in members[shard]}
            reached |= {shard for shard in unit if known & set(members[shard])}
        assert reached == set(unit)


def test_seats_of_some_shards_have_the_names_that_they_have_among_all(seed: int) -> None:
    members = interests(seed, 24, 4, 2)
    everybody, some = seats_in(members), seats_in(members, (1, 3))
    assert list(everybody.names) == list(range(48))
    assert [range_.start for range_ in everybody.ranges] == [0, *[r.stop for r in everybody.ranges[:-1]]]
    of_one = dict(zip(everybody.names, everybody.peers, strict=True))
    assert [of_one[name] for name in some.names] == list(some.peers) == [*members[1], *members[3]]
    assert some.of([members[1][0]])[0] == 0


def test_what_is_done_to_a_peer_is_done_to_all_its_seats(seed: int) -> None:
    members = interests(seed, 24, 4, 2)
    seats = seats_in(members)
    placed = list(seats.place([(1, Crash(5)), (2, Partition((5, 6))), (3, Heal()), (4, Release())]))
    assert placed[:2] == [(1, Crash(seat)) for seat in seats.of([5])]
    assert placed[2:] == [(2, Partition(seats.of([5, 6]))), (3, Heal()), (4, Release())]
    assert len(seats.of([5, 6])) == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"shards": {"of": 2}}, "shards.of: a peer cannot take part in 2 of 1 shards"),
        ({"shards": {"count": 3, "of": 4}}, "shards.of: a peer cannot take part in 4 of 3 shards"),
        ({"peers": 9, "shards": {"count": 5}}, "shards.count: 9 peers are too few for 5 shards"),
        ({"peers": 600_000, "shards": {"count": 5, "of": 2}}, "shards.count: 600000 peers in 2 shards each are more"),
        ({"shards": {"count": 2}, "topology": {"kind": "regions"}}, "topology.kind: 'regions' are of all peers"),
        ({"shards": {"cuont": 2}}, "shards.cuont: there is no such key — did you mean 'count'"),
    ],
)
def test_shards_that_cannot_be_are_refused_by_the_name_of_the_key(data: dict[str, Any], said: str) -> None:
    with pytest.raises(SetupError) as caught:
        scenario_of(data)
    assert str(caught.value).startswith(said)


def test_a_scenario_with_shards_goes_to_a_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "sharded.toml"
    path.write_text(to_toml(SMALL))
    assert read(path)[0].shards == SMALL.shards
    assert "[shards]\ncount = 4\nof = 2" in path.read_text()


# -- apart and together


@pytest.mark.parametrize("of", [1, 2])
@pytest.mark.parametrize(
    "more",
    [
        {},
        STORMY,
        {"planes.eager": True, "planes.links": False},
        {"warm": False, "machines.own_schemas": True},
        {"liars": [{"kind": "hide", "who": "2"}], "quiet": 15.0},
    ],
    ids=["plain", "stormy", "topic", "cold", "liars"],
)
def test_a_shard_does_alone_what_it_does_among_others(of: int, more: dict[str, Any], seed: int) -> None:
    scenario = changed(SMALL, {**more, "shards.of": of})
    together, _ = logged(scenario, seed)
    assert sorted(together.seen) == [0, 1, 2, 3]
    for shard in (0, 3):
        alone, _ = logged(scenario, seed, (shard,))
        assert alone.seen == {shard: together.seen[shard]}
        assert sum(told[2] == "Committed" for told in alone.seen[shard]) > 20


def test_where_cpu_time_is_modelled_shards_without_a_common_peer_are_still_independent(seed: int) -> None:
    scenario = changed(SMALL, {**BUSY, "shards.of": 1})
    together, _ = logged(scenario, seed)
    for shard in (0, 3):
        assert logged(scenario, seed, (shard,))[0].seen == {shard: together.seen[shard]}


@pytest.mark.parametrize("limit", [BUSY, {"network.uplink": 3_000}], ids=["cpu", "uplink"])
def test_the_seats_of_a_peer_share_its_computer(limit: dict[str, Any], seed: int) -> None:
    scenario = changed(SMALL, {**limit, "check": "safety"})
    members = members_of(scenario, seed)
    assert members is not None
    assert len(units(members, coupled=True)) == 1
    together, _ = logged(scenario, seed)
    alone, _ = logged(scenario, seed, (0,))
    assert alone.seen[0] != together.seen[0]
    assert len(alone.seen[0]) == pytest.approx(len(together.seen[0]), rel=0.3)


def test_a_peer_that_crashes_is_gone_from_all_its_shards_and_comes_back_to_them(seed: int) -> None:
    faults = [{"kind": "crash", "at": 1.0, "who": "9"}, {"kind": "restart", "at": 3.0, "who": "9"}]
    scenario = changed(SMALL, {"faults": faults, "quiet": 20.0})
    log, made = logged(scenario, seed)
    seats = made.network.simulation.seats
    assert seats is not None
    mine = seats.of([9])
    assert len(mine) == 2
    assert [made.network.simulation.lives[seat] for seat in mine] == [2, 2]
    assert sorted({seats.shard_of[seat] for seat in mine}) == sorted(
        {shard for shard, seen in log.seen.items() if any(told[1] in mine for told in seen)}
    )


def test_nobody_hears_of_anybody_in_another_shard(seed: int) -> None:
    class Apart(Checker):
        frames = 0

        def started(self, simulation: Simulation) -> None:
            self.shard_of = simulation.shard_of

        def delivered(self, now: int, source: int, target: int, channel: int, message: object) -> None:
            self.frames += 1
            if self.shard_of[source] != self.shard_of[target]:
                raise Violation(f"{source} talks to {target}")

    apart = Apart()
    made = Experiment(changed(SMALL, STORMY), seed=seed, watching=[apart])
    made.play()
    network = made.network
    assert apart.frames > 1_000
    for shard in network.simulation.shards:
        owners = {network.identities[seat].owner for seat in shard}
        for seat in shard:
            core = network.simulation.nodes[seat]
            assert isinstance(core, Core)
            assert {owner for owner, _ in core.ledger.items()} == owners
            assert len(core.ledger.states) == len(shard)  # nor is there room for others: memory goes by the shard


# -- outcomes


def told(outcome: Outcome) -> dict[str, float | None]:
    return {name: measure.value for name, measure in outcome.measures.items()}


@pytest.mark.parametrize("more", [{}, STORMY], ids=["plain", "stormy"])
def test_what_shards_measured_one_by_one_is_what_they_measure_together(more: dict[str, Any], seed: int) -> None:
    scenario = changed(SMALL, more)
    one_by_one, together = run(scenario, seed=seed), Experiment(scenario, seed=seed).run()
    assert one_by_one.violations == together.violations == []
    assert told(one_by_one) == told(together)
    assert one_by_one.planes == together.planes
    assert one_by_one.curves["coverage"].y == together.curves["coverage"].y
    assert one_by_one.curves["missing_updates"].y == together.curves["missing_updates"].y
    assert one_by_one.engine.simulated_s == together.engine.simulated_s


def test_a_sharded_run_counts_within_shards(seed: int) -> None:
    outcome = run(SMALL, seed=seed)
    members = members_of(SMALL, seed)
    assert members is not None
    assert told(outcome)["coverage"] == 100
    assert told(outcome)["replicas"] == sum(len(shard) ** 2 for shard in members)
    whole = run(changed(SMALL, {"shards.count": 1, "shards.of": 1, "workload.rate": 16}), seed=seed)
    assert told(whole)["replicas"] == 20 * 20
    assert outcome.planes["link"].bytes < whole.planes["link"].bytes


def test_all_cores_give_the_outcome_of_one(seed: int) -> None:
    shares: list[float] = []
    one = run(SMALL, seed=seed, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    several = run(SMALL, seed=seed, jobs=2, progress=shares.append)
    assert one.same_run(several)
    assert one.trace != run(SMALL, seed=seed + 1).trace


def test_shards_that_are_bound_together_by_their_peers_are_one_simulation_whatever_the_jobs(seed: int) -> None:
    scenario = changed(SMALL, {**BUSY, "seconds": 1.0, "check": "safety"})
    assert run(scenario, seed=seed).same_run(run(scenario, seed=seed, jobs=2))


def test_one_shard_is_the_network_without_shards(seed: int) -> None:
    plain = changed(SMALL, {"shards.count": 1, "shards.of": 1, "peers": 8})
    data = {name: value for name, value in plain.to_dict().items() if name != "shards"}
    assert run(plain, seed=seed).trace == run(scenario_of(data), seed=seed).trace


def test_what_a_checker_objects_to_names_the_shard_and_the_command(seed: int) -> None:
    broken = {"planes.repair": False, "network.loss": 0.6, "quiet": 1.0}
    outcome = run(changed(SMALL, broken), seed=seed, replay="am sim run this")
    assert 1 <= len(outcome.violations) <= 4
    for said in outcome.violations:
        assert said.startswith("in shard ")
        assert "replay: am sim run this" in said


def test_nobody_watches_several_simulations(seed: int) -> None:
    with pytest.raises(SetupError, match="shards are simulated one by one"):
        run(SMALL, seed=seed, watching=[Log()])


def test_parts_are_played_in_any_order_with_the_same_result(seed: int) -> None:
    first = {shard: play(SMALL, seed, (shard,)).trace for shard in range(4)}
    again = {shard: play(SMALL, seed, (shard,)).trace for shard in reversed(range(4))}
    assert first == again
    assert len(set(first.values())) == 4
    assert all(left != right for left, right in pairwise(first.values()))


def test_every_process_gives_the_same_outcome_whatever_its_hash_seed_and_jobs() -> None:
    am = "from asyncmachine.cli import main; main()"
    command = [sys.executable, "-c", am, "sim", "run", "shards", "--seed", "7", "--json"]
    command += [f"--set={key}" for key in ("peers=40", "shards.count=4", "settle=1", "seconds=2", "quiet=4")]
    traces = []
    for hash_seed, jobs in (("0", "1"), ("1", "2"), ("random", "1")):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([*command, "--jobs", jobs], env=env, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        traces.append([line for line in done.stdout.splitlines() if '"trace"' in line])
    assert len(traces[0]) == 1
    assert traces[0] == traces[1] == traces[2]
