"""Schemas, states and handlers that cannot be meant are refused when they are given."""

from collections.abc import Callable
from typing import Any

import pytest

from machine import (
    BindError,
    Event,
    Group,
    Machine,
    Result,
    Schema,
    SchemaError,
    State,
)

Build = Callable[..., Machine]


def nr(**options: Any) -> Machine:
    """Return a machine with four bare states and a name for messages."""
    return Machine({"Apple": State(), "Bread": State(), "C": State(), "D": State()}, id="shop", **options)


def handlers(*names: str, call: Any = lambda _: None) -> dict[str, Any]:
    """Return a mapping that handles events of these names."""
    return dict.fromkeys(names, call)


def bound(states: str, *names: str, call: Any = lambda _: None) -> Callable[[], object]:
    """Return a call that binds handlers of these names to a machine with these states."""
    return lambda: Machine({s: State() for s in states.split()}).bind(handlers(*names, call=call))


async def async_handler(event: Event) -> None:
    """Be no negotiation handler."""


class Shop:
    """A set of handlers that is not an instance."""

    def AppleState(self, event: Event) -> None:
        """Do nothing."""


class Typo:
    def AppelState(self, event: Event) -> None:
        """Be misspelt."""


class NoEvent:
    def AppleState(self) -> None:
        """Take no event."""


class Helpless:
    def helper(self) -> None:
        """Be no handler by name."""


SCHEMAS = [
    (
        "require-and-remove",
        {"A": State(require="B", remove="B"), "B": State()},
        "A both requires and removes B: drop one",
    ),
    (
        "undeclared-require",
        {"Apple": State(require="Appel")},
        "Apple has require='Appel', which is not declared — did you mean 'Apple'",
    ),
    (
        "undeclared-add",
        {"A": State(add="Nowhere")},
        "A has add='Nowhere', which is not declared; there are: A, Exception",
    ),
    ("undeclared-remove", {"A": State(remove="X")}, "A has remove='X', which is not declared"),
    ("undeclared-after", {"A": State(after="X")}, "A has after='X', which is not declared"),
    (
        "state-object",
        {"A": State(), "B": State(add=State())},
        "B has a State object in add: outside of a class form, give",
    ),
    ("no-state", {"A": "B"}, "A is 'B', no State: write State"),
    ("class-instead", {"A": State}, "no State: write State"),
    ("suffix-state", {"FooState": State()}, "'FooState' ends with 'State', as handlers do: call the state '"),
    ("suffix-enter", {"FooEnter": State()}, "'FooEnter' ends with 'Enter'"),
    ("suffix-exit", {"FooExit": State()}, "'FooExit' ends with 'Exit'"),
    ("suffix-end", {"FooEnd": State()}, "'FooEnd' ends with 'End'"),
    ("bare-suffix", {"End": State()}, "'End' ends with 'End'"),
    (
        "any",
        {"AnyThing": State()},
        "'AnyThing' begins with 'Any', as the handlers AnyEnter and AnyState do: call it '",
    ),
    ("bare-any", {"Any": State()}, "'Any' begins with 'Any'"),
    ("dash", {"a-b": State()}, "'a-b' cannot be part of a handler's name: use letters and digits"),
    ("empty-name", {"": State()}, "'' cannot be part of a handler's name"),
    ("space", {"A B": State()}, "'A B' cannot be part"),
    ("digit-first", {"1A": State()}, "'1A' cannot be part"),
    ("underscore-first", {"_A": State()}, "'_A' cannot be part"),
    ("number", {1: State()}, "the name 1 cannot be part"),
    ("too-many", {f"S{i}": State() for i in range(4097)}, "4097 states are more than 4096: split the machine"),
    ("a-list", ["A", "B"], r"\['A', 'B'\] is no schema: give a mapping of names to State, or a subclass"),
    ("a-string", "A", "'A' is no schema"),
    ("the-base-class", Schema, "Schema itself has no states: subclass it, or give a mapping"),
]


