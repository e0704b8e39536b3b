"""Conventional states, ready to inherit: ``class Robot(Basic, Connected): …``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from machine.errors import MisuseError
from machine.schema import Schema
from machine.state import EXCEPTION, Group, State

if TYPE_CHECKING:
    from machine.event import Event
    from machine.machine import Machine


class Starting(Schema):
    """Start: the machine should be working. Removing it means stop; disposal removes it first."""

    Start = State()


class Basic(Starting):
    """What nearly every machine has.

    Ready: it meets its criteria. Healthcheck: a ping from outside. Heartbeat: a check of its own, whose handler
    removes it again. A mutation that adds only one of these two never triggers auto states.
    """

    ErrNetwork = State(multi=True, add=EXCEPTION, require=EXCEPTION)
    ErrHandlerTimeout = State(multi=True, add=EXCEPTION, require=EXCEPTION)
    Ready = State(require="Start")
    Healthcheck = State(multi=True)
    Heartbeat = State()


class Connected(Starting):
    """One connection: four states of which one is active, Disconnected by itself."""

    ErrConnecting = State(require=EXCEPTION)
    Connecting = State(require="Start", remove=["Connected", "Disconnecting", "Disconnected"])
    Connected = State(require="Start", remove=["Connecting", "Disconnecting", "Disconnected"])
    Disconnecting = State(remove=["Connecting", "Connected", "Disconnected"])
    Disconnected = State(auto=True, remove=["Connecting", "Connected", "Disconnecting"])
    Connection = Group(Connecting, Connected, Disconnecting, Disconnected)


class ConnectionPool(Starting):
    """Several connections: Connected while there is one, ConnectedFully while there are all."""

    ErrConnecting = State(require=EXCEPTION)
    Connecting = State(require="Start", remove="Disconnecting")
    Connected = State(require="Start", remove="Disconnected")
    ConnectedFully = State(require=Connected, remove="Disconnected")
    Disconnecting = State(remove=[ConnectedFully, Connected, Connecting])
    Disconnected = State(remove=[Connecting, ConnectedFully, Disconnecting])
    Connection = Group(Connected, Disconnected)


class Disposed(Starting):
    """Disposal as states. Bind a `DisposedHandlers`, and end the machine by adding Disposing."""

    RegisterDisposal = State(multi=True)
    Disposing = State(remove=["Start", EXCEPTION])
    Disposed = State(remove=["Start", EXCEPTION, Disposing])


class DisposedHandlers:
    """Run the registered callbacks, in order, when Disposing is added; then add Disposed, which ends the machine.

    A callback is registered with ``machine.add("RegisterDisposal", callback=function)`` and called with the machine.
    It may be async in an open machine. One that fails does not keep the others from running; it is logged and counted.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Machine], Any]] = []

    def RegisterDisposalEnter(self, event: Event) -> bool:
        """Refuse a registration without a function."""
        if callable(event.args.get("callback")):
            return True
        if not event.is_check:
            event.machine.add_error(MisuseError("RegisterDisposal needs a function: add(…, callback=function)"))
        return False

    def RegisterDisposalState(self, event: Event) -> None:
        """Remember the function."""
        self._callbacks.append(event.args["callback"])

    def DisposingState(self, event: Event) -> None:
        """Call the functions, in the background if the machine is open."""
        machine = event.machine
        if machine.is_open:
            machine.fork(event, self._dispose, machine)
            return
        for callback in self._callbacks:
            answer = machine._call_back(callback, machine)
            if inspect.isawaitable(answer):
                machine._call_back(_refuse_async, callback, answer)
        machine.add("Disposed")

    async def _dispose(self, machine: Machine) -> None:
        for callback in self._callbacks:
            answer = machine._call_back(callback, machine)
            if inspect.isawaitable(answer):
                await machine._call_back_async(callback, answer)
        machine.add("Disposed")

    def DisposedState(self, event: Event) -> None:
        """Dispose of the machine."""
        event.machine.dispose()


def _refuse_async(callback: object, answer: Any) -> None:
    answer.close()
    raise MisuseError(f"{callback!r} is async: it can only run in a machine that was opened with open_machine")
