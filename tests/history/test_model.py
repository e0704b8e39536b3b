"""All questions about random histories, on every store, against a model that is a plain list.

Three machines are recorded: ``lamp`` drives ``wide`` (of 73 states) through a pipe, and there is a ``lamp`` of Ann's.
Now and then one of them ends and begins anew. The wall clock stands, goes on, or is set back. What the model answers is
worked out from the list with loops that are too simple to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history import History, LogicalTime, QuestionError, Record, Recorder
from machine import EXCEPTION, Clock, Machine, MutationType, State, Tracer, Transition, bind_state

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Kept, Wall

SECOND = 10**9
BEGINNING = 1_360_195_200 * SECOND
Key = tuple[str, str]  # owner, name
KEYS: list[Key] = [("", "lamp"), ("", "wide"), ("ann", "lamp")]
OWN = ["A", "B", "M"]
ASKED = [*OWN, "S0", "S62", "S63"]
NARROW = {"A": State(), "B": State(remove="A"), "M": State(multi=True), "C": State(auto=True, require="B")}
WIDE = {f"S{i}": State() for i in range(69)} | NARROW


class Model(Tracer):
    """A list of all that happened, and the answers that can be read from it."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.last = 0
        self.records: list[Record] = []
        self.causes: dict[int, int] = {}  # place of an effect in the list: place of its cause
        self.places: dict[str, int] = {}  # id of a transition of this life: its place
        self.keys: dict[int, Key] = {}
        self.epochs: dict[Key, int] = {}

    # -- what happened

    def begin(self, machine: Machine, owner: str) -> None:
        key = (owner, machine.id)
        self.keys[id(machine)] = key
        self.epochs[key] = self.epochs.get(key, 0) + 1
        before = self.of(key)
        was = set(before[-1].clock.active_states()) if before else set(machine.active_states())
        now = set(machine.active_states())
        self.append(key, machine, "base", activated=now - was, deactivated=was - now, time_diff=0)
        machine.add_tracer(self)

    def transition_end(self, tx: Transition) -> None:
        changed = {n for n, a, b in zip(tx.machine.state_names, tx.ticks_before, tx.ticks_after, strict=True) if a != b}
        if tx.is_check or not (tx.accepted or changed):
            return
        active = set(tx.machine.active_states())
        source = tx.source
        if source is not None and source.transition_id in self.places:
            self.causes[len(self.records)] = self.places[source.transition_id]
        self.places[tx.id] = len(self.records)
        self.append(
            self.keys[id(tx.machine)],
            tx.machine,
            tx.type.name.lower(),
            auto=tx.is_auto,
            rejected=not tx.accepted,
            error=EXCEPTION in tx.called,
            called=set(tx.called),
            activated=changed & active,
            deactivated=changed - active,
            tx_id=f"{tx.machine.machine_tick}:{tx.seq}",
            source_machine=None if source is None else source.machine_id,
            source_tx=None if source is None else ":".join(source.transition_id.split(":")[1:]),
        )

    def append(self, key: Key, machine: Machine, mutation: str, **fields: Any) -> None:
        self.last = max(self.wall(), self.last + 1)
        before = self.of(key)
        epoch = self.epochs[key]
        clock = Clock(machine.state_names, machine.time())
        for name in ("called", "activated", "deactivated"):
            fields[name] = tuple(n for n in machine.state_names if n in fields.get(name, ()))
        whole: dict[str, Any] = {
            "id": 0,
            "machine": key[1],
            "owner": key[0],
            "at": self.last,
            "epoch": epoch,
            "seq": 1 + sum(r.epoch == epoch for r in before),
            "mutation": mutation,
            **dict.fromkeys(("auto", "rejected", "error"), False),
            **dict.fromkeys(("tx_id", "source_machine", "source_tx", "arguments")),
            "clock": clock,
            "time_sum": clock.sum,
            "time_diff": clock.sum - (before[-1].time_sum if before else 0),
            **fields,
        }
        self.records.append(Record(**whole))

    # -- what can be said about it

    def of(self, key: Key) -> list[Record]:
        return [r for r in self.records if (r.owner, r.machine) == key]

    def newest(self, key: Key, at: int) -> Record | None:
        return next((r for r in reversed(self.of(key)) if r.at <= at), None)

    def between(self, low: int, high: int, question: dict[str, Any]) -> list[Record]:
        keys = question.get("machines") or KEYS
        found = []
        for r in self.records:
            if not (low < r.at <= high and (r.owner, r.machine) in keys):
                continue
            if any(s not in r.clock for s in question.get("activated", ())):
                continue
            keep = all(s in r.activated for s in question.get("activated", ()))
            keep &= all(s in r.deactivated for s in question.get("deactivated", ()))
            for field in ("called", "changed"):
                keep &= not question.get(field) or any(s in getattr(r, field) for s in question[field])
            keep &= not question.get("mutation") or r.mutation in question["mutation"]
            keep &= question.get("source") is None or r.source_machine == question["source"]
            if keep:
                found.append(r)
        return found[::-1] if question.get("newest_first") else found

    def active_spans(self, key: Key, state: str, low: int, high: int) -> list[tuple[int, int]]:
        """Return where a state was active, by looking at every clock of the window."""
        before = self.newest(key, low)
        start = low if before is not None and before.clock.is_active(state) else None
        spans: list[tuple[int, int]] = []
        for r in self.of(key):
            if low < r.at <= high:
                if r.clock.is_active(state):
                    start = r.at if start is None else start
                elif start is not None:
                    spans.append((start, r.at))
                    start = None
        return spans if start is None else [*spans, (start, high)]

    def at_clock(self, key: Key, clock: LogicalTime) -> Record | None:
        for r in self.of(key):
            if r.epoch == (clock.epoch or r.epoch) and r.time_sum >= clock.time_sum:
                return r
        return None


