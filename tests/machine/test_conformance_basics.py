"""Section 13.1: what is active, what is asked, what time it is."""

import random
from collections.abc import Callable

import pytest

from machine import (
    Clock,
    Machine,
    Result,
    Ticket,
    Time,
    UnknownStateError,
    activations,
    is_active_tick,
    next_active,
    next_active_in,
    next_inactive,
    next_inactive_in,
)

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED

MUTATIONS = [
    pytest.param("", "set A", "(A:1)", id="C001"),
    pytest.param("set A", "add B", "(A:1 B:1)", id="C002"),
    pytest.param("set A", "set B", "(B:1) [A:2]", id="C004"),
    pytest.param("set A", "add B", "(A:1 B:1)", id="C005"),
    pytest.param("set B,C", "remove C", "(B:1) [C:2]", id="C006"),
    pytest.param("", "toggle A", "(A:1)", id="C023-on"),
    pytest.param("toggle A", "toggle A", "() [A:2]", id="C023-off"),
    pytest.param("add A", "toggle A,B", "(A:1 B:1)", id="C023-half-of-a-list"),
    pytest.param("add A,B", "toggle A,B", "() [A:2 B:2]", id="C023-list"),
]


@pytest.mark.parametrize(("before", "action", "after"), MUTATIONS)
def test_a_mutation_of_bare_states_does_what_it_says(
    build: Build, do: Do, shown: Shown, watched: str, before: str, action: str, after: str
) -> None:
    m = build(NR, before, watched=watched)
    assert do(m, action) is EXECUTED
    assert shown(m) == after


QUERIES = [
    pytest.param("", lambda m: m.state_names, ("A", "B", "C", "D", "Exception"), id="C003"),
    pytest.param("set A,B", lambda m: m.is_active("A", "B"), True, id="C008-all"),
    pytest.param("set A,B", lambda m: m.is_active("A", "B", "C"), False, id="C008-one-missing"),
    pytest.param("set A,B", lambda m: m.is_active(), True, id="C008-none-asked"),
    pytest.param("set A,B", lambda m: m.is_inactive("A", "B"), False, id="C009-both-active"),
    pytest.param("set A,B", lambda m: m.is_inactive("A", "B", "C"), False, id="C009-one-inactive"),
    pytest.param("set A,B", lambda m: m.is_inactive("D"), True, id="C009-inactive"),
    pytest.param("set A,B", lambda m: m.is_inactive(), True, id="C009-none-asked"),
    pytest.param("set A,B", lambda m: m.any_active(["A", "B"], ["C"]), True, id="C010-first-group"),
    pytest.param("set A,B", lambda m: m.any_active(["A", "B", "C"], ["A"]), True, id="C010-second-group"),
    pytest.param("set A,B", lambda m: m.any_active("A", "B"), True, id="C010-states"),
    pytest.param("set A,B", lambda m: m.any_active(["C"]), False, id="C010-inactive-group"),
    pytest.param("set A,B", lambda m: m.any_active("C"), False, id="C010-inactive-state"),
    pytest.param("set A,B", lambda m: m.any_active(), False, id="C010-none-asked"),
    pytest.param("set A", lambda m: m.switch(["A", "B"]), "A", id="C011-found"),
    pytest.param("set A", lambda m: m.switch(["C", "B"]), None, id="C011-none"),
    pytest.param("set A,C", lambda m: m.switch(["B"], ["C"], ["A"]), "C", id="C011-left-to-right"),
    pytest.param("", lambda m: m.has("A", "Err"), False, id="C012-unknown"),
    pytest.param("", lambda m: m.has("A", "A", "B"), True, id="C012-twice"),
    pytest.param("", lambda m: m.has(*m.state_names), True, id="C012-all"),
    pytest.param("add A", lambda m: len(m.active_states(["A", "B"])), 1, id="C013"),
    pytest.param("add A; add C", lambda m: m.active_states(), ("C", "A"), id="C013-last-called-first"),
    pytest.param("add A; add C", lambda m: m.active_states(["A", "B", "C"]), ("A", "C"), id="C013-order-of-subset"),
    pytest.param("", lambda m: m.index("B", "Err"), (1, -1), id="C012-index"),
    pytest.param("set A,B", lambda m: str(m), "(A:1 B:1)", id="C019-str"),
    pytest.param("set A,B", lambda m: m.describe(), "(A:1 B:1) [C:0 D:0 Exception:0]", id="C019-str-all"),
]


