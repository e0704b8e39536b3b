"""What belongs to one peer of a simulated network alone: the bytes of all that nobody else holds as well.

The peak memory of a process cannot tell what a peer takes from what all share, nor what is used from what is free.
So this follows references: from all other peers first, and then from one, to what was not found before.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from simulations.gossip import GossipNetwork

_NOBODYS = (type, ModuleType, CodeType, BuiltinFunctionType)


def bytes_alone(network: GossipNetwork, peer: int) -> int:
    """Return how many bytes a peer takes: its core, machines and key, and what the engine keeps for it."""
    simulation = network.simulation
    # The way from a core to everybody else: through the network that made it.
    whole = [simulation, network, simulation.network, simulation.clocks, simulation.nodes, network.identities]
    seen = {id(each): None for each in whole} | {id(vars(each)): None for each in whole if hasattr(each, "__dict__")}
    for other in range(simulation.peers):
        if other != peer:
            _follow(_roots(network, other), seen)
    return sum(map(sys.getsizeof, _follow(_roots(network, peer), seen)))


def _roots(network: GossipNetwork, peer: int) -> list[object]:
    simulation = network.simulation
    return [
        simulation.nodes[peer],
        simulation.disks[peer],
        simulation.network.links[peer],
        network._machines[peer],
        network.identities[peer],
    ]


def _follow(roots: Iterable[object], seen: dict[int, None]) -> list[object]:
    """Return what is reached and was not seen, and note it as seen."""
    found, todo = [], list(roots)
    while todo:
        each: Any = todo.pop()
        if id(each) in seen or isinstance(each, _NOBODYS):
            continue
        seen[id(each)] = None
        found.append(each)
        # A function has all the names of its module, which are nobody's; what it closes over may be somebody's.
        todo += each.__closure__ or () if isinstance(each, FunctionType) else gc.get_referents(each)
    return found
