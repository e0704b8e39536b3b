"""Sections 4.1, 4.3 and 13.3: which handlers run, in which order, and what they are told."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from machine import Event, Machine, Result, State, Step, Transition

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED
AFTER = "A{after B} B C{after D} D"
EXCLUSIVE = "Foo{remove Bar} Bar{remove Foo}"
TO_C = "AExit BExit CEnter AC BC AnyEnter AEnd BEnd CState AnyState"
TO_DC = "AExit BExit DEnter CEnter AD AC BD BC AnyEnter AEnd BEnd DState CState AnyState"

#: The whole trace of one mutation: section 4.1 and the exact cases of 13.3.
TRACES = [
    pytest.param(NR, "set A,B", "set C", TO_C, "(C:1) [A:2 B:2]", id="trace-1"),
    pytest.param(
        NR,
        "set A",
        "set B,C",
        "AExit BEnter CEnter AB AC AnyEnter AEnd BState CState AnyState",
        "(B:1 C:1) [A:2]",
        id="trace-2",
    ),
    pytest.param(NR, "set A,B", "set D,C", TO_DC, "(C:1 D:1) [A:2 B:2]", id="trace-3"),
    pytest.param(NR, "set A,B", "set A", "BExit AA BA AnyEnter BEnd AnyState", "(A:1) [B:2]", id="trace-4"),
    pytest.param(NR, "set A", "set A,B", "BEnter AA AB AnyEnter BState AnyState", "(A:1 B:1)", id="trace-5"),
    pytest.param(NR, "set A", "add B", "BEnter AA AB AnyEnter BState AnyState", "(A:1 B:1)", id="trace-6"),
    pytest.param(NR, "set A; add B", "add A", "AA BB BA AB AnyEnter AnyState", "(A:1 B:1)", id="trace-7"),
    pytest.param(NR, "set A; add B; add A", "remove A", "AExit AB AnyEnter AEnd AnyState", "(B:1) [A:2]", id="trace-8"),
    pytest.param(
        EXCLUSIVE,
        "add Foo",
        "add Bar",
        "FooExit BarEnter FooBar AnyEnter FooEnd BarState AnyState",
        "(Bar:1) [Foo:2]",
        id="trace-9",
    ),
    pytest.param("E{multi}", "", "add E", "EEnter AnyEnter EState AnyState", "(E:1)", id="trace-10"),
    pytest.param("E{multi}", "add E", "add E", "EEnter EE AnyEnter EState AnyState", "(E:3)", id="trace-10-again"),
    pytest.param(NR, "set A,B", "set C", TO_C, "(C:1) [A:2 B:2]", id="C080"),
    pytest.param(
        NR,
        "set A",
        "set B,C",
        "AExit BEnter CEnter AB AC AnyEnter AEnd BState CState AnyState",
        "(B:1 C:1) [A:2]",
        id="C081",
    ),
    pytest.param(NR, "set A,B", "set D,C", TO_DC, "(C:1 D:1) [A:2 B:2]", id="C082"),
    pytest.param(NR, "set A,B", "set C", TO_C, "(C:1) [A:2 B:2]", id="C083"),
    pytest.param(NR, "set A,B", "set A", "BExit AA BA AnyEnter BEnd AnyState", "(A:1) [B:2]", id="C084"),
    pytest.param(NR, "set A", "set A,B", "BEnter AA AB AnyEnter BState AnyState", "(A:1 B:1)", id="C088"),
    pytest.param(
        "S R{require S} W{require R}",
        "add S; add R; add W",
        "remove S",
        "SExit RExit WExit AnyEnter SEnd REnd WEnd AnyState",
        "() [S:2 R:2 W:2]",
        id="C102",
    ),
    pytest.param("E{multi}", "", "add E", "EEnter AnyEnter EState AnyState", "(E:1)", id="C103-enter"),
    pytest.param("E{multi}", "add E", "add E", "EEnter EE AnyEnter EState AnyState", "(E:3)", id="C103-again"),
    pytest.param("E{multi}", "add E; add E", "remove E", "EExit AnyEnter EEnd AnyState", "() [E:4]", id="C103-exit"),
]


@pytest.mark.parametrize(("schema", "before", "action", "trace", "after"), TRACES)
def test_handlers_run_in_order(
    build: Build,
    do: Do,
    shown: Shown,
    record: Record,
    schema: str,
    before: str,
    action: str,
    trace: str,
    after: str,
) -> None:
    m = build(schema, before)
    events = record(m)
    assert do(m, action) is EXECUTED
    assert events == trace.split()
    assert shown(m) == after


@pytest.mark.parametrize(
    ("relations_are_new", "pairs"),
    [pytest.param(True, "AD AC BD BC", id="C085-C086"), pytest.param(False, "BD BC AD AC", id="built-with-them")],
)
def test_after_orders_exits_enters_and_finals_but_not_pairs(
    build: Build,
    record: Record,
    states: Callable[[str], dict[str, State]],
    relations_are_new: bool,
    pairs: str,
) -> None:
    m = build(NR if relations_are_new else AFTER, "set A,B")
    m.set_schema(states(AFTER))
    events = record(m)
    assert m.set("C", "D") is EXECUTED
    assert events == f"BExit AExit DEnter CEnter {pairs} AnyEnter BEnd AEnd DState CState AnyState".split()


@pytest.mark.parametrize(
    ("schema", "before", "action", "order"),
    [
        pytest.param("Foo{after Bar} Bar{require Foo}", "", "add Foo,Bar", "BarState FooState", id="C100"),
        pytest.param("A B C{after A}", "", "add C,B,A", "BState AState CState", id="C101"),
        pytest.param("A B C{after A}", "", "add C,A", "AState CState", id="after-neighbour"),
        pytest.param("A{after B} B{after C} C", "", "add A,B,C", "CState BState AState", id="after-chain"),
        pytest.param("A{after B} B{after A}", "", "add A,B", "AState BState", id="after-cycle-keeps-the-list"),
        pytest.param("A{require B} B{require A}", "", "add A,B", "AState BState", id="require-cycle-keeps-the-list"),
        pytest.param("A B{require C} C D", "", "add B,C,D,A", "DState AState CState BState", id="free-states-in-front"),
    ],
)
def test_after_and_require_order_the_final_handlers(
    build: Build, do: Do, record: Record, schema: str, before: str, action: str, order: str
) -> None:
    m = build(schema, before)
    events = record(m)
    do(m, action)
    assert [e for e in events if e.endswith("State") and e != "AnyState"] == order.split()


REQUIRE_ORDER = "A{auto; require B,C} B{auto; require D} C{auto} D{auto} Start"


def test_c087_required_states_come_first_whatever_the_order_of_the_call(build: Build, record: Record) -> None:
    m = build(REQUIRE_ORDER)
    events = record(m)
    m.add("Start")
    finals = [e for e in events if e.endswith("State")]
    assert finals == ["StartState", "AnyState", "DState", "BState", "CState", "AState", "AnyState"]
    once = [e for e in events if not e.startswith("Any")]
    assert len(once) == len(set(once))
    assert events.count("AnyEnter") == 2


@pytest.mark.parametrize("called", list(permutations("ABCD")), ids="".join)
def test_c087_sorting_any_permutation_gives_one_order(build: Build, called: tuple[str, ...]) -> None:
    m = build(REQUIRE_ORDER.replace("auto", ""))
    m.set(*called)
    assert m.active_states() == ("D", "B", "C", "A")


def test_the_active_states_keep_the_order_of_the_last_targets(build: Build) -> None:
    m = build(NR, "set A; add B")
    assert m.active_states() == ("B", "A")


def test_c089_self_handlers_run_for_all_states_that_stay(build: Build, do: Do, record: Record) -> None:
    m = build(NR, "set A")
    events = record(m)
    do(m, "add B; add A")
    assert events.count("AA") == 2
    assert events.count("BB") == 1


#: id, before, which handler refuses, action, its trace, clock after
REFUSALS = [
    pytest.param("set A", "AA", "set A,B", "BEnter AA", "(A:1)", id="C090"),
    pytest.param("set A", "AB", "add B", "BEnter AA AB", "(A:1)", id="C092"),
    pytest.param("set A", "DEnter", "set D", "AExit DEnter", "(A:1)", id="C093-set"),
    pytest.param("set A", "DEnter", "add D", "DEnter", "(A:1)", id="C093-add"),
    pytest.param("set A", "AExit", "remove A", "AExit", "(A:1)", id="C094"),
    pytest.param("set A", "AnyEnter", "add B", "BEnter AA AB AnyEnter", "(A:1)", id="any-enter"),
]


@pytest.mark.parametrize(("before", "refusing", "action", "trace", "after"), REFUSALS)
def test_a_refusal_in_negotiation_changes_nothing(
    build: Build,
    do: Do,
    shown: Shown,
    record: Record,
    transitions: Callable[[Machine], list[Transition]],
    before: str,
    refusing: str,
    action: str,
    trace: str,
    after: str,
) -> None:
    m = build(NR, before)
    seen = transitions(m)
    events = record(m, **{refusing: False})
    assert do(m, action) is CANCELED
    assert events == trace.split()
    assert shown(m) == after
    assert not m.is_error
    assert seen[0].canceled_by == refusing
    assert seen[0].ticks_after == seen[0].ticks_before


@pytest.mark.parametrize(
    ("action", "targets"), [pytest.param("set D", ("D",), id="C093-set"), pytest.param("add D", ("D", "A"), id="C093")]
)
def test_c093_a_refused_transition_still_shows_its_targets(
    build: Build,
    do: Do,
    transitions: Callable[[Machine], list[Transition]],
    action: str,
    targets: tuple[str, ...],
) -> None:
    m = build(NR, "set A", handlers={"DEnter": lambda _: False})
    seen = transitions(m)
    do(m, action)
    assert seen[0].targets == targets


def test_c091_a_state_state_handler_runs_for_active_then_target(build: Build) -> None:
    called = []
    m = build(NR, "set A", handlers={"AB": lambda _: called.append("AB"), "BA": lambda _: called.append("BA")})
    m.add("B")
    assert called == ["AB"]


@pytest.mark.parametrize(
    ("event", "action"), [("BEnter", "add B"), ("AExit", "remove A"), ("CState", "set C"), ("AEnd", "set C")]
)
def test_c095_all_handlers_of_a_mutation_see_its_args(build: Build, event: str, action: str) -> None:
    seen: list[Any] = []
    m = build(NR, "set A", handlers={event: lambda e: seen.append(dict(e.args))})
    verb, _, state = action.partition(" ")
    getattr(m, verb)(state, foo="bar")
    assert seen == [{"foo": "bar"}]


class Inspecting:
    """Look around in both phases, where a machine shows the old states and then the new ones."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def AExit(self, event: Event) -> None:
        """Exist, so that it is among the steps."""

    def DEnter(self, event: Event) -> None:
        m, tx = event.machine, event.transition
        self.seen["enter"] = (m.active_states(), tx.targets, tx.called, tx.time_after[m.index("D")[0]])
        self.steps = tx.steps

    def DState(self, event: Event) -> None:
        m, tx = event.machine, event.transition
        self.seen["state"] = (m.active_states(), tx.added, tx.removed, tx.called, tuple(tx.called_vector))


