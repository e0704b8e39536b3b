"""Experiments: a scenario runs to an outcome, the same with each run, and with protocols to compare with."""

from __future__ import annotations

from typing import Any

import pytest

from pubsub.core import Core
from pubsub.parameters import Parameters
from simulations.experiment import Experiment, parameters_of, run
from simulations.go_rules import GoNode
from simulations.gossip import GossipNetwork
from simulations.outcome import Outcome, decode_outcome
from simulations.scenario import Scenario
from simulations.scenario_file import changed, scenario_of

SMALL = scenario_of(
    {"name": "small", "peers": 8, "settle": 1, "seconds": 5, "quiet": 10, "workload": {"kind": "poisson", "rate": 5}}
)


def value(outcome: Outcome, name: str) -> float:
    found = outcome.measures[name].value
    assert found is not None
    return found


def test_a_run_ends_in_an_outcome_that_goes_to_json_and_back(seed: int) -> None:
    shares: list[float] = []
    outcome = run(SMALL, seed=seed, progress=shares.append)
    assert outcome.violations == []
    assert outcome.scenario == SMALL.to_dict()
    assert (value(outcome, "coverage"), value(outcome, "missing_at_end")) == (100, 0)
    assert outcome.engine.simulated_s == 16
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert decode_outcome(outcome.encode()) == outcome


def test_the_same_seed_gives_the_same_outcome_and_another_one_another(seed: int) -> None:
    first = run(SMALL, seed=seed)
    assert first.same_run(run(SMALL, seed=seed, progress=lambda share: None))
    assert first.trace != run(SMALL, seed=seed + 1).trace


def test_a_scenario_does_what_a_network_of_the_same_description_does(seed: int) -> None:
    network = GossipNetwork(seed=seed, peers=8, rate=5, warm=True, checkers="none")
    network.settle(1)
    network.run(5, 10)
    assert network.simulation.trace_hash() == run(SMALL, seed=seed).trace


def test_the_parameters_of_a_scenario_are_by_default_those_of_the_protocol() -> None:
    assert parameters_of(Scenario()) == Parameters()


@pytest.mark.parametrize(
    "settings",
    [
        {"topology.kind": "full"},
        {"topology.kind": "ring"},
        {"topology.kind": "small-world", "topology.degree": 4},
        {"topology.kind": "scale-free"},
        {"topology.kind": "regions", "topology.degree": 5, "network.latency.kind": "regions"},
        {"planes.eager": True, "planes.links": False, "network.loss": 0.05},
        {"parameters.repair": 1.0, "parameters.tau_ms": 50},
        {"warm": False, "absent": "2", "faults": [{"kind": "restart", "at": 1, "who": "2"}]},
        {"faults": [{"kind": "storm", "lasts": 5, "count": 4}], "quiet": 40},
        {"faults": [{"kind": "churn", "lasts": 4, "rate": 1, "down": 1}], "quiet": 30},
        {"liars": [{"kind": "forge", "who": "3"}], "quiet": 30},
        {"warm": False, "machines.own_schemas": True, "machines.turnover": 0.3},
        {"machines.each": 3, "machines.schema": {"Off": {}, "On": {"remove": ["Off"], "add": ["Lit"]}, "Lit": {}}},
        {"workload.kind": "bursts", "workload.size": 10, "workload.every": 1.0},
        {"workload.kind": "diurnal", "workload.day": 5.0},
    ],
    ids=lambda settings: next(iter(f"{key} {value}" for key, value in settings.items()))[:30],
)
def test_the_protocol_keeps_its_promises_in_all_kinds_of_scenarios(settings: dict[str, Any], seed: int) -> None:
    outcome = run(changed(SMALL, settings), seed=seed)
    assert outcome.violations == []
    assert value(outcome, "updates") > 5


def test_a_faulty_core_is_a_violation_in_the_outcome(seed: int) -> None:
    made = changed(SMALL, {"planes.repair": False, "network.loss": 0.5, "parameters.repair": 1.0, "quiet": 2.0})
    outcome = Experiment(made, seed=seed, replay="am sim run this").run()
    (violation,) = outcome.violations
    assert "replay: am sim run this" in violation
    assert run(changed(made, {"check": "safety"}), seed=seed).violations == []


def test_an_error_of_a_core_is_passed_on(seed: int) -> None:
    class Broken(Core[int]):
        def timer(self, now: int) -> Any:
            raise ZeroDivisionError("it is broken")

    with pytest.raises(ZeroDivisionError, match="it is broken"):
        Experiment(SMALL, seed=seed, node=Broken).run()


# -- protocols to compare with


def test_plain_gossipsub_is_fast_and_loses_what_is_lost(seed: int) -> None:
    plain = changed(SMALL, {"protocol": "gossipsub", "check": "safety"})
    outcome = run(plain, seed=seed)
    assert outcome.violations == []
    assert value(outcome, "coverage") == 100
    assert value(outcome, "latency_p99") < 400
    lossy = run(
        changed(plain, {"network.loss": 0.7, "topology.degree": 2, "topic.degree": 2, "quiet": 60.0}), seed=seed
    )
    assert value(lossy, "coverage") < 100
    assert value(lossy, "missing_at_end") > 0


def test_under_the_rules_of_go_news_waits_for_the_heartbeat_and_the_batch(seed: int) -> None:
    go = changed(SMALL, {"protocol": "go", "check": "safety", "seconds": 60.0})
    outcome = run(go, seed=seed)
    assert outcome.violations == []
    assert value(outcome, "coverage") == 100
    assert 2_000 < value(outcome, "latency_p50") < 4_500
    assert 5_000 < value(outcome, "latency_p99") < 7_000
    hasty = run(changed(go, {"go.heartbeat": 0.1, "go.batch": 0.0}), seed=seed)
    assert value(hasty, "latency_p99") < 500


def test_under_the_rules_of_go_who_joins_is_told_of_all_and_an_update_that_was_lost_is_not(seed: int) -> None:
    go = changed(SMALL, {"protocol": "go", "check": "safety", "warm": False, "settle": 0.0})
    made = Experiment(go, seed=seed)
    outcome = made.run()
    nodes = [node for node in made.network.simulation.nodes if isinstance(node, GoNode)]
    assert [len(node.ledger) for node in nodes] == [8] * 8
    assert value(outcome, "missing_at_end") == 0
    cut = [{"kind": "partition", "at": 0, "who": "0:4", "lasts": 14.0}]
    assert value(run(changed(go, {"warm": True, "faults": cut}), seed=seed), "missing_at_end") > 0
    assert run(changed(SMALL, {"faults": cut, "quiet": 30.0}), seed=seed).violations == []


def test_a_peer_that_starts_late_is_told_by_digests_of_whom_it_missed(seed: int) -> None:
    late = {"protocol": "go", "check": "safety", "warm": True, "quiet": 60.0, "go.digest": 1.0}
    made = Experiment(
        changed(SMALL, {**late, "absent": "7", "faults": [{"kind": "restart", "at": 6, "who": "7"}]}), seed=seed
    )
    made.run()
    node = made.network.simulation.nodes[7]
    assert isinstance(node, GoNode)
    assert len(node.ledger) == 8
