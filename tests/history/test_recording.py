"""What is recorded of a machine: which transitions, and what of each."""

from __future__ import annotations

import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from history import Except, HistoryError, QuestionError, Record
from machine import Event, Machine, State, UnknownStateError, bind_state

if TYPE_CHECKING:
    from history import History
    from tests.history.conftest import Kept, Place, Wall

ABC = {"A": State(), "B": State(), "C": State(require="B")}


def build(schema: Any = ABC, id: str = "m", **options: Any) -> Machine:
    return Machine(schema, id=id, handler_timeout=None, **options)


async def records(history: History, **question: Any) -> list[Record]:
    """Return all records but the bases."""
    await history.sync()
    return [r async for r in history.between(**question) if r.mutation != "base"]


async def test_recording_begins_with_the_clock_as_it_is(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    machine.add("A")
    machine.set("B")
    async with kept(place) as history:
        history.record(machine)
        await history.sync()
        (base,) = [r async for r in history.between()]
        assert (base.mutation, base.at, base.epoch, base.seq) == ("base", wall.at, 1, 1)
        assert dict(base.clock) == {"A": 2, "B": 1, "C": 0, "Exception": 0}
        assert base.called == ()
        assert base.tx_id is None


async def test_a_record_says_all_there_is_to_say(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine)
        wall.step()
        machine.add("B", "C")
        wall.step()
        machine.remove("B")
        first, second = await records(history)
    assert (first.machine, first.owner, first.mutation, first.at) == ("m", "", "add", wall.at - 10**9)
    assert (first.called, first.activated, first.deactivated) == (("B", "C"), ("B", "C"), ())
    assert (first.auto, first.rejected, first.error, first.arguments) == (False, False, False, None)
    assert (first.time_sum, first.time_diff, first.seq, first.tx_id) == (2, 2, 2, "0:0")
    assert (second.called, second.activated, second.deactivated) == (("B",), (), ("B", "C"))
    assert dict(second.clock) == {"A": 0, "B": 2, "C": 2, "Exception": 0}
    assert (second.time_sum, second.time_diff, second.seq, second.tx_id) == (4, 2, 3, "0:1")
    assert second.changed == ("B", "C")
    assert second.id > first.id
    assert str(second) == "2013-02-07T00:00:02Z m remove B: -B -C"


async def test_stamps_of_a_machine_increase_while_the_clock_stands(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine)
        for _ in range(50):
            machine.toggle("A")
        wall.step(-3600)
        for _ in range(50):
            machine.toggle("A")
        found = await records(history)
    stamps = [r.at for r in found]
    assert len(stamps) == 100
    assert all(a < b for a, b in itertools.pairwise(stamps))
    assert [r.seq for r in found] == list(range(2, 102))


async def test_auto_set_and_reentry_are_told_apart(place: Place, kept: Kept) -> None:
    schema = {"A": State(), "M": State(multi=True), "Auto": State(auto=True, require="A")}
    machine = build(schema)
    async with kept(place) as history:
        history.record(machine)
        machine.add("A")
        machine.set("M")
        machine.add("M")
        found = await records(history)
    assert [(r.mutation, r.auto, r.activated, r.deactivated) for r in found] == [
        ("add", False, ("A",), ()),
        ("add", True, ("Auto",), ()),
        ("set", False, ("M",), ("A", "Auto")),
        ("add", False, ("M",), ()),
    ]
    assert [r.clock["M"] for r in found] == [0, 0, 1, 3]


async def test_errors_are_marked(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, arguments=True)
        machine.add_error(ValueError("no"))
        machine.remove("Exception")
        machine.add("A")
        found = await records(history)
    assert [r.error for r in found] == [True, True, False]
    assert found[0].arguments == {"error": "ValueError('no')"}


async def test_a_failing_handler_is_recorded_as_what_it_was(
    place: Place, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise ValueError("no")

    machine = build(handlers={"AState": fail})
    async with kept(place) as history:
        history.record(machine, rejected=True)
        with caplog.at_level(logging.CRITICAL, "asyncmachine"):
            machine.add("A", "B")
        found = await records(history)
        now = await history.as_of("m")
    assert found[-1].error
    assert now.clock == machine.clock()
    assert [r.clock["A"] % 2 for r in found][-1] == machine.tick("A") % 2


async def test_refused_mutations_are_left_out_unless_asked_for(place: Place, kept: Kept) -> None:
    machine, strict = build(id="lax"), build(id="strict", handlers={"AEnter": lambda event: False})
    async with kept(place) as history:
        history.record(machine)
        history.record(strict, rejected=True)
        for m in (machine, strict):
            m.add("C")
            m.add("A")
            m.can_add("B")
        found = await records(history)
    assert [(r.machine, r.rejected, r.called, r.changed) for r in found] == [
        ("lax", False, ("A",), ("A",)),
        ("strict", True, ("C",), ()),
        ("strict", True, ("A",), ()),
    ]


async def test_a_call_that_changes_nothing_is_a_transition_too(place: Place, kept: Kept) -> None:
    machine = build(handlers={"AnyEnter": lambda event: None})
    async with kept(place) as history:
        recorder = history.record(machine)
        machine.add("A")
        machine.add("A")
        found = await records(history)
    assert recorder.recorded == len(found)
    assert {r.clock["A"] for r in found} == {1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"called": "A"}, ["add A", "remove A", "set A"]),
        ({"called": ["A", "C"]}, ["add A", "add B C", "remove A", "set A"]),
        ({"called": Except("A")}, ["add B C", "remove B"]),
        ({"called": Except("A", "B", "C", "Exception")}, []),
        ({"changed": "C"}, ["add B C", "remove B"]),
        ({"changed": Except("B", "C")}, ["add A", "remove A", "set A"]),
        ({"called": "B", "changed": "C"}, ["add B C", "remove B"]),
        ({"called": Except("B"), "changed": "C"}, ["add B C"]),
    ],
    ids=str,
)
async def test_filters(place: Place, kept: Kept, options: dict[str, Any], expected: list[str]) -> None:
    machine = build()
    async with kept(place) as history:
        recorder = history.record(machine, **options)
        machine.add("A")
        machine.add("B", "C")
        machine.remove("A")
        machine.remove("B")
        machine.set("A")
        found = await records(history)
    assert [f"{r.mutation} {' '.join(r.called)}" for r in found] == expected
    assert recorder.skipped == 5 - len(expected)
    # what is left out leaves no hole in the numbers
    assert [r.seq for r in found] == list(range(2, 2 + len(expected)))


