"""Who is dead, who only seems so, and who has left: networks in which peers go and come back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pubsub.boundary import SECOND
from pubsub.core import Core
from pubsub.members import Status
from pubsub.parameters import Parameters
from simulations.conditions import Conditions
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.topology import full


def a_network(seed: int, peers: int = 20, rate: float = 2, **more: Any) -> GossipNetwork:
    return GossipNetwork(
        seed=seed, peers=peers, rate=rate, replay=f"a_network({seed}, peers={peers}, rate={rate})", **more
    )


def cores(network: GossipNetwork) -> dict[int, Core[int]]:
    return {peer: core for peer, core in enumerate(network.simulation.nodes) if isinstance(core, Core)}


def held(network: GossipNetwork, targets: Iterable[int], among: Iterable[int] | None = None) -> set[Status]:
    """Return what the running peers hold the targets for."""
    everybody = cores(network)
    owners = [network.identities[peer].owner for peer in targets]
    return {
        core.membership.status_of(owner)
        for peer in (everybody if among is None else among)
        for owner in owners
        if (core := everybody[peer]).identity.owner != owner
    }


def run(network: GossipNetwork, until: float) -> None:
    network.simulation.run(round(until * SECOND))


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "reset"])
def test_a_crashed_peer_is_suspected_within_twenty_seconds_and_then_dead(silent: bool, seed: int) -> None:
    network = a_network(seed, faults=[(10 * SECOND, Crash(4, silent=silent))])
    run(network, 9)
    assert held(network, range(20)) == {Status.ALIVE}
    run(network, 30)
    assert held(network, [4]) <= {Status.SUSPECT, Status.DEAD}
    run(network, 60)
    assert held(network, [4]) == {Status.DEAD}
    assert held(network, set(range(20)) - {4}) == {Status.ALIVE}
    network.simulation.finish()


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "no-disk"])
def test_a_peer_that_returns_is_alive_in_its_next_epoch(disk: bool, seed: int) -> None:
    network = a_network(seed, faults=[(5 * SECOND, Crash(4, silent=True)), (60 * SECOND, Restart(4, disk=disk))])
    run(network, 59)
    assert held(network, [4]) == {Status.DEAD}
    before = next(iter(cores(network).values())).ledger.order_of(network.identities[4].owner)
    run(network, 75)
    assert held(network, range(20)) == {Status.ALIVE}
    orders = {core.ledger.order_of(network.identities[4].owner) for core in cores(network).values()}
    assert len(orders) == 1
    assert before is not None
    assert all(order is not None and order[0] > before[0] for order in orders)
    network.simulation.finish()


def test_a_peer_that_leaves_has_left_and_raises_no_suspicion(seed: int) -> None:
    network = a_network(seed, faults=[(11 * SECOND, Crash(4))])
    network.simulation.call(10 * SECOND, 4, lambda node, now: node.leave(now))  # type: ignore[attr-defined]
    for until in range(11, 80):
        run(network, until)
        assert not held(network, [4]) & {Status.SUSPECT, Status.DEAD}
    assert held(network, [4]) == {Status.LEFT}
    assert held(network, set(range(20)) - {4}) == {Status.ALIVE}


def test_who_has_left_returns(seed: int) -> None:
    network = a_network(seed, faults=[(6 * SECOND, Crash(4)), (20 * SECOND, Restart(4))])
    network.simulation.call(5 * SECOND, 4, lambda node, now: node.leave(now))  # type: ignore[attr-defined]
    run(network, 19)
    assert held(network, [4]) == {Status.LEFT}
    run(network, 30)
    assert held(network, [4]) == {Status.ALIVE}


def test_with_a_tenth_of_all_frames_lost_nobody_stays_suspect(seed: int) -> None:
    network = a_network(seed, conditions=Conditions(loss=0.1))
    network.run(120, 20)
    assert held(network, range(20)) == {Status.ALIVE}


def test_with_two_fifths_of_all_frames_lost_a_network_comes_to_rest(seed: int) -> None:
    """Who is suspected says that it lives, and that is news: with suspicions all the time, nobody ever agrees."""
    network = a_network(seed, conditions=Conditions(loss=0.4))
    network.work(10)
    run(network, 55)
    versions = {peer: core.publisher.version for peer, core in cores(network).items()}
    run(network, 120)
    assert {peer: core.publisher.version for peer, core in cores(network).items()} == versions
    assert held(network, range(20)) == {Status.ALIVE}
    network.simulation.finish()


def test_both_sides_of_a_partition_are_dead_for_each_other_until_it_heals(seed: int) -> None:
    # All are neighbours: who has none on the other side is not missed there, and two sides may be more than two parts.
    faults = [(5 * SECOND, Partition(range(10))), (65 * SECOND, Heal())]
    network = a_network(seed, topology=full, faults=faults)
    run(network, 64)
    left, right = range(10), range(10, 20)
    for side, other in ((left, right), (right, left)):
        assert held(network, side, side) == {Status.ALIVE}
        assert held(network, other, side) == {Status.DEAD}
    run(network, 100)
    assert held(network, range(20)) == {Status.ALIVE}
    network.simulation.finish()


SHORT = Parameters(forget_after=60 * SECOND)


@pytest.mark.parametrize("bye", [False, True], ids=["dead", "left"])
def test_what_was_forgotten_is_not_brought_back_by_who_was_away(bye: bool, seed: int) -> None:
    # Peer 7 is cut off before peer 4 goes, and comes back when all others have forgotten it.
    faults = [(5 * SECOND, Partition([7])), (8 * SECOND, Crash(4, silent=True)), (110 * SECOND, Heal())]
    network = a_network(seed, parameters=SHORT, faults=faults, rate=0)
    if bye:
        network.simulation.call(7 * SECOND, 4, lambda node, now: node.leave(now))  # type: ignore[attr-defined]
    owner = network.identities[4].owner
    run(network, 109)
    others = [core for peer, core in cores(network).items() if peer != 7]
    assert all(core.ledger.get(owner) is None for core in others)
    for until in range(110, 300, 5):
        run(network, until)
        assert all(core.ledger.get(owner) is None for core in others)
        assert all(core.membership.status_of(owner) is Status.ALIVE for core in others)
    assert cores(network)[7].ledger.get(owner) is None
    assert held(network, set(range(20)) - {4}) == {Status.ALIVE}
    network.simulation.finish()


def test_who_was_forgotten_may_come_back(seed: int) -> None:
    faults = [(5 * SECOND, Crash(4)), (100 * SECOND, Restart(4))]
    network = a_network(seed, parameters=SHORT, faults=faults)
    run(network, 99)
    assert all(core.ledger.get(network.identities[4].owner) is None for core in cores(network).values())
    run(network, 115)
    assert all(core.ledger.get(network.identities[4].owner) is not None for core in cores(network).values())
    assert held(network, range(20)) == {Status.ALIVE}


def test_an_idle_network_says_little(seed: int) -> None:
    network = a_network(seed, peers=50, rate=0)
    run(network, 60)
    before = network.simulation.statistics().channel_bytes["link"]
    run(network, 120)
    assert (network.simulation.statistics().channel_bytes["link"] - before) / 50 / 60 < 60  # bytes/s a peer
