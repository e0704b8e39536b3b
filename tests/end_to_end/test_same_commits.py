"""The core under trio, on an in-memory network in virtual time, commits what it commits in engine A of `simulations`.

One description of a scenario is run by both, and the sets of (peer, owner, epoch, version) are compared. Which versions
a peer ever sees depends on timing, as the latest wins; so both must agree about every microsecond. They do, because

* a core is a function of its inputs, their times, and its `Host`: the same streams of randomness (`stream(seed, "peer",
  peer, life)`), the same wall clock and the same disk on both sides;
* each frame takes the same time: the n-th one on the g-th connection from a peer to another draws from the stream of
  `simulations.link.Link` for just that, on both sides; and dials, refusals and news of hang-ups take the same way;
* engine A has ticks of 1 us here, so that it rounds nothing, and trio's clock is read in whole microseconds;
* nothing happens to one peer from two sides in the same microsecond, nor anything to anybody when a fault sets in: the
  order would be that of the queue here and that of the scheduler there, and neither is wrong. What a wake-up at once
  adds to the input that asked for it is no such case. A scenario that has one is drawn again, by the run in engine A.

So by induction over time all inputs are the same. Trio's scheduler is seeded, and another seed changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
from trio._core import _run as trio_run
from trio.testing import MockClock

from machine import Machine, Schema, State
from pubsub.boundary import NOTIFY, SECOND, WAKE, Host, Message, Outputs
from pubsub.codec import ConnectionCodec
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.events import Committed
from pubsub.identity import Domain, Identity
from pubsub.messages import Entries
from pubsub.parameters import Parameters
from pubsub.record import Header
from pubsub.state import SharedMerge
from pubsub.suspicion import Suspicion
from pubsub.transport import Codec, MemoryNetwork
from pubsub.transport.clock import now, sleep_until
from simulations.clocks import Clocks
from simulations.conditions import Conditions
from simulations.disk import Disk
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.link import Link
from simulations.seeds import derive, stream
from simulations.simulation import Simulation, Verb
from simulations.topic import Gossipsub
from simulations.topology import regular

DOMAIN = Domain("the same")
STATES = [f"S{i}" for i in range(6)]
Commit = tuple[int, bytes, int, int]  # peer, owner, epoch, version


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let trio run its tasks in an order that the seed decides.

    There is no public way: trio sorts each batch of tasks and shuffles it by a generator of its own, if this switch is
    set. Its plugin for Hypothesis sets it, and its own tests do the same (`trio/_tests/test_scheduler_determinism.py`).
    """
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]


class Directed:
    """A latency for each way between two peers: there and back differ. Engine A needs no more than that."""

    def base(self, seed: int, left: int, right: int) -> int:
        return 3_000 + derive(seed, "way", left, right) % 60_000


# -- what is to happen


