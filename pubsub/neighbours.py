"""Neighbours: how a peer finds out where others are, and with whom it connects.

Each peer publishes a machine `SELF` whose tags are its addresses, so that gossip spreads them: signed, and newest
wins. Whoever has too few connections dials some of the peers that it knows, by chance; random graphs of a few edges a
node are connected, and their diameter grows with the logarithm of their size.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from machine import Machine, Schema, State
from pubsub.state import OwnerState

SELF = "@peer"  # id of the machine that says where its owner is
SCHEME = "addr:"  # what a tag with an address begins with
TARGET = 6  # connections of a peer, as far as there are so many others
FEWEST = 4  # below that it dials
MAX_FOUND = 256  # peers that were heard of on the local network, and wait to be dialled
PERIOD = 1.0  # s between two looks
PAUSE = 10.0  # s between two dials of the same peer: one takes up to 5, and the core redials those that it has lost


def make_self(addresses: Sequence[str]) -> Machine:
    """Return the machine that tells others where this peer is."""
    machine = Machine(Schema({"Listening": State()}), id=SELF, tags=tuple(SCHEME + address for address in addresses))
    if addresses:
        machine.add("Listening")
    return machine


def addresses_in(state: OwnerState) -> list[str]:
    """Return the addresses that an owner has published."""
    for machine in state.values():
        if machine.description.id == SELF:
            return [tag[len(SCHEME) :] for tag in machine.description.tags if tag.startswith(SCHEME)]
    return []


def whom_to_dial(connected: int, candidates: Iterable[bytes], rng: random.Random) -> list[bytes]:
    """Return which of the peers that are known and not connected to dial: none, if there are connections enough."""
    if connected >= FEWEST:
        return []
    others = list(candidates)
    return rng.sample(others, min(TARGET - connected, len(others)))
