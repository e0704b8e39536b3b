"""The way of a frame: latency, order, loss, repeats, bandwidth and CPU time, each exact where nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub.boundary import SECOND, WAKE
from simulations.checkers import Conservation
from simulations.conditions import Conditions, Constant, Regions, Uniform
from simulations.errors import SetupError
from simulations.faults import storm
from simulations.simulation import Simulation
from simulations.topology import Pairs, full, ring
from simulations.toys import Listener, Tired

EXACT = Conditions(latency=Constant(10_000), jitter=0)

conditions = st.builds(
    Conditions,
    latency=st.builds(Uniform, st.just(1_000), st.integers(1_000, 100_000)),
    jitter=st.integers(0, 50_000),
    loss=st.sampled_from([0.0, 0.1, 0.9]),
    retransmit=st.sampled_from([0, 200_000]),
    duplicate=st.sampled_from([0.0, 0.2]),
    reorder=st.sampled_from([0.0, 0.2]),
    bandwidth=st.sampled_from([0, 1_000, 100_000]),
    uplink=st.sampled_from([0, 50_000]),
    queue=st.sampled_from([0, 1_000]),
    cpu_frame=st.sampled_from([0, 450, 50_000]),
    patience=st.sampled_from([0, 100_000]),
)


@settings(max_examples=40)
@given(conditions, st.integers(0, 2**32), st.booleans())
def test_every_frame_is_delivered_or_lost_or_dropped_or_on_its_way(
    conditions: Conditions, seed: int, faults: bool
) -> None:
    weather = storm(seed, 6, 3 * SECOND, count=6) if faults else ()
    simulation = Simulation(
        seed, Tired, peers=6, conditions=conditions, faults=weather, checkers=[Conservation()], topology=full
    )
    for until in range(0, 4 * SECOND, SECOND // 2):
        simulation.run(until)
    assert simulation.statistics().counts.sent > 0


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(0, 100_000),
    st.lists(st.tuples(st.integers(0, SECOND), st.integers(0, 2)), max_size=60),
)
def test_a_link_keeps_the_order_whatever_the_jitter(seed: int, jitter: int, said: list[tuple[int, int]]) -> None:
    simulation = Simulation(seed, Listener, peers=3, topology=full, conditions=Conditions(jitter=jitter), tick_us=100)
    for number, (at, source) in enumerate(sorted(said)):
        target = (source + 1) % 3
        simulation.call(at, source, lambda node, now, t=target, n=number: node.say(t, number=n))  # type: ignore[misc]
    simulation.run(3 * SECOND)
    count = 0
    for node in simulation.nodes:
        assert isinstance(node, Listener)
        numbers = [frame.stream for frame in node.heard]
        count += len(numbers)
        assert numbers == sorted(numbers)
    assert count == len(said)


def test_a_frame_takes_the_latency_of_its_link(room: Callable[..., Any]) -> None:
    network = room()
    network.say(5_000, 0, 1)
    network.run(SECOND)
    assert network.times(1) == [15_000]


def test_latencies_are_the_same_both_ways_and_within_their_bounds() -> None:
    uniform, regions = Uniform(30, 90), Regions(4, near=5, step=20)
    drawn = {uniform.base(1, a, b) for a in range(30) for b in range(a)}
    assert all(uniform.base(1, a, b) == uniform.base(1, b, a) for a in range(9) for b in range(9))
    assert min(drawn) >= 30
    assert max(drawn) <= 90
    assert len(drawn) > 40
    assert [regions.base(1, 0, other) for other in range(5)] == [5, 25, 45, 25, 5]


def test_reordered_frames_are_overtaken(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, reorder=0.3, reorder_by=50_000))
    for number in range(200):
        network.say(number * 1_000, 0, 1, number=number)
    network.run(SECOND)
    assert network.numbers(1) != list(range(200))
    assert sorted(network.numbers(1)) == list(range(200))


def test_losses_and_repeats_are_as_frequent_as_they_shall_be(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, loss=0.2, duplicate=0.1), seed=7)
    for number in range(10_000):
        network.say(number * 10, 0, 1, number=number)
    network.run(SECOND)
    counts = network.simulation.statistics().counts
    assert 1_880 < counts.lost < 2_120  # three standard deviations of 40
    assert 716 < counts.duplicated < 884  # of the 8,000 that were not lost: three of 27
    assert len(network.heard(1)) == 10_000 - counts.lost + counts.duplicated


def test_a_retransmitted_frame_is_late_and_so_is_what_is_behind_it(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, loss=0.2, retransmit=200_000))
    for number in range(50):
        network.say(number * 1_000, 0, 1, number=number)
    network.run(SECOND)
    assert network.numbers(1) == list(range(50))
    assert max(frame.now - 1_000 * frame.stream for frame in network.heard(1)) == 210_000
    late = next(at for at, frame in enumerate(network.heard(1)) if frame.now >= 200_000)
    assert all(now >= 200_000 for now in network.times(1)[late:])


def test_bandwidth_delays_by_exactly_the_bytes_in_front(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, bandwidth=10_000))  # 100 bytes take 10 ms
    for at in (0, 0, 5_000, 100_000):
        network.say(at, 0, 1)
    network.run(SECOND)
    assert network.times(1) == [20_000, 30_000, 40_000, 120_000]


def test_an_uplink_is_shared_by_all_connections_of_the_sender_alone(room: Callable[..., Any]) -> None:
    network = room(3, conditions=replace(EXACT, uplink=10_000))
    network.say(0, 0, 1)
    network.say(0, 0, 2)
    network.say(0, 2, 1, size=50)
    network.run(SECOND)
    assert network.times(1) == [15_000, 20_000]
    assert network.times(2) == [30_000]


def test_a_full_queue_drops_and_counts(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, bandwidth=10_000, queue=250))
    for number in range(6):
        network.say(0, 0, 1, number=number)
    network.run(SECOND)
    assert network.numbers(1) == [0, 1, 2]  # the fourth would find 300 bytes waiting
    assert network.simulation.statistics().counts.queue_full == 3


def test_cpu_time_delays_each_frame_by_its_own_and_those_before_it(room: Callable[..., Any]) -> None:
    network = room(3, conditions=replace(EXACT, cpu_frame=450, cpu_byte_ns=1_000))
    network.say(0, 0, 1)
    network.say(0, 2, 1, size=50)
    network.say(100_000, 0, 1)
    network.run(SECOND)
    assert network.times(1) == [10_550, 11_050, 110_550]


def test_a_frame_that_would_wait_too_long_for_the_cpu_is_dropped_and_counted(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, cpu_frame=10_000, patience=25_000))
    for number in range(6):
        network.say(0, 0, 1, number=number)
    network.run(SECOND)
    assert network.numbers(1) == [0, 1, 2]
    assert network.simulation.statistics().counts.overrun == 3


def test_a_busy_peer_is_late_with_its_timer(room: Callable[..., Any]) -> None:
    network = room(conditions=replace(EXACT, cpu_frame=5_000))
    network.act(0, 1, (WAKE, 12_000))
    network.say(0, 0, 1)
    network.run(SECOND)
    assert [fact for fact in network.node(1).told if fact[0] == "timer"] == [("timer", 15_000, 1)]


def test_the_newest_wake_wins_whether_it_is_earlier_or_later(room: Callable[..., Any]) -> None:
    network = room()
    network.act(0, 0, (WAKE, 50_000), (WAKE, 70_000))
    network.act(0, 1, (WAKE, 70_000), (WAKE, 50_000))
    network.run(SECOND)
    assert ("timer", 70_000, 0) in network.node(0).told
    assert ("timer", 50_000, 1) in network.node(1).told
    assert network.simulation.statistics().timers == 2


def test_a_timer_that_is_put_off_again_and_again_takes_one_place_in_the_queue(room: Callable[..., Any]) -> None:
    network = room()
    network.act(0, 0, *[(WAKE, 50_000 + number) for number in range(1_000)])
    network.run(0)
    assert len(list(network.simulation.queue)) == 1
    network.run(SECOND)
    assert network.simulation.statistics().timers == 1


def test_what_is_sent_without_a_connection_is_counted(room: Callable[..., Any]) -> None:
    network = room(4, topology=ring)
    network.say(0, 0, 2)
    network.run(SECOND)
    assert network.simulation.statistics().counts.unlinked == 1


@given(st.integers(0, 2**32))
def test_another_link_leaves_the_draws_of_a_link_alone(seed: int) -> None:
    def arrivals(peers: int, pairs: Pairs, chatter: bool) -> list[int]:
        weather = Conditions(loss=0.1, jitter=20_000, duplicate=0.1, reorder=0.1)
        simulation = Simulation(seed, Listener, peers=peers, topology=lambda n, s: pairs, conditions=weather)
        for number in range(30):
            simulation.call(number * 10_000, 0, lambda node, now: node.say(1))  # type: ignore[attr-defined]
            if chatter:
                simulation.call(number * 10_000, 2, lambda node, now: node.say(1))  # type: ignore[attr-defined]
        simulation.run(SECOND)
        node = simulation.nodes[1]
        assert isinstance(node, Listener)
        return [frame.now for frame in node.heard if frame.peer == 0]

    alone = arrivals(2, [(0, 1)], chatter=False)
    assert alone == arrivals(5, [(2, 1), (0, 1), (3, 0), (4, 1)], chatter=True)


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"duplicate": -0.1}, {"jitter": -1}, {"bandwidth": -5}])
def test_conditions_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=next(iter(wrong))):
        Conditions(**wrong)


def test_a_simulation_needs_peers_and_not_too_many() -> None:
    for peers in (0, 2**20):
        with pytest.raises(SetupError, match=f"{peers} peers"):
            Simulation(1, Listener, peers=peers)