@pytest.mark.parametrize(("before", "ask", "answer"), QUERIES)
def test_a_query_answers(build: Build, before: str, ask: Callable[[Machine], object], answer: object) -> None:
    assert ask(build(NR, before)) == answer


def test_c007_an_unknown_state_raises_in_the_caller_and_is_no_exception_state(build: Build) -> None:
    m = build(NR, "set A")
    with pytest.raises(UnknownStateError, match="has no state 'E'"):
        m.set("E")
    assert not m.is_error
    assert m.is_active("A")


#: Section 2.1: the action, and the ticks of A, B, C and D after it; B is multi.
TIME_TABLE = [
    ("add A,B", (1, 1, 0, 0)),
    ("add A,B", (1, 3, 0, 0)),
    ("add A,B,C", (1, 5, 1, 0)),
    ("set D", (2, 6, 2, 1)),
    ("add D,C", (2, 6, 3, 1)),
    ("remove B,C", (2, 6, 4, 1)),
    ("add A,B", (3, 7, 4, 1)),
    ("add C", (3, 7, 5, 1)),
]


def test_c014_ticks_follow_the_time_table(build: Build, do: Do, watched: str) -> None:
    m = build("A B{multi} C D", watched=watched)
    before = m.time()
    for action, ticks in TIME_TABLE:
        do(m, action)
        assert m.time(["A", "B", "C", "D"]) == ticks, action
    now = m.time()
    assert now.sum == m.time_sum == 16
    assert now.after(before, or_equal=True)
    assert not before.after(now, or_equal=True)
    assert not now.before(before, or_equal=True)
    assert m.active_states() == ("C", "A", "B", "D")


def test_c015_a_clock_is_a_mapping_of_ticks(build: Build, do: Do) -> None:
    m = build("A B{multi} C D")
    for action, _ in TIME_TABLE[:7]:
        do(m, action)
    assert m.clock() == {"A": 3, "B": 7, "C": 4, "D": 1, "Exception": 0}
    assert m.clock(["A", "B"]) == {"A": 3, "B": 7}
    assert m.tick("A") == 3


def test_c016_a_clock_is_the_present_only_when_all_ticks_are_equal(build: Build) -> None:
    m = build()
    saved, saved_a = m.clock(), m.clock(["A"])
    m.add("A", "B")
    assert not m.is_clock(saved)
    assert not m.is_clock(saved_a)
    assert m.is_clock({"A": saved_a["A"] + 1})


def test_c017_a_time_is_the_present_only_when_all_ticks_are_equal(build: Build) -> None:
    m = build()
    saved, saved_a = m.time(), m.time(["A"])
    m.add("A", "B")
    assert not m.is_time(saved_a, ["A"])
    assert not m.is_time(saved)
    assert m.is_time(m.time())


def test_c018_a_moment_that_has_been_is_not_one_to_come(build: Build) -> None:
    m = build()
    saved = m.time()
    m.add("A", "B")
    assert m.was_time(saved)
    assert not m.was_clock({"A": 2})
    assert m.was_clock(m.clock())


RL = "A{auto; require C} B{multi; add C} C{after D} D{add C,B}"


def test_c020_inspect_lists_ticks_and_only_the_properties_that_are_set(
    build: Build, do: Do, shown: Shown, watched: str
) -> None:
    m = build(RL, "set A,C", watched=watched)
    do(m, "remove C")
    assert shown(m) == "() [A:2 C:2]"
    do(m, "add B")
    assert shown(m) == "(A:3 B:1 C:3)"
    do(m, "add D")
    assert shown(m) == "(A:3 B:1 C:3 D:1)"
    assert m.inspect(["A", "C", "Exception"]).splitlines() == [
        "* A: 3",
        "    auto",
        "    require: C",
        "* C: 3",
        "    after: D",
        "  Exception: 0",
        "    multi",
    ]


@pytest.mark.parametrize(("tick", "active"), [(0, False), (1, True), (6548734, False), (6548735, True)])
def test_c021_odd_ticks_are_active(tick: int, active: bool) -> None:
    assert is_active_tick(tick) is active


@pytest.mark.parametrize(
    ("tick", "active", "inactive", "activated"), [(0, 1, 2, 0), (1, 3, 2, 1), (2, 3, 4, 1), (7, 9, 8, 4)]
)
def test_the_next_ticks_are_foretold(tick: int, active: int, inactive: int, activated: int) -> None:
    assert next_active(tick) == active
    assert next_inactive(tick) == inactive
    assert next_active_in(tick) == active - tick
    assert next_inactive_in(tick) == inactive - tick
    assert activations(tick) == activated


