"""Sections 1.5 and 9.4: conventional states, ready to inherit."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import (
    Basic,
    Connected,
    ConnectionPool,
    Disposed,
    DisposedHandlers,
    Event,
    Group,
    Machine,
    MisuseError,
    Result,
    Schema,
    State,
    open_machine,
)

Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]

EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED


class Robot(Basic, Connected, Disposed):
    """All mix-ins at once, and a state that belongs to it."""

    Walking = State(auto=True, require=["Ready", "Connected"])
    Busy = Group("Walking", "Connecting")


#: schema class, mutations, clock
RUNS = [
    pytest.param(Basic, "add Ready", "()", id="ready-requires-start"),
    pytest.param(Basic, "add Start; add Ready; remove Start", "() [Start:2 Ready:2]", id="stop-is-not-ready"),
    pytest.param(Basic, "add ErrNetwork", "(ErrNetwork:1 Exception:1)", id="an-error-brings-exception"),
    pytest.param(
        Basic, "add ErrNetwork; add ErrNetwork", "(ErrNetwork:3 Exception:1)", id="an-error-counts-each-occurrence"
    ),
    pytest.param(
        Basic, "add ErrNetwork; remove Exception", "() [ErrNetwork:2 Exception:2]", id="errors-go-with-exception"
    ),
    pytest.param(Connected, "add Start", "(Start:1 Disconnected:1)", id="disconnected-by-itself"),
    pytest.param(
        Connected,
        "add Start; add Connecting; add Connected",
        "(Start:1 Connected:1) [Connecting:2 Disconnected:2]",
        id="connected",
    ),
    pytest.param(
        Connected,
        "add Start; add Connected; remove Start",
        "(Disconnected:3) [Start:2 Connected:2]",
        id="stop-is-disconnected",
    ),
    pytest.param(
        ConnectionPool,
        "add Start; add Connected; add ConnectedFully; add Disconnecting",
        "(Start:1 Disconnecting:1) [Connected:2 ConnectedFully:2]",
        id="pool-disconnects",
    ),
    pytest.param(
        ConnectionPool,
        "add Start; add Disconnected; add Connected",
        "(Start:1 Connected:1) [Disconnected:2]",
        id="pool-connects",
    ),
    pytest.param(
        ConnectionPool, "add Start; add ConnectedFully", "(Start:1)", id="pool-is-not-full-without-a-connection"
    ),
]


@pytest.mark.parametrize(("schema", "actions", "after"), RUNS)
def test_conventional_states_behave(do: Do, shown: Shown, schema: type[Schema], actions: str, after: str) -> None:
    m = Machine(schema)
    do(m, actions)
    assert shown(m) == after


def test_mixins_are_inherited_together(shown: Shown) -> None:
    m = Machine(Robot)
    assert m.state_names.count("Start") == 1
    assert m.has("Ready", "Connected", "Disposing", "Walking", "Exception")
    assert m.groups["Busy"] == ("Walking", "Connecting")
    assert m.groups["Connection"] == ("Connecting", "Connected", "Disconnecting", "Disconnected")
    assert m.groups["self"] == ("Walking",)
    m.add(Robot.Start)
    m.add(Robot.Connected)
    assert m.is_inactive("Walking")
    m.add(Robot.Ready)
    assert m.is_active(Robot.Walking)
    m.remove(Robot.Start)
    assert shown(m).startswith("(Disconnected:3)")


def test_a_subclass_may_give_a_state_other_relations() -> None:
    class Quick(Basic):
        Ready = State(auto=True, require="Start")

    m = Machine(Quick)
    m.add("Start")
    assert m.is_active("Ready")
    assert m.state_names.index("Ready") == Machine(Basic).state_names.index("Ready")


def test_health_checks_trigger_no_autos() -> None:
    class Watched(Basic):
        Idle = State(auto=True)

    m = Machine(Watched)
    m.add("Healthcheck")
    m.add("Heartbeat")
    assert m.is_inactive("Idle")
    m.remove("Heartbeat")
    assert m.is_active("Idle")


class Callbacks:
    """Note the callbacks that were called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def named(self, name: str) -> Callable[[Machine], None]:
        """Return a callback that notes its name."""
        return lambda machine: self.called.append(f"{name} {machine.id}")

    def failing(self, _: Machine) -> None:
        """Fail."""
        raise OSError("callback")

    def slow(self, name: str) -> Callable[[Machine], Awaitable[None]]:
        """Return an async callback that takes its time."""

        async def callback(machine: Machine) -> None:
            await trio.sleep(0.1)
            self.called.append(f"{name} {machine.id}")

        return callback


