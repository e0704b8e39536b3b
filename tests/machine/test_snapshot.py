"""Section 9.3: a clock that outlives its machine."""

import json
from collections.abc import Callable

import pytest
import trio.testing

from machine import Machine, Result, Snapshot, SnapshotError, State

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]

NR = "A B C D"


def test_a_snapshot_is_a_value_that_json_carries(build: Build) -> None:
    m = build(NR, "add A,B; remove B", id="m")
    snapshot = m.export()
    m.add("C")
    assert snapshot == Snapshot("m", ("A", "B", "C", "D", "Exception"), (1, 2, 0, 0, 0), 3, 0)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    assert Snapshot.from_json(snapshot.to_json().encode()) == snapshot
    assert set(json.loads(snapshot.to_json())) == {
        "id",
        "state_names",
        "time",
        "queue_tick",
        "machine_tick",
    }


def test_a_restored_machine_goes_on_where_the_other_one_was(build: Build, do: Do, shown: Shown, watched: str) -> None:
    schema = "A{auto; require B} B C{remove B}"
    first = build(schema, "add B; add C", id="m")
    again = build(schema, id="m", watched=watched)
    again.restore(first.export())
    assert shown(again) == shown(first) == "(C:1) [A:2 B:2]"
    assert again.queue_tick == 1
    assert again.machine_tick == 1
    for m in (first, again):
        do(m, "remove C; add B")
    assert shown(again) == shown(first) == "(A:3 B:3) [C:2]"


def test_each_life_counts(build: Build) -> None:
    snapshot = build(NR, id="m").export()
    for life in (1, 2, 3):
        m = build(NR, id="m")
        m.restore(snapshot)
        assert m.machine_tick == life
        snapshot = m.export()


def test_the_order_of_the_states_comes_with_the_snapshot(build: Build) -> None:
    first = build("D C B A", "add A; add C", id="m")
    again = build("A B C D", id="m")
    again.restore(first.export())
    assert again.state_names == ("D", "C", "B", "A", "Exception")
    assert again.time() == first.time()
    assert again.active_states() == ("C", "A")  # the order of the states, whatever was called last


def test_no_handler_runs_but_that_of_machine_restored(build: Build, record: Record) -> None:
    schema = "A Z{auto; require A} MachineRestored{multi}"
    first = build(schema, "add A", id="m")
    again = build(schema, id="m")
    events = record(again)
    again.restore(first.export())
    finals = [e for e in events if e.endswith("State")]
    assert finals == ["MachineRestoredState", "AnyState"]


async def test_waits_see_a_restored_clock(build: Build, nursery: trio.Nursery) -> None:
    first, again = build(NR, "add A", id="m"), build(NR, id="m")
    nursery.start_soon(again.when, "A")
    await trio.testing.wait_all_tasks_blocked()
    again.restore(first.export())
    await trio.testing.wait_all_tasks_blocked()
    assert again.statistics().waits == 0


def test_a_machine_that_is_bound_takes_no_other_order(build: Build) -> None:
    first = build("D C B A", "add A", id="m")
    again = build("A B C D", id="m", handlers={"AState": lambda _: None})
    with pytest.raises(ValueError, match="fix the order of its states before"):
        again.restore(first.export())
    assert again.time_sum == 0
    assert again.machine_tick == 0
    assert again.state_names[0] == "A"


def test_a_machine_is_not_restored_from_within(build: Build) -> None:
    snapshot = build(NR, id="m").export()
    m = build(NR, id="m", handlers={"AState": lambda e: e.machine.restore(snapshot)})
    m.add("A")
    assert "is in a transition: restore it from outside of handlers" in str(m.last_error)


def test_a_snapshot_needs_the_schema_of_then() -> None:
    old = Machine({"A": State()}, id="m")
    new = Machine({"A": State(), "B": State()}, id="m")
    with pytest.raises(SnapshotError, match="differ from the schema's in B: use the schema of then"):
        new.restore(old.export())
    same = Machine({"A": State()}, id="m")
    same.restore(old.export())
    same.set_schema({"A": State(), "B": State()})
    assert same.add("B") is Result.EXECUTED