def test_c096_the_transition_can_be_read_in_both_phases(build: Build) -> None:
    inspecting = Inspecting()
    m = build(NR, "set A", handlers=inspecting)
    m.set("D")
    assert inspecting.seen["enter"] == (("A",), ("D",), ("D",), 1)
    assert inspecting.seen["state"] == (("D",), ("D",), ("A",), ("D",), (0, 0, 0, 1, 0))
    assert set(inspecting.steps) >= {
        Step("called", "D"),
        Step("activate", "D"),
        Step("deactivate", "A"),
        Step("handler", handler="AExit"),
    }


def test_c097_plain_functions_are_handlers_too(build: Build) -> None:
    ran = []
    m = build(NR, "set A", handlers={"AExit": lambda _: ran.append("AExit"), "AEnd": lambda _: ran.append("AEnd")})
    m.remove("A")
    assert ran == ["AExit", "AEnd"]
    assert m.is_inactive("A")


def test_c098_a_set_of_handlers_is_taken_off_by_its_id_or_its_binding(build: Build, record: Record) -> None:
    m = build()
    events = record(m, id="recorder")
    second = m.bind({"AState": lambda _: None})
    m.unbind("recorder")
    m.unbind(second)
    assert m.bindings == ()
    m.add("A")
    assert events == []


