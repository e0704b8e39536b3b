"""What watches both sides of `benchmarks/reality.py`: all that a core says and hears, and when."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic

from machine import Machine, Schema, State
from pubsub.boundary import LINK, NEVER, NOTIFY, SEND, WAKE, Message, Output, Outputs, P
from pubsub.core import Core
from pubsub.events import Committed, Published
from pubsub.identity import Identity
from pubsub.messages import Frame
from pubsub.state import OwnerState
from simulations.errors import SetupError
from simulations.scenario import Scenario
from simulations.scenario_parts import microseconds
from simulations.seeds import derive, stream
from simulations.topology import Pairs
from simulations.workload import Change, Draw


@dataclass(frozen=True)
class Case:
    """A scenario with a seed: what happens on both sides. Times in us, from when the links are up."""

    scenario: Scenario
    seed: int

    @cached_property
    def pairs(self) -> Pairs:
        """Who dials whom."""
        return self.scenario.topology.draw()(self.scenario.peers, self.seed) if self.scenario.peers > 2 else [(0, 1)]

    @cached_property
    def changes(self) -> list[Change]:
        """When, whose machine, which state."""
        scenario, begin = self.scenario, microseconds(self.scenario.settle)
        draw = Draw(stream(self.seed, "workload"), scenario.peers, scenario.machines.states)
        return list(scenario.workload.changes(draw, begin, begin + microseconds(scenario.seconds)))

    @property
    def until(self) -> int:
        """When it is over."""
        return microseconds(self.scenario.settle + self.scenario.seconds + self.scenario.quiet)

    @cached_property
    def identities(self) -> list[Identity]:
        """Who the peers are."""
        peers = range(self.scenario.peers)
        return [Identity(derive(self.seed, "key", peer).to_bytes(8, "big") * 4) for peer in peers]


@dataclass
class Watch:
    """Sees what all peers of a network take in and give out, and counts it from the first change on. Times in us.

    `base` is how long the network keeps a frame on its way between two peers on purpose: a flight is what is beyond it.
    """

    case: Case
    base: Callable[[int, int], int] = lambda source, target: 0
    took: list[int] = field(default_factory=list)
    """From a change to each replica that has it, whatever it was joined with."""
    last: list[int] = field(default_factory=list)
    """The same for the last replica."""
    hops: list[int] = field(default_factory=list)
    """Of each new state that a peer took over: how many links it had come along."""
    flights: list[int] = field(default_factory=list)
    """How long each frame took."""
    late: list[int] = field(default_factory=list)
    """How late each timer was."""
    volume: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Bytes sent, by channel."""
    frames: int = 0
    records: int = 0
    commits: int = 0
    changes: int = 0
    counting: bool = False
    over: bool = False
    _unpublished: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _published: dict[int, list[tuple[tuple[int, int], int]]] = field(default_factory=lambda: defaultdict(list))
    _seen: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _missing: dict[tuple[int, int], int] = field(default_factory=dict)
    _far: dict[tuple[int, int, tuple[int, int]], int] = field(default_factory=dict)
    _flying: dict[tuple[int, int], deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give numbers to the owners."""
        self._numbers = {identity.owner: peer for peer, identity in enumerate(self.case.identities)}

    def changed(self, now: int, peer: int) -> None:
        """Note a change of a machine."""
        self.counting = True
        self.changes += 1
        self._unpublished[peer].append(now)

    def sent(self, now: int, peer: int, other: int, channel: int, message: Message) -> None:
        """Note a message that goes out."""
        if channel == LINK:
            self._flying[peer, other].append(now)
        if self.counting:
            self.volume[channel] += message.size
            if channel == LINK and isinstance(message, Frame):
                self.frames += 1
                self.records += len(message.parcels)

    def arrived(self, now: int, other: int, peer: int) -> None:
        """Note a frame that comes in: each link keeps its order."""
        sent = self._flying[other, peer].popleft()
        if self.counting:
            self.flights.append(now - sent - self.base(other, peer))

    def parted(self, peer: int, other: int) -> None:
        """Forget what was on its way between two."""
        self._flying[peer, other].clear()
        self._flying[other, peer].clear()

    def rang(self, late: int) -> None:
        """Note a timer."""
        if self.counting:
            self.late.append(late)

    def published(self, peer: int, state: OwnerState) -> None:
        """Note which version holds the changes so far."""
        self._far[peer, peer, state.order] = 0
        for began in self._unpublished.pop(peer, ()):
            self._missing[peer, len(self._published[peer])] = self.case.scenario.peers - 1
            self._published[peer].append((state.order, began))

    def committed(self, now: int, peer: int, source: int, state: OwnerState) -> None:
        """Note a new state of a replica, and whose message brought it."""
        owner = self._numbers[state.owner]
        far = self._far[peer, owner, state.order] = self._far[source, owner, state.order] + 1
        if self.counting:
            self.commits += 1
            self.hops.append(far)
        versions, at = self._published[owner], self._seen[peer, owner]
        while at < len(versions) and versions[at][0] <= state.order:
            self.took.append(now - versions[at][1])
            self._missing[owner, at] -= 1
            if not self._missing[owner, at]:
                self.last.append(now - versions[at][1])
            at += 1
        self._seen[peer, owner] = at

    def results(self) -> dict[str, float]:
        """Return the figures that are compared."""
        each = self.changes * self.case.scenario.peers
        return {
            "p50": quantile(self.took, 0.5),
            "p99": quantile(self.took, 0.99),
            "last": quantile(self.last, 0.5),
            "hops": statistics.mean(self.hops),
            "hop": quantile(self.flights, 0.5),
            "hop p10": quantile(self.flights, 0.1),
            "hop p90": quantile(self.flights, 0.9),
            "late": quantile(self.late, 0.5),
            "link": self.volume[LINK] / each,
            "all": sum(self.volume.values()) / each,
            "frames": self.frames / each,
            "records": self.records / each,
            "repeats": (self.records - self.commits) / each,
            "missing": self.changes * (self.case.scenario.peers - 1) - len(self.took),
        }


def quantile(values: list[int], share: float) -> float:
    """Return a quantile of times in us, ms."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1000 if ordered else float("nan")


class Witness(Generic[P]):
    """A core whose messages, timers and events are watched.

    Args:
        watch: sees them.
        peer: its number.
        core: it.
        number_of: returns the number of a neighbour.
        late: us by which its timers are to be late.
    """

    def __init__(self, watch: Watch, peer: int, core: Core[P], number_of: Callable[[P], int], late: int = 0) -> None:
        self.core = core
        self.machine = Machine(
            Schema({f"S{i}": State() for i in range(watch.case.scenario.machines.states)}), id=f"machine{peer}"
        )
        core.expose(0, self.machine)
        self._watch = watch
        self._peer = peer
        self._number_of = number_of
        self._late = late
        self._wake = NEVER

    def _note(self, now: int, source: int, outputs: Outputs[P]) -> list[Output[P]]:
        watch, peer, carried = self._watch, self._peer, list(outputs)
        for at, out in enumerate(carried):
            if out[0] == SEND:
                watch.sent(now, peer, self._number_of(out[1]), out[2], out[4])
            elif out[0] == WAKE:
                self._wake = max(out[1], now)
                carried[at] = (WAKE, self._wake + self._late)
            elif out[0] == NOTIFY and isinstance(out[1], Published):
                watch.published(peer, out[1].state)
            elif out[0] == NOTIFY and isinstance(out[1], Committed):
                watch.committed(now, peer, source, out[1].state)
        return carried

    def start(self, now: int) -> Outputs[P]:
        """See `Node`."""
        return self._note(now, -1, self.core.start(now))

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> Outputs[P]:
        """See `Node`."""
        return self._note(now, -1, self.core.link_up(now, peer, dialed_by_us))

    def link_down(self, now: int, peer: P) -> Outputs[P]:
        """See `Node`. No link may end while it is counted: then the two sides would not be the same."""
        if self._watch.over:
            return ()
        other = self._number_of(peer)
        if self._watch.counting:
            raise SetupError(f"peer {self._peer} has lost peer {other}: the machine is too busy for so many peers")
        self._watch.parted(self._peer, other)
        return self._note(now, -1, self.core.link_down(now, peer))

    def receive(self, now: int, peer: P, channel: int, stream: int, message: Message) -> Outputs[P]:
        """See `Node`."""
        other = self._number_of(peer)
        if channel == LINK:
            self._watch.arrived(now, other, self._peer)
        return self._note(now, other, self.core.receive(now, peer, channel, stream, message))

    def topic(self, now: int, peer: P, message: Message) -> Outputs[P]:
        """See `Node`."""
        raise AssertionError("the topic is off")

    def timer(self, now: int) -> Outputs[P]:
        """See `Node`."""
        self._watch.rang(now - self._wake)
        return self._note(now, -1, self.core.timer(now))

    def change(self, now: int, state: str) -> Outputs[P]:
        """Change the machine."""
        self._watch.changed(now, self._peer)
        self.machine.toggle(state)
        return self._note(now, -1, self.core.changed(now))
