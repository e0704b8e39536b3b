"""Arrivals: when each update reached whom, in arrays of a few numbers for each update and none for each arrival.

A *state* is what an owner publishes at once; it holds one or more *updates*, which are changes of its machines. Whoever
takes over a state has all that it overtook as well, so an update has arrived with the first state that holds it.
Expected at an update is everybody who runs when it is published, but its owner; whoever crashes before it arrives is
expected no more, and whoever starts later never was.

An arrival costs two look-ups and two numbers; batches of them are worked on by numpy. Times are us.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pubsub.boundary import SECOND
from simulations.faults import Crash, Heal, Release, Restart
from simulations.simulation import Simulation, Verb

BIN = 100  # us: how exactly latencies are known; the engine's tick by default
STEP = SECOND // 10  # us between two points of the curves over time
SHARES = (50, 90, 99, 100)  # percent of those who are expected
FAR = 254  # links; what has come further is counted as that
MAX_WAYS = 20_000  # peers; hops take a byte for each pair of peers, 400 MB there
_BATCH = 1 << 16

Order = tuple[int, int]
Ints = npt.NDArray[np.int64]
Held = Iterable[tuple[bytes, Any]]


def held_by(node: Any) -> Held:
    """Return (owner, state) of all that a node knows; a liar's is that of the node in it. Nothing, if it cannot say."""
    core = getattr(node, "node", node)
    ledger = getattr(core, "ledger", None)
    return ledger.items() if ledger is not None else ()


@dataclass(slots=True)
class Mark:
    """A moment after which all that is missing in a shard can arrive: the end of a partition, or of a hold.

    Attributes:
        at: when.
        shard: where; -1: that was in another simulation.
        states: so many had been published until then, in all shards.
        missing: pairs of an update and a peer that were missing of them.
        most, rest: when 99 % of those, and all, had arrived; None: not yet.
    """

    at: int
    shard: int
    states: int
    missing: int
    came: int = 0
    most: int | None = None
    rest: int | None = None


@dataclass(slots=True)
class Join:
    """A peer that started: when, and what it still has to hear that was newest then."""

    at: int
    missing: dict[bytes, Order]


@dataclass(slots=True)
class States:
    """What is kept of each state, by its number."""

    published: array[int] = field(default_factory=lambda: array("q"))
    expected: array[int] = field(default_factory=lambda: array("q"))
    arrived: array[int] = field(default_factory=lambda: array("q"))
    first: array[int] = field(default_factory=lambda: array("q"))
    """Its first update, and how many those are."""
    updates: array[int] = field(default_factory=lambda: array("q"))
    shard: array[int] = field(default_factory=lambda: array("q"))
    before: list[int] = field(default_factory=list)
    """The state of the same owner before it; -1: none that is counted."""
    reached: list[array[int]] = field(default_factory=lambda: [array("q") for _ in SHARES])
    """When each share of those who are expected had it; -1: not yet."""
    sources: dict[int, int] = field(default_factory=dict)
    """Peer -> its first state, in the order of those."""