@dataclass
class Stage:
    """The machines, recorded by a history and by the model at once."""

    history: History
    model: Model

    def __post_init__(self) -> None:
        self.machines: dict[Key, Machine] = {}
        self.recorders: dict[Key, Recorder] = {}
        for key in KEYS:
            self.start(key)

    def start(self, key: Key) -> None:
        owner, name = key
        schema = WIDE if name == "wide" else NARROW
        machine = self.machines[key] = Machine(schema, id=name, handler_timeout=None)
        self.recorders[key] = self.history.record(machine, owner=owner)
        self.model.begin(machine, owner)
        if key in KEYS[:2] and len(self.machines) > 1:
            bind_state(self.machines[KEYS[0]], "A", self.machines[KEYS[1]], "M")

    def restart(self, key: Key) -> None:
        self.recorders[key].stop()
        self.machines[key].remove_tracer(self.model)
        self.machines[key].dispose()
        self.start(key)

    def play(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        if what == "step":
            self.model.wall.step(*rest)
        elif what == "restart":
            self.restart(*rest)
        else:
            key, states = rest
            if key[1] == "lamp":
                states = [s for s in states if s in OWN] or ["A"]
            getattr(self.machines[key], what.name.lower())(*states)


KEY = st.sampled_from(KEYS)
STEPS = st.one_of(
    st.tuples(st.just("step"), st.sampled_from([0.000000001, 0.5, 1, 60, -1, -100])),
    st.tuples(st.sampled_from(MutationType), KEY, st.lists(st.sampled_from(ASKED), min_size=1, max_size=2)),
    st.tuples(st.sampled_from(MutationType), KEY, st.lists(st.sampled_from(OWN), min_size=1, max_size=2)),
    st.tuples(st.sampled_from(MutationType), KEY, st.lists(st.sampled_from(OWN), min_size=1, max_size=2)),
    st.tuples(st.just("restart"), KEY),
)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Draw filters and an order for `between`."""
    some = st.just(()) | st.lists(st.sampled_from(OWN), min_size=1, max_size=2, unique=True).map(tuple)
    question: dict[str, Any] = {f: draw(some) for f in ("called", "changed", "activated", "deactivated")}
    if draw(st.booleans()):  # most combinations of all four find nothing
        for field in draw(st.lists(st.sampled_from(sorted(question)), min_size=3, max_size=4, unique=True)):
            question[field] = ()
    question["mutation"] = draw(st.just(()) | st.lists(st.sampled_from(["add", "remove", "set", "base"]), min_size=1))
    question["source"] = draw(st.sampled_from([None, None, "lamp", "wide"]))
    question["machines"] = draw(st.none() | st.lists(KEY, min_size=1, unique=True))
    question["newest_first"] = draw(st.booleans())
    return question


def bare(records: Any) -> list[Record]:
    """Return records without their ids, which belong to the store."""
    return [replace(r, id=0) for r in records]


def pages(history: History, size: int, **question: Any) -> Iterator[Record]:
    """Yield what all pages hold."""
    after = None
    while True:
        page = history.questions.page(size, after=after, **question)
        assert len(page.records) == size or page.next is None
        yield from page.records
        if (after := page.next) is None:
            return


def answer_or_error(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except QuestionError:
        return None


def check_moments(history: History, model: Model, at: int) -> None:
    ask = history.questions
    expected = {}
    for key in KEYS:
        row = model.newest(key, at)
        moment = answer_or_error(lambda key=key: ask.as_of(key, at))  # type: ignore[misc]
        if row is None:
            assert moment is None
            continue
        assert (moment.clock, moment.at, moment.epoch, moment.seq) == (row.clock, row.at, row.epoch, row.seq)
        expected[key] = row.clock
    network = ask.network(at)
    assert {(m.owner, m.machine): m.clock for m in network.values()} == expected
    some = ask.network(at, [KEYS[1]])
    assert {(m.owner, m.machine): m.clock for m in some.values()} == {k: c for k, c in expected.items() if k == KEYS[1]}


def check_windows(history: History, model: Model, key: Key, state: str, low: int, high: int) -> None:
    ask = history.questions
    before, window = model.newest(key, low), [r for r in model.of(key) if low < r.at <= high]
    was = before is not None and before.clock.is_active(state)
    window_active = [r.clock.is_active(state) for r in window]
    if low <= high:
        spans = [(i.start, i.end) for i in ask.intervals(key, state, low, high)]
        assert spans == model.active_spans(key, state, low, high)
        assert ask.active_between(key, state, low, high) is (was or any(window_active))
        assert ask.inactive_between(key, state, low, high) is (not was or not all(window_active))
    activated = any(state in r.activated for r in window)
    deactivated = any(state in r.deactivated for r in window)
    assert ask.activated_between(key, state, low, high) is activated
    assert ask.deactivated_between(key, state, low, high) is deactivated
    since = max(low, model.of(key)[0].at)
    if since < high:
        on = sum(end - start for start, end in model.active_spans(key, state, since, high))
        assert ask.uptime(state, low, high, [key]) == on / (high - since)
    diff = answer_or_error(lambda: ask.diff(low, high, [key]))
    after = model.newest(key, high)
    if after is None or (before is not None and before.clock == after.clock):
        assert diff == {}
    elif low <= high:
        (found,) = diff.values()
        now, then = set(after.clock.active_states()), set(before.clock.active_states()) if before else set()
        assert (set(found.activated), set(found.deactivated)) == (now - then, then - now)


def check_causes(history: History, model: Model, stored: list[Record]) -> None:
    ask = history.questions
    for place, record in enumerate(stored):
        cause = model.causes.get(place)
        assert ask.cause(record) == (None if cause is None else stored[cause])
        effects = [e for e, c in model.causes.items() if c == place]
        assert ask.effects(record) == [stored[e] for e in effects]


def check_clocks(history: History, model: Model, key: Key) -> None:
    top = max(r.time_sum for r in model.of(key)) + 1
    for epoch in [None, *range(1, model.epochs[key] + 2)]:
        for time_sum in {0, 1, top // 2, top - 1, top}:
            clock = LogicalTime(time_sum, epoch)
            row = model.at_clock(key, clock)
            moment = answer_or_error(lambda clock=clock: history.questions.as_of(key, clock))  # type: ignore[misc]
            assert (None if moment is None else moment.at) == (None if row is None else row.at)


@pytest.mark.parametrize("kind", ["memory", "sqlite-memory", "sqlite-file", "postgresql"])
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=60), data=st.data())
async def test_every_answer_is_that_of_the_model(
    fresh: Fresh, kept: Kept, wall: Wall, kind: str, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    wall.at = BEGINNING  # it is shared by all examples
    async with kept(fresh(kind), batch=7) as history:
        model = Model(wall)
        stage = Stage(history, model)
        for step in steps:
            stage.play(step)
        await history.sync()
        stored = [r async for r in history.between()]
        assert bare(stored) == model.records
        assert bare(history.questions.feed(0)) == model.records
        stamps = [r.at for r in model.records]
        moment = st.one_of(
            st.builds(int.__add__, st.sampled_from(stamps), st.sampled_from([-1, 0, 0, 1])),
            st.integers(BEGINNING - 5 * SECOND, model.last + 5 * SECOND),
        )
        for at in data.draw(st.lists(moment, min_size=1, max_size=6)):
            check_moments(history, model, at)
        for key, state, low, high in data.draw(
            st.lists(st.tuples(KEY, st.sampled_from(OWN), moment, moment), min_size=1, max_size=6)
        ):
            check_windows(history, model, key, state, low, high)
        for question, low, high in data.draw(st.lists(st.tuples(questions(), moment, moment), min_size=1, max_size=6)):
            expected = model.between(low, high, question)
            assert bare(history.questions.between(low, high, **question)) == expected
            size = data.draw(st.integers(1, 12))
            assert bare(pages(history, size, t1=low, t2=high, **question)) == expected
        check_causes(history, model, stored)
        for key in KEYS:
            check_clocks(history, model, key)
