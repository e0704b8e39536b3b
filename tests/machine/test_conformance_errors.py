"""Sections 3.7, 4.8, 4.9 and 13.6: what becomes of a machine when a handler fails or takes too long."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import Event, HandlerTimeoutError, Machine, Result, Transition, open_machine

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]
Transitions = Callable[[Machine], list[Transition]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED


class BoomError(Exception):
    """What the handlers of these tests raise."""


#: schema, before, failing handler, action, trace up to the failure, clock after
FAILURES = [
    pytest.param(NR, "set A", "BEnter", "add B", "BEnter", "(A:1 Exception:1)", id="C150"),
    pytest.param(
        NR,
        "",
        "BState",
        "add A,B,C",
        "AEnter BEnter CEnter AnyEnter AState BState",
        "(A:1 Exception:1) [B:2 C:2]",
        id="C151",
    ),
    pytest.param(
        NR,
        "",
        "AState",
        "add A,B,C",
        "AEnter BEnter CEnter AnyEnter AState",
        "(Exception:1) [A:2 B:2 C:2]",
        id="C152",
    ),
    pytest.param(
        NR,
        "",
        "CState",
        "add A,B,C",
        "AEnter BEnter CEnter AnyEnter AState BState CState",
        "(A:1 B:1 Exception:1) [C:2]",
        id="C153",
    ),
    # decision 3: every enter is deactivated again, exits stay exited
    pytest.param(
        NR,
        "set A",
        "AEnd",
        "set B,C",
        "AExit BEnter CEnter AB AC AnyEnter AEnd",
        "(Exception:1) [A:2 B:2 C:2]",
        id="C154",
    ),
    pytest.param(
        NR,
        "",
        "AnyState",
        "add A,B",
        "AEnter BEnter AnyEnter AState BState AnyState",
        "(A:1 B:1 Exception:1)",
        id="any-state",
    ),
    pytest.param(
        "E{multi} B",
        "add E",
        "BState",
        "add E,B",
        "EEnter BEnter EE EB AnyEnter EState BState",
        "(E:3 Exception:1) [B:2]",
        id="C162",
    ),
    # I2: what requires a state that falls goes with it, though it was entered before
    pytest.param(
        "A{require B; after A} B",
        "",
        "AState",
        "add A,B",
        "BEnter AEnter AnyEnter BState AState",
        "(B:1 Exception:1) [A:2]",
        id="dependant",
    ),
    pytest.param(
        "W{require B} B{multi} C",
        "add B; add W",
        "CState",
        "add B,C",
        "CEnter BEnter BB WW BC BW WC WB AnyEnter CState",
        "(Exception:1) [W:2 B:4 C:2]",
        id="dependants-of-a-re-entered-state",
    ),
]


@pytest.mark.parametrize(("schema", "before", "failing", "action", "trace", "after"), FAILURES)
def test_a_failing_handler_becomes_the_exception_state(
    build: Build,
    do: Do,
    shown: Shown,
    record: Record,
    schema: str,
    before: str,
    failing: str,
    action: str,
    trace: str,
    after: str,
) -> None:
    error = BoomError(failing)

    def once(event: Event) -> None:
        if "Exception" not in event.transition.called:
            raise error

    m = build(schema, before)
    events = record(m, **{failing: once})
    assert do(m, action) is CANCELED
    assert " ".join(events).startswith(f"{trace} ExceptionEnter")
    assert shown(m) == after
    assert m.last_error is error
    assert m.statistics().errors == 1


def test_c151_handlers_of_exception_are_told_what_failed_and_where(build: Build) -> None:
    seen: list[Event] = []

    def fail(_: Event) -> None:
        raise BoomError("boom")

    m = build(NR, handlers={"BState": fail, "ExceptionState": seen.append})
    m.add("A", "B", "C")
    args = seen[0].args
    assert str(args["error"]) == "boom"
    failed: Transition = args["transition"]
    assert failed.called == ("A", "B", "C")
    assert failed.states_before == ()
    assert failed.canceled_by == "BState"
    assert failed.error is args["error"]
    source = seen[0].mutation.source
    assert source is not None
    assert source.transition_id == failed.id


def test_c155_an_error_may_bring_a_state_of_its_own(build: Build, shown: Shown) -> None:
    m = build()
    first, second = OSError("first"), OSError("second")
    assert m.add_error(first, "B") is EXECUTED
    assert shown(m) == "(B:1 Exception:1)"
    assert m.add_error(second) is EXECUTED
    assert shown(m) == "(B:1 Exception:3)"
    assert m.last_error is second
    assert m.is_error


async def test_c156_what_a_task_raises_becomes_the_exception_state(states: Callable[[str], Any]) -> None:
    async def fail() -> None:
        raise BoomError("in the background")

    async def fail_with_a_state() -> None:
        try:
            await fail()
        except BoomError as error:
            m.add_error(error, "B")

    async with open_machine(states(NR)) as m:
        m.go(fail)
        assert (await m.when_error()).is_active("Exception")
        assert isinstance(m.last_error, BoomError)
        m.remove("Exception")
        m.go(fail_with_a_state)
        assert (await m.when("B", "Exception")).is_active("B")


def test_c157_error_states_come_and_go_with_exception(build: Build, do: Do, shown: Shown) -> None:
    m = build("ErrNet{require Exception} Exception{multi}")
    assert m.add("ErrNet") is CANCELED
    m.add_error(OSError("one"), "ErrNet")
    m.add_error(OSError("two"), "ErrNet")
    assert shown(m) == "(ErrNet:1 Exception:3)"
    do(m, "remove Exception")
    assert shown(m) == "() [ErrNet:2 Exception:4]"
    assert str(m.last_error) == "two"


def test_the_clock_of_exception_counts_every_error(build: Build, do: Do) -> None:
    m = build()
    ticks = []
    for action in ("error", "error", "remove Exception", "error"):
        if action == "error":
            m.add_error(BoomError())
        else:
            do(m, action)
        ticks.append(m.tick("Exception"))
    assert ticks == [1, 3, 4, 5]


def test_c158_an_error_comes_before_what_is_queued(build: Build, shown: Shown, transitions: Transitions) -> None:
    def fail(_: Event) -> None:
        raise BoomError

    m = build(NR, handlers={"AState": lambda e: e.machine.add("C"), "BState": fail})
    seen = transitions(m)
    m.add("A", "B")
    assert [(tx.called, tx.accepted) for tx in seen] == [
        (("A", "B"), False),
        (("Exception",), True),
        (("C",), True),
    ]
    assert shown(m) == "(A:1 C:1 Exception:1) [B:2]"


def test_an_error_that_is_added_in_a_handler_waits_its_turn(build: Build, transitions: Transitions) -> None:
    def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.add_error(BoomError())
        assert isinstance(event.machine.last_error, BoomError)

    m = build(NR, handlers={"AState": state})
    seen = transitions(m)
    m.add("A")
    assert [tx.called for tx in seen] == [("A",), ("B",), ("Exception",)]


class SlowClock:
    """A clock that a handler moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("slow", "action", "after"),
    [
        pytest.param("AState", "add A", "() [A:2]", id="C159"),
        pytest.param("AState", "add A,B", "() [A:2 B:2]", id="C159-first-of-two"),
        pytest.param("BState", "add A,B", "(A:1) [B:2]", id="C159-second-of-two"),
        pytest.param("AEnter", "add A", "()", id="C159-negotiation"),
    ],
)
def test_a_handler_over_its_budget_counts_as_refused(
    build: Build,
    do: Do,
    shown: Shown,
    record: Record,
    caplog: pytest.LogCaptureFixture,
    slow: str,
    action: str,
    after: str,
) -> None:
    clock = SlowClock()

    def take_time(_: Event) -> bool:
        clock.now += 0.5
        return True

    m = build(NR, handler_timeout=0.45, clock=clock)
    record(m, **{slow: take_time})
    assert do(m, action) is CANCELED
    assert shown(m) == after
    assert not m.is_error
    assert m.last_error is None
    assert m.statistics().handler_timeouts == 1
    assert f"{slow} held the machine for 0.500 s, budget 0.45 s" in caplog.text


