"""The board: the one checker that all instruments of a run share.

With 10,000 peers there are some ten million commits to a minute, and each call costs. So there is one for an event,
which goes to those who asked for its kind and to nobody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pubsub.boundary import Message
from pubsub.events import Committed, Published
from pubsub.messages import Exchange, Frame, Parcel
from simulations.checkers import Checker
from simulations.errors import SetupError
from simulations.instruments.arrivals import Arrivals
from simulations.instruments.base import Findings, Handler, Instrument
from simulations.instruments.bounds import Ways, ways_from
from simulations.instruments.members import Detection, Suspicions
from simulations.instruments.peers import Clocks, Joins, Memory
from simulations.instruments.spread import Coverage, Heals, Hops, Latency, Missing, TimeTo
from simulations.instruments.traffic import Cpu, Redundancy, Traffic
from simulations.simulation import Simulation, Verb
from simulations.topic import Envelope

NAMES: dict[str, type[Instrument]] = {
    "coverage": Coverage,
    "time_to": TimeTo,
    "latency": Latency,
    "hops": Hops,
    "redundancy": Redundancy,
    "traffic": Traffic,
    "cpu": Cpu,
    "missing": Missing,
    "heal": Heals,
    "joins": Joins,
    "detection": Detection,
    "suspicions": Suspicions,
    "clocks": Clocks,
    "memory": Memory,
}


class Board(Checker):
    """All instruments of a run, as one checker.

    Attributes:
        arrivals: what those about updates share.
        records: how many records were delivered, duplicates included, since the measuring began.
        began: when it did, us.
        until: until when it was measured.
        peers: how many there are; each is counted once, in however many shards it is.
        largest: how many of them are in the largest shard.
    """

    def __init__(self, kinds: Iterable[type[Instrument]], *, hooked: bool, liars: Collection[int], hops: bool) -> None:
        self.arrivals = Arrivals(hooked=hooked, liars=liars, hops=hops)
        self.liars = frozenset(liars)
        self.records = 0
        self.began = 0
        self.until = 0
        self.peers = 0
        self.largest = 0
        self.peer_of: dict[bytes, int] = {}
        self._ways: Ways | None = None
        self._simulation: Simulation | None = None
        self.instruments = [kind(self) for kind in kinds]
        self._handlers: dict[type, tuple[Handler, ...]] = {
            Published: (self._meet, self.arrivals.published),
            Committed: (self.arrivals.committed,),
        }
        for instrument in self.instruments:
            for kind, handler in instrument.handlers.items():
                self._handlers[kind] = (*self._handlers.get(kind, ()), handler)

    @property
    def simulation(self) -> Simulation:
        """Return what is measured."""
        assert self._simulation is not None, "the board is to be a checker of the simulation before its first run"
        return self._simulation

    @property
    def seconds(self) -> float:
        """Return for how long it was measured, of simulated time."""
        return max((self.until - self.began) / 1e6, 1e-6)

    @property
    def ways(self) -> Ways:
        """Return the shortest ways from the first owners that published something, once they have."""
        if self._ways is None:
            self._ways = ways_from(self.simulation, list(self.arrivals.states.sources))
        return self._ways

    # -- as a checker

    def started(self, simulation: Simulation) -> None:
        """Keep it."""
        self._simulation = simulation
        self.peers = simulation.peers if simulation.seats is None else len(set(simulation.seats.peers))
        self.largest = max(map(len, simulation.shards))
        self.arrivals.started(simulation)

    def delivered(self, now: int, source: int, target: int, channel: int, message: Message) -> None:
        """Note who sends, and count the records."""
        self.arrivals.source = source
        kind = type(message)
        if kind is Frame:
            self.records += len(message.parcels)  # type: ignore[attr-defined]
        elif kind is Envelope:
            self.records += records_in(message.message)  # type: ignore[attr-defined]
        else:
            self.records += records_in(message)

    def notified(self, now: int, peer: int, event: object) -> None:
        """Hand it to those who asked for its kind."""
        for handler in self._handlers.get(type(event), ()):
            handler(now, peer, event)

    def faulted(self, now: int, verb: Verb) -> None:
        """Pass it on."""
        self.arrivals.faulted(now, verb)
        for instrument in self.instruments:
            instrument.faulted(now, verb)

    def paused(self, simulation: Simulation) -> None:
        """Pass it on."""
        for instrument in self.instruments:
            instrument.paused(simulation)

    def _meet(self, now: int, peer: int, event: Any) -> None:
        self.peer_of[event.state.owner] = peer

    # -- as an instrument

    def begin(self, now: int) -> None:
        """Measure from now on: what was before is not counted."""
        self.began, self.records = now, 0
        self.arrivals.begin(now)
        for instrument in self.instruments:
            instrument.begin(now)

    def changed(self, now: int, peer: int) -> None:
        """Note that the workload is about to change a machine of a peer that runs."""
        self.arrivals.change(now, peer)

    def results(self) -> Findings:
        """Return what all have found until now."""
        self._look()
        found = Findings()
        for instrument in self.instruments:
            instrument.find(found)
        return found

    def _look(self) -> None:
        if self._simulation is None:
            return
        self.arrivals.flush()
        self.until = self._simulation.now
        for instrument in self.instruments:
            instrument.look()

    # -- one of several

    def detach(self) -> None:
        """Let go of the simulation, so that this can go to another process, and be added to others."""
        self._look()
        self._ways = self.ways
        self._handlers, self.peer_of, self._simulation = {}, {}, None
        self.arrivals.detach()

    def add(self, other: Board) -> None:
        """Take over what was measured in other shards, over the same time. Both are detached.

        How many peers there are all in all is for the caller to say: one may be in shards of both.
        """
        assert self._ways is not None
        self._ways = self._ways.and_those(other.ways)
        self.records += other.records
        self.largest = max(self.largest, other.largest)
        self.arrivals.add(other.arrivals)
        for mine, its in zip(self.instruments, other.instruments, strict=True):
            mine.add(its)


def records_in(message: Any) -> int:
    """Return how many records a message holds; one of another protocol says it in `records`."""
    if isinstance(message, Frame | Exchange):
        return len(message.parcels)
    if isinstance(message, Parcel):
        return 1
    return int(getattr(message, "records", 0))


def instruments(
    names: Iterable[str] | None = None, *, hooked: bool = False, liars: Collection[int] = (), hops: bool = True
) -> Board:
    """Return instruments by their names, all of them by default, as one checker.

    Args:
        names: of `NAMES`.
        hooked: whether the workload calls `Board.changed` before each change. If it does not, what is published at once
            is one update, and its time runs from then.
        liars: peers from which nothing is expected.
        hops: whether to count links; it takes a byte for each pair of peers.

    Raises:
        SetupError: there is no such instrument.
    """
    chosen = list(dict.fromkeys(NAMES if names is None else names))
    for name in chosen:
        if name not in NAMES:
            raise SetupError(f"there is no instrument {name!r}; there are: {', '.join(NAMES)}")
    return Board([NAMES[name] for name in chosen], hooked=hooked, liars=liars, hops=hops and "hops" in chosen)
