"""Section 14: defects of the upstream machine that are not built again, a regression test for each.

The table says which of them cannot occur here, and why; a test counts that none is forgotten. That count is why they
all stand in one module.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import (
    Clock,
    DisposedError,
    Event,
    ExceptionStateError,
    Machine,
    MisuseError,
    MutationType,
    Result,
    Schema,
    SchemaError,
    State,
    Tracer,
    Transition,
    bind_any,
    bind_state,
    cannot_add,
    cannot_remove,
    open_machine,
    wait_for_any,
)

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]
States = Callable[[str], dict[str, State]]
Transitions = Callable[[Machine], list[Transition]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED

#: What has no counterpart in Python.
DOES_NOT_APPLY = {
    12: "whatever is raised in Python is an exception; there are no panic values to lose",
    25: "there is one way to take handlers off, unbind, and no deprecated alias of it",
    38: "there is no list utility for states; comprehensions do that",
}


class BoomError(Exception):
    """What the handlers of these tests raise."""


def fail(_: Event) -> None:
    """Be a handler that fails."""
    raise BoomError


def test_no_bug_is_forgotten() -> None:
    here = sys.modules[__name__]
    tested = {int(name.split("_")[2]) for name in vars(here) if name.startswith("test_bug_")}
    assert tested & DOES_NOT_APPLY.keys() == set()
    assert tested | DOES_NOT_APPLY.keys() == set(range(1, 45))


def test_bug_1_relations_to_an_undeclared_exception_count(build: Build, shown: Shown) -> None:
    m = build("ErrNet{multi; add Exception; require Exception} Calm{remove Exception}")
    assert m.add("ErrNet") is EXECUTED
    assert shown(m) == "(ErrNet:1 Exception:1)"
    assert m.add("Calm") is EXECUTED
    assert shown(m) == "(Calm:1) [ErrNet:2 Exception:2]"


def test_bug_2_no_state_gets_lost_when_the_order_is_fixed(build: Build) -> None:
    m = build()
    with pytest.raises(MisuseError, match="must name each state exactly once"):
        m.verify_states(["A", "A", "B", "C", "D"])
    assert set(m.state_names) == {"A", "B", "C", "D", "Exception"}


def test_bug_3_a_prefix_is_decided_for_each_name_of_a_relation() -> None:
    schema = Schema({"A": State(require=["PxB", "C"]), "PxB": State(add="A"), "C": State(remove="Exception")})
    prefixed = schema.prefixed("Px", keep=True)
    assert prefixed.names == ("PxA", "PxB", "PxC", "Exception")
    assert prefixed["PxA"].require == ("PxB", "PxC")
    assert prefixed["PxB"].add == ("PxA",)
    assert prefixed["PxC"].remove == ("Exception",)
    assert schema.prefixed("Px", allow=["A"])["PxA"].require == ("PxB", "C")
    assert schema.prefixed("Px", skip=["A"])["PxPxB"].add == ("A",)


def test_bug_4_what_an_implied_state_removes_is_removed(build: Build, shown: Shown) -> None:
    m = build("A{add B} B{add C} C{remove X} X", "add X")
    m.add("A")
    assert shown(m) == "(A:1 B:1 C:1) [X:2]"


@pytest.mark.parametrize("called", ["C,A", "A,C", "C,B,A", "B,C,A", "C,A,B"])
def test_bug_5_after_holds_over_any_distance(build: Build, do: Do, record: Record, called: str) -> None:
    m = build("A B C{after A}")
    events = record(m)
    do(m, f"add {called}")
    assert events.index("AState") < events.index("CState")


@pytest.mark.parametrize("names", ["A B", "B A"])
def test_bug_6_the_first_declared_of_rival_autos_wins(build: Build, names: str) -> None:
    first, second = names.split()
    m = build(f"{first}{{auto; remove {second}}} {second}{{auto; remove {first}}} S")
    m.add("S")
    assert m.is_active(first)
    assert m.is_inactive(second)


def test_bug_6_reports_follow_the_schema() -> None:
    schema = Schema({name: State(tags="t") for name in "CABED"})
    assert schema.states_by_tag("t") == ("C", "A", "B", "E", "D")


def test_bug_7_an_auto_transition_that_only_swaps_is_executed(build: Build, transitions: Transitions) -> None:
    m = build("A{auto; remove X} X")
    seen = transitions(m)
    m.add("X")
    assert [(tx.is_auto, tx.accepted, tx.mutation.result) for tx in seen] == [
        (False, True, EXECUTED),
        (True, True, EXECUTED),
    ]


def test_bug_8_no_state_enters_without_being_asked(build: Build, shown: Shown, record: Record) -> None:
    schema = "A{auto; remove D} B{auto; add D} D S"
    m = build(schema)
    events = record(m, AEnter=False)
    m.add("S")
    assert events.index("DEnter") < events.index("DState")
    assert shown(m) == "(B:1 D:1 S:1)"
    refusing = build(schema)
    events = record(refusing, AEnter=False, DEnter=False)
    refusing.add("S")
    assert "DEnter" in events
    assert shown(refusing) == "(S:1)"


def test_bug_9_a_refused_exit_strikes_the_autos_behind_it(build: Build, shown: Shown, record: Record) -> None:
    m = build("X{auto} A{auto; require S; remove X} B{auto; require S} S", "add X")
    record(m, XExit=False)
    assert m.add("S") is EXECUTED
    assert shown(m) == "(X:1 B:1 S:1)"


def test_bug_10_a_dry_run_says_what_it_means(build: Build) -> None:
    tickets: list[Result] = []

    def ask(event: Event) -> None:
        m = event.machine
        tickets.extend([m.can_add("B"), m.can_add("C"), m.can_remove("A")])

    m = build(NR, handlers={"AState": ask, "BEnter": lambda _: False, "AExit": lambda _: False})
    m.add("A")
    assert [t.executed for t in tickets] == [False, True, False]
    assert [cannot_add(m, "B"), cannot_add(m, "C"), cannot_remove(m, "A")] == [True, False, True]


def test_bug_11_an_event_says_that_it_is_a_dry_run(build: Build) -> None:
    seen: list[bool] = []
    m = build(NR, handlers={"AEnter": lambda e: seen.append(e.is_check)})
    m.can_add("A")
    m.add("A")
    assert seen == [True, False]


def test_bug_13_a_failing_end_handler_leaves_no_half_entered_states(build: Build, shown: Shown, record: Record) -> None:
    m = build(NR, "set A")
    events = record(m, AEnd=BoomError())
    assert m.set("B", "C") is CANCELED
    assert shown(m) == "(Exception:1) [A:2 B:2 C:2]"
    assert "BState" not in events


@pytest.fixture
def waiting(nursery: trio.Nursery) -> Callable[[Awaitable[Clock]], Awaitable[list[Any]]]:
    """Return a function that starts a wait as a task; its list grows by what became of it."""

    async def start(wait: Awaitable[Clock]) -> list[Any]:
        outcome: list[Any] = []

        async def task() -> None:
            try:
                outcome.append(await wait)
            except DisposedError as error:
                outcome.append(error)

        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        return outcome

    return start


Waiting = Callable[[Awaitable[Clock]], Awaitable[list[Any]]]


async def test_bug_14_waits_see_what_changed_in_a_failed_transition(build: Build, waiting: Waiting) -> None:
    m = build(NR, handlers={"BState": fail})
    active, ticks = await waiting(m.when("A")), await waiting(m.when_ticks("B", 2))
    assert m.add("A", "B") is CANCELED
    await trio.testing.wait_all_tasks_blocked()
    assert str(active[0]) == "(A:1)"
    assert ticks[0]["B"] == 2


async def test_bug_15_a_scope_ends_when_its_state_is_recovered(build: Build) -> None:
    scopes: list[Any] = []

    def state(event: Event) -> None:
        scopes.append(event.machine.scope("B"))
        assert not scopes[0].expired

    m = build(NR, handlers={"AState": state, "BState": fail})
    m.add("A", "B")
    assert scopes[0].expired


def test_bug_16_a_re_entered_state_is_not_ticked_again(build: Build, shown: Shown) -> None:
    m = build("E{multi} B", "add E", handlers={"BState": fail})
    m.add("E", "B")
    assert shown(m) == "(E:3 Exception:1) [B:2]"


def test_bug_17_a_failure_while_an_error_is_handled_stops_nothing(build: Build, shown: Shown) -> None:
    m = build(NR, handlers={"ExceptionState": fail})
    assert m.add_error(OSError()) is CANCELED
    for name in "ABC":
        assert m.add(name) is EXECUTED
    assert shown(m) == "(A:1 B:1 C:1) [Exception:2]"


async def test_bug_18_tickets_of_dropped_mutations_are_canceled(build: Build) -> None:
    tickets: list[Result] = []

    def state(event: Event) -> None:
        m = event.machine
        tickets.extend([m.add("B"), m.can_add("C"), m.prepend(MutationType.ADD, "D")])
        m.dispose()

    m = build(NR, handlers={"AState": state})
    m.add("A")
    assert [await t for t in tickets] == [CANCELED] * 3
    assert m.queue_len == 0


def test_bug_19_a_restored_machine_says_so(build: Build, shown: Shown) -> None:
    first = build("A MachineRestored", "add A", id="m")
    again = build("A MachineRestored", id="m")
    again.restore(first.export())
    assert shown(again) == "(A:1 MachineRestored:1)"
    assert again.machine_tick == 1


async def test_bug_20_a_ticket_has_no_verdict_while_its_mutation_runs(build: Build) -> None:
    seen: list[object] = []
    tickets: list[Result] = []

    def look(event: Event) -> None:
        seen.append((event.name, tickets[0].queued))

    m = build(NR, handlers={"AState": lambda e: tickets.append(e.machine.add("B")), "BEnter": look, "BState": look})
    m.add("A")
    assert seen == [("BEnter", True), ("BState", True)]
    assert await tickets[0] is EXECUTED


async def test_bug_21_a_canceled_mutation_wakes_whoever_awaits_it(states: States, nursery: trio.Nursery) -> None:
    tickets: list[Result] = []
    verdicts: list[Result] = []
    handlers = {"AState": lambda e: tickets.append(e.machine.add("B")), "BEnter": lambda _: False}

    async def wait() -> None:
        verdicts.append(await tickets[0])

    async with open_machine(states(NR), handlers=handlers, drain_budget=1) as m:
        m.add("A")
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert verdicts == [CANCELED]
        assert not m.is_error


async def test_bug_22_waits_for_a_query_are_cancelled_and_released_like_others(build: Build, waiting: Waiting) -> None:
    m = build()
    with trio.move_on_after(0):
        await m.when_query(lambda _: False)
    assert m.statistics().waits == 0
    outcome = await waiting(m.when_query(lambda _: False))
    m.dispose()
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(outcome[0], DisposedError)


async def test_bug_23_a_scope_of_a_disposed_machine_is_over(build: Build) -> None:
    m = build(NR, "add A")
    m.dispose()
    scope = m.scope("A")
    assert scope.expired
    with trio.fail_after(1), scope:
        await trio.sleep_forever()


async def test_bug_24_pools_count_by_handler_and_over_all(states: States) -> None:
    started: list[bool] = []
    running: list[str] = []

    async def work() -> None:
        running.append("work")
        await trio.sleep_forever()

    def state(event: Event) -> None:
        started.extend(event.machine.pool_fork(event, work) for _ in range(3))

    async with open_machine(states("A B C{multi}"), handlers={"AState": state, "BState": state, "CState": state}) as m:
        m.add("C")
        assert started == [True, True, True]
        m.set_pool_limit("AState", 2)
        m.set_pool_limit(None, 6)
        m.add("A")
        assert started[3:] == [True, True, False]
        m.add("B")
        assert started[6:] == [True, False, False]
        await trio.testing.wait_all_tasks_blocked()
        assert len(running) == 6
        m.remove("A", "B", "C")
        await trio.testing.wait_all_tasks_blocked()
        m.add("A")
        assert started[9:] == [True, True, False]


def test_bug_26_a_failing_eval_raises_and_leaves_the_machine_idle(build: Build) -> None:
    m = build()

    def function() -> None:
        m.add("A")
        raise BoomError

    with pytest.raises(BoomError):
        m.eval(function)
    assert m.is_idle
    assert m.is_active("A")
    assert m.add("B") is EXECUTED


async def test_bug_27_waits_go_on_after_a_schema_change(build: Build, states: States, waiting: Waiting) -> None:
    m = build()
    ticks, query = await waiting(m.when_ticks("A", 3)), await waiting(m.when_query(lambda c: c["E"] == 1))
    m.set_schema(states("A B C D E"))
    for name in "AEA":
        m.toggle(name)
    m.toggle("A")
    await trio.testing.wait_all_tasks_blocked()
    assert ticks[0]["A"] == 3
    assert query[0] == Clock(m.state_names, (1, 0, 0, 0, 0, 1))


def test_bug_28_a_schema_that_does_not_fit_changes_nothing(build: Build, states: States) -> None:
    m = build(NR, "add A")
    before = (m.schema, m.schema_version, m.clock())
    for bad in ("A B C", "A B C D"):
        with pytest.raises(MisuseError):
            m.set_schema({**states(bad), "E": State(require="Nowhere")})
    with pytest.raises(SchemaError):
        m.set_schema({"A": State(require="B", remove="B"), "B": State(), "C": State(), "D": State()})
    assert (m.schema, m.schema_version, m.clock()) == before


async def test_bug_29_the_end_of_its_scope_ends_a_machine_without_handlers(states: States) -> None:
    heard: list[str] = []
    with trio.CancelScope() as scope:
        async with open_machine(states(NR)) as m:
            m.on_dispose(lambda _: heard.append("gone"))
            scope.cancel()
            await trio.sleep_forever()
    assert heard == ["gone"]


def test_bug_30_a_pipe_keeps_the_order_of_its_source(build: Build, shown: Shown, transitions: Transitions) -> None:
    source = build(NR, handlers={"AState": lambda e: e.machine.remove("A"), "AEnd": lambda e: e.machine.add("B")})
    target = build()
    bind_state(source, "A", target)
    bind_state(source, "B", target)
    seen = transitions(target)
    source.add("A")
    assert [(tx.mutation.type.name, tx.called) for tx in seen] == [("ADD", ("A",)), ("REMOVE", ("A",)), ("ADD", ("B",))]
    assert shown(target) == "(B:1) [A:2]"


def test_bug_31_a_whole_binding_follows_pure_removals(build: Build, shown: Shown) -> None:
    source, target = build(NR, "add A,B"), build()
    bind_any(source, target)
    source.add("C")
    assert shown(target) == "(A:1 B:1 C:1)"
    source.remove("A")
    assert shown(target) == "(B:1 C:1) [A:2]"
    assert [p.target for p in source.pipes_out] == [target]
    assert [p.source for p in target.pipes_in] == [source]


async def test_bug_32_a_race_watches_the_error(build: Build, nursery: trio.Nursery) -> None:
    m = build()
    error = BoomError()
    nursery.start_soon(_add_error_soon, m, error)
    with pytest.raises(ExceptionStateError) as caught:
        await wait_for_any(m.when("A"), m.when("B"), within=60, error_of=m)
    assert caught.value.__cause__ is error
    assert m.statistics().waits == 0


async def _add_error_soon(machine: Machine, error: BaseException) -> None:
    await trio.testing.wait_all_tasks_blocked()
    machine.add_error(error)


async def test_bug_33_a_mutation_at_the_very_end_of_a_drain_is_not_left_behind(
    build: Build, nursery: trio.Nursery
) -> None:
    class Late(Tracer):
        """Ask for one more state when all is done, and for another one from another thread."""

        def queue_end(self, machine: Machine) -> None:
            if machine.is_inactive("B"):
                machine.add("B")

    m = build(NR)
    m.add_tracer(Late())
    m.add("A")
    assert m.is_active("A", "B")
    await trio.to_thread.run_sync(trio.from_thread.run_sync, lambda: m.add("C"))
    assert m.is_active("C")
    assert m.is_idle


def test_bug_34_a_caller_is_told_the_verdict_of_its_own_mutation(build: Build) -> None:
    def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.add("C")

    m = build(NR, handlers={"AState": state, "CEnter": lambda _: False}, drain_budget=2)
    assert m.add("A") is EXECUTED
    assert m.queue_len == 1  # C, which will be refused
    assert m.add("D") is EXECUTED
    assert m.active_states() == ("D", "B", "A")


def test_bug_35_whatever_leaves_a_drain_leaves_the_machine_idle(build: Build) -> None:
    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    for event in ("AEnter", "AState", "AnyState"):
        m = build(NR)
        binding = m.bind({event: interrupt})
        with pytest.raises(KeyboardInterrupt):
            m.add("A")
        assert m.is_idle
        assert m.transition is None
        m.unbind(binding)
        assert m.add("B") is EXECUTED


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("queue_limit", 5),
        ("handler_timeout", 2.5),
        ("drain_budget", 7),
        ("raise_errors", True),
        ("on_change", print),
        ("on_error", print),
        ("clock", lambda: 1.0),
    ],
)
def test_bug_36_every_option_arrives(states: States, option: str, value: Any) -> None:
    assert getattr(Machine(states(NR), **{option: value}).options, option) is value


@pytest.mark.parametrize("position", ["any", "first", "last"])
def test_bug_37_an_empty_queue_holds_nothing(build: Build, position: Any) -> None:
    m = build()
    assert m.is_queued(MutationType.ADD, ["A"], position=position) is None
    assert not m.will_be("A", position=position)
    assert not m.will_be_removed("A", position=position)


async def test_bug_39_waits_for_args_are_told_apart(build: Build, waiting: Waiting) -> None:
    m = build("A{multi}")
    strict, lax = await waiting(m.when_args("A", x=1, y=2)), await waiting(m.when_args("A", x=1))
    m.add("A", x=1)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(strict), len(lax)) == (0, 1)
    m.add("A", y=2, x=1)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(strict), len(lax)) == (1, 1)


def test_bug_40_a_disposal_from_a_handler_lets_its_transition_end(build: Build, record: Record) -> None:
    def dispose(event: Event) -> None:
        event.machine.add("B")
        event.machine.dispose()

    m = build()
    events = record(m, AState=dispose)
    assert m.add("A", "C") is EXECUTED
    assert events == ["AEnter", "CEnter", "AnyEnter", "AState", "CState", "AnyState"]
    assert m.is_disposed


@pytest.mark.parametrize("refusing", ["AA", "BB"])
def test_bug_41_any_refusing_self_handler_cancels(build: Build, shown: Shown, record: Record, refusing: str) -> None:
    m = build(NR, "add A,B")
    record(m, **{refusing: False})
    assert m.add("C") is CANCELED
    auto = build("A B Z{auto; require S} S", "add A,B")
    record(auto, **{refusing: lambda e: not e.transition.is_auto})
    auto.add("S")
    assert shown(auto) == "(A:1 B:1 S:1)"


def test_bug_42_small_calls_keep_what_they_were_given(build: Build) -> None:
    seen: list[Event] = []
    m = build(NR, "add A,B", handlers={"AExit": seen.append}, id="m")
    m.can_remove("A", why="asked")
    assert seen[0].args == {"why": "asked"}
    assert json.loads(json.dumps(seen[0].export())) == {"name": "AExit", "machine_id": "m", "transition_id": "m:0:1"}
    schema = Schema({"A": State(tags="one")}).extend("A", State(tags="two"))
    assert schema["A"].tags == ("one", "two")
    assert m.time().filter([1, 2]).active() == (0,)
    assert m.eval(lambda: m.tick("A")) == 1


def test_bug_43_a_handler_that_fails_after_its_time_has_failed(build: Build, shown: Shown) -> None:
    now = [0.0]

    def slow(_: Event) -> None:
        now[0] += 5
        raise BoomError

    m = build(NR, handlers={"AState": slow}, clock=lambda: now[0])
    assert m.add("A") is CANCELED
    assert shown(m) == "(Exception:1) [A:2]"
    assert isinstance(m.last_error, BoomError)


@pytest.mark.parametrize("event", ["AEnter", "AState", "AnyState"])
def test_bug_44_a_machine_that_ends_amid_a_drain_is_at_rest(build: Build, event: str) -> None:
    m = build(NR, handlers={event: lambda e: e.machine.dispose()})
    m.add("A")
    assert m.is_disposed
    assert m.is_idle
    assert m.transition is None
