"""Neighbours: how a peer finds out where others are, and with whom it connects.

Each peer publishes a machine `SELF` whose tags are its addresses, so that gossip spreads them: signed, and newest
wins. Whoever has too few connections dials some of the peers that it knows, by chance; random graphs of a few edges a
node are connected, and their diameter grows with the logarithm of their size.

Whom many begin with would keep a connection with each. So a peer that has too many says so in that machine, and of its
neighbours those part from it that have others enough, one after another by chance, until it says so no more. Nobody
parts from a neighbour with which logs are exchanged.

On the local network anybody can say where a peer is, and make up peers. So of those that only this was said of a few
wait to be dialled, and nothing is kept of them for long; what else is kept is of owners that the ledger knows.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import trio

from machine import Machine, Schema, State
from pubsub.announcement import MdnsCounts
from pubsub.boundary import SECOND
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.members import Status
from pubsub.names import peer_id_of
from pubsub.state import OwnerState
from pubsub.transport.clock import now
from pubsub.transport.contract import Transport
from pubsub.transport.errors import DialError, TransportError

SELF = "@peer"  # id of the machine that says where its owner is
CROWDED = "Crowded"  # a state of it
SCHEME = "addr:"  # what a tag with an address begins with
TARGET = 6  # connections of a peer, as far as there are so many others
FEWEST = 4  # below that it dials
MAX_FOUND = 256  # peers that were heard of on the local network, and wait to be dialled
CROWD, CALM = 2 * TARGET, TARGET + 2  # connections above which a peer is crowded, and down to which it stays so
CHANCE = 8  # of so many looks at a crowded neighbour one ends in parting: at 1,000 it takes a minute, and few at a time
PULLING = 60.0  # s since a log was sent along a connection, during which nobody parts for being crowded
PERIOD = 1.0  # s between two looks
PAUSE = 10.0  # s between two dials of the same peer: one takes up to 5, and the core redials those that it has lost
PATIENCE = 5.0  # s that a connection may take to come about
MIN_SWEEP = 1024  # owners with an address, before it is worth a look who of them is not known any more

logger = logging.getLogger("asyncmachine.pubsub")


def make_self(addresses: Sequence[str]) -> Machine:
    """Return the machine that tells others where this peer is."""
    schema = Schema({"Listening": State(), CROWDED: State()})
    machine = Machine(schema, id=SELF, tags=tuple(SCHEME + address for address in addresses))
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


@runtime_checkable
class Addressed(Protocol):
    """What a transport has that finds peers by addresses."""

    @property
    def addresses(self) -> list[str]:
        """Where this peer listens: full addresses, with its peer id."""

    def learn(self, address: str) -> bytes:
        """Remember where a peer is; return its public key."""


class Neighbours:
    """Whom one peer connects with.

    Args:
        core: knows who there is, and who is connected.
        driver: dials.
        transport: keeps addresses; if it is not `Addressed`, only those are dialled that `dial_first` names.
        rng: whom, and when.

    Attributes:
        itself: the machine that says where this peer is; None: it does not say.
        mdns: what was heard on the local network.
        misaddressed: addresses that cannot be used, or are of somebody else.
    """

    def __init__(
        self, core: Core[bytes], driver: Driver[bytes], transport: Transport[bytes], rng: random.Random
    ) -> None:
        self.itself: Machine | None = None
        self.mdns = MdnsCounts()
        self.misaddressed = 0
        self._core = core
        self._driver = driver
        self._transport = transport
        self._rng = rng
        self._first: dict[bytes, None] = {}  # to be dialled to begin with, and not reached yet
        self._known: dict[bytes, None] = {}  # owners whose addresses are known
        self._sweep = MIN_SWEEP
        self._tried: dict[bytes, float] = {}  # when they were dialled lately, s
        self._found: dict[bytes, None] = {}  # heard of on the local network, and not dialled yet

    @property
    def known(self) -> int:
        """Of how many owners an address is known."""
        return len(self._known)

    # -- where others are

    def learn(self, owner: bytes, addresses: Iterable[str]) -> bool:
        """Remember where a peer is; tell whether any of the addresses can be used."""
        if not isinstance(self._transport, Addressed) or owner == self._core.identity.owner:
            return False
        usable = False
        for address in addresses:
            try:
                wrong = self._transport.learn(address) != owner
            except TransportError:
                wrong = True
            if wrong:
                self.misaddressed += 1
            else:
                self._known[owner] = None
                usable = True
        return usable

    def found(self, owner: bytes, addresses: Iterable[str]) -> None:
        """Hear where a peer is, from somebody who may lie; dial it now or later, unless it is a neighbour.

        A crowd that starts at once shall not connect each with each: beyond some neighbours only whoever is still
        unknown is dialled, one a second. So two groups that do not know each other become one.
        """
        allowed, links = self._core.acceptor.allowed, self._core.links
        if owner == self._core.identity.owner or owner in links:
            return
        if allowed is not None and owner not in allowed:
            self.mdns.not_allowed += 1
            return
        if owner not in self._found and len(self._found) >= MAX_FOUND:
            self.mdns.crowded += 1
            return
        if not self.learn(owner, addresses):
            return
        self._found[owner] = None
        dialling = sum(at + PERIOD > trio.current_time() for at in self._tried.values())
        if len(links) + dialling < TARGET and self._is_rested(owner):
            self._dial_found(owner)

    # -- dials

    def dial_first(self, owners: Iterable[bytes]) -> None:
        """Dial those whom a peer is told to begin with."""
        for owner in owners:
            self._first[owner] = None
            self._driver.dial(owner)

    def reached(self, owner: bytes) -> None:
        """Hear that somebody is a neighbour: should it go later, that is no news about where it was said to be."""
        self._first.pop(owner, None)

    def failed(self, owner: bytes, error: DialError) -> None:
        """Hear that a dial came to nothing."""
        if owner in self._first:
            del self._first[owner]  # it is said once, and tried again and again
            logger.warning("%s does not answer (%s); it is dialled until it does", peer_id_of(owner), error)

    async def meet(self, owner: bytes) -> None:
        """Connect with a peer whose address is known, if it is none of the neighbours; or give up after a while."""
        if owner in self._core.links or owner not in self._known:
            return
        self._driver.dial(owner)
        with trio.move_on_after(PATIENCE):
            while True:
                await trio.sleep(0.02)
                if owner in self._core.links:
                    return

    async def run(self) -> None:
        """Keep the number of neighbours up, for ever."""
        while True:
            await trio.sleep(PERIOD * (0.5 + self._rng.random()))
            self._forget()
            self._tell_crowd()
            self._part_from_crowd()
            enough = sum(not self._is_crowded(owner) for owner in self._core.links)  # the others are to be parted from
            for owner in whom_to_dial(enough, self._candidates(), self._rng):
                self._dial(owner)
            if strangers := self._strangers():
                self._dial_found(self._rng.choice(strangers))

    def _tell_crowd(self) -> None:
        """Say whether there are too many connections, if that has changed."""
        itself, links = self.itself, len(self._core.links)
        if itself is None:
            return
        if links > CROWD and not itself.is_active(CROWDED):
            itself.add(CROWDED)
        elif links <= CALM and itself.is_active(CROWDED):
            itself.remove(CROWDED)
        else:
            return
        self._driver.call(self._core.changed)

    def _part_from_crowd(self) -> None:
        """Part from a neighbour that is crowded, now and then, while there are others enough."""
        links = self._core.links
        for owner, link in list(links.items()):  # each only once more: that ends it from here
            if link.parting:
                self._driver.call(self._core.part, owner)
        if len(links) <= FEWEST:
            return
        quiet = now() - round(PULLING * SECOND)
        crowded = [owner for owner, link in links.items() if link.pulled < quiet and self._is_crowded(owner)]
        if crowded and self._rng.randrange(CHANCE) == 0:
            self._driver.call(self._core.part, self._rng.choice(crowded))

    def _is_crowded(self, owner: bytes) -> bool:
        replica = self._core.replica(owner, SELF)
        return replica is not None and CROWDED in replica.state_names and replica.is_active(CROWDED)

    def _dial_found(self, owner: bytes) -> None:
        del self._found[owner]  # from now on the core dials it again, ever more seldom
        self.mdns.dialled += 1
        self._dial(owner)

    def _dial(self, owner: bytes) -> None:
        self._tried[owner] = trio.current_time()
        self._driver.dial(owner)

    def _is_rested(self, owner: bytes) -> bool:
        return self._tried.get(owner, -math.inf) + PAUSE <= trio.current_time()

    def _candidates(self) -> Iterator[bytes]:
        membership, links, ledger = self._core.membership, self._core.links, self._core.ledger
        for owner in self._known:
            if owner in links or ledger.get(owner) is None or not self._is_rested(owner):
                continue
            if membership.status_of(owner) is Status.ALIVE and not self._is_crowded(owner):
                yield owner

    def _strangers(self) -> list[bytes]:
        """Return who was found on the local network and is needed: nobody else has told of it, or all are too few."""
        links, ledger = self._core.links, self._core.ledger
        for owner in list(self._found):
            if owner in links or (len(links) >= FEWEST and ledger.get(owner) is not None):
                del self._found[owner]
        return [owner for owner in self._found if self._is_rested(owner)]

    def _forget(self) -> None:
        """Drop what is of no use any more: dials of some time ago, and owners of whom the ledger knows nothing."""
        if self._tried:
            moment = trio.current_time()
            self._tried = {owner: at for owner, at in self._tried.items() if at + PAUSE > moment}
        if len(self._known) > self._sweep:
            ledger = self._core.ledger
            self._known = {owner: None for owner in self._known if ledger.get(owner) is not None}
            self._sweep = max(MIN_SWEEP, 2 * len(self._known))