T213 = Time((2, 1, 3))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(T213.is_active([1]), True, id="C022-is1"),
        pytest.param(T213.is_active([-1]), False, id="C022-is-unknown"),
        pytest.param(T213.is_active([]), False, id="C022-is-nothing"),
        pytest.param(T213.is_active([1, 2]), True, id="C022-is"),
        pytest.param(T213.is_inactive([]), True, id="C022-not-nothing"),
        pytest.param(T213.is_inactive([0]), True, id="C022-not1"),
        pytest.param(T213.is_inactive([-1]), False, id="C022-not-unknown"),
        pytest.param(T213.any_active([1]), True, id="C022-any1"),
        pytest.param(T213.any_active([2]), True, id="C022-any1-last"),
        pytest.param(T213.any_active([0, -1]), False, id="C022-any-none"),
        pytest.param(T213.plus(T213).diff_since(T213), (2, 1, 3), id="C022-diff"),
        pytest.param(T213.diff_since((1, 1)), (0, 0, 0), id="C022-diff-of-lengths"),
        pytest.param(T213.plus((1, 1)), T213, id="C022-sum-of-lengths"),
        pytest.param(T213.non_zero(), (0, 1, 2), id="C022-non-zero"),
        pytest.param(T213.filter([2, 0]), (3, 2), id="C022-filter"),
        pytest.param(T213.increment(1), (2, 2, 3), id="C022-increment"),
        pytest.param(T213.sum_of([0, 2]), 5, id="C022-sum-of"),
        pytest.param(T213.active(), (1, 2), id="C022-active"),
        pytest.param(T213.after((1, 0, 2)), True, id="C022-after"),
        pytest.param(T213.after((1, 1, 2)), False, id="C022-after-needs-every-tick"),
        pytest.param(T213.before((3, 2, 4)), True, id="C022-before"),
        pytest.param(T213.before((3, 1, 4)), False, id="C022-before-needs-every-tick"),
        pytest.param(T213.after((1, 0)), True, id="C022-after-compares-the-common-front"),
        pytest.param(T213.equal((2, 1)), False, id="C022-equal-strict"),
        pytest.param(T213.equal((2, 1), strict=False), True, id="C022-equal-common-front"),
    ],
)
def test_vectors_of_ticks_compare_element_by_element(answer: object, expected: object) -> None:
    assert answer == expected


def test_c024_a_result_has_a_word_and_a_truth(build: Build) -> None:
    assert (str(EXECUTED), str(CANCELED)) == ("executed", "canceled")
    assert (repr(EXECUTED), repr(CANCELED)) == ("Result.EXECUTED", "Result.CANCELED")
    assert EXECUTED
    assert not CANCELED
    tickets: list[Result] = []
    m = build(NR, handlers={"AState": lambda event: tickets.append(event.machine.add("B"))})
    m.bind({"BEnter": lambda _: words.append(str(tickets[0]))})
    words: list[str] = []
    m.add("A")
    assert isinstance(tickets[0], Ticket)
    assert words == ["queued"]
    assert str(tickets[0]) == "executed"


def test_a_clock_is_a_value_with_names(build: Build) -> None:
    m = build(NR, "add A; add B; remove B")
    clock = m.clock()
    m.add("C")
    assert isinstance(clock, Clock)
    assert str(clock) == "(A:1)"
    assert repr(clock) == "Clock(A=1, B=2, C=0, D=0, Exception=0)"
    assert clock.active_states() == ("A",)
    assert clock.is_active("A")
    assert clock.is_inactive("B", "C")
    assert clock.any_active("B", "A")
    assert clock.sum == 3
    assert hash(clock) == hash(Clock(m.state_names, (1, 2, 0, 0, 0)))
    assert clock == Clock(m.state_names, (1, 2, 0, 0, 0)) != Clock(m.state_names, (1, 2, 1, 0, 0))
    assert clock == Clock(tuple(reversed(m.state_names)), (0, 0, 0, 2, 1))
    assert clock != Clock((*m.state_names, "E"), (1, 2, 0, 0, 0, 0))
    with pytest.raises(KeyError):
        clock["E"]


def test_a_machine_that_is_never_twice_in_one_place_forgets_and_goes_on(build: Build, seed: int) -> None:
    """What is known of a schema is bounded; more configurations than that must not matter."""
    dice = random.Random(seed)
    names = [f"S{n}" for n in range(20)]
    m, active = build(" ".join(names)), set[str]()
    for _ in range(10_000):
        state = dice.choice(names)
        m.toggle(state)
        active ^= {state}
    assert set(m.active_states()) == active
    assert m.time_sum == 10_000