async def test_tracked_states_come_in_the_order_of_the_schema(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, states=["C", "A"], rejected=True)
        for _ in range(2):
            machine.add("A", "B")
            machine.add("B", "C")
            machine.remove("B")
            machine.remove("A")
        machine.add("B")
        found = await records(history)
        assert (await history.machines())[0].states == ("A", "C")
        assert list((await history.as_of("m")).clock.items()) == [("A", 4), ("C", 4)]
    assert [(r.called, r.activated, r.deactivated) for r in found] == 2 * [
        (("A",), ("A",), ()),
        (("C",), ("C",), ()),
        ((), (), ("C",)),
        (("A",), (), ("A",)),
    ]
    assert [r.time_sum for r in found] == list(range(1, 9))


async def test_arguments_as_they_are(place: Place, kept: Kept) -> None:
    machine = build()
    odd = object()
    loop: list[Any] = []
    loop.append(loop)
    async with kept(place) as history:
        history.record(machine, arguments=True)
        machine.add("A", who="Ann", count=3, nested={"a": [1, None, 2.5]})
        machine.add("B", odd=odd)
        machine.remove("A", text="null \x00 and \U0001f600 and \ud800")
        machine.add("A", loop=loop)
        machine.remove("A")
        found = await records(history)
    assert found[0].arguments == {"who": "Ann", "count": 3, "nested": {"a": [1, None, 2.5]}}
    assert found[1].arguments == {"odd": repr(odd)}
    assert "\U0001f600" in str(found[2].arguments) or "\\U0001f600" in str(found[2].arguments)
    assert "..." in json.dumps(found[3].arguments)
    assert found[4].arguments is None
    assert history.statistics().encode_errors == 0


