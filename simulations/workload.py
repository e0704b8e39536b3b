"""Workloads: when which peer changes its machine. `changes` yields them in the order of time.

poisson  independent changes at a rate (a Poisson process)
bursts   many at once, now and then
diurnal  a rate that goes up and down like a day, by thinning (Lewis and Shedler 1979)
replay   what a recorded history says
silent   none
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Annotated, NamedTuple, TypeAlias

from msgspec import Meta

from pubsub.boundary import SECOND
from simulations.scenario_parts import Chance, Count, KeyFault, Part, Period, Seconds


class Change(NamedTuple):
    """At a time (us), a peer changes a state (a number) of its machine; or (`turn`) another one comes, or goes.

    `machine`: which one, of the peer's machines.
    """

    at: int
    peer: int
    state: int
    turn: bool = False
    machine: int = 0


class Draw(NamedTuple):
    """What a workload draws from: the peers that change, their machines and states, the share of `turn`s."""

    rng: Random
    peers: int
    states: int
    turnover: float = 0.0
    machines: int = 1

    def change(self, at: float) -> Change:
        """Draw who changes what at a time. In this order: runs of earlier versions are repeated by it."""
        peer, state = self.rng.randrange(self.peers), self.rng.randrange(self.states)
        turn = bool(self.turnover) and self.rng.random() < self.turnover
        return Change(int(at), peer, state, turn, self.rng.randrange(self.machines) if self.machines > 1 else 0)


class Silent(Part, tag="silent", tag_field="kind", frozen=True, kw_only=True):
    """Nothing changes."""

    def changes(self, draw: Draw, begin: int, end: int) -> Iterator[Change]:
        """Yield nothing."""
        return iter(())


class Poisson(Part, tag="poisson", tag_field="kind", frozen=True, kw_only=True):
    """`rate` changes/s of the whole network, of random peers."""

    rate: Seconds = 10.0

    def changes(self, draw: Draw, begin: int, end: int) -> Iterator[Change]:
        """Yield the changes of a time, from begin to end (us)."""
        at = float(begin)
        while self.rate > 0 and (at := at + draw.rng.expovariate(self.rate) * SECOND) < end:
            yield draw.change(at)


class Bursts(Part, tag="bursts", tag_field="kind", frozen=True, kw_only=True):
    """`size` changes within `within`, every so many seconds on average, and `rate` changes/s besides."""

    size: Annotated[int, Meta(ge=1)] = 100
    within: Seconds = 0.1
    every: Period = 5.0
    rate: Seconds = 0.0

    def changes(self, draw: Draw, begin: int, end: int) -> Iterator[Change]:
        """Yield the changes of a time, from begin to end (us)."""
        drawn = list(Poisson(rate=self.rate).changes(draw, begin, end))
        at = float(begin)
        while (at := at + draw.rng.expovariate(1 / self.every) * SECOND) < end:
            times = [at + draw.rng.random() * self.within * SECOND for _ in range(self.size)]
            drawn += [draw.change(time) for time in times if time < end]
        return iter(sorted(drawn))


class Diurnal(Part, tag="diurnal", tag_field="kind", frozen=True, kw_only=True):
    """`rate` changes/s on average, up and down by the share `swing` within each `day` (s), beginning on the average."""

    rate: Seconds = 10.0
    swing: Chance = 0.8
    day: Period = 60.0

    def changes(self, draw: Draw, begin: int, end: int) -> Iterator[Change]:
        """Yield the changes of a time, from begin to end (us)."""
        highest = self.rate * (1 + self.swing)
        at = float(begin)
        while highest > 0 and (at := at + draw.rng.expovariate(highest) * SECOND) < end:
            height = 1 + self.swing * math.sin(2 * math.pi * (at - begin) / SECOND / self.day)
            if draw.rng.random() * (1 + self.swing) < height:
                yield draw.change(at)


class Replay(Part, tag="replay", tag_field="kind", frozen=True, kw_only=True):
    """The transitions of a recorded history: their times, and whose they were.

    The machines are dealt to the peers in the order in which they were recorded. A transition becomes a change of a
    state: the first that it changed, modulo the number of states.

    Attributes:
        history: a file, or a URL as `open_history` takes it.
        speed: how much faster than it happened.
        skip: seconds of the recording to leave out.
    """

    history: str
    speed: Period = 1.0
    skip: Seconds = 0.0

    def changes(self, draw: Draw, begin: int, end: int) -> Iterator[Change]:
        """Yield the changes of a time, from begin to end (us).

        Raises:
            KeyFault: the history cannot be read, or is empty.
        """
        first: int | None = None
        peers: dict[int, tuple[int, int]] = {}
        found = []
        for machine, at, state in _recorded(self.history):
            first = at if first is None else first
            passed = (at - first) / 1e9 - self.skip
            peer, number = peers.setdefault(machine, _dealt(len(peers), draw))
            when = begin + int(passed / self.speed * SECOND)
            if passed >= 0 and when < end:
                found.append(Change(when, peer, state % draw.states, machine=number))
        if not peers:
            raise KeyFault("workload.history", f"there are no transitions in {self.history}")
        return iter(sorted(found))


def _dealt(number: int, draw: Draw) -> tuple[int, int]:
    """Return which peer has a recorded machine, and as which of its own."""
    return number % draw.peers, number // draw.peers % draw.machines


def _recorded(url: str) -> Iterator[tuple[int, int, int]]:
    """Yield (machine, ns, first changed state) of all transitions of a history, as they were stored."""
    from history import HistoryError, open_store  # a database is opened by those only who want one

    where = url if "://" in url else f"sqlite:///{url}"
    try:
        store = open_store(where)
        try:
            if not store.exists():
                raise KeyFault("workload.history", f"there is no history at {url}")
            store.open()
            after = 0
            while rows := store.feed(after, 10_000, None):
                for row in rows:
                    after = row.id
                    if row.time_diff:  # the first row of a machine says where it stood
                        yield row.machine_id, row.at, max((row.changed & -row.changed).bit_length() - 1, 0)
        finally:
            store.close()
    except HistoryError as error:
        raise KeyFault("workload.history", str(error)) from error


Workload: TypeAlias = Poisson | Bursts | Diurnal | Replay | Silent

__all__ = ["Bursts", "Change", "Count", "Diurnal", "Draw", "Poisson", "Replay", "Silent", "Workload"]
