"""Sections 9, 10 and 13.8: construction, schemas, snapshots, tracers, eval and the end of a machine."""

from collections.abc import Callable
from typing import Any

import pytest

from machine import (
    DisposedError,
    Event,
    Group,
    Machine,
    MisuseError,
    Mutation,
    NestedEvalError,
    Result,
    Schema,
    SnapshotError,
    State,
    Time,
    Tracer,
    Transition,
    UnknownStateError,
    bind_any,
    bind_error,
    bind_many,
    bind_ready,
    bind_state,
)
from machine.reader import Reader

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
States = Callable[[str], dict[str, State]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        pytest.param(["A", "A", "B", "Err"], "must name each state exactly once", id="C190-unknown"),
        pytest.param(["A", "A"], "must name each state exactly once", id="C190-twice"),
        pytest.param(["A", "B"], "must name each state exactly once", id="C190-missing"),
    ],
)
def test_an_order_that_does_not_name_each_state_once_is_refused(
    build: Build, shown: Shown, names: list[str], fault: str
) -> None:
    m = build(NR, "set A,B")
    with pytest.raises(MisuseError, match=fault):
        m.verify_states(names)
    assert m.state_names == ("A", "B", "C", "D", "Exception")
    assert shown(m) == "(A:1 B:1)"


def test_c190_an_order_that_fits_moves_the_ticks_along(build: Build, shown: Shown) -> None:
    m = build(NR, "set A,B; remove B; add C")
    active = m.active_states()
    m.verify_states(["Exception", "D", "C", "B", "A"])
    assert m.time() == (0, 0, 1, 2, 1)
    assert shown(m) == "(C:1 A:1) [B:2]"
    assert m.active_states() == active
    assert m.add("D") is EXECUTED
    assert m.time() == (0, 1, 1, 2, 1)


def test_c191_a_running_machine_takes_new_relations_and_states(
    build: Build, states: States, shown: Shown, watched: str
) -> None:
    m = build(NR, "set A,C", watched=watched)
    version = m.schema_version
    m.set_schema(states("A{multi} B{remove C} C D{add E} E"))
    assert m.state_names == ("A", "B", "C", "D", "Exception", "E")
    assert shown(m) == "(A:1 C:1)"
    assert m.set("A", "B", "D") is EXECUTED
    assert shown(m) == "(A:3 B:1 D:1 E:1) [C:2]"
    assert m.schema_version == version + 1


def test_c191_a_schema_is_not_replaced_during_a_transition(build: Build, states: States) -> None:
    caught: list[Exception] = []

    def state(event: Event) -> None:
        try:
            event.machine.set_schema(states("A B C D E"))
        except MisuseError as error:
            caught.append(error)

    m = build(NR, handlers={"AState": state})
    m.add("A")
    assert "is in a transition" in str(caught[0])
    assert not m.has("E")


def test_c192_a_clock_is_exported_and_restored(build: Build, do: Do) -> None:
    first = build(NR, "set A; remove B; add A; add B; add C", id="first")
    assert str(first) == "(A:1 B:1 C:1)"
    with pytest.raises(SnapshotError, match="the snapshot is of 'first', this machine is 'second'"):
        build(NR, id="second").restore(first.export())
    again = build(NR, id="first")
    again.restore(first.export())
    assert str(again) == str(first)
    assert again.machine_tick == first.machine_tick + 1


@pytest.mark.parametrize("way", ["idle", "from a handler"])
def test_c193_callbacks_hear_of_the_disposal(build: Build, way: str) -> None:
    heard: list[str] = []
    m = build(NR, id="m", handlers={"AState": lambda e: e.machine.dispose()})
    m.on_dispose(lambda machine: heard.append(f"first {machine.id}"))
    m.on_dispose(lambda machine: heard.append("second"))
    if way == "idle":
        m.dispose()
    else:
        m.add("A")
    assert heard == ["first m", "second"]
    m.dispose()
    assert len(heard) == 2
    assert m.is_disposed


