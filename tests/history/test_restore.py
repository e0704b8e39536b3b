"""Bringing machines back, and what a new life in the same place begins with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from history import QuestionError
from machine import Clock, Machine, SnapshotError, State

if TYPE_CHECKING:
    from tests.history.conftest import Kept, Place, Wall


def build(id: str = "m", states: str = "A B") -> Machine:
    return Machine({n: State() for n in states.split()}, id=id, handler_timeout=None)


async def test_a_machine_comes_back_with_its_last_clock(lasting: Place, kept: Kept, wall: Wall) -> None:
    clocks: list[Clock] = []
    for life in range(4):
        machine = build()
        async with kept(lasting) as history:
            assert await history.restore(machine) is (life > 0)
            assert machine.machine_tick == life
            if clocks:
                assert machine.clock() == clocks[-1]
            wall.step()
            machine.toggle("A")
            machine.add("B")
            clocks.append(machine.clock())
    async with kept(lasting) as history:
        (info,) = await history.machines()
        assert (info.epoch, info.machine_tick, info.first_at < info.last_at) == (4, 3, True)
        found = [r async for r in history.between()]
    assert [(r.epoch, r.seq, r.mutation) for r in found] == [
        (epoch, seq, mutation)
        for epoch in range(1, 5)
        for seq, mutation in enumerate(("base", "add" if epoch % 2 else "remove", "add"), 1)
    ]
    assert [r.tx_id for r in found if r.mutation != "base"] == [f"{e}:{n}" for e in range(4) for n in (0, 1)]
    assert sum(r.time_diff for r in found) == clocks[-1].sum


async def test_restoring_within_one_history(place: Place, kept: Kept) -> None:
    """Here the first life has only just been handed to the writer."""
    async with kept(place) as history:
        first = build()
        recorder = history.record(first)
        first.add("A")
        recorder.stop()
        second = build()
        assert await history.restore(second, rejected=True)
        assert (second.clock(), second.machine_tick) == (first.clock(), 1)
        second.remove("A")
        await history.sync()
        assert [(r.epoch, r.clock["A"]) async for r in history.between()] == [(1, 0), (1, 1), (2, 1), (2, 2)]
        assert history.statistics().recorders == 1


async def test_several_machines_and_owners(lasting: Place, kept: Kept) -> None:
    async with kept(lasting) as history:
        for i, (name, owner) in enumerate([("a", ""), ("b", ""), ("a", "ann")]):
            machine = build(name)
            history.record(machine, owner=owner)
            for _ in range(i + 1):
                machine.toggle("A")
    async with kept(lasting) as history:
        machines = [build("a"), build("b"), build("a"), build("c")]
        known = [await history.restore(m, owner=o) for m, o in zip(machines, ("", "", "ann", ""), strict=True)]
        assert known == [True, True, True, False]
        assert [m.tick("A") for m in machines] == [1, 2, 3, 0]
        await history.sync()
        assert [(m.name, m.owner, m.epoch) for m in await history.machines()] == [
            ("a", "", 2),
            ("b", "", 2),
            ("a", "ann", 2),
            ("c", "", 1),
        ]


async def test_the_order_of_states_of_then_comes_back(lasting: Place, kept: Kept) -> None:
    machine = build()
    async with kept(lasting) as history:
        history.record(machine)
        machine.verify_states(["B", "Exception", "A"])
        machine.add("A")
    again = build()
    async with kept(lasting) as history:
        assert await history.restore(again)
        assert again.state_names == ("B", "Exception", "A")
        assert again.active_states() == ("A",)


async def test_states_that_were_gained_come_back_in_a_machine_that_has_them(lasting: Place, kept: Kept) -> None:
    machine = build()
    async with kept(lasting) as history:
        history.record(machine)
        machine.set_schema({**machine.schema, "C": State()})
        machine.add("C")
    async with kept(lasting) as history:
        with pytest.raises(SnapshotError, match="C"):
            await history.restore(build())
        again = build(states="A B C")
        assert await history.restore(again)
        assert again.active_states() == ("C",)


async def test_what_was_recorded_in_part_cannot_be_restored(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        recorder = history.record(build(), states="A")
        recorder.stop()
        with pytest.raises(QuestionError, match="m was recorded with some of its states only"):
            await history.restore(build())


async def test_a_machine_that_has_lived_on_is_not_set_back(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        recorder = history.record(build())
        recorder.stop()
        machine = build()
        machine.add("A")
        with pytest.raises(SnapshotError, match="is past this snapshot already"):
            await history.restore(machine)
        assert not machine.tracers


async def test_a_machine_restored_while_it_is_recorded(place: Place, kept: Kept) -> None:
    older = build()
    for _ in range(5):
        older.toggle("A")
    async with kept(place) as history:
        machine = build()
        history.record(machine)
        machine.add("B")
        machine.remove("B")
        machine = build()
        other = history.record(machine, owner="ann")
        machine.restore(older.export())
        machine.add("B")
        await history.sync()
        found = [r async for r in history.between(machines="ann/m")]
    assert other.recorded == 1
    assert [(r.mutation, r.clock["A"], r.tx_id) for r in found] == [
        ("base", 0, None),
        ("base", 5, None),
        ("add", 5, "1:0"),
    ]
    assert found[1].activated == ("A",)


async def test_stamps_go_on_though_the_clock_was_set_back(lasting: Place, kept: Kept, wall: Wall) -> None:
    stamps = []
    for _ in range(3):
        machine = build()
        async with kept(lasting) as history:
            history.record(machine)
            machine.add("A")
            await history.sync()
            stamps += [r.at async for r in history.between(called="A")][-1:]
            assert (await history.as_of("m")).active == ("A",), "now is never before what was recorded"
        wall.step(-86_400)
    assert stamps == sorted(set(stamps))


async def test_after_a_crash_in_the_middle_of_a_batch(
    lasting: Place, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """The database takes the rows of a batch and then no more; the process ends. See test_durability for kill -9."""
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError

    from history.sql import SqlStore

    with caplog.at_level(logging.CRITICAL, "asyncmachine"):
        machine = build()
        async with kept(lasting, closing=0) as history:
            history.record(machine)
            machine.add("A")
            await history.sync()
            assert isinstance(history.store, SqlStore)

            @event.listens_for(history.store.engine, "before_cursor_execute")
            def fail(connection: object, cursor: object, statement: str, *_: object) -> None:
                if statement.startswith("UPDATE machine SET"):
                    raise OperationalError(statement, None, Exception("the power is gone"))

            machine.add("B")
            machine.remove("A")
        statistics = history.statistics()
        assert (statistics.appended, statistics.committed, statistics.lost) == (4, 2, 2)
    again = build()
    async with kept(lasting) as history:
        assert await history.restore(again)
        assert again.active_states() == ("A",)
        await history.sync()
        assert [(r.epoch, r.seq) async for r in history.between()] == [(1, 1), (1, 2), (2, 1)]
