"""Sections 3 and 13.4: the queue, its ticks, what a caller is told, and dry runs."""

from collections.abc import Callable
from typing import Any

import pytest

from machine import Event, Machine, MutationType, Result, State, Ticket, Transition, open_machine

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]
Transitions = Callable[[Machine], list[Transition]]

NR = "A B C D"
RL = "A{auto; require C} B{multi; add C} C{after D} D{add C,B}"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED
ADD, REMOVE, SET = MutationType


class Nested:
    """Carry out mutations in one handler and keep what came of them, at once."""

    def __init__(self, event: str, *actions: Callable[[Machine], Result]) -> None:
        self.results: list[Result] = []
        self.ticks: list[int | None] = []
        self.lengths: list[int] = []
        self.actions = actions
        setattr(self, event, self._run)

    def _run(self, event: Event) -> None:
        for action in self.actions:
            result = action(event.machine)
            self.results.append(result)
            self.ticks.append(result.queue_tick)
            self.lengths.append(event.machine.queue_len)


def add(*names: str) -> Callable[[Machine], Result]:
    """Return the mutation that adds these states."""
    return lambda m: m.add(*names)


def remove(*names: str) -> Callable[[Machine], Result]:
    """Return the mutation that removes these states."""
    return lambda m: m.remove(*names)


def can_add(*names: str) -> Callable[[Machine], Result]:
    """Return the dry run that asks for these states."""
    return lambda m: m.can_add(*names)


#: before, event, actions in its handler, mutation, queue ticks of the actions, clock after, queue tick after
NESTED = [
    pytest.param("set A", "BEnter", [add("C")], "set B", [4], "(B:1 C:1) [A:2]", 4, id="C110"),
    pytest.param(
        "set B",
        "AState",
        [add("B"), add("B"), add("B"), remove("B"), remove("B")],
        "add A",
        [4, 0, 0, 5, 0],
        "(A:1) [B:2]",
        5,
        id="C112",
    ),
    pytest.param("", "AState", [add("B"), add("C"), add("D")], "add A", [3, 4, 5], "(A:1 B:1 C:1 D:1)", 5, id="C113"),
    pytest.param("", "AState", [can_add("B"), add("B")], "add A", [None, 3], "(A:1 B:1)", 3, id="C117"),
    pytest.param("", "AEnter", [remove("A")], "add A", [0], "(A:1)", 2, id="C118"),
    pytest.param("", "AState", [remove("A")], "add A", [3], "() [A:2]", 3, id="C119"),
    pytest.param(
        "", "AState", [add("B"), remove("B"), add("B")], "add A", [3, 4, 5], "(A:1 B:3)", 5, id="C120"
    ),  # decision 4
]


@pytest.mark.parametrize(("before", "event", "actions", "mutation", "ticks", "after", "queue_tick"), NESTED)
def test_mutations_from_a_handler_wait_their_turn(
    build: Build,
    do: Do,
    shown: Shown,
    before: str,
    event: str,
    actions: list[Callable[[Machine], Result]],
    mutation: str,
    ticks: list[int | None],
    after: str,
    queue_tick: int,
) -> None:
    nested = Nested(event, *actions)
    m = build(NR, before, handlers=nested)
    assert do(m, mutation) is EXECUTED
    assert nested.ticks == ticks
    assert shown(m) == after
    assert m.queue_tick == queue_tick
    assert all(isinstance(r, Ticket) == (t is None or t > 1) for r, t in zip(nested.results, ticks, strict=True))
    assert not any(r.queued for r in nested.results)
    assert m.is_idle


def test_c110_each_handler_runs_once_but_those_of_any(build: Build, record: Record) -> None:
    m = build(NR, "set A")
    events = record(m, BEnter=lambda event: None if event.machine.add("C").queued else False)
    m.set("B", foo="bar")
    once = [e for e in events if not e.startswith("Any")]
    assert len(once) == len(set(once))
    assert events.count("AnyEnter") == events.count("AnyState") == 2