def test_c099_the_first_refusal_keeps_later_sets_from_being_asked(build: Build) -> None:
    calls: list[str] = []

    def handlers(number: int, answer: bool) -> dict[str, Callable[[Event], bool]]:
        def handle(event: Event) -> bool:
            calls.append(f"{number}.{event.name}")
            return answer

        return {"AEnter": handle, "AState": handle}

    m = build()
    for number, answer in ((1, True), (2, False), (3, True)):
        m.bind(handlers(number, answer))
    assert m.add("A") is CANCELED
    assert calls == ["1.AEnter", "2.AEnter"]


def test_all_sets_are_called_in_the_order_of_binding(build: Build, record: Record) -> None:
    calls: list[str] = []
    m = build(NR, handlers={"AState": lambda _: calls.append("first")})
    m.bind({"AState": lambda _: calls.append("second")})
    m.add("A")
    assert calls == ["first", "second"]


def test_c104_a_mutation_knows_the_transition_that_caused_it(
    build: Build, transitions: Callable[[Machine], list[Transition]]
) -> None:
    def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.remove("A")

    m = build(NR, handlers={"AState": state})
    seen = transitions(m)
    m.add("A")
    first, second, third = seen
    assert first.mutation.source is None
    assert second.mutation.source is not None
    assert second.mutation.source.machine_id == m.id
    assert second.mutation.source.transition_id == first.id
    assert second.mutation.source.time_sum == 0
    assert third.mutation.source == second.mutation.source


def test_a_refusal_of_a_final_handler_counts_for_nothing(build: Build, record: Record, shown: Shown) -> None:
    m = build(NR, "set A")
    record(m, BState=False, AnyState=False, AEnd=False)
    assert m.set("B") is EXECUTED
    assert shown(m) == "(B:1) [A:2]"