def test_a_handler_may_take_any_time_where_there_is_no_budget(build: Build, record: Record) -> None:
    clock = SlowClock()

    def take_time(_: Event) -> None:
        clock.now += 1e6

    m = build(NR, handler_timeout=None, clock=clock)
    record(m, AState=take_time)
    assert m.add("A") is EXECUTED


def test_the_timeout_error_stays_with_the_transition(build: Build, transitions: Transitions) -> None:
    clock = SlowClock()

    def take_time(_: Event) -> None:
        clock.now += 1

    m = build(NR, handlers={"AState": take_time}, clock=clock)
    seen = transitions(m)
    m.add("A")
    assert isinstance(seen[0].error, HandlerTimeoutError)
    assert seen[0].canceled_by == "AState"


def test_c161_the_first_handlers_learn_of_an_error_before_them(build: Build) -> None:
    m = build()
    error = BoomError()
    m.add_error(error)
    told: list[object] = []
    m.bind({"ExceptionState": lambda e: told.append(e.args["error"])})
    m.bind({"ExceptionState": lambda e: told.append("second set")})
    assert told == [error]


async def test_c163_a_wait_sees_a_state_of_a_transition_that_failed_later(
    states: Callable[[str], Any], nursery: trio.Nursery
) -> None:
    def fail(_: Event) -> None:
        raise BoomError

    m = Machine(states(NR), handlers={"BState": fail})
    clocks: list[object] = []

    async def wait() -> None:
        clocks.append(await m.when("A"))

    nursery.start_soon(wait)
    await _until_waiting(m, 1)
    assert m.add("A", "B") is CANCELED
    await _until_waiting(m, 0)
    assert str(clocks[0]) == "(A:1)"


