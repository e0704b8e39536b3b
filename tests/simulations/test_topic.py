"""The modelled topic: everybody hears a message once, repeats are counted, refused ones go no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pubsub.boundary import REFUSE, SECOND, Host, Message, Node, Outputs
from simulations.checkers import Agreement, Checker, Conservation
from simulations.conditions import Conditions, Constant
from simulations.faults import Crash, Restart
from simulations.simulation import Simulation
from simulations.topic import Gossipsub
from simulations.topology import full, regular, ring
from simulations.toys import Shout


def shout(node: Node[int], now: int) -> Outputs[int]:
    assert isinstance(node, Shout)
    return node.write("hear, hear")


def shouting(seed: int, node: Callable[[int, Host], Node[int]] = Shout, **options: Any) -> Simulation:
    defaults: dict[str, Any] = {"peers": 50, "topology": regular(6), "topic": Gossipsub()}
    simulation = Simulation(seed, node, **{**defaults, **options, "checkers": [Conservation()]})
    simulation.call(SECOND, 7, shout)
    return simulation


def values(node: object) -> object:
    assert isinstance(node, Shout)
    return node.values


def test_everybody_hears_a_message_once(seed: int) -> None:
    simulation = shouting(seed)
    topic = simulation.run(5 * SECOND).topic
    Agreement(values).ended(simulation)
    assert (topic["published"], topic["unique"]) == (1, 49)
    links = simulation.statistics().connections
    assert topic["duplicates"] == 2 * links - 49 - 49  # each sends over all its links but that to where it came from


def test_a_transfer_has_an_envelope_and_costs_cpu_time(seed: int) -> None:
    conditions = Conditions(latency=Constant(10_000), jitter=0, cpu_topic=900)
    heard: list[tuple[int, int]] = []

    class Ear(Checker):
        def notified(self, now: int, peer: int, event: object) -> None:
            heard.append((now - SECOND, peer))

    simulation = shouting(seed, peers=9, topology=ring, conditions=conditions, topic=Gossipsub(envelope=300))
    simulation.checkers.append(Ear())
    statistics = simulation.run(3 * SECOND)
    assert heard[0] == (0, 7)
    assert sorted(heard[1:5]) == [(10_900, 6), (10_900, 8), (21_800, 0), (21_800, 5)]
    assert statistics.channel_bytes["topic"] == statistics.channel_frames["topic"] * (300 + 16 + 10)


class Censor(Shout):
    """Hears nothing on the topic, and passes nothing on."""

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        return [(REFUSE, "not for my ears")]


def test_a_refused_message_goes_no_further(seed: int) -> None:
    simulation = shouting(seed, lambda peer, host: (Censor if peer in (5, 9) else Shout)(peer, host), topology=ring)
    topic = simulation.run(10 * SECOND).topic
    assert topic["refused"] == 2
    assert [peer for peer, node in enumerate(simulation.nodes) if values(node)] == [6, 7, 8]


def test_dropped_transfers_are_counted_and_missed(seed: int) -> None:
    topic = shouting(seed, topic=Gossipsub(drop=1.0)).run(5 * SECOND).topic
    assert topic["unique"] == 0
    assert topic["dropped"] > 3
    lossy = shouting(seed, topic=Gossipsub(drop=0.2)).run(5 * SECOND).topic
    assert lossy["dropped"] > 20


def test_meshes_stay_within_their_degrees_and_grow_again_after_crashes(seed: int) -> None:
    faults = [(2 * SECOND, Crash(peer)) for peer in range(10, 20)] + [(3 * SECOND, Restart(10))]
    simulation = shouting(seed, topology=full, faults=faults)
    simulation.run(SECOND)
    assert simulation.topic is not None
    for until in (SECOND, 2_900_000, 5 * SECOND):
        simulation.run(until)
        alive = [peer for peer in range(50) if simulation.is_alive(peer)]
        assert all(4 <= len(simulation.topic.meshes[peer]) <= 8 for peer in alive if peer != 10)
        assert all(peer in simulation.topic.meshes[other] for peer in alive for other in simulation.topic.meshes[peer])
    assert not simulation.topic.meshes[11]


def test_what_was_seen_is_forgotten_in_time(seed: int) -> None:
    simulation = shouting(seed, topic=Gossipsub(remember=SECOND))
    for second in range(2, 30):
        simulation.call(second * SECOND, 3, shout)
    topic = simulation.run(40 * SECOND).topic
    assert topic["unique"] == 29 * 49
    assert simulation.topic is not None
    assert len(simulation.topic._seen) <= 2
