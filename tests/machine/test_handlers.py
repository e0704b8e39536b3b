"""Section 7: how methods, marks and mappings become handlers."""

from collections.abc import Callable
from typing import Any

import pytest

from machine import BindError, Event, Machine, MisuseError, Result, Schema, State, Transition

Build = Callable[..., Machine]


class Door(Schema):
    """A schema in class form: its states are names, and mark handlers."""

    Closed = State(auto=True, remove="Open")
    Open = State(remove=Closed, multi=True)


class Marked:
    """Handle a door with methods of any name."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @Door.Open.enter
    def may_open(self, event: Event) -> bool:
        self.heard.append(event.name)
        return not event.args.get("locked", False)

    @Door.Closed.exit
    def leave(self, event: Event) -> None:
        self.heard.append(event.name)

    @Door.Closed.to(Door.Open)
    def swing(self, event: Event) -> None:
        self.heard.append(event.name)

    @Door.Open.state
    @Door.Closed.state
    def settled(self, event: Event) -> None:
        self.heard.append(event.name)

    @Door.Open.end
    def shut(self, event: Event) -> None:
        self.heard.append(event.name)


def test_marked_methods_are_handlers_of_their_states() -> None:
    marked = Marked()
    m = Machine(Door)
    binding = m.bind(marked, id="door")
    assert set(binding.names) == {"OpenEnter", "ClosedExit", "ClosedOpen", "OpenState", "ClosedState", "OpenEnd"}
    assert repr(binding).startswith("<Binding 'door': OpenEnter ")
    m.add("Closed")
    m.add("Open")
    m.remove("Open")
    assert m.add("Open", locked=True) is Result.CANCELED
    assert marked.heard == [
        "ClosedState",
        *("ClosedExit", "OpenEnter", "ClosedOpen", "OpenState"),
        *("OpenEnd", "ClosedState"),
        *("ClosedExit", "OpenEnter"),
    ]


class Base:
    """Be inherited."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def AState(self, event: Event) -> None:
        self.calls.append("base A")

    def BState(self, event: Event) -> None:
        self.calls.append("base B")

    def helper(self) -> None:
        """Be no handler: its name is no event's."""

    @property
    def CState(self) -> str:
        """Be a property, which is no handler."""
        return "property"

    def _AEnter(self, event: Event) -> bool:
        """Be private, and no handler."""
        return False


class Derived(Base):
    """Override one handler, and add one."""

    def BState(self, event: Event) -> None:
        self.calls.append("derived B")

    def DState(self, event: Event, extra: int = 5) -> None:
        self.calls.append(f"D {extra}")


def test_methods_are_inherited_and_overridden(build: Build) -> None:
    handlers = Derived()
    m = build()
    assert m.bind(handlers).names == ("AState", "BState", "DState")
    m.add("A", "B", "C", "D")
    assert handlers.calls == ["base A", "derived B", "D 5"]


def test_a_function_in_an_attribute_is_a_handler(build: Build) -> None:
    calls: list[str] = []
    handlers = Base()
    handlers.AState = lambda event: calls.append("attribute")  # type: ignore[method-assign]
    build(handlers=handlers).add("A", "B")
    assert (calls, handlers.calls) == (["attribute"], ["base B"])


class Valve:
    """Handle one valve of many."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def OpenState(self, event: Event) -> None:
        self.heard.append(event.name)

    def AnyState(self, event: Event) -> None:
        self.heard.append(event.name)


def test_a_prefix_lets_handlers_serve_one_of_several_groups(build: Build) -> None:
    hot, cold = Valve(), Valve()
    m = build("HotOpen ColdOpen")
    assert m.bind(hot, prefix="Hot").names == ("HotOpenState", "AnyState")
    assert m.bind(cold, prefix="Cold").names == ("ColdOpenState", "AnyState")
    m.add("ColdOpen")
    m.add("HotOpen")
    assert hot.heard == ["AnyState", "HotOpenState", "AnyState"]
    assert cold.heard == ["ColdOpenState", "AnyState", "AnyState"]
    with pytest.raises(BindError, match="'OpenState' matches no state of this machine; did you mean 'HotOpenState'"):
        m.bind(Valve())


def test_builtin_functions_are_handlers(build: Build) -> None:
    seen: list[Event] = []
    m = build(handlers={"AState": seen.append, "BState": max})
    m.add("A")
    assert [e.name for e in seen] == ["AState"]
    assert repr(seen[0]) == f"<Event AState of {m.id}>"
    assert seen[0].replace(more=1).args == {"more": 1}


def test_handlers_of_one_event_share_its_args(build: Build) -> None:
    def enter(event: Event) -> None:
        event.args["seen"] = True  # type: ignore[index]

    seen: list[Any] = []
    m = build(handlers={"AEnter": enter, "AState": lambda e: seen.append(e.args.get("seen"))})
    m.add("A")
    assert seen == [True]


def test_an_event_is_valid_while_its_transition_goes_on(build: Build) -> None:
    events: list[Event] = []
    valid: list[bool] = []

    def look(event: Event) -> None:
        events.append(event)
        valid.extend(e.is_valid() for e in events)

    m = build(handlers={"AEnter": look, "AState": look, "AnyState": lambda _: None})
    m.add("A")
    assert valid == [True, True, True]
    assert not any(e.is_valid() for e in events)


def test_the_prediction_of_a_transition_shows_what_will_be(build: Build) -> None:
    seen: list[tuple[Any, ...]] = []

    def look(event: Event) -> None:
        tx: Transition = event.transition
        seen.append((tuple(tx.time_before), tuple(tx.time_after), tx.changed, event.is_check))

    m = build("A{add B} B", handlers={"AEnter": look, "AState": look})
    m.can_add("A")
    m.add("A")
    assert seen == [
        ((0, 0, 0), (0, 0, 0), (), True),
        ((0, 0, 0), (1, 1, 0), ("A", "B"), False),
        ((0, 0, 0), (1, 1, 0), ("A", "B"), False),
    ]


def test_handlers_may_come_and_go_while_a_machine_works(build: Build) -> None:
    heard: list[str] = []

    def state(event: Event) -> None:
        event.machine.unbind("first")
        event.machine.bind({"BState": lambda _: heard.append("B")}, id="second")

    m = build()
    m.bind({"AState": state}, id="first")
    m.add("A", "B")
    m.remove("A", "B")
    m.add("A", "B")
    assert [b.id for b in m.bindings] == ["second"]
    assert heard[-1] == "B"


def test_a_condition_of_the_order_of_states_with_handlers_is_said(build: Build) -> None:
    m = build("A B", handlers={"AState": lambda _: None})
    with pytest.raises(MisuseError, match="has handlers bound: fix the order of its states before binding"):
        m.verify_states(["B", "A", "Exception"])
    m.verify_states(["A", "B", "Exception"])


def test_reprs_are_worth_reading(build: Build) -> None:
    seen: list[str] = []
    m = build("A{require B} B", id="m", handlers={"BState": lambda e: seen.append(repr(e.transition))})
    m.add("B")
    assert repr(m) == "<Machine 'm' (B:1)>"
    assert seen == ["<Transition m:0:0 <Mutation add B> accepted>"]
    assert repr(m.scope("B")) == "<StateScope m B:1>"
    assert repr(State(auto=True, require=["A", "B"])) == "State(auto=True, require='A B')"
    assert repr(Schema({"A": State()})) == "Schema({A: State(), Exception: State(multi=True)})"
    assert Schema({"A": State()}) != {"A": State()}.keys()
    m.dispose()
    assert repr(m) == "<Machine 'm' disposed>"