async def _until_waiting(machine: Machine, count: int) -> None:
    await trio.testing.wait_all_tasks_blocked()
    assert machine.statistics().waits == count


def test_c164_a_failing_exception_handler_leaves_a_working_machine(
    build: Build, shown: Shown, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    m = build()
    record(m, ExceptionState=BoomError("while handling"))
    assert m.add_error(OSError("first")) is CANCELED
    assert shown(m) == "() [Exception:2]"
    assert str(m.last_error) == "while handling"
    assert "ExceptionState failed while it handled an error" in caplog.text
    assert m.add("A") is EXECUTED
    assert shown(m) == "(A:1) [Exception:2]"


def test_an_error_added_while_an_error_is_handled_does_not_go_round(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    results: list[Result] = []
    m = build(NR, handlers={"ExceptionState": lambda e: results.append(e.machine.add_error(BoomError("again")))})
    m.add_error(OSError("first"))
    assert results == [CANCELED]
    assert m.tick("Exception") == 1
    assert "an error while it handled an error" in caplog.text


async def test_no_error_and_a_cancelled_task_are_no_errors(build: Build) -> None:
    m = build()
    assert m.add_error(None) is CANCELED
    results: list[Result] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            results.append(m.add_error(cancelled))
            raise
    assert results == [CANCELED]
    assert m.last_error is None
    assert m.time_sum == 0


def test_after_a_failure_the_later_sets_of_that_event_do_not_run(build: Build) -> None:
    ran: list[str] = []

    def fail(_: Event) -> None:
        raise BoomError

    m = build(NR, handlers={"AState": fail})
    m.bind({"AState": lambda _: ran.append("second"), "AnyState": lambda e: ran.append(e.transition.called[0])})
    m.add("A")
    assert ran == ["Exception"]


def test_callbacks_hear_of_errors_and_changes_and_cannot_break_the_machine(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    def on_change(machine: Machine, before: Any, after: Any) -> None:
        heard.append((before.sum, after.sum))
        raise BoomError("callback")

    m = build(
        "A B{require A}",
        on_change=on_change,
        on_error=lambda machine, error: heard.append((machine.id, str(error))),
        id="m",
    )
    m.add("A")
    m.add("B")
    m.remove("A")
    m.add("B")
    m.add_error(OSError("world"))
    assert heard == [(0, 1), (1, 2), (2, 4), (4, 4), ("m", "world"), (4, 5)]
    assert m.statistics().callback_errors == 5
    assert "callback" in caplog.text


def test_raise_errors_lets_a_failure_leave_the_call_as_well(build: Build, shown: Shown, record: Record) -> None:
    m = build(raise_errors=True)
    record(m, AState=BoomError("debug me"))
    with pytest.raises(BoomError, match="debug me"):
        m.add("A")
    assert shown(m) == "(Exception:1) [A:2]"
    assert m.is_idle


@pytest.fixture(autouse=True)
def _keep_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
