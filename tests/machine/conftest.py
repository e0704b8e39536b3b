"""What the tests of `machine` share: the notation of the specification's tables, and recorders.

    build("A{auto; require C} B", "set B")  a machine after some mutations; NR, the four bare states, by default
    do(m, "add A,B; remove C")              mutations, one after the other; the result of the last
    shown(m)                                its clock as ``(A:1) [B:2]``, without what never ticked
    record(m, BEnter=False)                 a list that grows by the name of each event; answers for some of them

Machines of `build` measure handlers with a clock that stands still, so a slow host proves nothing.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from machine import Event, Machine, Result, State, Tracer, Transition

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]

NR = "A B C D"
STATE = re.compile(r"(\w+)(?:\{([^}]*)\})?")
FLAGS = ("auto", "multi")
RELATIONS = ("require", "add", "remove", "after")


def read_states(text: str) -> dict[str, State]:
    """Read ``A{auto; require B,C} B C``; the separators inside the braces are free."""
    states = {}
    for name, body in STATE.findall(text):
        fields: dict[str, Any] = {}
        field = ""
        for word in re.findall(r"\w+", body):
            if word in FLAGS:
                fields[word] = True
            elif word in RELATIONS:
                field = word
                fields[field] = []
            else:
                fields[field].append(word)
        states[name] = State(**fields)
    return states


def mutate(machine: Machine, text: str) -> Result:
    """Carry out ``add A,B; remove C`` and return the last result."""
    result = Result.EXECUTED
    for action in filter(None, map(str.strip, text.split(";"))):
        verb, _, names = action.partition(" ")
        result = getattr(machine, verb)(*filter(None, names.split(",")))
    return result


class Watcher(Tracer):
    """Look at every transition, and keep the machine from its short ways."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def transition_end(self, transition: Transition) -> None:
        self.transitions.append(transition)


def event_names(states: Iterable[str]) -> list[str]:
    """Return every event that a machine with these states can have."""
    states = list(states)
    one = [name + suffix for name in states for suffix in ("Exit", "Enter", "End", "State")]
    return [*one, *(a + b for a in states for b in states), "AnyEnter", "AnyState"]


@pytest.fixture
def states() -> Callable[[str], dict[str, State]]:
    """Return the reader of the notation for schemas."""
    return read_states


@pytest.fixture
def build() -> Build:
    """Return a factory of machines, see the module. `watched` attaches a tracer; handlers are bound last."""

    def factory(
        schema: str = NR, before: str = "", *, handlers: object = None, watched: str = "bare", **options: Any
    ) -> Machine:
        machine = Machine(read_states(schema), **{"clock": lambda: 0.0, **options})
        mutate(machine, before)
        if watched == "traced":
            machine.add_tracer(Watcher())
        if watched == "handled":
            machine.bind({"AnyEnter": lambda _: None})
        if handlers is not None:
            machine.bind(handlers)
        return machine

    return factory


@pytest.fixture(params=["bare", "traced", "handled"])
def watched(request: pytest.FixtureRequest) -> str:
    """Say who looks on: a machine takes other ways through the code when nobody does, with the same outcome."""
    return str(request.param)


@pytest.fixture
def do() -> Do:
    """Return the reader of the notation for mutations."""
    return mutate


@pytest.fixture
def shown() -> Shown:
    """Return the writer of clocks."""

    def text(machine: Machine) -> str:
        ticks = [(name, tick) for name, tick in machine.clock().items() if tick]
        active = " ".join(f"{n}:{t}" for n, t in ticks if t % 2)
        rest = " ".join(f"{n}:{t}" for n, t in ticks if not t % 2)
        return f"({active})" + (f" [{rest}]" if rest else "")

    return text


@pytest.fixture
def record() -> Record:
    """Return the binder of recorders. An answer is returned, raised if it is an exception, called if it can be."""

    def bind(machine: Machine, *, id: str | None = None, **answers: Any) -> list[str]:
        events: list[str] = []

        def handler(name: str) -> Callable[[Event], Any]:
            def handle(event: Event) -> Any:
                assert event.name == name
                events.append(name)
                answer = answers.get(name)
                if isinstance(answer, BaseException):
                    raise answer
                return answer(event) if callable(answer) else answer

            return handle

        names = event_names(machine.state_names)
        assert answers.keys() <= set(names)
        machine.bind({name: handler(name) for name in names}, id=id)
        return events

    return bind


@pytest.fixture
def transitions() -> Callable[[Machine], list[Transition]]:
    """Return a function that starts to collect a machine's transitions."""

    def start(machine: Machine) -> list[Transition]:
        watcher = Watcher()
        machine.add_tracer(watcher)
        return watcher.transitions

    return start