def test_disposal_removes_start_first(build: Build, record: Callable[..., list[str]]) -> None:
    m = build("Start A{require Start}", "add Start; add A")
    events = record(m)
    m.dispose()
    assert events == ["StartExit", "AExit", "AnyEnter", "StartEnd", "AEnd", "AnyState"]


#: Deviation: upstream cancels these without a word.
MUTATIONS_OF_THE_DEAD = [
    pytest.param(lambda m: m.add("A"), id="add"),
    pytest.param(lambda m: m.remove("A"), id="remove"),
    pytest.param(lambda m: m.set("A"), id="set"),
    pytest.param(lambda m: m.toggle("A"), id="toggle"),
    pytest.param(lambda m: m.add_error(OSError()), id="add-error"),
    pytest.param(lambda m: m.can_add("A"), id="can-add"),
    pytest.param(lambda m: m.can_remove("A"), id="can-remove"),
    pytest.param(lambda m: m.eval(lambda: 1), id="eval"),
    pytest.param(lambda m: m.verify_states(["A", "B", "C", "D", "Exception"]), id="verify-states"),
    pytest.param(lambda m: m.bind({"AState": print}), id="bind"),
    pytest.param(lambda m: m.on_dispose(print), id="on-dispose"),
]


@pytest.mark.parametrize("call", MUTATIONS_OF_THE_DEAD)
def test_c194_mutations_of_a_disposed_machine_raise(build: Build, call: Callable[[Machine], object]) -> None:
    m = build(NR, "set A", id="gone")
    m.dispose()
    with pytest.raises(DisposedError, match="gone is disposed of: build a new machine"):
        call(m)


def test_c194_queries_of_a_disposed_machine_are_empty(build: Build) -> None:
    m = build(NR, "set A")
    m.dispose()
    assert not m.is_active("A")
    assert not m.is_active()
    assert not m.is_inactive("B")
    assert not m.any_active("A")
    assert not m.has("A")
    assert m.index("A") == (-1,)
    assert m.tick("A") == 0
    assert m.time() == Time()
    assert m.clock() == {}
    assert (str(m), m.describe()) == ("", "")
    assert m.active_states() == ()
    assert m.switch(["A"]) is None
    assert not m.is_time([], [])
    assert m.queue() == ()
    assert not m.is_error


async def test_c194_waits_on_a_disposed_machine_raise_but_for_the_disposal(build: Build) -> None:
    m = build(NR, "set A", id="gone")
    m.dispose()
    for wait in (m.when("A"), m.when_not("A"), m.when_ticks("A", 1), m.when_query(lambda _: True), m.when_args("A")):
        with pytest.raises(DisposedError, match="gone is disposed of: nothing will change there any more"):
            await wait
    await m.when_disposed()


def test_c194_while_it_is_being_disposed_of_mutations_are_canceled(build: Build, shown: Shown) -> None:
    results: list[Result] = []

    def state(event: Event) -> None:
        m = event.machine
        waiting = m.add("B")
        m.dispose()
        assert m.is_disposing
        results.extend([m.add("C"), m.remove("A"), m.can_add("A"), m.add_error(OSError()), waiting])

    m = build(NR, handlers={"AState": state})
    assert m.add("A") is EXECUTED
    assert [r.canceled for r in results] == [True] * 5
    assert m.statistics().dropped == 5


def test_c195_a_machine_without_a_name_gets_one(build: Build) -> None:
    one, other = build(), build()
    assert len(one.id) > 5
    assert int(one.id, 16) >= 0
    assert one.id != other.id


def test_c196_a_machine_is_built_with_all_it_needs(states: States) -> None:
    parent = Machine(states(NR), id="parent")
    m = Machine(states(NR), id="m", parent=parent, handlers={"AState": lambda _: None}, queue_limit=5)
    assert len(m.bindings) == 1
    assert m.parent is parent
    assert m.options.queue_limit == 5
    both = Machine(states(NR), handlers=[{"AState": lambda _: None}, {"BState": lambda _: None}])
    assert [b.names for b in both.bindings] == [("AState",), ("BState",)]


