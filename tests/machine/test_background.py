"""Section 16: tasks in the scope of a state, the nursery of a machine, and how both end."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import Event, Machine, NotOpenError, Result, State, open_machine

States = Callable[[str], dict[str, State]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED


class BoomError(Exception):
    """What the tasks of these tests raise."""


class Working:
    """Handle A with a task that notes its life."""

    def __init__(self) -> None:
        self.life: list[str] = []

    async def AState(self, event: Event) -> None:
        tick = event.machine.tick("A")
        self.life.append(f"+{tick}")
        try:
            await trio.sleep_forever()
        finally:
            self.life.append(f"-{tick}")


async def test_an_async_state_handler_lives_as_long_as_the_tick(states: States) -> None:
    working = Working()
    async with open_machine(states(NR), handlers=working) as m:
        assert m.add("A") is EXECUTED
        assert working.life == []  # a task begins when the caller waits
        await trio.testing.wait_all_tasks_blocked()
        assert working.life == ["+1"]
        assert m.statistics().tasks == 1
        m.add("A", "B")
        m.remove("B")
        await trio.testing.wait_all_tasks_blocked()
        assert working.life == ["+1"]
        m.remove("A")
        await trio.testing.wait_all_tasks_blocked()
        assert working.life == ["+1", "-1"]
        assert m.statistics().tasks == 0
        m.add("A")
        await trio.testing.wait_all_tasks_blocked()
    assert working.life == ["+1", "-1", "+3", "-3"]
    assert not m.is_error


async def test_a_re_entered_state_starts_a_new_task_and_ends_the_old_one(states: States) -> None:
    working = Working()
    async with open_machine(states("A{multi}"), handlers=working) as m:
        for tick in (1, 3, 5):
            m.add("A")
            await trio.testing.wait_all_tasks_blocked()
            assert working.life[-1] in (f"+{tick}", f"-{tick - 2}")  # tasks run in any order
            assert m.statistics().tasks == 1
    assert sorted(working.life) == ["+1", "+3", "+5", "-1", "-3", "-5"]


async def test_a_task_of_a_state_that_has_gone_again_never_runs_beyond_its_first_wait(states: States) -> None:
    working = Working()
    async with open_machine(states(NR), handlers=working) as m:
        m.add("A")
        m.remove("A")
        await trio.testing.wait_all_tasks_blocked()
        assert m.statistics().tasks == 0
        assert working.life in ([], ["+2", "-2"])


async def test_what_a_task_raises_becomes_the_exception_state(states: States) -> None:
    async def fail(event: Event) -> None:
        raise BoomError("in a task")

    async with open_machine(states(NR), handlers={"AState": fail}) as m:
        assert m.add("A") is EXECUTED
        await m.when_error()
        assert isinstance(m.last_error, BoomError)
        assert m.is_active("A")
        assert m.add("B") is EXECUTED
        assert m.statistics().errors == 1


async def test_a_group_of_errors_with_one_inside_is_unwrapped(states: States) -> None:
    async def one() -> None:
        raise ExceptionGroup("outer", [BoomError("inner")])

    async def two() -> None:
        raise ExceptionGroup("outer", [BoomError("first"), ValueError("second")])

    async with open_machine(states(NR)) as m:
        m.go(one)
        await m.when_error()
        assert isinstance(m.last_error, BoomError)
        m.go(two)
        await m.when_ticks("Exception", 2)
        assert isinstance(m.last_error, ExceptionGroup)


async def test_an_async_handler_of_a_closed_machine_is_a_failure_that_says_how_to_open_it(states: States) -> None:
    m = Machine(states(NR), id="shut", handlers=Working())
    assert m.add("A") is CANCELED
    assert isinstance(m.last_error, NotOpenError)
    assert "shut cannot run" in str(m.last_error)
    assert "async with open_machine" in str(m.last_error)
    assert m.is_inactive("A")


async def test_a_task_may_change_the_machine_that_started_it(states: States) -> None:
    async def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.remove("A")
        await trio.lowlevel.checkpoint()
        event.machine.add("D")  # its state has gone: it ended at the checkpoint

    async with open_machine(states(NR), handlers={"AState": state}) as m:
        m.add("A")
        await m.when_not("A")
        await trio.testing.wait_all_tasks_blocked()
        assert m.active_states() == ("B",)


async def test_mutations_of_a_task_know_their_cause(states: States) -> None:
    seen: list[Any] = []

    async def state(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        event.machine.add("B")

    async with open_machine(
        states(NR), handlers={"AState": state, "BState": lambda e: seen.append(e.mutation.source)}
    ) as m:
        m.add("C")
        m.add("A")
        await m.when("B")
        assert seen[0].transition_id == f"{m.id}:0:1"


async def test_go_starts_a_task_for_the_life_of_the_machine(
    states: States, autojump_clock: trio.testing.MockClock
) -> None:
    times: list[float] = []

    async def note(offset: float) -> None:
        times.append(trio.current_time() + offset)

    async with open_machine(states(NR)) as m:
        m.go(note, 100)
        m.go(note, 0, delay=5)
        await trio.sleep(10)
    assert times == [100, 5]


async def test_fork_starts_a_task_in_the_scope_of_a_state(
    states: States, autojump_clock: trio.testing.MockClock
) -> None:
    ran: list[str] = []

    async def note(name: str) -> None:
        ran.append(name)

    async with open_machine(states(NR)) as m:
        m.add("A")
        assert m.fork("A", note, "active")
        assert m.fork("B", note, "inactive")
        assert m.fork("A", note, "never", delay=5)
        await trio.sleep(1)
        m.remove("A")
        await trio.sleep(10)
    assert ran == ["active", "inactive"] or ran == ["inactive", "active"]


async def test_a_fork_for_a_state_that_has_changed_since_starts_nothing(states: States) -> None:
    events: list[Event] = []
    ran: list[str] = []

    async def run(name: str) -> None:
        ran.append(name)

    async with open_machine(states(NR), handlers={"AState": events.append}) as m:
        m.add("A")
        assert m.fork(events[0], run, "as the handler left it")
        await trio.testing.wait_all_tasks_blocked()
        m.remove("A")
        assert not m.fork(events[0], run, "inactive")
        m.add("A")
        assert not m.fork(events[0], run, "another activation")
        assert not m.pool_fork(events[0], run, "another activation")
        await trio.testing.wait_all_tasks_blocked()
    assert ran == ["as the handler left it"]


async def test_a_fork_of_a_handler_of_no_single_state_is_refused(states: States) -> None:
    def any_state(event: Event) -> None:
        event.machine.fork(event, trio.sleep_forever)

    async with open_machine(states(NR), handlers={"AnyState": any_state}) as m:
        m.add("A")
        assert "AnyState belongs to no single state: give the name of the state" in str(m.last_error)


async def test_a_pool_refuses_what_is_beyond_its_limit_and_has_room_again(states: States) -> None:
    started: list[bool] = []
    release = trio.Event()

    def state(event: Event) -> None:
        started.append(event.machine.pool_fork(event, release.wait))

    async with open_machine(states("E{multi}"), handlers={"EState": state}) as m:
        m.set_pool_limit("EState", 1)
        m.add("E")
        m.add("E")
        assert started == [True, False]
        await trio.testing.wait_all_tasks_blocked()
        m.add("E")
        assert started == [True, False, True]  # the re-entry ended the scope of the first one
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        m.add("E")
        assert started[3:] == [True]


# -- the nursery


async def test_the_end_of_an_open_machine_comes_in_order(states: States) -> None:
    order: list[str] = []
    working = Working()

    async def wait_for_the_end() -> None:
        await m.when_disposed()
        order.append("waiter")

    async with trio.open_nursery() as nursery:
        async with open_machine(states("Start A{require Start}"), handlers=working) as m:
            m.bind({"StartEnd": lambda _: order.append("StartEnd")})
            m.on_dispose(lambda machine: order.append(f"callback {machine.is_disposed}"))
            nursery.start_soon(wait_for_the_end)
            m.add("Start", "A")
            await trio.testing.wait_all_tasks_blocked()
            assert m.is_open
        order.append("closed")
        assert m.is_disposed
    assert order == ["StartEnd", "callback True", "closed", "waiter"] or order == [
        "StartEnd",
        "callback True",
        "waiter",
        "closed",
    ]
    assert working.life == ["+1", "-1"]
    assert m.statistics().tasks == 0


@pytest.mark.parametrize("error", [BoomError, KeyError, SystemExit], ids=lambda e: e.__name__)
async def test_what_the_body_raises_comes_out_as_it_was(states: States, error: type[BaseException]) -> None:
    machines: list[Machine] = []

    async def body() -> None:
        async with open_machine(states(NR), handlers=Working()) as m:
            machines.append(m)
            m.add("A")
            raise error("body")

    with pytest.raises(error) as caught:
        await body()
    assert caught.value.args == ("body",)
    assert machines[0].is_disposed


async def test_the_body_may_be_cancelled_and_the_machine_still_ends_well(
    states: States, autojump_clock: trio.testing.MockClock
) -> None:
    heard: list[str] = []

    async def disposing(event: Event) -> None:
        await trio.sleep(0.5)
        heard.append("cleaned up")
        event.machine.dispose()

    with trio.move_on_after(5) as scope:
        async with open_machine(states("A Disposing"), handlers={"DisposingState": disposing}) as m:
            m.on_dispose(lambda _: heard.append("callback"))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert heard == ["cleaned up", "callback"]


async def test_a_machine_that_does_not_end_in_its_grace_is_ended(
    states: States, autojump_clock: trio.testing.MockClock
) -> None:
    ended: list[float] = []

    async def disposing(_: Event) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with open_machine(states("Disposing"), grace=3, handlers={"DisposingState": disposing}) as m:
        pass
    assert m.is_disposed
    assert ended == [pytest.approx(3)]


async def test_a_machine_that_ends_itself_ends_its_tasks_but_not_the_body(states: States) -> None:
    working = Working()
    async with open_machine(states(NR), handlers=working) as m:
        m.add("A")
        await trio.testing.wait_all_tasks_blocked()
        m.dispose()
        assert m.is_disposed
    assert working.life == ["+1", "-1"]


async def test_a_machine_that_was_built_before_can_be_opened(states: States) -> None:
    m = Machine(states(NR), handlers=Working())
    async with open_machine(m) as same:
        assert same is m
        assert m.add("A") is EXECUTED
    assert m.is_disposed


async def test_a_machine_opened_inside_another_ends_before_it(states: States) -> None:
    order: list[str] = []
    async with open_machine(states(NR), id="parent") as parent:
        parent.on_dispose(lambda m: order.append(m.id))
        async with open_machine(states(NR), id="child", parent=parent) as child:
            child.on_dispose(lambda m: order.append(m.id))
            assert child.parent is parent
    assert order == ["child", "parent"]


# -- fairness


async def test_a_long_drain_lets_other_tasks_run(states: States, nursery: trio.Nursery) -> None:
    turns: list[int] = []

    def again(event: Event) -> None:
        if event.machine.tick("A") < 400:
            event.machine.add("A")

    async def other() -> None:
        while True:
            turns.append(m.tick("A"))
            await trio.lowlevel.checkpoint()

    async with open_machine(states("A{multi}"), handlers={"AState": again}, drain_budget=10) as m:
        nursery.start_soon(other)
        assert m.add("A") is EXECUTED
        assert m.queue_len == 1
        await m.when_idle()
        assert m.tick("A") >= 400
        assert m.statistics().drain_pauses >= 10
    assert len(set(turns)) >= 5
    nursery.cancel_scope.cancel()


async def test_a_caller_behind_a_long_queue_gets_a_ticket(states: States) -> None:
    def many(event: Event) -> None:
        if event.machine.tick("A") == 1:
            for number in range(30):
                event.machine.add("A", number=number)

    async with open_machine(states("A{multi} B"), handlers={"AState": many}, drain_budget=10) as m:
        assert m.add("A") is EXECUTED
        ticket = m.add("B")
        assert ticket.queued
        assert m.is_inactive("B")
        assert await ticket is EXECUTED
        assert m.active_states() == ("B", "A")
        assert m.tick("A") == 61


def test_without_a_nursery_a_long_drain_goes_on_at_the_next_call(states: States) -> None:
    def again(event: Event) -> None:
        if event.machine.tick("A") < 30:
            event.machine.add("A")

    m = Machine(states("A{multi} B"), handlers={"AState": again}, drain_budget=5)
    m.add("A")
    assert m.tick("A") == 9
    calls = 1
    while not m.is_idle:
        m.add("B")
        calls += 1
    assert m.tick("A") == 31
    assert m.is_active("B")
    assert m.statistics().drain_pauses == calls - 1