def test_c111_the_queue_can_be_looked_into(build: Build) -> None:
    seen: dict[str, Any] = {}

    def state(event: Event) -> None:
        m = event.machine
        for name in "BCD":
            m.add(name)
        found = m.is_queued(ADD, ["C"])
        seen.update(
            length=m.queue_len,
            at=m.queue().index(found) if found else None,
            tick=found.queue_tick if found else None,
            will=[m.will_be("C"), m.will_be("A"), m.will_be_removed("A"), m.will_be("B", "C")],
            first=[m.will_be("B", position="first"), m.will_be("C", position="first")],
            last=[m.will_be("D", position="last"), m.will_be("C", position="last")],
            above=[m.is_queued_above(1, ADD, ["B"]), m.is_queued_above(2, ADD, ["B"])],
            later=m.is_queued(ADD, ["B"], min_queue_tick=4),
        )

    build(NR, handlers={"AState": state}).add("A", foo="bar")
    assert seen == {
        "length": 3,
        "at": 1,
        "tick": 4,
        "will": [True, False, False, False],
        "first": [True, False],
        "last": [True, False],
        "above": [True, False],
        "later": None,
    }


def test_a_queued_mutation_is_found_by_more_than_its_states(build: Build) -> None:
    seen: list[bool] = []

    def state(event: Event) -> None:
        m = event.machine
        m.add("B", "C", foo="bar")
        m.remove("A")
        seen.append(m.is_queued(ADD, ["B"]) is not None)
        seen.append(m.is_queued(ADD, ["B"], exact=True) is not None)
        seen.append(m.is_queued(ADD, ["C", "B"], exact=True) is not None)
        seen.append(m.is_queued(ADD, ["B"], without_args=True) is not None)
        seen.append(m.is_queued(ADD, ["B"], is_check=True) is not None)
        seen.append(m.will_be_removed("A"))

    build(NR, handlers={"AState": state}).add("A")
    assert seen == [True, False, True, False, False, True]


def test_c112_the_queue_grows_only_by_what_is_not_in_it_already(build: Build) -> None:
    nested = Nested("AState", add("B"), add("B"), add("B"), remove("B"), remove("B"))
    m = build(NR, "set B", handlers=nested)
    m.add("A", foo="bar")
    assert nested.lengths == [1, 1, 1, 2, 2]
    assert m.statistics().duplicates == 3


async def test_c113_a_ticket_delivers_the_verdict_of_its_mutation(build: Build) -> None:
    nested = Nested("AState", add("B"), add("C"), add("D"))
    m = build(NR, handlers=nested)
    m.add("A")
    assert await nested.results[-1] is EXECUTED
    assert m.is_active("A", "B", "C", "D")


async def test_c114_the_end_of_the_queue_can_be_waited_for() -> None:
    during: list[object] = []

    def state(event: Event) -> None:
        during.append((event.machine.transition is event.transition, event.machine.is_idle))
        event.machine.add("B")

    async with open_machine({"A": State(), "B": State()}, handlers={"AState": state}, drain_budget=1) as m:
        m.add("A")
        during.append((m.is_active("B"), m.is_idle))
        clock = await m.when_idle()
        assert clock.is_active("A", "B")
        during.append((m.transition, m.is_idle))
        assert during == [(True, False), (False, False), (None, True)]
        assert (await m.when_idle()).is_active("A")


@pytest.mark.parametrize(
    ("schema", "ask", "verdict"),
    [
        pytest.param(RL, "can_add A", CANCELED, id="C115-lacks-c"),
        pytest.param(RL, "can_add C", EXECUTED, id="C115"),
        pytest.param("E{multi; require A} A", "can_add E", EXECUTED, id="C116-multi-is-lenient"),
        pytest.param("E{multi; require A} A", "add E", CANCELED, id="C116-but-only-when-asked"),
        pytest.param(NR, "can_remove A", EXECUTED, id="can-remove"),
    ],
)
def test_a_dry_run_answers_and_changes_nothing(
    build: Build, do: Do, shown: Shown, watched: str, schema: str, ask: str, verdict: Result
) -> None:
    changes: list[object] = []
    m = build(schema, watched=watched, on_change=lambda *args: changes.append(args) if "can" in ask else None)
    assert do(m, ask) is verdict
    assert shown(m) == "()"
    assert changes == []


def test_a_dry_run_asks_the_negotiation_handlers_and_no_others(build: Build, record: Record) -> None:
    m = build(NR, "set A")
    events = record(m)
    assert m.can_add("B") is EXECUTED
    assert m.can_remove("A") is EXECUTED
    assert events == ["BEnter", "AA", "AB", "AnyEnter", "AExit", "AnyEnter"]