@pytest.mark.parametrize(("schema", "says"), [pytest.param(s, m, id=i) for i, s, m in SCHEMAS])
def test_a_schema_that_cannot_work_is_refused_when_it_is_built(schema: Any, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        Machine(schema)


def test_c073_all_problems_of_a_schema_are_listed_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        Schema({"A": State(require="B", remove="B"), "B": State(add="X", after="Y")})
    assert len(caught.value.problems) == 3
    for word in ("A both requires and removes B", "add='X'", "after='Y'"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["Foostate", "Anyone", "Friend", "Enterprise", "Anything9", "Weekend"])
def test_names_that_only_look_like_those_of_handlers_are_fine(name: str) -> None:
    assert Machine({name: State()}).add(name) is Result.EXECUTED


def test_the_greatest_schema_is_accepted() -> None:
    assert len(Schema({f"S{i}": State() for i in range(4096)})) == 4097


STATES = [
    ("schema", lambda: Schema(5), "5 is no mapping of names to State"),  # type: ignore[arg-type]
    ("flag", lambda: State(auto=1), "auto=1 is no bool: write auto=True"),  # type: ignore[arg-type]
    ("number", lambda: State(require=5), "require=5 is no state: give a name or several names"),  # type: ignore[arg-type]
    ("number-inside", lambda: State(add=["A", 5]), "add holds 5, a int: give names as strings"),  # type: ignore[list-item]
    ("tags", lambda: State(tags=[1]), "tags holds 1, a int: give names as strings"),  # type: ignore[list-item]
    ("group", lambda: Schema({"A": State()}, {"G": ["Appel"]}), "group 'G' lists 'Appel'"),
]


@pytest.mark.parametrize(("call", "says"), [pytest.param(c, m, id=i) for i, c, m in STATES])
def test_a_state_that_cannot_be_meant_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        call()


def test_a_class_of_states_refers_to_its_own_states_only() -> None:
    stranger = State()
    with pytest.raises(SchemaError, match=r"Door\.Open refers to a State that is no attribute of the same class"):
        type("Door", (Schema,), {"Open": State(remove=stranger)})
    with pytest.raises(SchemaError, match=r"Door\.Both refers to a State"):
        type("Door", (Schema,), {"Both": Group(stranger)})
    with pytest.raises(SchemaError, match="'merge' is a method of Schema: give the state another name"):
        type("Door", (Schema,), {"merge": State()})


BINDINGS = [
    (
        "misspelt",
        lambda: nr().bind(Typo()),
        "handler 'AppelState' matches no state of this machine; did you mean 'AppleState'",
    ),
    (
        "misspelt-in-mapping",
        bound("Apple", "AppleStat"),
        "handler 'AppleStat' matches no state of this machine; did you mean",
    ),
    ("lower-in-mapping", bound("Apple", "helper"), "handler 'helper' matches no state"),
    ("unknown-pair", bound("Apple Bread", "AppleButter"), "handler 'AppleButter' matches no state"),
    (
        "ambiguous-phase",
        bound("Foo FooE nter", "FooEnter"),
        "'FooEnter' is ambiguous: the enter handler of Foo or state FooE meeting nter",
    ),
    (
        "ambiguous-pair",
        bound("A AB B BC C", "ABC"),
        "handler 'ABC' is ambiguous: state A meeting BC or state AB meeting C; mark a method",
    ),
    (
        "no-event",
        lambda: nr().bind(NoEvent()),
        r"AppleState cannot be called with an event: write def AppleState\(self, event\)",
    ),
    ("no-event-in-mapping", bound("A", "AState", call=lambda: None), "AState cannot be called with an event"),
    ("class", lambda: nr().bind(Shop), r"Shop is a class: bind an instance of it, Shop\(\)"),
    (
        "nothing",
        lambda: nr().bind(Helpless()),
        "handles no event of this machine: name its methods like AppleEnter, AppleState",
    ),
    ("empty-mapping", lambda: nr().bind({}), "handles no event of this machine"),
    ("no-function", bound("A", "AState", call=5), "'AState': 5 is no handler: map names of events to functions"),
    (
        "async-enter",
        bound("A", "AEnter", call=async_handler),
        "AEnter is async, but only a FooState handler can be a background task: make it a plain def",
    ),
    ("async-exit", bound("A", "AExit", call=async_handler), "AExit is async"),
    ("async-end", bound("A", "AEnd", call=async_handler), "AEnd is async"),
    ("async-pair", bound("A B", "AB", call=async_handler), "AB is async"),
    ("async-any", bound("A", "AnyState", call=async_handler), "AnyState is async"),
    (
        "prefix",
        lambda: nr().bind(handlers("State"), prefix="Appel"),
        "handler 'State' matches no state of this machine; did you mean 'AppleState'",
    ),
]


@pytest.mark.parametrize(("call", "says"), [pytest.param(c, m, id=i) for i, c, m in BINDINGS])
def test_handlers_that_fit_no_event_are_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(BindError, match=says):
        call()


def test_a_set_of_handlers_is_bound_wholly_or_not_at_all(build: Build) -> None:
    m = build("A B")
    with pytest.raises(BindError, match="'BStat'"):
        m.bind(handlers("AState", "BStat"))
    assert m.bindings == ()
    m.bind(handlers("AState"), id="one")
    with pytest.raises(BindError, match="the id 'one' are bound already: give another id, or unbind those first"):
        m.bind(handlers("BState"), id="one")
    assert len(m.bindings) == 1


class Marked(Schema):
    Open = State()
    Shut = State()


def test_a_marked_method_of_another_schema_is_refused(build: Build) -> None:
    class Door:
        @Marked.Open.state
        def opened(self, event: Event) -> None:
            """Be marked."""

    Machine(Marked).bind(Door())
    with pytest.raises(BindError, match="'opened' is marked as a handler of 'Open', which is no state of this machine"):
        build().bind(Door())
