"""Following a history: the past, then what comes in, without a gap and without a duplicate."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
import trio

from history import History, HistoryError, Record, UnknownMachineError
from machine import Machine, State

if TYPE_CHECKING:
    from tests.history.conftest import Kept, Place, Wall


def build(id: str = "m") -> Machine:
    return Machine({"A": State(), "B": State()}, id=id, handler_timeout=None)


async def collect(history: History, into: list[Record], *, until: int | None = None, **options: Any) -> None:
    """Append what a history yields, until there are enough, or to its end."""
    async with aclosing(history.changes(**options)) as changes:
        async for record in changes:
            into.append(record)
            if until is not None and len(into) >= until:
                return


async def test_the_past_then_the_present(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place, closing=300.0) as history, trio.open_nursery() as nursery:
        history.record(machine)
        for _ in range(5):
            wall.step()
            machine.toggle("A")
        got: list[Record] = []
        nursery.start_soon(lambda: collect(history, got, since=0, until=10))
        for _ in range(4):
            await trio.lowlevel.checkpoint()
            machine.toggle("B")
    assert [r.seq for r in got] == list(range(1, 11))
    assert [r.called for r in got] == [()] + [("A",)] * 5 + [("B",)] * 4


@pytest.mark.parametrize("buffer", [50, 100_000], ids=["small-buffer", "large-buffer"])
async def test_nothing_is_missed_or_repeated_under_load(place: Place, kept: Kept, buffer: int) -> None:
    count, machines = 400, [build(f"m{i}") for i in range(4)]
    past: list[Record] = []
    late: list[Record] = []
    async with kept(place, buffer=buffer, batch=37) as history:
        async with trio.open_nursery() as nursery:
            total = (count + 1) * len(machines)

            async def produce(machine: Machine) -> None:
                history.record(machine)
                for i in range(count):
                    machine.toggle("A")
                    if i % 10 == 0:
                        await history.room()
                    if i == count // 2 and machine is machines[0]:
                        nursery.start_soon(lambda: collect(history, late, since=0, until=total))

            nursery.start_soon(lambda: collect(history, past, since=0, until=total))
            for machine in machines:
                nursery.start_soon(produce, machine)
        stored = [r async for r in history.between()]
    for got in (past, late):
        assert [r.id for r in got] == sorted({r.id for r in got})
        assert sorted(got, key=lambda r: r.at) == stored
        for machine in machines:
            assert [r.seq for r in got if r.machine == machine.id] == list(range(1, count + 2))


async def test_from_now_on(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    got: list[Record] = []
    async with kept(place) as history:
        history.record(machine)
        machine.add("A")
        await history.sync()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: collect(history, got, until=3))
            while len(got) < 3:  # now is when it has begun, and not when it was asked for
                machine.toggle("B")
                await history.sync()
    assert {r.called for r in got} == {("B",)}
    assert [r.seq for r in got] == list(range(got[0].seq, got[0].seq + 3))


async def test_behind_a_moment_and_behind_a_record(place: Place, kept: Kept, wall: Wall) -> None:
    one, two = build("one"), build("two")
    async with kept(place) as history:
        history.record(one)
        history.record(two)
        for _ in range(6):
            wall.step()
            one.toggle("A")
            two.toggle("A")
        await history.sync()
        stored = [r async for r in history.between()]
        for i in (0, 1, 5, 12):
            got: list[Record] = []
            await collect(history, got, since=stored[i], until=13 - i)
            assert got == stored[i + 1 :]
        behind: list[Record] = []
        await collect(history, behind, since="2s ago", until=4)
        assert behind == [r for r in stored if r.at > stored[-1].at - 2 * 10**9]
        only: list[Record] = []
        await collect(history, only, since=0, machines="two", until=7)
        assert only == [r for r in stored if r.machine == "two"]


async def test_a_follower_goes_on_where_it_was_after_a_restart(lasting: Place, kept: Kept, wall: Wall) -> None:
    got: list[Record] = []
    for life in range(3):
        machine = build()
        async with kept(lasting) as history:
            history.record(machine)
            for _ in range(5):
                machine.toggle("A")
            await collect(history, got, since=got[-1] if got else 0, until=6 * (life + 1))
    assert [(r.epoch, r.seq) for r in got] == [(e, s) for e in (1, 2, 3) for s in range(1, 7)]


async def test_followers_end_with_the_history_and_have_seen_all(place: Place, kept: Kept) -> None:
    """The last batch is written while closing, and they are behind by several pages."""
    machine = build()
    quick: list[Record] = []
    slow: list[Record] = []

    async def dawdle(history: History) -> None:
        async with aclosing(history.changes(since=0)) as changes:
            async for record in changes:
                slow.append(record)
                await trio.lowlevel.checkpoint()

    # a busy computer may be behind by more than the seconds that closing waits by default
    async with trio.open_nursery() as nursery, kept(place, closing=300.0) as history:
        nursery.start_soon(lambda: collect(history, quick, since=0))
        nursery.start_soon(dawdle, history)
        history.record(machine)
        await history.sync()
        for _ in range(2500):
            machine.toggle("A")
    assert [r.seq for r in quick] == list(range(1, 2502))
    assert slow == quick


async def test_a_follower_that_is_stuck_does_not_keep_a_history_from_closing(place: Place, kept: Kept) -> None:
    machine = build()
    stuck, woken = trio.Event(), trio.Event()
    got: list[Record] = []

    async def get_stuck(history: History) -> None:
        async with aclosing(history.changes(since=0)) as changes:
            async for record in changes:
                got.append(record)
                stuck.set()
                await woken.wait()

    async with trio.open_nursery() as nursery:
        async with kept(place, closing=0.01) as history:
            nursery.start_soon(get_stuck, history)
            history.record(machine)
            machine.add("A")
            await stuck.wait()
        woken.set()
    assert len(got) <= 2
    with pytest.raises(HistoryError, match="closed"):
        await collect(history, got)


async def test_a_machine_that_is_not_known_cannot_be_followed(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        history.record(build())
        await history.sync()
        with pytest.raises(UnknownMachineError, match="there are: m"):
            await collect(history, [], machines="other")


async def test_a_cancelled_follower_leaves_nothing_behind(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: collect(history, []))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        history.record(build())
        await history.sync()