def test_a_dry_run_in_a_handler_gets_its_verdict_through_a_ticket(build: Build) -> None:
    nested = Nested("AState", can_add("B"), can_add("C"))
    m = build(NR, handlers=nested)
    m.bind({"BEnter": lambda _: False})
    m.add("A")
    assert [r.queue_tick for r in nested.results] == [None, None]
    assert [r.executed for r in nested.results] == [False, True]


def test_c121_the_auto_transition_jumps_the_queue(build: Build, transitions: Transitions) -> None:
    m = build(f"{NR} Z{{auto; require A}}", handlers=Nested("AState", add("B"), add("C")))
    seen = transitions(m)
    m.add("A")
    assert [(tx.called, tx.is_auto, tx.mutation.queue_tick) for tx in seen] == [
        (("A",), False, 2),
        (("Z",), True, 0),
        (("B",), False, 3),
        (("C",), False, 4),
    ]


def test_c122_removing_an_inactive_state_of_an_idle_machine_is_a_transition(
    build: Build, record: Record, transitions: Transitions
) -> None:
    m = build(f"{NR} Z{{auto}}")
    seen = transitions(m)
    events = record(m)
    assert m.remove("A") is EXECUTED
    assert events == ["AnyEnter", "AnyState"]
    assert len(seen) == 1
    assert m.time_sum == 0


def test_c123_adding_an_active_state_runs_its_self_handler(build: Build, record: Record) -> None:
    m = build()
    events = record(m)
    assert m.add("A") is EXECUTED
    del events[:]
    assert m.add("A") is EXECUTED
    assert events == ["AA", "AnyEnter", "AnyState"]
    assert m.tick("A") == 1


def test_c124_a_full_queue_cancels_but_has_room_for_errors(build: Build, shown: Shown) -> None:
    nested = Nested("AState", add("B"), add("C"), add("D"), add("Exception"), lambda m: m.add_error(OSError("world")))
    m = build(NR, handlers=nested, queue_limit=2)
    m.add("A")
    assert nested.ticks == [3, 4, 1, 5, 6]
    assert nested.results[2] is CANCELED
    assert shown(m) == "(A:1 B:1 C:1 Exception:3)"
    assert m.statistics().dropped == 1


# -- what section 13.4 has no number for


def test_prepended_mutations_run_in_reverse_order_of_the_calls(build: Build, transitions: Transitions) -> None:
    def prepend(name: str) -> Callable[[Machine], Result]:
        return lambda m: m.prepend(ADD, name)

    nested = Nested("AState", add("D"), prepend("B"), prepend("C"))
    m = build(NR, handlers=nested)
    seen = transitions(m)
    m.add("A")
    assert [tx.called[0] for tx in seen] == ["A", "C", "B", "D"]
    assert nested.ticks == [3, None, None]
    assert m.queue_tick == 3


def test_a_prepended_mutation_on_an_idle_machine_is_carried_out_at_once(build: Build) -> None:
    m = build()
    assert m.prepend(ADD, "A") is EXECUTED
    assert m.prepend(SET, "B") is EXECUTED
    assert m.prepend(REMOVE, "B") is EXECUTED
    assert m.clock(["A", "B"]) == {"A": 2, "B": 2}
    assert m.queue_tick == 1


def test_a_duplicate_with_args_or_of_a_multi_state_is_no_duplicate(build: Build) -> None:
    nested = Nested("AState", lambda m: m.add("B", n=1), add("B"), add("E"), add("E"))
    m = build("A B E{multi}", handlers=nested)
    m.add("A")
    assert nested.ticks == [3, 4, 5, 6]
    assert m.tick("E") == 3


def test_a_caller_in_an_idle_machine_sees_all_that_followed(build: Build, shown: Shown) -> None:
    m = build(
        "A B C Z{auto; require C}",
        handlers={"AState": lambda e: e.machine.add("B"), "BState": lambda e: e.machine.add("C")},
    )
    assert m.add("A") is EXECUTED
    assert shown(m) == "(A:1 B:1 C:1 Z:1)"


def test_the_queue_tick_starts_at_one_and_counts_what_was_appended(build: Build, watched: str) -> None:
    m = build("A{require B} B Z{auto}", watched=watched)
    assert m.queue_tick == 1
    m.add("A")  # refused by relations, but taken off the queue
    m.add("B")  # followed by an auto transition, which does not count
    m.can_add("A")
    assert m.queue_tick == 3
