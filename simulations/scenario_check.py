"""What types cannot say about a scenario: keys that contradict each other, and names of what is not there.

A faulty scenario is told before anything runs, not in the middle of a sweep.
"""

from __future__ import annotations

import msgspec

from machine import Schema, SchemaError, State
from machine.errors import did_you_mean
from simulations.conditions import Conditions
from simulations.errors import SetupError
from simulations.instruments import NAMES
from simulations.regions import Wide
from simulations.scenario import Scenario, Topic
from simulations.scenario_faults import Scene, scheduled
from simulations.scenario_network import RegionGraph, regions_of
from simulations.scenario_parts import KeyFault, microseconds
from simulations.scenario_who import Crowd
from simulations.shards import Members, interests
from simulations.topic import Gossipsub


def crowd_of(scenario: Scenario, seed: int) -> Crowd:
    """Return the peers of a scenario, to pick from."""
    latency = scenario.network.latency
    return Crowd(seed=seed, peers=scenario.peers, regions=regions_of(scenario.topology, latency))


def degrees(topic: Topic) -> Gossipsub:
    """Return the topic as the engine takes it: low and high are by default a third away from the degree."""
    third = max(round(topic.degree / 3), 1)
    low = max(topic.degree - third, 1) if topic.low is None else topic.low
    high = topic.degree + third if topic.high is None else topic.high
    if not low <= topic.degree <= high:
        raise KeyFault("topic.degree", f"{topic.degree} is not between low, {low}, and high, {high}")
    return Gossipsub(
        degree=topic.degree,
        low=low,
        high=high,
        drop=topic.drop,
        envelope=topic.envelope,
        remember=microseconds(topic.remember),
    )


def members_of(scenario: Scenario, seed: int) -> Members | None:
    """Return which peers take part in which shard; None: there is one topic, and all do.

    Raises:
        KeyFault: there are too few peers for so many shards.
    """
    shards = scenario.shards
    if shards.of > shards.count:
        raise KeyFault("shards.of", f"a peer cannot take part in {shards.of} of {shards.count} shards")
    if shards.count == 1:
        return None
    if isinstance(scenario.topology, RegionGraph):
        raise KeyFault(
            "topology.kind", "'regions' are of all peers, and each shard has a graph of its own: say another"
        )
    try:
        return interests(seed, scenario.peers, shards.count, shards.of)
    except SetupError as error:
        raise KeyFault("shards.count", str(error)) from error


def check(scenario: Scenario) -> None:
    """Look at a scenario.

    Raises:
        KeyFault: it cannot be run. The message names the key.
    """
    latency = scenario.network.latency.make("network.latency")
    if isinstance(latency, Wide) and len(latency.matrix) > scenario.peers:
        raise KeyFault("peers", f"{scenario.peers} are fewer than the {len(latency.matrix)} regions of the latency")
    degrees(scenario.topic)
    members_of(scenario, scenario.seed)
    crowd = crowd_of(scenario, scenario.seed)
    try:
        scenario.topology.draw()
    except SetupError as error:
        raise KeyFault("topology", str(error)) from error
    if scenario.absent is not None and len(crowd.pick(scenario.absent, "absent")) == scenario.peers:
        raise KeyFault("absent", "nobody would be there at the beginning")
    schema_of(scenario)
    if scenario.warm and scenario.machines.own_schemas:
        raise KeyFault("warm", "with machines.own_schemas nobody knows all at the beginning: say warm = false")
    total = scenario.seconds + scenario.quiet
    scheduled(scenario.faults, Scene(crowd=crowd, begin=0, end=microseconds(total)))
    for number, liar in enumerate(scenario.liars):
        crowd.pick(liar.who, f"liars.{number}.who")
    for number, name in enumerate(scenario.measure):
        if name not in NAMES:
            raise KeyFault(f"measure.{number}", f"there is no instrument {name!r}{did_you_mean(name, NAMES)}")
    if scenario.protocol != "clk":
        _check_other(scenario)


def _check_other(scenario: Scenario) -> None:
    """Hold a scenario of a protocol to compare with to what that one can do."""
    name = scenario.protocol
    if scenario.liars:
        raise KeyFault("liars", f'there are liars of "clk" only, and the protocol is {name!r}')
    if scenario.machines.turnover or scenario.machines.each > 1:
        key = "turnover" if scenario.machines.turnover else "each"
        raise KeyFault(f"machines.{key}", f"with the protocol {name!r} each peer has one machine, and keeps it")
    if scenario.check == "promises":
        raise KeyFault("check", f'the promises are those of "clk"; with the protocol {name!r}, say check = "none"')


def schema_of(scenario: Scenario) -> Schema | None:
    """Return the schema that a scenario declares; None: it only counts states.

    Raises:
        KeyFault: the states contradict each other.
    """
    declared = scenario.machines.schema
    if not declared:
        return None
    try:
        return Schema({name: State(**msgspec.structs.asdict(state)) for name, state in declared.items()})
    except SchemaError as error:
        raise KeyFault("machines.schema", str(error)) from error


def conditions_of(scenario: Scenario) -> Conditions:
    """Return the weather as the engine takes it."""
    weather = scenario.network
    return Conditions(
        latency=weather.latency.make("network.latency"),
        jitter=round(weather.jitter_ms * 1000),
        loss=weather.loss,
        retransmit=round(weather.retransmit_ms * 1000),
        duplicate=weather.duplicate,
        reorder=weather.reorder,
        reorder_by=round(weather.reorder_by_ms * 1000),
        bandwidth=weather.bandwidth,
        uplink=weather.uplink,
        queue=weather.queue,
        cpu_frame=weather.cpu_frame_us,
        cpu_byte_ns=weather.cpu_byte_ns,
        cpu_topic=weather.cpu_topic_us,
        patience=round(weather.patience_ms * 1000),
    )


__all__ = ["check", "conditions_of", "crowd_of", "degrees", "members_of", "schema_of"]
