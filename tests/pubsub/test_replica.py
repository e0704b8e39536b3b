"""What reads, waits for, traces or records a machine does so with its replica: the same tests, on both."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from history import open_history
from machine import (
    Clock,
    DisposedError,
    Machine,
    MisuseError,
    Reader,
    Schema,
    State,
    Tracer,
    Transition,
    UnknownStateError,
    Update,
    as_record,
    bind_state,
    wait_for_any,
)
from pubsub import Domain, Identity
from pubsub.boundary import NOTIFY, SECOND, SEND, WAKE, Host, Outputs
from pubsub.catalog import SchemaKnown
from pubsub.core import Core
from pubsub.replica import Replica
from pubsub.schemas import schema_hash
from simulations.conditions import Conditions
from simulations.disk import Disk
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.simulation import Verb

DOMAIN = Domain("replicas")
OWNER = Identity(bytes(range(32)))
DOOR = Schema(
    {
        "Closed": State(auto=True, remove="Open"),
        "Open": State(remove="Closed", tags="ui"),
        "Bell": State(multi=True),
        "Locked": State(require="Closed"),
    }
)


class Pair:
    """Two cores and the wire between them, by hand: what one says the other hears at once, and time only moves here."""

    def __init__(self) -> None:
        self.now = 0
        self.disk = Disk()
        self.told: list[object] = []  # what the second core notifies
        self.cut = False  # while it is, frames are lost
        self._due = [0, 0]
        self.publisher = self._core(0, OWNER, self.disk)
        self.reader = self._core(1, Identity(bytes(32)), Disk())
        self._do(1, self.reader.start(0))

    def _core(self, seed: int, identity: Identity, disk: Disk) -> Core[int]:
        host = Host(random=random.Random(seed), wall=lambda: self.now // 1000, disk=disk)
        return Core(host, identity, DOMAIN)

    def start(self) -> None:
        """Start the publishing core, and connect it."""
        self._do(0, self.publisher.start(self.now))
        self._do(1, self.reader.link_up(self.now, 0, True))
        self._do(0, self.publisher.link_up(self.now, 1, False))
        self.settle()

    def restart(self, *machines: Machine) -> None:
        """Let the publishing peer crash, and come back with other machines."""
        self._do(1, self.reader.link_down(self.now, 0))
        self.publisher = self._core(0, OWNER, self.disk)
        for machine in machines:
            self.publisher.expose(self.now, machine)
        self.start()

    def settle(self, seconds: int = 3) -> None:
        """Publish what has changed, and let time pass."""
        self._do(0, self.publisher.changed(self.now))
        for _ in range(10 * seconds):
            self.now += SECOND // 10
            for at, core in enumerate((self.publisher, self.reader)):
                if self._due[at] <= self.now:
                    self._do(at, core.timer(self.now))

    def _do(self, who: int, outputs: Outputs[int]) -> None:
        waiting = deque((who, out) for out in outputs)
        while waiting:
            at, out = waiting.popleft()
            if out[0] == WAKE:
                self._due[at] = out[1]
            elif out[0] == NOTIFY and at == 1:
                self.told.append(out[1])
            elif out[0] == SEND and not self.cut:
                other = (self.publisher, self.reader)[1 - at]
                waiting.extend((1 - at, o) for o in other.receive(self.now, at, *out[2:]))

    def replica(self, machine_id: str = "door") -> Replica:
        found = self.reader.replica(OWNER.owner, machine_id)
        assert found is not None
        return found


class Bench:
    """A machine, and the reader under test: itself, or its replica at another peer."""

    def __init__(self, kind: str) -> None:
        self.machine = Machine(DOOR, id="door", tags=["front", "k:v"])
        self.pair: Pair | None = None
        self.reader: Reader = self.machine
        if kind == "replica":
            self.pair = Pair()
            self.pair.publisher.expose(0, self.machine)
            self.pair.start()
            self.reader = self.pair.replica()

    def add(self, *states: str) -> None:
        self.machine.add(*states)
        self.sync()

    def remove(self, *states: str) -> None:
        self.machine.remove(*states)
        self.sync()

    def sync(self) -> None:
        if self.pair is not None:
            self.pair.settle()


@pytest.fixture(params=["machine", "replica"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


# -- reading


READINGS: list[tuple[str, Callable[[Reader], object], object]] = [
    ("id", lambda r: r.id, "door"),
    ("tags", lambda r: r.tags, ("front", "k:v")),
    ("parent", lambda r: (r.parent, r.parent_id), (None, None)),
    ("schema", lambda r: r.schema, DOOR),
    ("state_names", lambda r: r.state_names, ("Closed", "Open", "Bell", "Locked", "Exception")),
    ("is_disposed", lambda r: r.is_disposed, False),
    ("pipes", lambda r: (r.pipes_in, r.pipes_out), ((), ())),
    ("has", lambda r: (r.has("Open", "Bell"), r.has("Open", "Ajar")), (True, False)),
    ("index", lambda r: r.index("Bell", "Ajar"), (2, -1)),
    ("is_active", lambda r: (r.is_active("Open"), r.is_active("Open", "Closed"), r.is_active()), (True, False, True)),
    ("is_inactive", lambda r: (r.is_inactive("Closed", "Locked"), r.is_inactive("Open")), (True, False)),
    ("any_active", lambda r: (r.any_active("Closed", ["Open", "Bell"]), r.any_active("Locked")), (True, False)),
    ("active_states", lambda r: set(r.active_states()), {"Open", "Bell"}),
    ("subset", lambda r: r.active_states(["Bell", "Closed", "Open"]), ("Bell", "Open")),
    ("switch", lambda r: r.switch(["Closed"], ["Bell", "Open"]), "Bell"),
    ("is_error", lambda r: r.is_error, False),
    ("tick", lambda r: (r.tick("Open"), r.tick("Bell"), r.tick("Closed")), (1, 3, 2)),
    ("time", lambda r: r.time(), (2, 1, 3, 0, 0)),
    ("time of some", lambda r: r.time(["Bell", "Open"]), (3, 1)),
    ("clock", lambda r: dict(r.clock(["Open", "Bell"])), {"Open": 1, "Bell": 3}),
    ("time_sum", lambda r: r.time_sum, 6),
    ("is_time", lambda r: (r.is_time((2, 1, 3, 0, 0)), r.is_time((1,), ["Open"])), (True, True)),
    ("was_time", lambda r: (r.was_time((1, 1), ["Bell", "Open"]), r.was_time((4,), ["Bell"])), (True, False)),
    ("is_clock", lambda r: (r.is_clock({"Bell": 3}), r.is_clock({"Bell": 1})), (True, False)),
    ("was_clock", lambda r: (r.was_clock({"Bell": 1}), r.was_clock({"Bell": 5})), (True, False)),
    ("describe", lambda r: sorted(r.describe().replace("(", "").replace(")", "").split()), None),
    ("inspect", lambda r: r.inspect(["Open"]), "* Open: 1\n    remove: Closed\n    tags: ui"),
    ("repr", lambda r: "'door'" in repr(r), True),
]


@pytest.mark.parametrize(("read", "expected"), [pytest.param(*r[1:], id=r[0]) for r in READINGS])
def test_reading(bench: Bench, read: Callable[[Reader], object], expected: object) -> None:
    bench.add("Closed")
    bench.add("Open", "Bell")
    bench.add("Bell")
    assert read(bench.reader) == (read(bench.machine) if expected is None else expected)


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        pytest.param(lambda r: r.is_active("Ajar"), UnknownStateError, id="is_active"),
        pytest.param(lambda r: r.tick("Ajar"), UnknownStateError, id="tick"),
        pytest.param(lambda r: r.time(["Ajar"]), UnknownStateError, id="time"),
        pytest.param(lambda r: r.is_time((1,)), MisuseError, id="too few ticks"),
        pytest.param(lambda r: r.is_active(["Open"]), MisuseError, id="a list"),
    ],
)
def test_misuse(bench: Bench, misuse: Callable[[Reader], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        misuse(bench.reader)


# -- waiting


WAITS: list[tuple[str, Callable[[Reader], Awaitable[Clock]], str]] = [
    ("when", lambda r: r.when("Open", "Bell"), "add Open, add Bell"),
    ("when_not", lambda r: r.when_not("Closed"), "add Open"),
    ("when_time", lambda r: r.when_time(["Bell", "Open"], [3, 1]), "add Bell, add Bell, add Open"),
    ("when_ticks", lambda r: r.when_ticks("Bell", 4), "add Bell, add Bell, remove Bell"),
    ("when_next_active", lambda r: r.when_next_active("Closed"), "add Open, remove Open"),
    ("when_query", lambda r: r.when_query(lambda clock: clock["Bell"] > 2), "add Bell, add Bell"),
    ("when_error", lambda r: r.when_error(), "add Exception"),
    ("wait_for_any", lambda r: _any(r), "add Bell"),
]


async def _any(reader: Reader) -> Clock:
    await wait_for_any(reader.when("Locked"), reader.when("Bell"))
    return reader.clock()


@pytest.mark.parametrize(("wait", "steps"), [pytest.param(*w[1:], id=w[0]) for w in WAITS])
async def test_waiting(bench: Bench, wait: Callable[[Reader], Awaitable[Clock]], steps: str) -> None:
    bench.add("Closed")
    clocks: list[Clock] = []

    async def waiting() -> None:
        clocks.append(await wait(bench.reader))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting)
        for step in steps.split(", "):
            await trio.testing.wait_all_tasks_blocked()
            assert not clocks
            verb, state = step.split()
            getattr(bench, verb)(state)
    assert clocks == [bench.machine.clock()]


@pytest.mark.parametrize("wait", [lambda r: r.when("Closed"), lambda r: r.when_time("Closed", [1])])
async def test_what_is_true_already_is_not_waited_for(bench: Bench, wait: Any) -> None:
    bench.add("Closed")
    assert await wait(bench.reader) == bench.machine.clock()


async def test_a_cancelled_wait_leaves_nothing_behind(bench: Bench) -> None:
    with trio.move_on_after(0):
        await bench.reader.when("Open")
    assert bench.reader._waits is None or bench.reader._waits.count == 0


async def test_who_waits_for_what_ends_is_told(bench: Bench) -> None:
    bench.add("Closed")
    last = bench.machine.clock()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def disappointed() -> None:
            with pytest.raises(DisposedError, match="door"):
                await bench.reader.when("Open")

        @nursery.start_soon
        async def informed() -> None:
            assert await bench.reader.when_disposed() == last

        await trio.testing.wait_all_tasks_blocked()
        bench.machine.dispose()
        bench.sync()
    with pytest.raises(DisposedError):
        await bench.reader.when("Closed")
    with pytest.raises(DisposedError):
        await bench.reader.when_query(lambda clock: True)
    await bench.reader.when_disposed()


# -- tracing


class Seen(Tracer):
    """Keeps the ends of transitions, and what else is told of a reader."""

    id = "seen"

    def __init__(self) -> None:
        self.ends: list[Transition] = []
        self.told: list[str] = []

    def transition_end(self, transition: Transition) -> None:
        self.ends.append(transition)

    def schema_change(self, machine: Any, old: Schema) -> None:
        self.told.append(f"schema {len(old)} {len(machine.schema)}")

    def machine_dispose(self, machine: Reader) -> None:
        self.told.append(f"dispose {machine.id}")


def test_tracers_see_what_changed(bench: Bench) -> None:
    bench.add("Closed")
    seen = bench.reader.add_tracer(Seen())
    assert isinstance(seen, Seen)
    bench.add("Open")
    (end,) = seen.ends
    assert end.machine is bench.reader
    assert (end.time_before, end.time_after) == ((1, 0, 0, 0, 0), (2, 1, 0, 0, 0))
    assert (end.added, end.removed, end.changed) == (("Open",), ("Closed",), ("Closed", "Open"))
    assert (end.states_before, end.targets, end.enters, end.exits) == (("Closed",), ("Open",), ("Open",), ("Closed",))
    assert (end.accepted, end.completed, end.is_check, end.is_auto, end.error) == (True, True, False, False, None)
    assert as_record(end)["time"] == [2, 1, 0, 0, 0]
    assert end.as_source().machine_id == "door"
    assert repr(end)
    bench.reader.remove_tracer("seen")
    bench.remove("Open")
    assert len(seen.ends) == 1
    assert bench.reader.tracers == (() if bench.pair else bench.machine.tracers)


def test_a_tracer_that_fails_harms_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Tracer):
        def transition_end(self, transition: Transition) -> None:
            raise RuntimeError("no")

    bench.reader.add_tracer(Fails())
    seen = bench.reader.add_tracer(Seen())
    bench.add("Open")
    assert bench.reader.is_active("Open")
    assert isinstance(seen, Seen)
    assert seen.ends
    assert "no" in caplog.text


def test_a_machine_follows_over_a_pipe(bench: Bench) -> None:
    lamp = Machine({"On": State()}, id="lamp")
    bind_state(bench.reader, "Open", lamp, "On")
    bench.add("Open")
    assert lamp.is_active("On")
    bench.remove("Open")
    assert lamp.is_inactive("On")


def test_a_machine_that_gains_states_keeps_the_old_ones(bench: Bench) -> None:
    bench.add("Open")
    seen = bench.reader.add_tracer(Seen())
    assert isinstance(seen, Seen)
    bench.machine.set_schema(DOOR.merge({"Ajar": State()}))
    bench.add("Ajar")
    assert bench.reader.is_active("Open", "Ajar")
    assert bench.reader.schema == bench.machine.schema
    assert bench.reader.time() == bench.machine.time()
    assert seen.told == ["schema 5 6"]
    assert [end.added for end in seen.ends] == [("Ajar",)]


async def test_history_records_it() -> None:
    bench = Bench("replica")
    bench.add("Closed")
    async with open_history("memory:") as history:
        recorder = history.record(bench.reader, owner=OWNER.owner.hex())
        bench.add("Open")
        bench.machine.add("Bell")
        bench.machine.add("Bell")
        bench.sync()
        await history.sync()
        base, opened, rung = [r async for r in history.between()]
        assert (base.mutation, dict(base.clock)["Closed"]) == ("base", 1)
        assert (opened.mutation, opened.owner, opened.called) == ("update", OWNER.owner.hex(), ())
        assert (opened.activated, opened.deactivated) == (("Open",), ("Closed",))
        assert (opened.seq, rung.seq, opened.tx_id) == (base.seq + 1, base.seq + 2, None)
        assert (rung.time_diff, rung.activated, dict(rung.clock)["Bell"]) == (3, ("Bell",), 3)
        assert recorder.recorded == 2
        recorder.stop()


@pytest.mark.parametrize(
    ("filters", "recorded"),
    [({"changed": "Bell"}, 1), ({"states": ["Open", "Closed"]}, 1), ({"called": "Bell"}, 0), ({}, 2)],
)
async def test_filters_of_a_recording_know_what_changed(filters: dict[str, Any], recorded: int) -> None:
    bench = Bench("replica")
    bench.add("Closed")
    async with open_history("memory:") as history:
        recorder = history.record(bench.reader, **filters)
        bench.add("Open")
        bench.add("Bell")
        assert (recorder.recorded, recorder.skipped) == (recorded, 2 - recorded)


# -- what only replicas do


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_replica_says_whose_it_is_and_how_old(pair: Pair) -> None:
    house = Machine({"Lit": State()}, id="house")
    door = Machine(DOOR, id="door", parent=house)
    pair.publisher.expose(0, house)
    pair.publisher.expose(0, door)
    pair.start()
    replica = pair.replica()
    assert (replica.owner, replica.machine_index) == (OWNER.owner, 1)
    assert (replica.parent, replica.parent_id) == (None, "house")
    assert (replica.epoch, replica.version) == (pair.publisher.publisher.epoch, 1)
    assert replica is pair.replica()
    assert {r.id for r in pair.reader.replicas()} == {"house", "door"}
    house.add("Lit")
    pair.settle(2)
    then = replica.staleness(pair.now)
    assert 0 < then.since <= 2 * SECOND
    fresh = pair.reader._replicas
    fresh.followed.clear()  # one that is made only now goes by the stamp of the record
    assert abs(pair.replica().staleness(pair.now).since - then.since) < SECOND // 2
    fresh.followed[OWNER.owner]["door"] = replica
    assert not then.is_gone
    assert not then.is_left
    pair.settle(5)
    assert replica.staleness(pair.now).since == then.since + 5 * SECOND
    assert replica.version == 2  # nothing of it has changed, but it is as its owner said then


def test_there_are_replicas_only_of_what_is_known(pair: Pair) -> None:
    pair.publisher.expose(0, Machine(DOOR, id="door"))
    pair.cut = True
    pair.start()
    assert pair.reader.replica(OWNER.owner, "door") is None
    assert pair.reader.replicas() == []
    pair.cut = False
    pair.publisher.links[1].mark(pair.publisher.ledger.numbers.of(OWNER.owner), None, pair.now)
    pair.settle(60)
    assert SchemaKnown(schema_hash(DOOR)) in pair.told
    assert pair.replica().id == "door"
    assert pair.reader.replica(OWNER.owner, "gate") is None
    assert pair.publisher.replica(OWNER.owner, "door") is None  # that is no replica but the machine


def test_a_record_of_many_transitions_is_one_update(pair: Pair) -> None:
    door = Machine(DOOR, id="door")
    pair.publisher.expose(0, door)
    pair.start()
    replica = pair.replica()
    seen = replica.add_tracer(Seen())
    assert isinstance(seen, Seen)
    for _ in range(5):
        door.add("Bell")
    pair.settle()
    (update,) = seen.ends
    assert isinstance(update, Update)
    plan: object = update.plan
    assert (update.seq, update.epoch, plan, update.called) == (2, replica.epoch, None, ())
    assert dict(update.args) == {}
    assert as_record(update)["mutation"] == "update"
    assert (update.source, update.mutation.states, tuple(update.called_vector)) == (None, (), (0,) * 5)
    assert [str(step) for step in update.steps] == ["activate Closed", "activate Bell"]


async def test_a_new_epoch_may_lower_ticks(pair: Pair) -> None:
    door = Machine(DOOR, id="door")
    pair.publisher.expose(0, door)
    pair.start()
    for _ in range(5):
        door.add("Bell")
    pair.settle()
    replica = pair.replica()
    seen = replica.add_tracer(Seen())
    assert isinstance(seen, Seen)
    before = (replica.epoch, replica.tick("Bell"))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def waiting() -> None:
            assert (await replica.when("Open"))["Bell"] == 1

        await trio.testing.wait_all_tasks_blocked()
        again = Machine(DOOR, id="door")
        again.add("Bell")
        pair.restart(Machine({"A": State()}, id="another"), again)
        assert before < (replica.epoch, replica.tick("Bell")) == (pair.publisher.publisher.epoch, 1)
        assert replica.machine_index == 1
        assert [end.changed for end in seen.ends] == [("Bell",)]
        again.add("Open")
        pair.settle()
    assert replica is pair.replica()


@pytest.mark.parametrize("how", ["unexposed", "exposed anew", "replaced", "other states", "forgotten"])
def test_what_is_gone_stays_readable(pair: Pair, how: str) -> None:
    door = Machine(DOOR, id="door")
    door.add("Open")
    pair.publisher.expose(0, door)
    pair.start()
    replica = pair.replica()
    seen = replica.add_tracer(Seen())
    assert isinstance(seen, Seen)
    if how in ("unexposed", "exposed anew"):
        pair.publisher.unexpose(pair.now, door)
        if how == "exposed anew":
            pair.publisher.expose(pair.now, door)
        pair.settle()
    elif how == "forgotten":
        pair.reader._replicas.forget(OWNER.owner)
    else:
        pair.restart(Machine({"Ajar": State()}, id="door" if how == "other states" else "gate"))
    assert replica.is_gone
    assert replica.staleness(pair.now).is_gone
    assert not replica.is_disposed
    assert replica.is_active("Open")
    assert seen.told == ["dispose door"]
    found = pair.reader.replica(OWNER.owner, "door")
    assert found is not replica
    assert (found is None) == (how in ("unexposed", "replaced"))


def test_the_replicas_of_who_left_are_left(pair: Pair) -> None:
    door = Machine(DOOR, id="door")
    pair.publisher.expose(0, door)
    pair.start()
    replica = pair.replica()
    pair.publisher.publisher.flush(bye=True)
    state = pair.publisher.publisher.state
    assert state is not None
    pair.publisher.ledger.commit(state)
    pair.publisher.links[1].mark(pair.publisher.ledger.numbers.of(OWNER.owner), None, pair.now)
    pair.settle()
    assert (replica.is_left, replica.is_gone) == (True, False)
    assert replica.staleness(pair.now).is_left


# -- in a network


def test_replicas_come_to_what_their_machines_are(seed: int) -> None:
    faults: list[tuple[int, Verb]] = [
        (2 * SECOND, Partition(range(5))),
        (6 * SECOND, Heal()),
        (7 * SECOND, Crash(3)),
        (9 * SECOND, Restart(3)),
    ]
    network = GossipNetwork(
        seed=seed, peers=10, rate=20, own_schemas=True, conditions=Conditions(loss=0.1), faults=faults
    )
    network.settle(1)
    early = [replica for core in _cores(network) for replica in core.replicas()]
    assert len(early) > 10
    network.run(10, 120)
    for core in _cores(network):
        replicas = core.replicas()
        assert len(replicas) == 9
        for replica in replicas:
            machine = network.machine_of(replica.owner)
            assert (replica.id, replica.schema, replica.time()) == (machine.id, machine.schema, machine.time())
    living = [replica for core in _cores(network) for replica in core.replicas()]
    kept = [replica for replica in early if any(replica is other for other in living)]
    assert len(kept) > len(early) - 10  # those of the peer that crashed are no more, all others were never replaced


def _cores(network: GossipNetwork) -> list[Core[int]]:
    return [core for core in network.simulation.nodes if isinstance(core, Core)]
