"""Connections: how long a dial takes, who is told of an end, and what dies with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pubsub.boundary import DIAL, HANG_UP, SECOND
from simulations.checkers import Conservation
from simulations.connections import DIAL_TIMEOUT
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.topology import unconnected


@pytest.fixture
def strangers(room: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: room(*args, topology=unconnected, **options)


def test_a_dial_takes_a_round_trip_and_reaches_the_other_side_half_way(strangers: Callable[..., Any]) -> None:
    network = strangers()
    network.act(0, 0, (DIAL, 1))
    network.say(9_999, 1, 0)  # too early
    network.say(10_001, 1, 0)
    network.run(SECOND)
    assert network.node(0).told == [("up", 20_000, 1)]
    assert network.node(1).told == [("up", 10_000, 0)]
    assert network.times(0) == [20_001]


def test_two_that_dial_each_other_get_one_connection(strangers: Callable[..., Any]) -> None:
    network = strangers()
    network.act(0, 0, (DIAL, 1))
    network.act(0, 1, (DIAL, 0))
    network.run(10 * SECOND)
    assert [fact[0] for fact in network.node(0).told + network.node(1).told] == ["up", "up"]
    assert network.simulation.statistics().connections == 1


def test_a_dial_to_oneself_or_to_a_neighbour_does_nothing(room: Callable[..., Any]) -> None:
    network = room()
    network.act(0, 0, (DIAL, 0), (DIAL, 1))
    network.run(10 * SECOND)
    assert network.node(0).told == [("up", 0, 1)]


def test_a_peer_that_is_down_refuses_and_one_whose_machine_is_gone_says_nothing(strangers: Callable[..., Any]) -> None:
    network = strangers(3, faults=[(0, Crash(1)), (0, Crash(2, silent=True))])
    network.act(1_000, 0, (DIAL, 1), (DIAL, 2))
    network.run(10 * SECOND)
    assert network.node(0).told == [("down", 21_000, 1), ("down", 1_000 + DIAL_TIMEOUT, 2)]


@pytest.mark.parametrize("side", [0, 1])
def test_a_dial_across_a_one_way_partition_times_out(strangers: Callable[..., Any], side: int) -> None:
    network = strangers(faults=[(0, Partition([side], one_way=True))])
    network.act(1_000, 0, (DIAL, 1))
    network.run(10 * SECOND)
    assert network.node(0).told == [("down", 1_000 + DIAL_TIMEOUT, 1)]
    assert network.node(1).told == []


def test_who_hangs_up_knows_and_the_other_side_is_told(room: Callable[..., Any]) -> None:
    network = room(checkers=[Conservation()])
    network.say(95_000, 1, 0)
    network.say(95_000, 0, 1)
    network.act(100_000, 0, (HANG_UP, 1))
    network.run(SECOND)
    assert network.node(0).told == [("up", 0, 1)]
    assert network.node(1).told == [("up", 0, 0), ("down", 110_000, 0)]
    assert network.heard(0) + network.heard(1) == []  # both frames were on their way
    assert network.simulation.statistics().counts.closed == 2


def test_hanging_up_nobody_does_nothing(strangers: Callable[..., Any]) -> None:
    network = strangers()
    network.act(0, 0, (HANG_UP, 1))
    network.run(SECOND)
    assert network.node(1).told == []


def test_who_hung_up_may_dial_again(room: Callable[..., Any]) -> None:
    network = room()
    network.act(100_000, 0, (HANG_UP, 1), (DIAL, 1))
    network.say(200_000, 0, 1)
    network.run(SECOND)
    assert [fact[0] for fact in network.node(1).told] == ["up", "down", "up"]
    assert network.times(1) == [210_000]


def test_a_connection_that_was_given_up_behind_a_partition_is_reset_at_the_next_frame(room: Callable[..., Any]) -> None:
    network = room(faults=[(50_000, Partition([0])), (200_000, Heal())])
    network.act(100_000, 0, (HANG_UP, 1))
    network.say(150_000, 1, 0)
    network.say(300_000, 1, 0)
    network.run(SECOND)
    assert network.node(1).told == [("up", 0, 0), ("down", 320_000, 0)]


def test_the_other_side_is_told_of_an_old_end_before_a_new_beginning(room: Callable[..., Any]) -> None:
    network = room(faults=[(50_000, Partition([0])), (200_000, Heal())])
    network.act(100_000, 0, (HANG_UP, 1))
    network.act(300_000, 0, (DIAL, 1))
    network.run(SECOND)
    assert network.node(1).told == [("up", 0, 0), ("down", 310_000, 0), ("up", 310_000, 0)]


def test_a_crash_is_told_unless_it_is_silent(room: Callable[..., Any]) -> None:
    network = room(3, faults=[(100_000, Crash(1)), (100_000, Crash(2, silent=True))])
    network.run(10 * SECOND)
    assert network.node(0).told[2:] == [("down", 110_000, 1)]


def test_a_silent_crash_is_noticed_by_who_sends_once_the_peer_is_back(room: Callable[..., Any]) -> None:
    network = room(3, faults=[(100_000, Crash(2, silent=True)), (300_000, Restart(2))])
    network.say(200_000, 0, 2)
    network.run(SECOND)
    # The peer dials anew, and that is how its neighbours learn that it was gone.
    assert network.node(0).told[2:] == [("down", 310_000, 2), ("up", 310_000, 2)]


def test_frames_in_front_of_a_crashed_peer_die_with_it(room: Callable[..., Any]) -> None:
    network = room(faults=[(15_000, Crash(1)), (16_000, Restart(1))], checkers=[Conservation()])
    network.say(8_000, 0, 1)
    network.run(SECOND)
    assert network.heard(1) == []
    assert network.simulation.statistics().counts.closed == 1
    assert network.node(1).told == [("up", 36_000, 0)]