async def test_arguments_through_a_mapper(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, arguments=lambda args: {"who": args["who"].upper()} if "who" in args else None)
        machine.add("A", who="Ann", password="secret")
        machine.add("B", password="secret")
        found = await records(history)
    assert [r.arguments for r in found] == [{"who": "ANN"}, None]


async def test_arguments_are_not_recorded_unless_asked_for(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine)
        machine.add("A", password="secret")
        assert [r.arguments for r in await records(history)] == [None]


async def test_a_failing_mapper_costs_the_arguments_and_not_the_transition(
    place: Place, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, arguments=lambda args: args["missing"])
        with caplog.at_level(logging.CRITICAL, "asyncmachine"):
            machine.add("A", who="Ann")
            machine.add("B")
        found = await records(history)
    assert [r.called for r in found] == [("A",), ("B",)]


async def test_a_schema_that_grows(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, rejected=True)
        wall.step()
        machine.add("A")
        machine.add("C")
        before = wall.step()
        wall.step()
        machine.set_schema({**machine.schema, "D": State(add="E"), "E": State()})
        machine.add("D")
        found = await records(history)
        then, now = await history.as_of("m", before), await history.as_of("m")
        assert history.statistics().encode_errors == 0
        assert [i.start for i in await history.intervals("m", "E")] == [found[-1].at]
        assert (await history.machines())[0].states == ("A", "B", "C", "Exception", "D", "E")
    assert tuple(then.clock) == ("A", "B", "C", "Exception")
    assert dict(now.clock) == {"A": 1, "B": 0, "C": 0, "Exception": 0, "D": 1, "E": 1}
    assert [(r.called, r.activated, r.rejected) for r in found] == [
        (("A",), ("A",), False),
        (("C",), (), True),
        (("D",), ("D", "E"), False),
    ]


async def test_an_order_of_states_that_changes_while_transitions_wait(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place) as history:
        history.record(machine, states=["A", "C"])
        machine.add("A")
        machine.add("B", "C")
        machine.verify_states(["C", "B", "Exception", "A"])
        machine.remove("A")
        found = await records(history)
        assert (await history.machines())[0].states == ("C", "A")
    assert [(r.called, r.activated, r.deactivated) for r in found] == [
        (("A",), ("A",), ()),
        (("C",), ("C",), ()),
        (("A",), (), ("A",)),
    ]
    assert [tuple(r.clock.items()) for r in found] == [
        (("A", 1), ("C", 0)),
        (("A", 1), ("C", 1)),
        (("C", 1), ("A", 2)),
    ]


@pytest.mark.parametrize("tracked", [None, ["S5", "S62", "S63", "S99"]], ids=["all", "some"])
async def test_machines_of_more_than_63_states(place: Place, kept: Kept, wall: Wall, tracked: list[str] | None) -> None:
    names = [f"S{i}" for i in range(100)]
    machine = build({n: State() for n in names})
    async with kept(place) as history:
        history.record(machine, states=tracked)
        for called in (["S5", "S63"], ["S62"], ["S99"]):
            wall.step()
            machine.add(*called)
        wall.step()
        machine.remove("S63", "S62")
        found = await records(history)
        assert [r.called for r in found] == [("S5", "S63"), ("S62",), ("S99",), ("S62", "S63")]
        assert [r.activated for r in found] == [("S5", "S63"), ("S62",), ("S99",), ()]
        assert found[-1].deactivated == ("S62", "S63")
        assert (await history.as_of("m")).active == ("S5", "S99")
        assert [r.id for r in await records(history, activated="S99")] == [found[2].id]
        assert [r.id for r in await records(history, deactivated=["S62", "S63"])] == [found[3].id]
        assert [r.id for r in await records(history, changed=["S63", "S99"])] == [found[i].id for i in (0, 2, 3)]
        assert [r.id for r in await records(history, called="S63")] == [found[i].id for i in (0, 3)]
        spans = await history.intervals("m", "S63")
        assert [(i.start, i.end) for i in spans] == [(found[0].at, found[3].at)]