def test_c197_options_and_tags_are_what_was_given(states: States) -> None:
    parent = Machine(states(NR), id="parent")
    m = Machine(states(NR), parent=parent, tags=["one", "two:2", "one"], queue_limit=7, handler_timeout=None)
    assert (m.parent, m.tags) == (parent, ("one", "two:2"))
    assert (m.options.queue_limit, m.options.handler_timeout) == (7, None)
    m.set_tags("three")
    assert m.tags == ("three",)


class Naming(Tracer):
    """A tracer with a name, that notes which hooks it hears."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard: list[str] = []

    def machine_init(self, machine: Machine) -> None:
        self.heard.append(f"init {machine.id}")

    def new_submachine(self, parent: Machine, child: Machine) -> None:
        self.heard.append(f"{child.id} of {parent.id}")


def test_c198_tracers_come_with_the_options_or_later_and_go_by_their_id(states: States) -> None:
    first, second = Naming("first"), Naming("second")
    parent = Machine(states(NR), id="parent", tracers=[first])
    child = Machine(states(NR), id="child", parent=parent, tracers=[second])
    assert first.heard == ["init parent", "child of parent"]
    assert second.heard == ["init child"]
    assert child.tracers == (second,)
    child.add_tracer(first)
    child.remove_tracer("second")
    assert child.tracers == (first,)
    with pytest.raises(MisuseError, match="is no Tracer: give an instance of a subclass"):
        child.add_tracer(Naming)  # type: ignore[arg-type]


def test_c199_eval_runs_between_transitions_and_its_mutations_after_it(build: Build, shown: Shown) -> None:
    m = build()

    def function() -> int:
        assert m.add("A").queued
        assert m.is_inactive("A")
        return 42

    assert m.eval(function) == 42
    assert shown(m) == "(A:1)"


def test_c199_a_nested_eval_raises_and_the_outer_one_goes_on(build: Build) -> None:
    m = build()
    counter: list[int] = []

    def outer() -> str:
        with pytest.raises(NestedEvalError, match="has the machine to itself already, call the function"):
            m.eval(lambda: counter.append(1))
        counter.append(2)
        return "done"

    assert m.eval(outer) == "done"
    assert counter == [2]
    assert not m.is_error


def test_c199_an_eval_in_a_handler_is_its_failure(build: Build) -> None:
    counter: list[int] = []
    m = build(NR, handlers={"AState": lambda e: e.machine.eval(lambda: counter.append(1))})
    assert m.add("A") is CANCELED
    assert isinstance(m.last_error, NestedEvalError)
    assert m.is_error
    assert counter == []


def test_c200_schemas_are_extended_replaced_and_merged() -> None:
    schema = Schema({"X": State(auto=True, remove="A", add="B"), "A": State(), "B": State(), "C": State()})
    extended = schema.extend("X", State(multi=True, remove="C"))
    assert extended["X"] == State(auto=True, multi=True, remove=["A", "C"], add="B")
    replaced = schema.replace("X", auto=False, multi=True, remove="C")
    assert replaced["X"] == State(multi=True, remove="C", add="B")
    assert schema.replace("X", remove="C")["X"] == State(auto=True, remove="C", add="B")
    other = Schema({"C": State(multi=True), "D": State(), "E": State()})
    merged = schema.merge(other)
    assert merged.names == ("X", "A", "B", "C", "Exception", "D", "E")
    assert merged["C"] == State(multi=True)
    assert schema["C"] == State()


def test_c200_states_are_found_by_their_tags() -> None:
    schema = Schema({"A": State(tags=["ui", "team:red"]), "B": State(tags="team"), "C": State(tags="teams:x")})
    assert schema.filter_by_tag("team") == ("B",)
    assert schema.states_by_tag("team") == ("A", "B")
    assert schema.filter_by_tag("team:red") == ("A",)


class Level00(Schema):
    State00 = State()
    State01 = State(require=State00)


class Level10(Level00):
    State10 = State()
    State11 = State()


class Level20(Level10):
    State20 = State(add="State00")
    State21 = State(after=State20)
    Both = Group(State20, State21)


def test_c201_a_class_of_states_inherits_states_and_groups() -> None:
    schema = Level20()
    names = ("State00", "State01", "State10", "State11", "State20", "State21", "Exception")
    assert schema.names == names
    assert schema.groups == {
        "Level00": ("State00", "State01"),
        "Level10": ("State10", "State11"),
        "self": ("State20", "State21"),
        "Both": ("State20", "State21"),
    }
    assert schema["State01"].require == ("State00",)
    assert schema["State21"].after == ("State20",)
    assert Level20.State20 == "State20"
    m = Machine(Level20)
    assert m.groups["self"] == ("State20", "State21")
    assert m.schema is Machine(Level20).schema
    assert m.add(Level20.State20) is EXECUTED
    assert m.is_active(Level20.State00)


def test_c203_a_machine_takes_over_all_active_states_of_another(build: Build) -> None:
    source, target = build(), build()
    bind_any(source, target)
    source.add("A", "B")
    assert target.active_states() == ("A", "B")


def test_c204_pipes_of_several_kinds_work_together(build: Build, shown: Shown) -> None:
    source, target = build("Ready Foo Bar"), build("Ready Foo Bar")
    bind_ready(source, target)
    bind_error(source, target)
    bind_state(source, "Foo", target)
    bind_many(source, ["Bar"], target)
    source.add("Ready")
    source.add("Foo", "Bar")
    assert shown(target) == "(Ready:1 Foo:1 Bar:1)"


class Hooks(Tracer):
    """Note every hook of a transition, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        self.heard.append(f"queued {' '.join(mutation.states)}{' auto' if mutation.is_auto else ''}")

    def transition_init(self, transition: Transition) -> None:
        self.heard.append("init")

    def transition_start(self, transition: Transition) -> None:
        self.heard.append("start")

    def handler_start(self, transition: Transition, binding: str, name: str) -> None:
        self.heard.append(f"{binding}+{name}")

    def handler_end(self, transition: Transition, binding: str, name: str) -> None:
        self.heard.append(f"{binding}-{name}")

    def transition_finals(self, transition: Transition) -> None:
        self.heard.append("finals")

    def transition_end(self, transition: Transition) -> None:
        self.heard.append("end")

    def queue_end(self, machine: Machine) -> None:
        self.heard.append("queue end")

    def machine_dispose(self, machine: Reader) -> None:
        self.heard.append("dispose")


