"""What holds for every schema and every sequence of mutations."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, note
from hypothesis import strategies as st

from machine import Clock, Machine, MutationType, Schema, State, Tracer, Transition
from machine.resolver import resolve

NAMES = [f"S{c}" for c in "ABCDEFGHIJKL"]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw a schema of 1 to 12 states with all four relations, auto and multi."""
    names = NAMES[: draw(st.integers(1, 12))]
    some = st.lists(st.sampled_from(names), max_size=3)
    states = {}
    for name in names:
        require = draw(some)
        remove = [n for n in draw(some) if n not in require]
        states[name] = State(
            auto=draw(st.booleans()),
            multi=draw(st.booleans()),
            require=require,
            remove=remove,
            add=draw(some),
            after=draw(some),
        )
    return Schema(states)


@dataclass(frozen=True)
class Call:
    kind: MutationType
    states: tuple[str, ...]

    def on(self, machine: Machine) -> object:
        return (machine.add, machine.remove, machine.set)[self.kind](*self.states)


@st.composite
def schemas_and_calls(draw: st.DrawFn) -> tuple[Schema, list[Call]]:
    schema = draw(schemas())
    states = st.lists(st.sampled_from(schema.names), min_size=1, max_size=3).map(tuple)
    return schema, draw(st.lists(st.builds(Call, st.sampled_from(MutationType), states), max_size=12))


class Laws(Tracer):
    """Checks every transition as it ends, and keeps what happened."""

    def __init__(self) -> None:
        self.clocks: list[Clock] = []
        self.calls: list[Call] = []

    def transition_end(self, transition: Transition) -> None:
        machine, before, after = transition.machine, transition.ticks_before, transition.ticks_after
        self.clocks.append(machine.clock())
        if not transition.is_auto and not transition.is_check:
            self.calls.append(Call(transition.type, transition.called))
        active = set(machine.active_states())
        assert active == {n for n, tick in machine.clock().items() if tick & 1}
        for name in active:
            state = machine.schema[name]
            assert active.issuperset(state.require), f"{name} is active without all of {state.require}"
            assert active.isdisjoint(state.remove), f"{name} is active beside one of {state.remove}"
        assert all(b <= a for b, a in zip(before, after, strict=True)), "a tick went back"
        if not transition.accepted and transition.error is None:
            assert before == after, f"canceled by {transition.canceled_by}, and yet something changed"


def run(schema: Schema, calls: list[Call], handlers: object = None) -> tuple[Machine, Laws]:
    laws = Laws()
    machine = Machine(schema, id="law", handlers=handlers, tracers=[laws], handler_timeout=None)
    for call in calls:
        call.on(machine)
    assert machine.statistics().tracer_errors == 0, "a law was broken: see the log above"
    return machine, laws


@dataclass
class Mood:
    """Decides what each handler does: mostly nothing, sometimes it refuses, raises, or asks for more."""

    rng: random.Random
    names: tuple[str, ...]
    asked: int = 0
    log: list[str] = field(default_factory=list)

    def handler(self, name: str, may_refuse: bool) -> Callable[[Any], object]:
        def handle(event: Any) -> object:
            self.log.append(name)
            draw = self.rng.random()
            if draw < 0.08 and may_refuse:
                return False
            if draw < 0.12:
                raise RuntimeError(f"{name} is in a bad mood")
            if draw < 0.18 and self.asked < 10:
                self.asked += 1
                kind, state = self.rng.choice(list(MutationType)), self.rng.choice(self.names)
                Call(kind, (state,)).on(event.machine)
            return None

        return handle

    def handlers(self) -> dict[str, Callable[[Any], object]]:
        made = {f"{n}{suffix}": self.handler(f"{n}{suffix}", True) for n in self.names for suffix in ("Enter", "Exit")}
        made |= {f"{n}{suffix}": self.handler(f"{n}{suffix}", False) for n in self.names for suffix in ("State", "End")}
        made |= {f"{a}{b}": self.handler(f"{a}{b}", True) for a in self.names for b in self.names}
        return made | {"AnyEnter": self.handler("AnyEnter", True), "AnyState": self.handler("AnyState", False)}