def test_disposal_as_states_runs_the_callbacks_in_order() -> None:
    callbacks = Callbacks()
    m = Machine(Disposed, id="m", handlers=DisposedHandlers())
    for name in ("first", "second"):
        assert m.add("RegisterDisposal", callback=callbacks.named(name)) is EXECUTED
    m.add("RegisterDisposal", callback=callbacks.failing)
    m.add("RegisterDisposal", callback=callbacks.named("last"))
    m.add("Start")
    assert m.add("Disposing") is EXECUTED
    assert callbacks.called == ["first m", "second m", "last m"]
    assert m.is_disposed
    assert m.statistics().callback_errors == 1


def test_a_registration_without_a_function_is_refused_and_an_error() -> None:
    m = Machine(Disposed, handlers=DisposedHandlers())
    assert m.can_add("RegisterDisposal", callback=5) is CANCELED
    assert not m.is_error
    assert m.add("RegisterDisposal") is CANCELED
    assert isinstance(m.last_error, MisuseError)
    assert "RegisterDisposal needs a function: add(…, callback=function)" in str(m.last_error)


def test_errors_are_refused_while_a_machine_is_disposing() -> None:
    seen: list[Any] = []

    def late(event: Event) -> None:
        event.machine.add_error(OSError("late"))
        seen.append(event.machine.queue()[-1])

    m = Machine(Disposed, handlers={"DisposingState": late})
    m.add_error(OSError("early"))
    m.add("Start")
    m.add("Disposing")
    assert m.active_states() == ("Disposing",)
    assert seen[0].result is CANCELED
    assert m.add_error(OSError("later")) is CANCELED


async def test_an_open_machine_waits_for_async_callbacks(autojump_clock: trio.testing.MockClock) -> None:
    callbacks = Callbacks()
    async with open_machine(Robot, id="m", handlers=DisposedHandlers()) as m:
        for callback in (callbacks.slow("first"), callbacks.named("second"), callbacks.slow("last")):
            m.add("RegisterDisposal", callback=callback)
        m.add("Start", "Ready")
    assert callbacks.called == ["first m", "second m", "last m"]
    assert m.is_disposed


async def test_a_cancelled_body_still_runs_async_callbacks(autojump_clock: trio.testing.MockClock) -> None:
    callbacks = Callbacks()
    with trio.move_on_after(1):
        async with open_machine(Robot, id="m", handlers=DisposedHandlers()) as m:
            m.add("RegisterDisposal", callback=callbacks.slow("only"))
            await trio.sleep_forever()
    assert callbacks.called == ["only m"]


async def test_callbacks_that_outlast_the_grace_are_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    async def forever(_: Machine) -> None:
        await trio.sleep_forever()

    async with open_machine(Robot, grace=2, handlers=DisposedHandlers()) as m:
        m.add("RegisterDisposal", callback=forever)
    assert m.is_disposed
    assert trio.current_time() >= 2


def test_a_closed_machine_refuses_an_async_callback(caplog: pytest.LogCaptureFixture) -> None:
    callbacks = Callbacks()
    m = Machine(Disposed, handlers=DisposedHandlers())
    m.add("RegisterDisposal", callback=callbacks.slow("never"))
    m.add("Disposing")
    assert callbacks.called == []
    assert m.statistics().callback_errors == 1
    assert "it can only run in a machine that was opened with open_machine" in caplog.text
