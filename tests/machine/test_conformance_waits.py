"""Sections 5, 6 and 13.7: tasks that wait for a clock, and scopes that end with a tick.

A wait is a coroutine: where upstream hands out a channel and a context, trio hands out a task and its cancellation.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import Clock, DisposedError, Event, Machine, MisuseError, Result, State, Ticket, open_machine

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Waiting = Callable[..., Awaitable["Outcome"]]

NR = "A B C D"
RL = "A{auto; require C} B{multi; add C} C{after D} D{add C,B}"


class Outcome:
    """What became of a wait: nothing yet, the clock it returned, or what it raised."""

    def __init__(self) -> None:
        self.clock: Clock | None = None
        self.error: Exception | None = None

    @property
    def pending(self) -> bool:
        """Whether the task still waits."""
        return self.clock is None and self.error is None


@pytest.fixture
def waiting(nursery: trio.Nursery) -> Waiting:
    """Return a function that starts a wait as a task and comes back once it waits, or is through."""

    async def start(wait: Callable[..., Awaitable[Clock]], *args: Any, **options: Any) -> Outcome:
        outcome = Outcome()

        async def task() -> None:
            try:
                outcome.clock = await wait(*args, **options)
            except (DisposedError, MisuseError, ArithmeticError) as error:
                outcome.error = error

        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        return outcome

    return start


#: schema, before, what is waited for, steps, after which of them (from 1) it comes true; 0: at once
WAITS = [
    pytest.param(NR, "", lambda m: m.when("A", "B"), ["add A", "add B"], 2, id="C171-S5"),
    pytest.param(NR, "set A", lambda m: m.when("A"), [], 0, id="C172-S9"),
    pytest.param(NR, "", lambda m: m.when(), [], 0, id="nothing-to-wait-for"),
    pytest.param(NR, "", lambda m: m.when("A"), ["set A"], 1, id="C173-A"),
    pytest.param(NR, "", lambda m: m.when("A", "B"), ["set A"], None, id="C173-A-B"),
    pytest.param(NR, "", lambda m: m.when("A", "C"), ["set A", "set C"], None, id="C173-not-at-the-same-time"),
    pytest.param(NR, "set B,C", lambda m: m.when_not("B", "C"), ["add A; remove B", "remove C"], 2, id="C174"),
    pytest.param(NR, "set A,B", lambda m: m.when_not("A", "B"), ["remove A,B"], 1, id="C175-S6"),
    pytest.param(NR, "set A", lambda m: m.when_not("B"), [], 0, id="C176-S9"),
    pytest.param(
        NR,
        "set A,B",
        lambda m: m.when_time(["A", "B"], [5, 2]),
        ["remove A,B", "add A,B", "remove A; add A"],
        3,
        id="C179-S1",
    ),
    pytest.param(
        NR,
        "set A,B; remove A,B; add A,B; remove A; add A",
        lambda m: m.when_time(["A", "B"], [9, 2]),
        ["remove A; add A", "remove A", "add A"],
        3,
        id="C179-S2",
    ),
    pytest.param(NR, "set A", lambda m: m.when_time("A", [1]), [], 0, id="when-time-of-one-state"),
    pytest.param(NR, "set A", lambda m: m.when_ticks("A", 3), ["remove A", "add A", "remove A"], 3, id="when-ticks"),
    pytest.param(NR, "set A", lambda m: m.when_next_active("A"), ["remove A", "add A"], 2, id="C187"),
    pytest.param(NR, "", lambda m: m.when_next_active("A"), ["add A"], 1, id="when-next-active-from-inactive"),
    pytest.param("E{multi}", "add E", lambda m: m.when_next_active("E"), ["add E"], 1, id="when-next-active-of-multi"),
    pytest.param(
        NR,
        "set A",
        lambda m: m.when_query(lambda c: c["A"] > 4 * c["B"]),
        ["add B", "remove A", "add A", "remove A", "add A"],
        5,
        id="C181-S4-q1-is-not-asked-about-the-present",
    ),
    pytest.param(
        NR,
        "set A",
        lambda m: m.when_query(lambda c: c["A"] < c["B"]),
        ["add B", "remove A", "add A", "remove A", "add A"],
        None,
        id="C181-S4-q2",
    ),
    pytest.param(NR, "", lambda m: m.when_error(), ["add A", "add Exception"], 2, id="when-error"),
    pytest.param(NR, "", lambda m: m.when_idle(), [], 0, id="when-idle"),
    pytest.param(NR, "set A", lambda m: m.when_disposed(), ["add B", "dispose"], 2, id="when-disposed"),
]


@pytest.mark.parametrize(("schema", "before", "wait", "steps", "at"), WAITS)
async def test_a_wait_comes_true_at_its_step(
    build: Build,
    do: Do,
    waiting: Waiting,
    watched: str,
    schema: str,
    before: str,
    wait: Callable[[Machine], Awaitable[Clock]],
    steps: list[str],
    at: int | None,
) -> None:
    m = build(schema, before, watched=watched)
    one, other = await waiting(wait, m), await waiting(wait, m)
    came = None if one.pending else 0
    for number, step in enumerate(steps, 1):
        do(m, step)
        await trio.testing.wait_all_tasks_blocked()
        came = number if came is None and not one.pending else came
        assert one.pending is other.pending
    assert came == at
    if at is None:
        m.dispose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(one.error, DisposedError)
        assert isinstance(other.error, DisposedError)
    assert m.statistics().waits == 0


async def test_s8_lengths_that_differ_raise_at_the_call_and_are_no_exception_state(build: Build) -> None:
    m = build()
    with pytest.raises(MisuseError, match="1 ticks for 2 states: give one tick for each state"):
        await m.when_time(["A", "B"], [1])
    with pytest.raises(MisuseError, match="0 ticks for 0 states"):
        await m.when_time([], [])
    assert not m.is_error


async def test_c170_a_background_task_of_a_state_adds_what_others_wait_for(
    states: Callable[[str], dict[str, State]], autojump_clock: trio.testing.MockClock
) -> None:
    async def state(event: Event) -> None:
        for name in "BC":
            await trio.sleep(0.01)
            event.machine.add(name)

    async with open_machine(states(NR), handlers={"AState": state}) as m:
        m.set("A")
        clock = await m.when("B", "C")
        assert clock.is_active("A", "B", "C")
        assert trio.current_time() == pytest.approx(0.02)


async def test_c174_a_background_task_of_a_state_removes_what_others_wait_to_go(
    states: Callable[[str], dict[str, State]],
) -> None:
    async def state(event: Event) -> None:
        event.machine.remove("B")
        await trio.lowlevel.checkpoint()
        event.machine.remove("C")

    async with open_machine(states(NR), handlers={"AState": state}) as m:
        m.set("B", "C")
        m.add("A")
        await m.when_not("B", "C")
        await m.when_not("B")
        assert m.active_states() == ("A",)


async def test_c177_a_cancelled_wait_ends_at_once_and_leaves_nothing(build: Build, nursery: trio.Nursery) -> None:
    m = build("A B C D{multi}", "set A,B")
    waits: list[Callable[[], Awaitable[Clock]]] = [
        lambda: m.when_time(["A", "B"], [5, 5]),
        lambda: m.when_ticks("A", 4),
        lambda: m.when_next_active("A"),
        lambda: m.when_args("D", foo="bar"),
        lambda: m.when("C"),
        lambda: m.when_not("A"),
        lambda: m.when_query(lambda _: False),
        lambda: m.when_disposed(),
    ]
    ended = []
    scope = trio.CancelScope()

    async def all_of_them() -> None:
        with scope:
            async with trio.open_nursery() as inner:
                for wait in waits:
                    inner.start_soon(wait)
        ended.append(len(waits))

    nursery.start_soon(all_of_them)
    await trio.testing.wait_all_tasks_blocked()
    assert m.statistics().waits == len(waits)
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert ended == [len(waits)]
    assert m.statistics().waits == 0
    m.add("D", foo="bar")
    assert m.is_active("D")


async def test_c178_s3_a_wait_for_args_compares_by_equality_and_not_with_the_past(
    build: Build, waiting: Waiting
) -> None:
    m = build(RL)
    m.add("B", foo="bar")
    one = await waiting(m.when_args, "B", foo="bar")
    m.add("B", foo="foo")
    m.add("B", bar="bar")
    m.add("B")
    await trio.testing.wait_all_tasks_blocked()
    assert one.pending
    m.add("B", foo="bar", more=1)
    await trio.testing.wait_all_tasks_blocked()
    assert one.clock is not None
    assert one.clock["B"] == 9


async def test_a_wait_for_args_comes_true_during_the_final_phase(build: Build, waiting: Waiting) -> None:
    waits: list[int] = []
    m = build(NR, handlers={"BState": lambda e: waits.append(e.machine.statistics().waits)})
    one = await waiting(m.when_args, "A", x=1)
    m.add("A", "B", x=1)
    assert waits == [0]
    await trio.testing.wait_all_tasks_blocked()
    assert str(one.clock) == "(A:1 B:1)"


@pytest.mark.parametrize(
    ("seconds", "raises", "comes"),
    [
        pytest.param(0, False, True, id="a-handler-that-is-done"),
        pytest.param(0, True, True, id="a-handler-that-fails"),
        pytest.param(1, False, False, id="a-handler-that-takes-too-long"),
    ],
)
async def test_a_wait_for_args_comes_true_although_a_handler_of_the_state_fails(
    build: Build, waiting: Waiting, seconds: float, raises: bool, comes: bool
) -> None:
    now = [0.0]

    def state(_: Event) -> None:
        now[0] += seconds
        if raises:
            raise ArithmeticError

    m = build(NR, handlers={"AState": state}, clock=lambda: now[0])
    one = await waiting(m.when_args, "A", x=1)
    assert m.add("A", x=1).executed is (not raises and not seconds)
    await trio.testing.wait_all_tasks_blocked()
    assert one.pending is not comes
    m.dispose()


async def test_s7_a_ticket_is_ready_when_its_mutation_is_done(build: Build) -> None:
    tickets: list[Result] = []

    def state(event: Event) -> None:
        tickets.extend(event.machine.add(name) for name in "BCD")

    m = build(NR, handlers={"AState": state})
    m.add("A")
    assert isinstance(tickets[-1], Ticket)
    assert (await tickets[-1]).executed
    assert m.is_active("A", "B", "C", "D")


async def test_c182_a_state_ends_the_task_that_its_handler_started(
    states: Callable[[str], dict[str, State]],
) -> None:
    ended: list[bool] = []

    def state(event: Event) -> None:
        scope = event.machine.scope("A")
        event.machine.fork(event, forked)
        assert not scope.expired
        ended.append(scope.expired)

    async def forked() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with open_machine(states(NR), handlers={"AState": state}) as m:
        m.add("A")
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [False]
        m.remove("A")
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [False, True]
        assert m.active_states() == ()
        assert not m.is_error


#: schema, before, refusing handler, the state of the scope, steps, after which of them (from 1) it has expired
SCOPES = [
    pytest.param(NR, "", None, "A", ["add A"], 1, id="6.1-c0"),
    pytest.param(NR, "add A", None, "A", ["add A", "add B", "remove A"], 3, id="6.1-c1"),
    pytest.param(NR, "add A", None, "A", ["remove A"], 1, id="C183-active"),
    pytest.param(NR, "add A", None, "B", ["remove A", "add B"], 2, id="C183-inactive"),
    pytest.param("E{multi}", "add E", None, "E", ["add E"], 1, id="C184"),
    pytest.param("E{multi} B{add E}", "add E", None, "E", ["add B"], None, id="C184-only-implied"),
    pytest.param(NR, "set A", "DEnter", "D", ["add D"], None, id="C185"),
    pytest.param(NR, "set A", None, "A", ["add B", "dispose"], 2, id="disposal"),
]


@pytest.mark.parametrize(("schema", "before", "refusing", "state", "steps", "at"), SCOPES)
async def test_a_scope_lasts_as_long_as_the_tick_of_its_state(
    build: Build,
    do: Do,
    nursery: trio.Nursery,
    watched: str,
    schema: str,
    before: str,
    refusing: str | None,
    state: str,
    steps: list[str],
    at: int | None,
) -> None:
    m = build(schema, before, watched=watched, handlers={refusing: lambda _: False} if refusing else None)
    bodies: list[str] = []

    async def body() -> None:
        with m.scope(state):
            bodies.append("began")
            await trio.sleep_forever()
        bodies.append("ended")

    unused = m.scope(state)
    nursery.start_soon(body)
    await trio.testing.wait_all_tasks_blocked()
    over = None
    for number, step in enumerate(steps, 1):
        do(m, step)
        await trio.testing.wait_all_tasks_blocked()
        over = number if over is None and unused.expired else over
        assert bodies == (["began"] if over is None else ["began", "ended"])
    assert over == at
    nursery.cancel_scope.cancel()


async def test_a_scope_asked_for_in_the_enter_handler_is_over_with_the_activation(build: Build) -> None:
    scopes: dict[str, Any] = {}

    def take(event: Event) -> None:
        scopes[event.name] = event.machine.scope("A")

    m = build(NR, handlers={"AEnter": take, "AState": take, "AEnd": take})
    m.add("A")
    assert scopes["AEnter"].expired
    assert not scopes["AState"].expired
    m.remove("A")
    assert scopes["AState"].expired
    assert not scopes["AEnd"].expired


async def test_c186_a_state_that_is_active_only_between_two_mutations_is_seen(build: Build, waiting: Waiting) -> None:
    m = build(NR, handlers={"AState": lambda e: e.machine.remove("A")})
    one = await waiting(m.when, "A")
    m.add("A")
    assert m.is_inactive("A")
    await trio.testing.wait_all_tasks_blocked()
    assert one.clock is not None
    assert str(one.clock) == "(A:1)"


async def test_a_query_that_fails_fails_its_waiter_and_not_the_machine(build: Build, waiting: Waiting) -> None:
    m = build()
    one = await waiting(m.when_query, lambda clock: 1 / clock["B"])
    assert m.add("A") is Result.EXECUTED
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(one.error, ZeroDivisionError)
    assert not m.is_error


async def test_the_scope_of_a_multi_state_is_short(build: Build) -> None:
    m = build("E{multi}")
    seen = []
    for _ in range(3):
        m.add("E")
        seen.append(m.scope("E").tick)
    assert seen == [1, 3, 5]