def moody(schema: Schema, calls: list[Call], seed: int) -> tuple[Machine, Laws, Mood]:
    mood = Mood(random.Random(seed), schema.names)
    machine, laws = run(schema, calls, mood.handlers())
    return machine, laws, mood


@given(schemas_and_calls())
def test_every_settled_transition_keeps_the_laws(drawn: tuple[Schema, list[Call]]) -> None:
    run(*drawn)


@given(schemas_and_calls(), st.integers(0, 2**32))
def test_the_laws_hold_when_handlers_refuse_raise_and_ask_for_more(drawn: tuple[Schema, list[Call]], seed: int) -> None:
    machine, _, _ = moody(*drawn, seed)
    assert machine.is_idle
    assert machine.transition is None


@given(schemas_and_calls(), st.integers(0, 2**32))
def test_the_same_mutations_and_answers_give_the_same_handlers_in_the_same_order(
    drawn: tuple[Schema, list[Call]], seed: int
) -> None:
    one, _, first = moody(*drawn, seed)
    other, _, second = moody(*drawn, seed)
    assert one.clock() == other.clock()
    assert first.log == second.log


@given(schemas_and_calls())
def test_replaying_the_recorded_mutations_gives_the_same_ticks(drawn: tuple[Schema, list[Call]]) -> None:
    machine, laws = run(*drawn)
    again, _ = run(drawn[0], laws.calls)
    assert again.time() == machine.time()
    assert again.active_states() == machine.active_states()


@given(schemas_and_calls())
def test_the_short_way_and_the_long_way_are_the_same_way(drawn: tuple[Schema, list[Call]]) -> None:
    schema, calls = drawn
    bare = Machine(schema, id="law")
    for call in calls:
        call.on(bare)
    watched, _ = run(schema, calls, {"AnyState": lambda event: None})
    assert bare.time() == watched.time()
    assert bare.active_states() == watched.active_states()
    assert bare.queue_tick == watched.queue_tick
    assert bare.statistics().transitions == watched.statistics().transitions
    assert bare.statistics().canceled == watched.statistics().canceled


@given(schemas_and_calls())
def test_a_plan_without_relations_is_what_the_resolver_makes_of_it(drawn: tuple[Schema, list[Call]]) -> None:
    class Resolved(Tracer):
        def transition_end(self, transition: Transition) -> None:
            plan, schema = transition.plan, transition.plan.before.automaton.schema
            listed, mask = resolve(schema, plan.kind, plan.called, plan.before.order, plan.before.mask)
            assert plan.targets == schema.sort(listed)
            assert mask == sum(1 << i for i in plan.targets)

    machine = Machine(drawn[0], id="law", tracers=[Resolved()])
    for call in drawn[1]:
        call.on(machine)
    assert machine.statistics().tracer_errors == 0


@given(schemas_and_calls())
def test_an_implied_state_is_added_by_one_that_entered(drawn: tuple[Schema, list[Call]]) -> None:
    class Implied(Tracer):
        def transition_end(self, transition: Transition) -> None:
            if transition.accepted:
                entered = set(transition.enters)
                for name in entered - set(transition.called) - set(transition.states_before):
                    assert any(name in transition.machine.schema[e].add for e in entered)

    machine = Machine(drawn[0], id="law", tracers=[Implied()])
    for call in drawn[1]:
        call.on(machine)
    assert machine.statistics().tracer_errors == 0


@given(schemas_and_calls(), st.integers(0, 2**32))
def test_a_snapshot_brings_the_clock_back(drawn: tuple[Schema, list[Call]], seed: int) -> None:
    machine, _, _ = moody(*drawn, seed)
    again = Machine(drawn[0], id="law")
    again.restore(machine.export())
    assert again.clock() == machine.clock()
    assert again.machine_tick == machine.machine_tick + 1


@given(schemas_and_calls(), st.lists(st.integers(0, 11), max_size=30))
def test_a_dry_run_changes_nothing_and_foretells_the_verdict(
    drawn: tuple[Schema, list[Call]], picks: list[int]
) -> None:
    machine, _ = run(*drawn)
    for pick in picks:
        state = machine.state_names[pick % len(machine.state_names)]
        before = machine.clock()
        foretold = machine.can_add(state)
        assert machine.clock() == before
        if not machine.schema[state].multi:
            assert machine.add(state) is foretold
        else:
            machine.add(state)