def test_c205_tracers_hear_of_everything_in_order(build: Build) -> None:
    m = build(f"{NR} Z{{auto; require A}}")
    m.bind({"AEnter": lambda _: None, "AState": lambda _: None}, id="h")
    hooks = Hooks()
    m.add_tracer(hooks)
    m.add("A")
    first = [
        "queued A",
        "init",
        "start",
        "h+AEnter",
        "h-AEnter",
        "finals",
        "h+AState",
        "h-AState",
        "queued Z auto",
        "end",
    ]
    assert hooks.heard == [*first, "init", "start", "finals", "end", "queue end"]


def test_unknown_names_raise_in_queries_too(build: Build) -> None:
    m = build()
    queries: list[Callable[[], Any]] = [
        lambda: m.is_active("A", "Err"),
        lambda: m.is_inactive("Err"),
        lambda: m.any_active("A", "Err"),
        lambda: m.tick("Err"),
        lambda: m.time(["Err"]),
        lambda: m.clock(["Err"]),
        lambda: m.switch(["Err"]),
        lambda: m.active_states(["Err"]),
        lambda: m.inspect(["Err"]),
        lambda: m.is_clock({"Err": 1}),
        lambda: m.scope("Err"),
        lambda: m.will_be("Err"),
    ]
    for query in queries:
        with pytest.raises(UnknownStateError, match="has no state 'Err'"):
            query()
