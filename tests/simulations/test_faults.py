"""Faults: what a partition, a hold, a crash and a wrong clock do, and that they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub.boundary import SECOND, WAKE, Host, Message, Outputs
from simulations.checkers import Checker, Conservation, NothingFromTheDead
from simulations.clocks import BEGINNING
from simulations.conditions import Conditions, Constant
from simulations.faults import Crash, Degrade, Heal, Hold, Jump, Partition, Release, Restart, Restore, Skew, storm
from simulations.simulation import Simulation, Verb
from simulations.topology import full
from simulations.toys import Flood, Quiet, Tired


class Sightings(Checker):
    """Writes down who got a frame from whom, and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def delivered(self, now: int, source: int, target: int, channel: int, message: Message) -> None:
        self.seen.append((now, source, target))


@settings(max_examples=20)
@given(st.sets(st.integers(0, 5), min_size=1, max_size=5), st.booleans(), st.integers(0, 2**32))
def test_nothing_passes_a_partition_until_it_is_healed(side: set[int], one_way: bool, seed: int) -> None:
    sightings = Sightings()
    simulation = Simulation(
        seed,
        Tired,
        peers=6,
        topology=full,
        conditions=Conditions(duplicate=0.1, reorder=0.1),
        faults=[(SECOND, Partition(sorted(side), one_way=one_way)), (2 * SECOND, Heal())],
        checkers=[sightings, Conservation(), NothingFromTheDead()],
    )
    simulation.run(3 * SECOND)
    inside = [(a, b) for now, a, b in sightings.seen if SECOND <= now < 2 * SECOND]
    assert not [(a, b) for a, b in inside if a in side and b not in side]
    assert one_way or not [(a, b) for a, b in inside if a not in side and b in side]
    assert any(a in side and b not in side for now, a, b in sightings.seen if now < SECOND)


def test_a_partition_closes_no_connection_and_healing_lets_frames_pass(room: Callable[..., Any]) -> None:
    network = room(3, faults=[(100_000, Partition([0])), (200_000, Heal())])
    for at in (95_000, 150_000, 195_000, 200_000):
        network.say(at, 0, 1, number=at)
    network.say(150_000, 2, 1, number=1)
    network.run(SECOND)
    assert network.numbers(1) == [1, 200_000]  # the first was on its way when the wall came down on it
    assert [fact[0] for fact in network.node(1).told] == ["up", "up"]
    assert network.simulation.statistics().counts.cut == 3


def test_one_of_two_partitions_can_be_healed(room: Callable[..., Any]) -> None:
    faults = [(0, Partition([0], [1])), (0, Partition([0], [2])), (100_000, Heal([0], [1]))]
    network = room(3, faults=faults)
    network.say(200_000, 0, 1)
    network.say(200_000, 0, 2)
    network.run(SECOND)
    assert (len(network.heard(1)), len(network.heard(2))) == (1, 0)


def test_a_hold_keeps_frames_in_their_order_until_they_are_released(room: Callable[..., Any]) -> None:
    network = room(faults=[(100_000, Hold([0])), (200_000, Release())], checkers=[Conservation()])
    for at in (95_000, 120_000, 110_000, 150_000):
        network.say(at, 0, 1, number=at)
    network.say(150_000, 1, 0)
    network.run(180_000)
    assert network.times(1) == [105_000]
    assert network.times(0) == [160_000]  # held one way only
    assert network.simulation.statistics().in_flight == 3
    network.run(SECOND)
    assert network.numbers(1) == [95_000, 110_000, 120_000, 150_000]
    assert network.times(1)[1:] == [210_000] * 3


def test_what_is_held_dies_with_its_connection(room: Callable[..., Any]) -> None:
    faults = [(0, Hold([0])), (100_000, Crash(1)), (200_000, Restart(1)), (300_000, Release())]
    network = room(faults=faults, checkers=[Conservation()])
    network.say(50_000, 0, 1, number=1)
    network.say(250_000, 0, 1, number=2)
    network.run(SECOND)
    assert network.numbers(1) == [2]