@dataclass(frozen=True)
class Wish:
    """A wait, and its meaning as a predicate over clocks."""

    kind: str
    states: tuple[str, ...]
    ticks: tuple[int, ...]

    async def wait(self, machine: Machine) -> Clock:
        if self.kind == "when":
            return await machine.when(*self.states)
        if self.kind == "when_not":
            return await machine.when_not(*self.states)
        if self.kind == "when_time":
            return await machine.when_time(self.states, self.ticks)
        return await machine.when_query(self.holds)

    def holds(self, clock: Clock) -> bool:
        if self.kind == "when":
            return clock.is_active(*self.states)
        if self.kind == "when_not":
            return clock.is_inactive(*self.states)
        return all(clock[s] >= t for s, t in zip(self.states, self.ticks, strict=True))


@st.composite
def wishes(draw: st.DrawFn, names: tuple[str, ...]) -> Wish:
    kind = draw(st.sampled_from(["when", "when_not", "when_time", "when_query"]))
    states = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)))
    return Wish(kind, states, tuple(draw(st.integers(0, 5)) for _ in states))


@given(st.data(), st.integers(0, 2**32))
def test_waits_fire_exactly_for_what_happened(data: st.DataObject, seed: int) -> None:
    schema, calls = data.draw(schemas_and_calls())
    wanted = data.draw(st.lists(wishes(schema.names), max_size=12))
    given_up = data.draw(st.sets(st.integers(0, 11)))
    note(f"{wanted}, of which {given_up} are given up")
    got: dict[int, Clock] = {}

    async def main() -> None:
        mood = Mood(random.Random(seed), schema.names)
        laws = Laws()
        machine = Machine(schema, id="law", handlers=mood.handlers(), tracers=[laws], handler_timeout=None)
        start = machine.clock()
        scopes = [trio.CancelScope() for _ in wanted]

        async def one(at: int) -> None:
            with scopes[at]:
                got[at] = await wanted[at].wait(machine)

        async with trio.open_nursery() as nursery:
            for at in range(len(wanted)):
                nursery.start_soon(one, at)
            await trio.testing.wait_all_tasks_blocked()
            for at in given_up:
                if at < len(wanted):
                    scopes[at].cancel()
            await trio.testing.wait_all_tasks_blocked()
            open_ = sum(1 for at in range(len(wanted)) if at not in got and at not in given_up)
            assert machine.statistics().waits == open_
            for call in calls:
                call.on(machine)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert machine.statistics().waits == 0, "a wait left something behind"
        assert machine.statistics().tracer_errors == 0
        changes = [c for at, c in enumerate(laws.clocks) if c != ([start, *laws.clocks][at])]
        for at, wish in enumerate(wanted):
            seen = changes if wish.kind == "when_query" else [start, *changes]
            first = next((c for c in seen if wish.holds(c)), None)
            if at in given_up and first != start:
                first = None
            assert got.get(at) == first, wish

    trio.run(main)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncmachine")  # handlers in a bad mood are what this is about


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_order_does_not_depend_on_the_hash_seed(seed: str) -> None:
    script = (
        "import random\n"
        "from machine import Machine, State\n"
        "rng = random.Random(7)\n"
        "names = [f'S{i}' for i in range(12)]\n"
        "pick = lambda k: rng.sample(names, k)\n"
        "flags = lambda: {'auto': rng.random() < .3, 'multi': rng.random() < .2}\n"
        "states = {n: State(**flags(), add=pick(1), after=pick(2)) for n in names}\n"
        "log = []\n"
        "handlers = {n + s: lambda e: log.append(e.name) for n in names for s in ('Enter', 'State', 'End', 'Exit')}\n"
        "machine = Machine(states, id='m', handlers=handlers)\n"
        "for _ in range(50):\n"
        "    machine.toggle(*pick(2))\n"
        "print(machine.time(), machine.active_states(), log)\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    both = (env, env | {"PYTHONHASHSEED": "2"})
    runs = [subprocess.run([sys.executable, "-c", script], env=e, capture_output=True, text=True) for e in both]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
