"""Measures: checkers that mind nothing and count. What a run took, and how far it has come.

`Latency`: from a change to everybody who sees it. `Spread`: how many pairs of a peer and an owner are behind, at any
moment and for the price of an addition an event. `Opinions`: whom peers take for dead, rightly or not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pubsub.core import Core
from pubsub.events import Committed, Published
from pubsub.state import OwnerState
from simulations.checkers import Checker
from simulations.faults import Crash, Restart

if TYPE_CHECKING:
    from simulations.simulation import Simulation, Verb

BIN = 1_000  # us; a latency is known to a millisecond


def states_of(core: Any) -> list[tuple[bytes, OwnerState]]:
    """Return what a core knows: the state of each owner."""
    return list(core.ledger.items())


class Latency(Checker):
    """How long a published state takes to each peer; one that was overtaken has arrived when a newer one has.

    Attributes:
        commits: how many states peers took over.
        count: how many (state, peer) were seen, overtaken ones included.
    """

    def __init__(self) -> None:
        self._published: dict[bytes, dict[tuple[int, int], int]] = {}  # owner -> order -> when, us
        self._bins: list[int] = [0]
        self.count = 0
        self.commits = 0

    def notified(self, now: int, peer: int, event: object) -> None:
        """Take the time."""
        if isinstance(event, Committed):
            self.commits += 1
            state, before = event
            published = self._published.get(state.owner)
            began = None if published is None else published.get(state.order)
            if began is None or published is None:
                return  # not what its owner published: other checkers have a word for that
            at, bins = (now - began) // BIN, self._bins
            if at < len(bins):  # as in `_note`, without the call
                bins[at] += 1
                self.count += 1
            else:
                self._note(now - began)
            if before is None:
                return
            (old_epoch, old), (epoch, version) = before.order, state.order
            if old + 1 == version or old_epoch != epoch:
                return
            for overtaken in range(old + 1, version):
                began = published.get((epoch, overtaken))
                if began is not None:
                    self._note(now - began)
        elif isinstance(event, Published):
            self._published.setdefault(event.state.owner, {})[event.state.order] = now

    def _note(self, took: int) -> None:
        at = took // BIN
        bins = self._bins
        if at >= len(bins):
            bins += [0] * (at + 1 - len(bins))
        bins[at] += 1
        self.count += 1

    def clear(self) -> None:
        """Begin anew."""
        self._bins = [0]
        self.count = self.commits = 0

    def quantile(self, share: float) -> float:
        """Return the latency that this share of all does not exceed, ms; 0 if there are none."""
        left = share * self.count
        for at, count in enumerate(self._bins):
            left -= count
            if left <= 0:
                return (at + 0.5) * BIN / 1000 if self.count else 0.0
        return 0.0


class Spread(Checker):
    """How many pairs (running peer, running owner) are behind what the owner has published.

    Attributes:
        behind: so many, now. 0: all agree.
        pairs: how many there are.
    """

    def __init__(self) -> None:
        self.behind = 0
        self._owners: dict[int, bytes] = {}  # of the running peers
        self._running: list[int] = []  # how many those are, by shard: only within one does anybody hear of others
        self._newest: dict[bytes, tuple[int, int]] = {}
        self._holders: dict[bytes, int] = {}  # how many peers have the newest
        self._simulation: Simulation | None = None

    @property
    def pairs(self) -> int:
        """Return how many pairs there are."""
        return sum(running**2 for running in self._running)

    def started(self, simulation: Simulation) -> None:
        """Keep it, to see what a peer knew that crashes."""
        self._simulation = simulation
        self._running = [0] * len(simulation.shards)

    def level(self) -> None:
        """Begin where everybody knows all that was published so far."""
        for peer, owner in self._owners.items():
            self._holders[owner] = self._running[self._shard_of(peer)]
        self.behind = 0

    def _shard_of(self, peer: int) -> int:
        assert self._simulation is not None
        return self._simulation.shard_of[peer]

    def notified(self, now: int, peer: int, event: object) -> None:
        """Count who has caught up, and who is behind because of something new."""
        if isinstance(event, Committed):
            state = event.state
            if self._newest.get(state.owner) == state.order:
                self._holders[state.owner] += 1
                self.behind -= 1
        elif isinstance(event, Published):
            state, shard = event.state, self._shard_of(peer)
            if peer not in self._owners:
                self._owners[peer] = state.owner
                self.behind += self._running[shard]
                self._running[shard] += 1
            held = self._holders.get(state.owner, self._running[shard])
            self._newest[state.owner] = state.order
            self._holders[state.owner] = 1
            self.behind += held - 1

    def faulted(self, now: int, verb: Verb) -> None:
        """Count without a peer that ends here."""
        if isinstance(verb, Crash | Restart) and verb.peer in self._owners:
            assert self._simulation is not None
            core = self._simulation.nodes[verb.peer]
            if isinstance(core, Core):
                holds = [owner for owner, state in states_of(core) if self._newest.get(owner) == state.order]
                self.behind -= self._running[self._shard_of(verb.peer)] - len(holds)
                for owner in holds:
                    self._holders[owner] -= 1
                self._drop(verb.peer)

    def _drop(self, peer: int) -> None:
        owner = self._owners.pop(peer)
        self._running[self._shard_of(peer)] -= 1
        self.behind -= self._running[self._shard_of(peer)] - self._holders.pop(owner)
        del self._newest[owner]


class Opinions(Checker):
    """Whom peers take for something, by the events of the liveness plane.

    Args:
        read: returns (owner, opinion) of an event, None of one that is none.
        bad: the opinions that count: of a peer that runs they are false.

    Attributes:
        held: (peer, owner) -> a bad opinion, and since when (us).
        voiced: how many bad opinions were ever formed.
    """

    def __init__(self, read: Callable[[object], tuple[bytes, Hashable] | None], bad: tuple[Hashable, ...]) -> None:
        self.held: dict[tuple[int, bytes], tuple[Hashable, int]] = {}
        self.voiced = 0
        self._read = read
        self._bad = bad

    def notified(self, now: int, peer: int, event: object) -> None:
        """Note a change of mind."""
        opinion = self._read(event)
        if opinion is None:
            return
        owner, what = opinion
        if what in self._bad:
            self.voiced += 1
            self.held[peer, owner] = what, now
        else:
            self.held.pop((peer, owner), None)

    def faulted(self, now: int, verb: Verb) -> None:
        """Let the opinions of a peer end with it."""
        if isinstance(verb, Crash | Restart):
            for key in [key for key in self.held if key[0] == verb.peer]:
                del self.held[key]

    def about(self, owner: bytes) -> int:
        """Return how many peers hold a bad opinion of an owner."""
        return sum(subject == owner for _, subject in self.held)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run measured, since it was settled. Latencies in ms; no clock of this machine has a part in it."""

    peers: int
    updates: int
    seconds: float
    events: int
    commits: int
    """New states that peers took over."""
    records: int
    """All records that peers looked at, duplicates included."""
    p50: float
    p99: float
    bytes_per_update: float
    """Bytes sent for each update and peer."""
    bytes_per_second: float
    """Bytes sent by each peer and second, quiet times included."""
    planes: dict[str, float]
    """The same by channel."""
    gaps: int
    sessions: int
    repaired: int
    trace: str


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Where the counters of a network stand."""

    now: int = 0
    events: int = 0
    records: int = 0
    planes: dict[str, int] = field(default_factory=dict)