def test_conditions_can_worsen_for_some_and_for_a_while(room: Callable[..., Any]) -> None:
    bad = replace(Conditions(latency=Constant(10_000), jitter=0), loss=1.0)
    network = room(3, faults=[(100_000, Degrade(bad, [0], [1])), (300_000, Restore())])
    for target in (1, 2):
        network.say(50_000, 0, target)
        network.say(150_000, 0, target)
        network.say(350_000, 0, target)
    network.run(SECOND)
    assert (network.times(1), network.times(2)) == ([60_000, 360_000], [60_000, 160_000, 360_000])


class Diary(Quiet):
    """Counts its starts on disk, and writes something down that it does not sync."""

    def start(self, now: int) -> Outputs[int]:
        self.starts = int(self.host.disk.read("starts") or b"0") + 1
        self.note = self.host.disk.read("note")
        self.host.disk.write("starts", str(self.starts).encode())
        self.host.disk.sync()
        self.host.disk.write("note", b"not yet safe")
        return ()


@pytest.mark.parametrize(("disk", "starts"), [(True, 2), (False, 1)])
def test_a_restart_finds_what_was_synced_and_nothing_without_its_disk(seed: int, disk: bool, starts: int) -> None:
    simulation = Simulation(seed, Diary, peers=2, faults=[(100, Crash(1)), (200, Restart(1, disk=disk))])
    simulation.run(150)
    assert not simulation.is_alive(1)
    simulation.run(300)
    node = simulation.nodes[1]
    assert isinstance(node, Diary)
    assert (node.starts, node.note) == (starts, None)
    assert simulation.disks[1].read("note") == b"not yet safe"
    assert simulation.statistics().alive == 2


def test_a_peer_that_was_absent_joins_and_is_dialled_by_nobody_before(room: Callable[..., Any]) -> None:
    network = room(3, absent=[2], faults=[(100_000, Restart(2))])
    network.run(SECOND)
    assert network.node(0).told == [("up", 0, 1), ("up", 110_000, 2)]
    assert network.node(2).told == [("up", 120_000, 0), ("up", 120_000, 1)]


def test_the_application_of_a_peer_that_is_down_does_nothing(room: Callable[..., Any]) -> None:
    network = room(faults=[(0, Crash(0))])
    network.say(100, 0, 1)
    network.run(SECOND)
    assert network.simulation.statistics().counts.sent == 0


def test_a_timer_does_not_outlive_a_crash(room: Callable[..., Any]) -> None:
    network = room(faults=[(20_000, Crash(0)), (30_000, Restart(0))])
    network.act(0, 0, (WAKE, 50_000))
    network.run(SECOND)
    assert [fact for fact in network.node(0).told if fact[0] == "timer"] == []


def test_wall_clocks_run_fast_and_jump_each_for_itself(seed: int) -> None:
    hosts: list[Host] = []

    def node(peer: int, host: Host) -> Quiet:
        hosts.append(host)
        return Quiet(peer, host)

    faults: list[tuple[int, Verb]] = [(10 * SECOND, Skew(1, 100_000)), (20 * SECOND, Jump(1, -5_000))]
    faults.append((20 * SECOND, Skew(1, 0)))
    simulation = Simulation(seed, node, peers=2, faults=faults)
    told = []
    for second in (0, 10, 15, 25):
        simulation.run(second * SECOND)
        told.append(tuple(host.wall() - BEGINNING for host in hosts))
    assert told == [(0, 0), (10_000, 10_000), (15_000, 15_500), (25_000, 21_000)]


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_after_a_storm_all_is_whole_again(seed: int) -> None:
    weather = storm(seed, 8, 5 * SECOND, count=12)
    assert weather == storm(seed, 8, 5 * SECOND, count=12)
    simulation = Simulation(
        seed,
        Flood,
        peers=8,
        topology=full,
        conditions=Conditions(cpu_frame=450),
        faults=weather,
        checkers=[Conservation(), NothingFromTheDead()],
    )
    simulation.run(20 * SECOND)
    statistics = simulation.statistics()
    assert statistics.alive == 8
    assert not any(simulation.network.is_cut(a, b) for a in range(8) for b in range(8))
    assert statistics.in_flight == 0


def test_faults_tell_what_they_are() -> None:
    assert repr(Partition(range(50), one_way=True)) == "Partition(left=range(0, 50), right=None, one_way=True)"
    assert repr(Restart(3, disk=False)) == "Restart(peer=3, disk=False)"