async def test_a_disposed_machine_ends_its_recording(place: Place, kept: Kept) -> None:
    machine = build({**ABC, "Start": State()})
    async with kept(place) as history:
        history.record(machine)
        machine.add("Start", "A")
        machine.dispose()
        assert history.statistics().recorders == 0
        found = await records(history)
        assert (await history.as_of("m")).active == ("A",)
        again = build(ABC | {"Start": State()})
        history.record(again)
        again.add("B")
        await history.sync()
        assert (await history.machines())[0].epoch == 2
    assert [(r.called, r.tx_id) for r in found] == [(("A", "Start"), "0:0"), (("Start",), "0:1")]


async def test_recording_twice_at_once_is_refused(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place) as history:
        recorder = history.record(machine)
        with pytest.raises(QuestionError, match="m is being recorded already: stop that recorder first"):
            history.record(machine)
        recorder.stop()
        recorder.stop()
        machine.add("A")
        history.record(machine)
        machine.add("B")
        found = await records(history)
    assert [(r.called, r.epoch, r.seq) for r in found] == [(("B",), 2, 2)]


@pytest.mark.parametrize("option", ["states", "called", "changed"])
async def test_an_unknown_state_in_a_filter_is_an_error_that_leaves_nothing_behind(
    place: Place, kept: Kept, option: str
) -> None:
    machine = build({"Open": State()})
    async with kept(place) as history:
        with pytest.raises(UnknownStateError, match="did you mean 'Open'"):
            history.record(machine, **dict[str, Any]({option: "Opne"}))
        assert not machine.tracers
        assert history.statistics().recorders == 0
        history.record(machine)


async def test_no_states_at_all_are_refused(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        with pytest.raises(QuestionError, match="name the states to track"):
            history.record(build(), states=[])


async def test_name_owner_tags_and_parent_are_kept(place: Place, kept: Kept) -> None:
    parent = build(id="house")
    child = build(id="lamp", parent=parent, tags=["kitchen", "b:2"])
    async with kept(place) as history:
        history.record(child, owner="ann")
        await history.sync()
        (info,) = await history.machines()
    assert (info.name, info.owner, info.parent, info.tags) == ("lamp", "ann", "house", ("kitchen", "b:2"))


async def test_what_a_pipe_causes_names_its_cause(place: Place, kept: Kept) -> None:
    source, target = build(id="source"), build(id="target")
    bind_state(source, "A", target, "B")
    async with kept(place) as history:
        history.record(source)
        history.record(target)
        source.add("A")
        cause, effect = await records(history)
    assert (cause.machine, cause.source_machine, cause.source_tx) == ("source", None, None)
    assert (effect.machine, effect.source_machine, effect.source_tx) == ("target", "source", cause.tx_id)
    assert effect.at > cause.at


async def test_names_that_a_database_could_choke_on(place: Place, kept: Kept) -> None:
    names = ["naïve 'quoted\"", "a/b", "%s :x", "\U0001f600", " "]
    async with kept(place) as history:
        for name in names:
            machine = build(id=name)
            history.record(machine, owner=name)
            machine.add("A")
        await history.sync()
        assert [m.name for m in await history.machines()] == names
        for name in names:
            assert (await history.as_of(name)).active == ("A",)


@pytest.mark.parametrize("name", ["null \x00", "half \ud800"], ids=ascii)
async def test_a_name_that_no_database_takes_is_refused_at_once(place: Place, kept: Kept, name: str) -> None:
    async with kept(place) as history:
        with pytest.raises(QuestionError, match="name"):
            history.record(build(id=name))
        with pytest.raises(QuestionError, match="owner"):
            history.record(build(), owner=name)
        assert history.statistics().recorders == 0


async def test_a_closed_history_records_nothing_more(place: Place, kept: Kept) -> None:
    machine, other = build(), build(id="other")
    async with kept(place) as history:
        history.record(machine)
        machine.add("A")
    assert not machine.tracers
    machine.add("B")
    with pytest.raises(HistoryError, match="closed: open it again"):
        history.record(other)
    with pytest.raises(HistoryError, match="closed"):
        await history.restore(other)
    with pytest.raises(HistoryError, match="closed"):
        await history.prune(max_rows=1)
    with pytest.raises(HistoryError, match="closed"):
        await history.machines()
    await history.close()
    statistics = history.statistics()
    assert (statistics.appended, statistics.committed, statistics.waiting, statistics.recorders) == (2, 2, 0, 0)