@dataclass(frozen=True)
class Scenario:
    """What happens, and when (us). `seed` draws latencies, topology, keys and what the cores draw."""

    seed: int
    peers: int
    changes: Sequence[tuple[int, int, str]]  # when, whose machine, which state is toggled
    faults: Sequence[tuple[int, Verb]] = ()
    until: int = 6_543_210  # us
    eager: bool = False
    jitter: int = 20_000
    tau: int = SECOND // 10

    @property
    def conditions(self) -> Conditions:
        return Conditions(latency=Directed(), jitter=self.jitter)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Who dials whom at the beginning, in the order of engine A."""
        ways = self.neighbours
        return [(left, right) for left in range(self.peers) for right in ways[left] if left < right]

    @property
    def neighbours(self) -> list[list[int]]:
        ways: list[list[int]] = [[] for _ in range(self.peers)]
        for dialler, target in regular(4)(self.peers, self.seed):
            ways[dialler].append(target)
            ways[target].append(dialler)
        return ways


def draw(
    seed: int, *, faulty: bool = False, eager: bool = False, peers: int | None = None, rate: float = 0
) -> Scenario:
    rng = stream(seed, "scenario")
    peers = peers or rng.randint(5, 20)
    rate = rate or (6.0 if eager else rng.uniform(10, 60))  # the topic is for quiet times
    changes, at = [], 0.2 * SECOND
    while (at := at + rng.expovariate(rate) * SECOND) < 3.5 * SECOND:
        changes.append((int(at), rng.randrange(peers), rng.choice(STATES)))
    faults: list[tuple[int, Verb]] = []
    if faulty:
        gone, silent_one, restarted = rng.sample(range(peers), 3)
        side = tuple(sorted(rng.sample(range(peers), peers // 3)))
        faults = [
            (rng.randint(400_000, 600_000), Crash(gone)),
            (rng.randint(700_000, 800_000), Crash(silent_one, silent=True)),
            (rng.randint(900_000, 1_000_000), Partition(side)),
            (rng.randint(1_200_000, 1_300_000), Crash(restarted)),
            (rng.randint(1_500_000, 1_600_000), Restart(gone)),
            (rng.randint(1_800_000, 1_900_000), Heal()),
            (rng.randint(2_000_000, 2_100_000), Restart(silent_one, disk=False)),
            (rng.randint(2_200_000, 2_300_000), Partition(side[:1], one_way=True)),
            (rng.randint(2_600_000, 2_700_000), Restart(restarted)),
            (rng.randint(2_900_000, 3_000_000), Heal()),
        ]
    return Scenario(seed, peers, changes, faults, until=(9 if faulty else 6) * SECOND + 543_210, eager=eager)


# -- what both sides share: the peers, and who looks on


@dataclass
class Town:
    """The peers of one run: their cores and machines, and what happened to them."""

    scenario: Scenario
    node: Callable[[Core[int]], Any] = lambda core: core
    commits: set[Commit] = field(default_factory=set)
    inputs: list[tuple[int, int, str, int]] = field(default_factory=list)  # when, to whom, what, from whom
    machines: dict[int, Machine] = field(default_factory=dict)
    signatures: dict[Header | Suspicion, bool] = field(default_factory=dict)
    merge: SharedMerge = field(default_factory=SharedMerge)
    identities: dict[int, Identity] = field(default_factory=dict)

    def make(self, peer: int, host: Host) -> Witness:
        scenario = self.scenario
        identity = self._identity(peer)
        parameters = Parameters(tau=scenario.tau, eager=scenario.eager)
        core = Core[int](
            host,
            identity,
            DOMAIN,
            parameters=parameters,
            is_signed=self._is_signed,
            merge=self.merge,
            owner_of=lambda neighbour: self._identity(neighbour).owner,
        )
        machine = self.machines[peer] = Machine(Schema({name: State() for name in STATES}), id=f"machine{peer}")
        core.expose(0, machine)
        return Witness(self, peer, core)

    def _identity(self, peer: int) -> Identity:
        if peer not in self.identities:
            self.identities[peer] = Identity(derive(self.scenario.seed, "key", peer).to_bytes(8, "big") * 4)
        return self.identities[peer]

    def _is_signed(self, header: Header | Suspicion) -> bool:
        if header not in self.signatures:
            self.signatures[header] = header.is_signed(DOMAIN)
        return self.signatures[header]

    def has_ties(self) -> bool:
        """Tell whether anybody had two inputs at once that are not ordered by what they are."""
        special = {at for at, _ in self.scenario.faults} | {self.scenario.until}
        last: dict[int, tuple[int, str, int]] = {}
        for at, peer, what, other in self.inputs:
            if what == "start" or at == 0:
                continue
            before, _, source = last.get(peer, (-1, "", -1))
            last[peer] = (at, what, other)
            if at in special or (at == before and (other == -1 or other != source) and what != "at once"):
                return True
        return False


class Witness:
    """A core whose inputs and commits are written down."""

    def __init__(self, town: Town, peer: int, core: Core[int]) -> None:
        self.town = town
        self.peer = peer
        self.core = core
        self.node = town.node(core)
        self._woken = -1  # when a wake-up at once was last asked for

    def _note(self, now: int, what: str, other: int, outputs: Outputs[int]) -> Outputs[int]:
        self.town.inputs.append((now, self.peer, what, other))
        for out in outputs:
            if out[0] == NOTIFY and isinstance(out[1], Committed):
                self.town.commits.add((self.peer, out[1].state.owner, *out[1].state.order))
            elif out[0] == WAKE and out[1] <= now:
                self._woken = now
        return outputs

    def start(self, now: int) -> Outputs[int]:
        return self._note(now, "start", -1, self.node.start(now))

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        return self._note(now, "up", peer, self.node.link_up(now, peer, dialed_by_us))

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        return self._note(now, "down", peer, self.node.link_down(now, peer))

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        return self._note(now, f"{channel}", peer, self.node.receive(now, peer, channel, stream, message))

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        return self._note(now, "topic", peer, self.node.topic(now, peer, message))

    def timer(self, now: int) -> Outputs[int]:
        what = "at once" if self._woken == now else "timer"
        return self._note(now, what, -1, self.node.timer(now))

    def change(self, now: int, state: str) -> Outputs[int]:
        self.town.machines[self.peer].toggle(state)
        return self._note(now, "change", -1, self.core.changed(now))


# -- engine A


def in_engine(scenario: Scenario, **options: Any) -> Town:
    town = Town(scenario, **options)
    everybody = Gossipsub(degree=scenario.peers, low=0, high=scenario.peers)
    simulation = Simulation(
        scenario.seed,
        town.make,
        peers=scenario.peers,
        topology=regular(4),
        conditions=scenario.conditions,
        topic=everybody if scenario.eager else None,
        faults=scenario.faults,
        tick_us=1,
    )
    for at, peer, state in scenario.changes:
        simulation.call(at, peer, lambda node, now, state=state: node.change(now, state))  # type: ignore[misc]
    simulation.run(scenario.until)
    return town


# -- trio


@dataclass(frozen=True)
class EngineDelays:
    """The latencies of engine A, frame by frame; `late` adds to those of one way."""

    scenario: Scenario
    late: dict[tuple[int, int], int] = field(default_factory=dict)

    def base(self, source: int, target: int) -> int:
        return self.scenario.conditions.latency.base(self.scenario.seed, source, target)

    def frames(self, source: int, target: int, generation: int) -> Callable[[int], int | None]:
        draws, base = derive(self.scenario.seed, "link", source, target, generation), self.base(source, target)
        link = Link(source, target, generation, False, self.scenario.conditions, base=base, draws=draws)
        jitter, base = self.scenario.jitter, base + self.late.get((source, target), 0)
        return lambda size: base + (link.draw() * jitter >> 32)


class Streets:
    """A town under trio."""

    def __init__(
        self, town: Town, nursery: trio.Nursery, delays: EngineDelays, codec: Callable[[], Codec] | None = None
    ) -> None:
        self.town = town
        self.scenario = town.scenario
        self.nursery = nursery
        self.network = MemoryNetwork[int](delays=delays, codec=codec)
        self.clocks = Clocks(self.scenario.peers)
        self.disks = [Disk() for _ in range(self.scenario.peers)]
        self.lives = [0] * self.scenario.peers
        self.drivers: dict[int, tuple[Driver[int], Witness, trio.CancelScope]] = {}

    def prepare(self, peer: int) -> None:
        self.lives[peer] += 1
        host = Host(
            random=stream(self.scenario.seed, "peer", peer, self.lives[peer]),
            wall=lambda: self.clocks.read(now(), peer),
            disk=self.disks[peer],
        )
        witness = self.town.make(peer, host)
        self.drivers[peer] = Driver(witness, self.network.join(peer)), witness, trio.CancelScope()

    async def live(self, peer: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        driver, _, scope = self.drivers[peer]
        with scope:
            await driver.run(task_status=task_status)

    def change(self, peer: int, state: str) -> None:
        if peer in self.drivers:
            driver, witness, _ = self.drivers[peer]
            driver.call(witness.change, state)

    async def suffer(self, fault: Verb) -> None:
        match fault:
            case Crash(peer, silent):
                self.drivers.pop(peer)[2].cancel()
                self.network.crash(peer, silent=silent)
                self.disks[peer].crash()
            case Restart(peer, disk):
                if not disk:
                    self.disks[peer].wipe()
                self.prepare(peer)
                await self.nursery.start(self.live, peer)
                for other in self.scenario.neighbours[peer]:
                    self.drivers[peer][0].dial(other)
            case Partition(left, None, one_way):
                right = [peer for peer in range(self.scenario.peers) if peer not in left]
                self.network.cut(left, right)
                if not one_way:
                    self.network.cut(right, left)
            case Heal(None, None):
                self.network.heal()
            case _:
                raise NotImplementedError(fault)

    async def run(self) -> None:
        for peer in range(self.scenario.peers):
            self.prepare(peer)
        for left, right in self.scenario.pairs:
            self.network.connect(left, right)
        for peer in range(self.scenario.peers):
            await self.nursery.start(self.live, peer)
        events: list[tuple[int, Any]] = [(at, fault) for at, fault in self.scenario.faults]
        events += [(at, (peer, state)) for at, peer, state in self.scenario.changes]
        for at, event in sorted(events, key=lambda event: event[0]):
            await sleep_until(at)
            if isinstance(event, tuple):
                self.change(*event)
            else:
                await self.suffer(event)
        await sleep_until(self.scenario.until)
        self.nursery.cancel_scope.cancel()


def under_trio(
    scenario: Scenario,
    *,
    scheduler: int = 0,
    late: dict[tuple[int, int], int] | None = None,
    codec: Callable[[], Codec] | None = None,
    **options: Any,
) -> Town:
    town = Town(scenario, **options)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await Streets(town, nursery, EngineDelays(scenario, late or {}), codec).run()

    with deterministic(scheduler):
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return town


# -- the comparison


def drawn(seed: int, **options: Any) -> tuple[Scenario, Town]:
    """Draw scenarios until one has no ties, and return it with what engine A makes of it."""
    for attempt in range(50):
        scenario = draw(derive(seed, "attempt", attempt), **options)
        town = in_engine(scenario)
        if not town.has_ties():
            return scenario, town
    raise AssertionError("every scenario has ties")


def first_difference(engine: Town, live: Town) -> str:
    """Say where two runs part, for whoever has to find out why."""
    left, right = sorted(engine.inputs), sorted(live.inputs)
    for one, two in zip(left, right, strict=False):
        if one != two:
            return f"engine A had {one}, trio had {two}"
    return f"{len(left)} inputs in engine A, {len(right)} under trio"


def check_same(engine: Town, live: Town) -> None:
    assert engine.commits == live.commits, first_difference(engine, live)
    assert sorted(engine.inputs) == sorted(live.inputs), first_difference(engine, live)


@pytest.mark.parametrize("number", range(5))
def test_trio_commits_what_engine_a_commits(seed: int, number: int) -> None:
    scenario, engine = drawn(derive(seed, "calm", number))
    assert len(engine.commits) > scenario.peers * (scenario.peers - 1)
    check_same(engine, under_trio(scenario))


@pytest.mark.parametrize("number", range(4))
def test_so_it_does_with_the_topic(seed: int, number: int) -> None:
    scenario, engine = drawn(derive(seed, "eager", number), eager=True)
    assert any(what == "topic" for _, _, what, _ in engine.inputs)
    check_same(engine, under_trio(scenario))


@pytest.mark.parametrize("number", range(6))
def test_so_it_does_with_cuts_crashes_and_restarts(seed: int, number: int) -> None:
    scenario, engine = drawn(derive(seed, "faulty", number), faulty=True, eager=number % 2 == 1)
    assert any(what == "down" for _, _, what, _ in engine.inputs)
    check_same(engine, under_trio(scenario))


def test_the_order_in_which_trio_runs_its_tasks_changes_nothing(seed: int) -> None:
    scenario, engine = drawn(derive(seed, "scheduler"), faulty=True)
    for scheduler in range(1, 4):
        check_same(engine, under_trio(scenario, scheduler=scheduler))


@pytest.mark.parametrize("eager", [False, True])
def test_bytes_instead_of_messages_change_nothing(seed: int, eager: bool) -> None:
    scenario, engine = drawn(derive(seed, "bytes"), eager=eager)
    check_same(engine, under_trio(scenario, codec=ConnectionCodec))


# -- the comparison can fail


def test_a_latency_that_differs_makes_other_commits(seed: int) -> None:
    scenario, engine = drawn(derive(seed, "late"), peers=20, rate=60)
    late = dict.fromkeys(scenario.pairs, 50_000)  # one way of each connection
    assert engine.commits != under_trio(scenario, late=late).commits


class SkipsABucket:
    """A faulty core: it does not look into the first bucket that differs."""

    def __init__(self, core: Core[int]) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        if isinstance(message, Entries):
            message = replace(message, entries=message.entries[1:])
        return self._core.receive(now, peer, channel, stream, message)


def test_a_core_that_skips_a_bucket_makes_other_commits(seed: int) -> None:
    scenario, engine = drawn(derive(seed, "bucket"), faulty=True)
    assert engine.commits != under_trio(scenario, node=SkipsABucket).commits
