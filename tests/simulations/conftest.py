"""What tests of the engine share: a network of listeners, and a hand to make them speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pubsub.boundary import Output
from simulations.conditions import Conditions, Constant
from simulations.simulation import Simulation
from simulations.topology import full
from simulations.toys import Heard, Listener


class Room:
    """Listeners, all connected, 10 ms apart, without jitter; ticks of a microsecond tell exact times."""

    def __init__(self, seed: int, peers: int = 2, *, conditions: Conditions | None = None, **options: Any) -> None:
        self.simulation = Simulation(
            seed,
            Listener,
            peers=peers,
            conditions=conditions or Conditions(latency=Constant(10_000), jitter=0),
            **{"topology": full, "tick_us": 1, **options},
        )

    def node(self, peer: int) -> Listener:
        node = self.simulation.nodes[peer]
        assert isinstance(node, Listener)
        return node

    def say(self, at: int, source: int, target: int, *, number: int = 0, size: int = 100) -> None:
        def speak(node: object, now: int) -> Iterable[Output[int]]:
            assert isinstance(node, Listener)
            return node.say(target, number=number, size=size)

        self.simulation.call(at, source, speak)  # type: ignore[arg-type]

    def act(self, at: int, peer: int, *outputs: Output[int]) -> None:
        self.simulation.call(at, peer, lambda node, now: outputs)

    def run(self, until: int) -> None:
        self.simulation.run(until)

    def heard(self, peer: int) -> list[Heard]:
        return self.node(peer).heard

    def times(self, peer: int) -> list[int]:
        return [frame.now for frame in self.heard(peer)]

    def numbers(self, peer: int) -> list[int]:
        return [frame.stream for frame in self.heard(peer)]


@pytest.fixture
def room(seed: int) -> Callable[..., Room]:
    """Return how to open a room with the seed of the run."""
    return lambda *args, **options: Room(options.pop("seed", seed), *args, **options)
