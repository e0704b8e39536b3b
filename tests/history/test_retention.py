"""Letting go of the past: by age, by count, in small steps."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from history import History, HorizonError, LogicalTime, QuestionError, open_history, retention
from machine import Machine, State

if TYPE_CHECKING:
    from tests.history.conftest import Kept, Place, Wall

SECOND = 10**9


def build(id: str = "m") -> Machine:
    return Machine({"A": State(), "B": State()}, id=id, handler_timeout=None)


async def fill(history: History, wall: Wall, count: int, *machines: Machine) -> list[dict[str, dict[str, int]]]:
    """Toggle each machine once a second, and return what the clocks were after each second."""
    clocks = []
    for machine in machines:
        history.record(machine)
    for _ in range(count):
        wall.step()
        for machine in machines:
            machine.toggle("A")
        clocks.append({m.id: dict(m.clock()) for m in machines})
    await history.sync()
    return clocks


async def check(history: History, began: int, horizon: int, clocks: list[dict[str, dict[str, int]]]) -> None:
    """Hold every second against what it was, and against the horizon, in seconds after the beginning."""
    for second, expected in enumerate(clocks, 1):
        at = began + second * SECOND + 10
        for name, clock in expected.items():
            if second >= horizon:
                assert dict((await history.as_of(name, at)).clock) == clock
                assert dict((await history.network(at))[name].clock) == clock
            else:
                with pytest.raises(
                    HorizonError, match=f"{name} at 2013.* is beyond the horizon: retention kept it from"
                ):
                    await history.as_of(name, at)
                with pytest.raises(HorizonError):
                    await history.network(at)


async def test_by_count(place: Place, kept: Kept, wall: Wall) -> None:
    began, machines = wall.at, [build("m"), build("n")]
    async with kept(place) as history:
        clocks = await fill(history, wall, 20, *machines)
        await check(history, began, 0, clocks)
        assert await history.prune(max_rows=100) == 0
        assert await history.prune(max_rows=8) == 2 * (21 - 8)
        await check(history, began, 13, clocks)
        assert [m.horizon // SECOND for m in await history.machines()] == [(began + 13 * SECOND) // SECOND] * 2
        assert {m.first_at // SECOND for m in await history.machines()} == {began // SECOND}
        assert len([r async for r in history.between()]) == 16
        assert await history.prune(max_rows=8) == 0
        assert await history.prune(max_rows=1) == 14
        await check(history, began, 20, clocks)
        assert history.statistics().pruned == 40


async def test_by_age(place: Place, kept: Kept, wall: Wall) -> None:
    began, machine = wall.at, build()
    async with kept(place) as history:
        clocks = await fill(history, wall, 20, machine)
        assert await history.prune(max_age="1h") == 0
        wall.step(0.5)
        # 5.5 s ago it was as the row before that had left it: that one stays
        assert await history.prune(max_age="5s") == 15
        await check(history, began, 15, clocks)
        wall.step(3600)
        assert await history.prune(max_age="5s") == 5
        await check(history, began, 20, clocks)
        assert (await history.as_of("m")).clock == machine.clock()
        machine.toggle("B")
        await history.sync()
        assert (await history.as_of("m")).clock == machine.clock()


async def test_by_both_at_once(place: Place, kept: Kept, wall: Wall) -> None:
    began = wall.at
    async with kept(place) as history:
        clocks = await fill(history, wall, 20, build())
        await history.prune(max_age="5s", max_rows=10)
        await check(history, began, 15, clocks)
        await history.prune(max_age="1h", max_rows=3)
        await check(history, began, 18, clocks)


async def test_what_the_horizon_says_and_when(place: Place, kept: Kept, wall: Wall) -> None:
    began = wall.at
    async with kept(place) as history:
        await fill(history, wall, 4, build())
        await history.prune(max_rows=2)
        with pytest.raises(HorizonError) as caught:
            await history.as_of("m", began + SECOND)
        assert str(caught.value) == (
            "m at 2013-02-07T00:00:01Z is beyond the horizon: retention kept it from 2013-02-07T00:00:03Z on"
        )
        assert caught.value.horizon == began + 3 * SECOND
        with pytest.raises(HorizonError):
            await history.as_of("m", began + 3 * SECOND - 1)
        assert (await history.as_of("m", began + 3 * SECOND)).seq == 4
        with pytest.raises(QuestionError, match="was not known yet") as before:
            await history.as_of("m", began - 1)
        assert not isinstance(before.value, HorizonError)
        assert dict(await history.network(began - 1)) == {}


async def test_machine_times_beyond_the_horizon(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        await fill(history, wall, 6, build())
        await history.prune(max_rows=3)
        for clock in (0, 1, 3):
            for when in (LogicalTime(clock), LogicalTime(clock, 1)):
                with pytest.raises(HorizonError, match=rf"m at @{clock}.* is beyond the horizon"):
                    await history.as_of("m", when)
        for clock in (4, 5, 6):
            assert (await history.as_of("m", f"@{clock}")).clock.sum == clock
        await fill(history, wall, 2, build())
        await history.prune(max_rows=3)
        with pytest.raises(HorizonError):
            await history.as_of("m", LogicalTime(3, 1))
        assert (await history.as_of("m", LogicalTime(0, 2))).epoch == 2


async def test_intervals_and_shares_begin_at_the_horizon(place: Place, kept: Kept, wall: Wall) -> None:
    began = wall.at
    async with kept(place) as history:
        await fill(history, wall, 6, build())  # on from 1, 3, 5 for a second each
        await history.prune(max_rows=4)
        horizon = began + 3 * SECOND
        found = await history.intervals("m", "A", began)
        assert [(i.start, i.end, i.began) for i in found] == [
            (horizon, horizon + SECOND, False),
            (horizon + 2 * SECOND, horizon + 3 * SECOND, True),
        ]
        assert await history.uptime("A", began, began + 5 * SECOND) == 0.5


async def test_the_last_row_of_a_machine_stays_for_ever(place: Place, kept: Kept, wall: Wall) -> None:
    machine = build()
    async with kept(place) as history:
        await fill(history, wall, 3, machine)
        wall.step(10**6)
        await history.prune(max_age="1s", max_rows=1)
        await history.prune(max_age="1s", max_rows=1)
        assert (await history.as_of("m")).clock == machine.clock()
    if place.lasts:
        again = build()
        async with kept(place) as history:
            assert await history.restore(again)
            assert again.clock() == machine.clock()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_rows": 0}, "at least one row of each machine stays"),
        ({"max_age": "5 days"}, "'5 days' is no span of time: write 90d"),
    ],
)
async def test_what_cannot_be_meant_is_refused(place: Place, kept: Kept, limits: dict[str, Any], message: str) -> None:
    async with kept(place) as history:
        with pytest.raises(QuestionError, match=message):
            await history.prune(**limits)


async def test_it_goes_on_in_steps_between_which_the_writer_writes(
    place: Place, kept: Kept, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 10)
    machine, busy = build(), build("busy")
    async with kept(place) as history:
        await fill(history, wall, 300, machine)
        history.record(busy)
        await history.sync()
        before, sizes = history.statistics(), []
        done = trio.Event()

        async def work() -> None:
            while not done.is_set():
                busy.toggle("A")
                await history.sync()  # comes back, although there is still a lot to be pruned
                sizes.append(history.statistics().pruned - before.pruned)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            assert await history.prune(max_rows=1) >= 300
            done.set()
        assert history.statistics().batches - before.batches >= 5
        assert len(set(sizes)) >= 5, "batches and steps take turns"
        assert (await history.as_of("m")).clock == machine.clock()
        assert (await history.as_of("busy")).clock == busy.clock()


async def test_in_the_background(sqlite_file: Place, wall: Wall) -> None:
    machine = build()
    async with open_history(sqlite_file.url, now=wall, max_rows=5, max_age="1h", prune_every=0.001) as history:
        await fill(history, wall, 50, machine)
        while history.statistics().pruned < 46:
            await history.sync()
        assert (await history.machines())[0].horizon == wall.at - 4 * SECOND
        assert (await history.as_of("m")).clock == machine.clock()


async def test_a_follower_sees_what_was_not_let_go(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        await fill(history, wall, 20, build())
        await history.prune(max_rows=4)
        got = []
        async with aclosing(history.changes(since=0)) as changes:
            async for record in changes:
                got.append(record.seq)
                if len(got) == 4:
                    break
        assert got == [18, 19, 20, 21]


async def test_numbers_are_not_used_again_after_everything_else_was_let_go(
    lasting: Place, kept: Kept, wall: Wall
) -> None:
    """A follower that remembers an id must not take a later row for an earlier one."""
    async with kept(lasting) as history:
        await fill(history, wall, 5, build())
        last = [r.id async for r in history.between()][-1]
        await history.prune(max_rows=1)
    async with kept(lasting) as history:
        await fill(history, wall, 1, build())
        assert all([r.id > last async for r in history.between()][-2:])