class Arrivals:
    """See the module.

    Args:
        hooked: whether the workload tells of each change; otherwise each published state is one update.
        liars: peers from which nothing is expected, and of whom nothing is measured.
        hops: whether to count links, too.

    Attributes:
        states: what was published since the measuring began.
        changed: when each update was made.
        latency: how many arrivals took so long, in bins of `BIN`.
        hops: how many commits came along so many links, by the state that the sender held then.
        due, came, excused: pairs of an update and a peer that were expected, arrived, or were expected no more, by
            `STEP`.
        commits: states that peers took over.
        copies: pairs of an update and a peer of its shard, whether it runs or not.
        unpublished: updates that ended with their peer.
        joined: how long each start took until all was known that was newest then; `joining`: those that are at it.
    """

    def __init__(self, *, hooked: bool, liars: Collection[int] = (), hops: bool = True) -> None:
        self.states = States()
        self.changed = array("q")
        self.latency: Ints = np.zeros(1, dtype=np.int64)
        self.hops = [0] * (FAR + 1)
        self.due: dict[int, int] = {}
        self.came: Ints = np.zeros(1, dtype=np.int64)
        self.excused: dict[int, int] = {}
        self.marks: list[Mark] = []
        self.joining: dict[int, Join] = {}
        self.joined: list[int] = []
        self.commits = 0
        self.copies = 0
        self.unpublished = 0
        self.began: int | None = None
        self._hooked = hooked
        self._liars = frozenset(liars)
        self._wants_hops = hops
        self._ways: list[bytearray] = []
        self._numbers: list[dict[bytes, int]] = []  # of the owners in each shard
        self._peers: dict[bytes, int] = {}
        self._pending: dict[int, list[int]] = {}
        self._logs: dict[bytes, dict[Order, int]] = {}
        self._newest: list[dict[bytes, Order]] = []  # in each shard
        self._born: list[int] = []
        self._others: dict[int, int] = {}  # how many run in a shard, where they were counted
        self._batch, self._times = array("q"), array("q")
        self._simulation: Simulation | None = None
        self.source = -1  # who sent what is delivered now

    # -- what happens

    def started(self, simulation: Simulation) -> None:
        """Make room."""
        self._simulation = simulation
        self._born = [0] * simulation.peers
        self._numbers, self._newest = [{} for _ in simulation.shards], [{} for _ in simulation.shards]
        self._wants_hops = self._wants_hops and max(map(len, simulation.shards)) <= MAX_WAYS
        self._ways = [bytearray() for _ in range(simulation.peers)] if self._wants_hops else []

    def begin(self, now: int) -> None:
        """Measure what is published from now on."""
        self.began = now
        self.commits = 0
        self.hops = [0] * (FAR + 1)
        self._pending.clear()
        self.joined.clear()

    def change(self, now: int, peer: int) -> None:
        """Note that a machine of a peer is about to change."""
        if self.began is not None and peer not in self._liars:
            self._pending.setdefault(peer, []).append(now)

    def published(self, now: int, peer: int, event: Any) -> None:
        """Note a new state of its owner."""
        if peer in self._liars:
            return
        assert self._simulation is not None
        owner, order = event.state.owner, event.state.order
        shard = self._simulation.shard_of[peer]
        self._newest[shard][owner] = order
        self._peers[owner] = peer
        if self._wants_hops:
            numbers = self._numbers[shard]
            self._place(peer, numbers.setdefault(owner, len(numbers)), 0, len(numbers))
        if self.began is None:
            return
        log = self._logs.setdefault(owner, {})
        before = next(reversed(log.values()), -1)
        made = self._pending.pop(peer, ()) if self._hooked else (now,)
        if not made:
            log.setdefault(order, before)  # it says nothing new, and brings what was before it
            return
        states, number = self.states, len(self.states.before)
        log.setdefault(order, number)
        states.before.append(before)
        states.published.append(now)
        states.first.append(len(self.changed))
        states.updates.append(len(made))
        states.arrived.append(0)
        states.shard.append(shard)
        for reached in states.reached:
            reached.append(-1)
        self.changed.extend(made)
        others = self._running(shard) - 1
        self.copies += len(self._simulation.shards[shard]) * len(made)
        states.expected.append(others)
        states.sources.setdefault(peer, number)
        self.due[now // STEP] = self.due.get(now // STEP, 0) + others * len(made)

    def committed(self, now: int, peer: int, event: Any) -> None:
        """Note that a state, and what it overtook, has come to a peer."""
        state, before = event
        owner = state.owner
        self.commits += 1
        if self._ways:
            self._come(peer, owner)
        if self.joining and peer in self.joining:
            self._hear(now, peer, owner, state.order)
        log = self._logs.get(owner)
        if log is None or peer in self._liars:
            return
        number = log.get(state.order, -1)
        had = log.get(before.order, -1) if before is not None else -1
        befores, published, born = self.states.before, self.states.published, self._born[peer]
        while number > had and published[number] >= born:
            self._batch.append(number)
            self._times.append(now)
            number = befores[number]
        if len(self._batch) >= _BATCH:
            self.flush()

    def faulted(self, now: int, verb: Verb) -> None:
        """Count without whoever ends here, and note from when on all can arrive."""
        self._others.clear()
        if isinstance(verb, Crash | Restart):
            self._end(now, verb.peer)
            if isinstance(verb, Restart):
                self._born[verb.peer] = now
                known = self._newest[self._shard_of(verb.peer)]
                newest = {o: n for o, n in known.items() if self._runs(o) and self._peers[o] != verb.peer}
                if newest and verb.peer not in self._liars:
                    self.joining[verb.peer] = Join(now, newest)
        elif isinstance(verb, Heal | Release) and self.began is not None:
            self.flush()
            for shard, missing in enumerate(self._missing_by_shard()):
                if missing:
                    self.marks.append(Mark(now, shard, len(self.states.before), missing))

    # -- how

    def _runs(self, owner: bytes) -> bool:
        assert self._simulation is not None
        return self._simulation.is_alive(self._peers[owner])

    def _shard_of(self, peer: int) -> int:
        assert self._simulation is not None
        return self._simulation.shard_of[peer]

    def _running(self, shard: int) -> int:
        if shard not in self._others:
            assert self._simulation is not None
            nodes, peers = self._simulation.nodes, self._simulation.shards[shard]
            self._others[shard] = sum(nodes[peer] is not None and peer not in self._liars for peer in peers)
        return self._others[shard]

    def _place(self, peer: int, number: int, far: int, owners: int) -> None:
        ways = self._ways[peer]
        if number >= len(ways):
            ways.extend(bytes(owners - len(ways)))
        ways[number] = far

    def _come(self, peer: int, owner: bytes) -> None:
        numbers = self._numbers[self._shard_of(peer)]
        number = numbers.get(owner)
        if number is None or self.source < 0:
            return
        theirs = self._ways[self.source]
        far = min(theirs[number] + 1 if number < len(theirs) else 1, FAR)
        self._place(peer, number, far, len(numbers))
        self.hops[far] += 1

    def _hear(self, now: int, peer: int, owner: bytes, order: Order) -> None:
        join = self.joining[peer]
        wanted = join.missing.get(owner)
        if wanted is not None and order >= wanted:
            del join.missing[owner]
            if not join.missing:
                self.joined.append(now - join.at)
                del self.joining[peer]

    def _end(self, now: int, peer: int) -> None:
        """Let go of a peer: it waits for nothing any more, and what it had not published is lost."""
        assert self._simulation is not None
        node = self._simulation.nodes[peer]
        self.joining.pop(peer, None)
        self.unpublished += len(self._pending.pop(peer, ()))
        if node is None or peer in self._liars:
            return
        self.flush()
        held = {owner: state.order for owner, state in held_by(node)}
        states, gone, shard = self.states, 0, self._simulation.shard_of[peer]
        has: dict[bytes, int] = {owner: self._logs.get(owner, {}).get(order, -1) for owner, order in held.items()}
        missing = np.flatnonzero(_view(states.arrived) < _view(states.expected)).tolist() if states.before else []
        owners = {number: owner for owner, log in self._logs.items() for number in log.values()} if missing else {}
        for number in missing:
            owner = owners[number]
            if self._peers[owner] == peer or states.published[number] < self._born[peer]:
                continue
            if states.shard[number] != shard:
                continue
            if has.get(owner, -1) < number:
                states.expected[number] -= 1
                gone += states.updates[number]
                for mark in self.marks:
                    if number < mark.states and mark.shard == shard:
                        mark.missing -= states.updates[number]
                self._catch_up(now, number)
        for mark in self.marks:
            _note(mark, now)
        self.excused[now // STEP] = self.excused.get(now // STEP, 0) + gone

    def _catch_up(self, now: int, number: int) -> None:
        """Note shares that are reached because fewer are expected."""
        arrived, expected = self.states.arrived[number], self.states.expected[number]
        for share, reached in zip(SHARES, self.states.reached, strict=True):
            if reached[number] < 0 and arrived >= max(_needed(expected, share), 1):
                reached[number] = now

    def flush(self) -> None:
        """Work on the arrivals that were noted since the last time."""
        if not self._batch:
            return
        numbers, times = _view(self._batch).copy(), _view(self._times).copy()
        self._batch, self._times = array("q"), array("q")
        states = self.states
        first, updates = _view(states.first), _view(states.updates)
        weights = updates[numbers]
        at = np.repeat(np.arange(len(numbers)), weights)
        within = np.arange(len(at)) - np.repeat(np.cumsum(weights) - weights, weights)
        took = times[at] - _view(self.changed)[first[numbers[at]] + within]
        self.latency = _plus(self.latency, np.bincount(took // BIN))
        self.came = _plus(self.came, np.bincount(times // STEP, weights=weights).astype(np.int64))
        self._rank(numbers, times)
        for mark in self.marks:
            if mark.rest is None:
                older = np.flatnonzero((numbers < mark.states) & (_view(states.shard)[numbers] == mark.shard))
                gained = mark.came + np.cumsum(weights[older])
                _cross(mark, gained, times[older])

    def _rank(self, numbers: Ints, times: Ints) -> None:
        """Count who has each state, and note when the shares were reached."""
        states = self.states
        arrived, expected = _view(states.arrived), _view(states.expected)
        order = np.argsort(numbers, kind="stable")
        numbers, times = numbers[order], times[order]
        starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
        counts = np.diff(np.append(starts, len(numbers)))
        rank = np.arange(len(numbers)) - np.repeat(starts, counts) + arrived[numbers] + 1
        for share, column in zip(SHARES, states.reached, strict=True):
            reached = _view(column)
            hit = rank == np.maximum(_needed(expected[numbers], share), 1)
            reached[numbers[hit]] = times[hit]
        arrived[numbers[starts]] += counts

    # -- what came of it

    def detach(self) -> None:
        """Let go of the simulation, and of what only its events are looked up in. Call `flush` before it."""
        self._simulation = None
        self._ways, self._numbers, self._newest, self._born = [], [], [], []
        self._logs, self._peers = {}, {}

    def add(self, other: Arrivals) -> None:
        """Take over what another simulation has measured, of other shards and over the same time."""
        ours, theirs = self.states, other.states
        first, number = len(self.changed), len(ours.before)
        ours.first.extend(at + first for at in theirs.first)
        ours.before.extend(before if before < 0 else before + number for before in theirs.before)
        for mine, its in (
            (ours.published, theirs.published),
            (ours.expected, theirs.expected),
            (ours.arrived, theirs.arrived),
            (ours.updates, theirs.updates),
            (ours.shard, theirs.shard),
            *zip(ours.reached, theirs.reached, strict=True),
            (self.changed, other.changed),
        ):
            mine.extend(its)
        self.latency, self.came = _plus(self.latency, other.latency), _plus(self.came, other.came)
        self.hops = [mine + its for mine, its in zip(self.hops, other.hops, strict=True)]
        for sums, more in ((self.due, other.due), (self.excused, other.excused)):
            for at, count in more.items():
                sums[at] = sums.get(at, 0) + count
        self.marks += [replace(mark, shard=-1) for mark in other.marks]
        self.joined += other.joined
        self.joining |= {len(self.joining) + at: join for at, join in enumerate(other.joining.values())}
        self.commits += other.commits
        self.copies += other.copies
        self.unpublished += other.unpublished

    def missing(self) -> int:
        """Return how many pairs of an update and a peer are missing. Call `flush` before it."""
        states = self.states
        if not states.before:
            return 0
        return int(((_view(states.expected) - _view(states.arrived)) * _view(states.updates)).sum())

    def _missing_by_shard(self) -> list[int]:
        assert self._simulation is not None
        states, shards = self.states, len(self._simulation.shards)
        if not states.before:
            return [0] * shards
        each = (_view(states.expected) - _view(states.arrived)) * _view(states.updates)
        return list(map(int, np.bincount(_view(states.shard), weights=each, minlength=shards)))

    def expected(self) -> int:
        """Return how many pairs of an update and a peer are expected."""
        states = self.states
        return int((_view(states.expected) * _view(states.updates)).sum()) if states.before else 0

    def time_to(self, share: int) -> npt.NDArray[np.float64]:
        """Return how long each update took to reach a share of all (one of `SHARES`), us; infinity: it never did."""
        states = self.states
        if not states.before:
            return np.zeros(0)
        at = np.repeat(np.arange(len(states.before)), _view(states.updates))
        reached = _view(states.reached[SHARES.index(share)])[at]
        took: npt.NDArray[np.float64] = np.where(reached < 0, np.inf, reached - _view(self.changed))
        alone: npt.NDArray[np.bool_] = _view(states.expected)[at] == 0
        return took[~alone]


def _needed(expected: Any, share: int) -> Any:
    return (expected * share + 99) // 100


def _view(values: array[int]) -> Ints:
    return np.frombuffer(values, dtype=np.int64)


def _plus(left: Ints, right: Ints) -> Ints:
    if len(left) < len(right):
        left, right = right.astype(np.int64), left
    left[: len(right)] += right
    return left


def _cross(mark: Mark, gained: Ints, times: Ints) -> None:
    """Note when a sum, which grows, passed what a mark waits for."""
    if not len(gained):
        return
    mark.came = int(gained[-1])
    at = int(np.searchsorted(gained, -(-mark.missing * 99 // 100)))
    if mark.most is None and at < len(gained):
        mark.most = int(times[at])
    at = int(np.searchsorted(gained, mark.missing))
    if at < len(gained):
        mark.rest = int(times[at])


def _note(mark: Mark, now: int) -> None:
    """Note what is reached because less is missing."""
    if mark.most is None and mark.came * 100 >= mark.missing * 99:
        mark.most = now
    if mark.rest is None and mark.came >= mark.missing:
        mark.rest = now
