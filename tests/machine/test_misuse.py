"""What cannot be meant is refused at once, by one error of ours that names the culprit and the way out."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from machine import (
    AsyncMachineError,
    BindError,
    LoopGuard,
    Machine,
    MisuseError,
    MutationType,
    NotOpenError,
    PendingError,
    Result,
    SchemaError,
    Snapshot,
    SnapshotError,
    State,
    Tracer,
    UnknownStateError,
    bind_any,
    bind_many,
    mirror,
    open_machine,
    pipe_add,
    sync,
    wait_for_any,
)

Build = Callable[..., Machine]


def nr(**options: Any) -> Machine:
    """Return a machine with four bare states and a name for messages."""
    return Machine({"Apple": State(), "Bread": State(), "C": State(), "D": State()}, id="shop", **options)


async def async_handler(*_: object) -> None:
    """Be what a machine without a nursery cannot run."""


MUTATIONS = [
    ("list", lambda m: m.add(["Apple", "Bread"]), MisuseError, "write the names one by one"),
    ("tuple", lambda m: m.set(("Apple",)), MisuseError, "write the names one by one"),
    ("set", lambda m: m.remove({"Apple"}), MisuseError, "{'Apple'} is no name of a state"),
    ("number", lambda m: m.add(1), MisuseError, "1 is no name of a state: give a string"),
    ("none", lambda m: m.remove(None), MisuseError, "None is no name of a state: give a string"),
    ("unknown", lambda m: m.add("Appel"), UnknownStateError, "shop has no state 'Appel' — did you mean 'Apple'?"),
    (
        "unknown-remove",
        lambda m: m.remove("X"),
        UnknownStateError,
        "shop has no state 'X'; there are: Apple, Bread, C, D",
    ),
    ("unknown-set", lambda m: m.set("Apple", "X"), UnknownStateError, "'X'"),
    ("unknown-toggle", lambda m: m.toggle("Apple", "X"), UnknownStateError, "'X'"),
    ("unknown-can", lambda m: m.can_add("Appel"), UnknownStateError, "did you mean 'Apple'"),
    ("unknown-error-state", lambda m: m.add_error(OSError(), "ErrNet"), UnknownStateError, "'ErrNet'"),
    ("unknown-prepend", lambda m: m.prepend(MutationType.ADD, "X"), UnknownStateError, "'X'"),
    ("no-error", lambda m: m.add_error("boom"), MisuseError, "'boom' is no exception: give one, such as RuntimeError"),
    ("query-list", lambda m: m.is_active(["Apple"]), MisuseError, "write the names one by one"),
    ("query-unknown", lambda m: m.is_active("Appel"), UnknownStateError, "did you mean 'Apple'"),
    ("tick-list", lambda m: m.tick(["Apple"]), MisuseError, "write the names one by one"),
    ("time-lengths", lambda m: m.is_time([1, 2], ["Apple"]), MisuseError, "2 ticks for 1 states"),
    ("verify", lambda m: m.verify_states(["Apple"]), MisuseError, "must name each state exactly once"),
    (
        "schema-loses",
        lambda m: m.set_schema({"Apple": State()}),
        MisuseError,
        "the new schema lacks Bread, C, D: a running machine may only gain states",
    ),
    ("schema-bad", lambda m: m.set_schema({"Apple": State(require="X")}), SchemaError, "'X', which is not declared"),
    (
        "replace",
        lambda m: m.schema.replace("Apple", requires="C"),
        MisuseError,
        "'requires' is no relation — did you mean 'require'",
    ),
    ("extend", lambda m: m.schema.extend("Appel", State()), UnknownStateError, "the schema has no state 'Appel'"),
    ("tag", lambda m: m.set_tags(1), MisuseError, "the tag 1 is no string"),
    (
        "pool",
        lambda m: m.set_pool_limit("AppleState", 0),
        MisuseError,
        "a pool of 0 tasks can never run one: give at least 1",
    ),
    (
        "go",
        lambda m: m.go(async_handler),
        NotOpenError,
        r"shop cannot run async_handler in the background: use `async with open_machine",
    ),
    ("fork", lambda m: m.fork("Apple", async_handler), NotOpenError, "shop cannot run async_handler"),
    ("scope", lambda m: m.scope("Appel"), UnknownStateError, "did you mean 'Apple'"),
    ("tracer", lambda m: m.add_tracer(object()), MisuseError, "is no Tracer: give an instance of a subclass of Tracer"),
    ("no-tracer", lambda m: m.remove_tracer("log"), MisuseError, "'log' does not trace this machine; there are:"),
    ("no-binding", lambda m: m.unbind("shop"), BindError, "'shop' is not bound; there are:"),
    ("guard", lambda m: LoopGuard(m, "Appel"), UnknownStateError, "did you mean 'Apple'"),
    ("condition", lambda m: m.is_clock({"Appel": 1}), UnknownStateError, "did you mean 'Apple'"),
]


@pytest.mark.parametrize(("call", "error", "says"), [pytest.param(c, e, m, id=i) for i, c, e, m in MUTATIONS])
def test_a_call_that_cannot_be_meant_is_refused_and_changes_nothing(
    call: Callable[[Any], object], error: type[Exception], says: str
) -> None:
    m = nr()
    with pytest.raises(error, match=says) as caught:
        call(m)
    assert isinstance(caught.value, AsyncMachineError)
    assert m.time_sum == 0
    assert m.statistics().transitions == 0


def test_an_unknown_state_is_a_lookup_error_and_misuse_a_value_error() -> None:
    with pytest.raises(LookupError):
        nr().add("X")
    with pytest.raises(ValueError, match="no name of a state"):
        nr().add(1)  # type: ignore[arg-type]


OPTIONS = [
    ("misspelt", {"queue_limits": 5}, "'queue_limits' is no option of Machine — did you mean 'queue_limit'?"),
    ("unknown", {"zzz": 5}, "'zzz' is no option of Machine; there are:"),
    ("no-room", {"queue_limit": 0}, "queue_limit and drain_budget must be at least 1"),
    ("no-budget", {"drain_budget": 0}, "queue_limit and drain_budget must be at least 1"),
    ("id", {"id": ""}, "id='' is no name: give a string, or leave it out"),
    ("id-number", {"id": 5}, "id=5 is no name"),
    ("parent", {"parent": "shop"}, "parent='shop' is no Machine"),
    ("tags", {"tags": [1]}, "the tag 1 is no string"),
    ("tracers", {"tracers": [Tracer]}, "is no Tracer"),
]


@pytest.mark.parametrize(("options", "says"), [pytest.param(o, m, id=i) for i, o, m in OPTIONS])
def test_an_option_that_cannot_be_meant_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(MisuseError, match=says):
        Machine({"A": State()}, **options)


def test_the_verdict_of_a_ticket_cannot_be_taken_too_early(build: Build) -> None:
    m = build("A B", handlers={"AState": lambda e: bool(e.machine.add("B"))})
    assert m.add("A") is Result.CANCELED
    assert isinstance(m.last_error, PendingError)
    assert "has no verdict yet: await it, or look at its .queued first" in str(m.last_error)


GOOD = '{"id": "shop", "state_names": ["A", "Exception"], "time": [1, 0], "queue_tick": 2, "machine_tick": 0}'
TEXTS = [
    ("no-json", "{", "this snapshot is no JSON"),
    ("list", "[]", "this snapshot is a list, not a JSON object"),
    ("no-id", GOOD.replace('"id"', '"di"'), "the snapshot's 'id' is None: it should be a str"),
    ("names", GOOD.replace('["A", "Exception"]', '"A"'), "the snapshot's 'state_names' is 'A': it should be a list"),
    ("name", GOOD.replace('"A"', "5"), "'state_names' should all be strings"),
    ("negative", GOOD.replace("[1, 0]", "[1, -1]"), "'time' should be whole numbers from 0"),
    ("fraction", GOOD.replace("[1, 0]", "[1, 0.5]"), "'time' should be whole numbers from 0"),
    ("truth", GOOD.replace('"queue_tick": 2', '"queue_tick": true'), "the snapshot's 'queue_tick' is True"),
]


@pytest.mark.parametrize(("text", "says"), [pytest.param(t, m, id=i) for i, t, m in TEXTS])
def test_a_text_that_is_no_snapshot_is_refused(text: str, says: str) -> None:
    assert Snapshot.from_json(GOOD).time == (1, 0)
    with pytest.raises(SnapshotError, match=says):
        Snapshot.from_json(text)


SNAPSHOTS = [
    (
        "other-id",
        Snapshot("door", ("A", "Exception"), (1, 0), 1, 0),
        "is of 'door', this machine is 'shop': build it with that id",
    ),
    ("lengths", Snapshot("shop", ("A", "Exception"), (1,), 1, 0), "has 1 ticks for 2 states"),
    (
        "unknown",
        Snapshot("shop", ("A", "Appel", "Exception"), (1, 0, 0), 1, 0),
        "differ from the schema's in Appel: use the schema of then",
    ),
    ("missing", Snapshot("shop", ("Exception",), (0,), 1, 0), "differ from the schema's in A"),
    ("twice", Snapshot("shop", ("A", "A", "Exception"), (0, 0, 0), 1, 0), "in a name that comes twice"),
    ("text", GOOD, "is no Snapshot: use Snapshot.from_json for text"),
]


@pytest.mark.parametrize(("snapshot", "says"), [pytest.param(s, m, id=i) for i, s, m in SNAPSHOTS])
def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(snapshot: Any, says: str) -> None:
    m = Machine({"A": State()}, id="shop")
    with pytest.raises(SnapshotError, match=says):
        m.restore(snapshot)
    assert m.time_sum == m.machine_tick == 0


def test_a_snapshot_of_the_past_is_refused() -> None:
    m = Machine({"A": State()}, id="shop")
    early = m.export()
    m.add("A")
    with pytest.raises(SnapshotError, match="shop is past this snapshot already: restore into a machine that was just"):
        m.restore(early)


PIPES = [
    (
        "lengths",
        lambda s, t: bind_many(s, ["A", "B"], t, ["A"]),
        MisuseError,
        "2 source states for 1 target states: give as many",
    ),
    (
        "no-source",
        lambda s, t: bind_many(s, [], t),
        MisuseError,
        "0 source states for 0 target states: give as many, and at least one",
    ),
    ("sync", lambda s, t: sync(s, t, ["A"], ["A", "B"]), MisuseError, "1 source states for 2 target states"),
    ("source", lambda s, t: pipe_add(s, "X", t), UnknownStateError, "source has no state 'X'"),
    ("target", lambda s, t: pipe_add(s, "A", t, "X"), UnknownStateError, "target has no state 'X'"),
    ("any", bind_any, UnknownStateError, "target has no state 'Only'"),
    ("mirror", lambda s, t: mirror(s, ["X"]), UnknownStateError, "source has no state 'X'"),
]


@pytest.mark.parametrize(("call", "error", "says"), [pytest.param(c, e, m, id=i) for i, c, e, m in PIPES])
def test_a_pipe_that_cannot_be_laid_is_refused_and_leaves_nothing(
    build: Build, call: Callable[[Machine, Machine], object], error: type[Exception], says: str
) -> None:
    source, target = build("A B Only", id="source"), build("A B", id="target")
    with pytest.raises(error, match=says):
        call(source, target)
    assert (source.pipes_out, target.pipes_in, source.tracers) == ((), (), ())


WAITS: list[tuple[str, Callable[[Machine], Awaitable[object]], type[Exception], str]] = [
    ("unknown", lambda m: m.when("Appel"), UnknownStateError, "did you mean 'Apple'"),
    ("unknown-not", lambda m: m.when_not("X"), UnknownStateError, "'X'"),
    ("unknown-args", lambda m: m.when_args("X", a=1), UnknownStateError, "'X'"),
    ("unknown-time", lambda m: m.when_time(["X"], [1]), UnknownStateError, "'X'"),
    ("unknown-ticks", lambda m: m.when_ticks("X", 1), UnknownStateError, "'X'"),
    (
        "lengths",
        lambda m: m.when_time(["Apple", "C"], [1]),
        MisuseError,
        "1 ticks for 2 states: give one tick for each",
    ),
    ("list", lambda m: m.when(["Apple"]), MisuseError, "write the names one by one"),  # type: ignore[arg-type]
    ("nothing", lambda m: wait_for_any(), MisuseError, "nothing to wait for: give at least one wait, such as"),
]


@pytest.mark.parametrize(("wait", "error", "says"), [pytest.param(w, e, m, id=i) for i, w, e, m in WAITS])
async def test_a_wait_that_can_never_come_true_is_refused(
    wait: Callable[[Machine], Awaitable[object]], error: type[Exception], says: str
) -> None:
    m = nr()
    with pytest.raises(error, match=says):
        await wait(m)
    assert m.statistics().waits == 0


async def test_a_machine_is_opened_once_and_its_options_are_given_once() -> None:
    async with open_machine({"A": State()}, id="shop") as m:
        with pytest.raises(MisuseError, match="shop is open already"):
            async with open_machine(m):
                raise AssertionError("not reached")
    with pytest.raises(MisuseError, match="queue_limit: a machine that was built before takes no options here"):
        async with open_machine(nr(), queue_limit=5):
            raise AssertionError("not reached")
