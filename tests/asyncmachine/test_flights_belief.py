"""What an airport of the demo believes of others is told, with times at which it can have known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import asyncmachine as am
from asyncmachine.flights.belief import INSTANT, HearsayClock, is_airport, open_believing, told_steps
from asyncmachine.flights.data import MINUTE, Leg, read_legs
from asyncmachine.flights.model import Airport, Clock, Flight
from asyncmachine.flights.replay import CLOCK, Plan
from history.log import LogRow
from tests.asyncmachine.test_guest import Town

SECOND = 10**9


@pytest.fixture(scope="module")
def legs() -> list[Leg]:
    return read_legs()[:50]


def test_one_hears_of_things_as_late_as_it_is(legs: list[Leg]) -> None:
    plan, real, steps = Plan(legs, 10 * MINUTE), [100.0], [3]
    clock = HearsayClock(plan, 60.0, 100.0, lambda: steps[0], lambda: real[0])
    assert clock() == plan.start
    real[0] += 10
    assert clock() == plan.start + 10 * MINUTE
    real[0] += 1000  # a replay that is late: nobody can know of more than of the step that is under way
    assert clock() == plan.end_of(4) + INSTANT
    steps[0] = 5
    assert clock() == plan.end_of(6) + INSTANT


def test_at_full_speed_one_hears_of_a_step_when_it_ends(legs: list[Leg]) -> None:
    plan = Plan(legs, 30 * MINUTE)
    assert HearsayClock(plan, None, 0.0, lambda: 7)() == plan.end_of(8) + INSTANT


async def test_what_is_believed_of_airports_is_told_and_can_be_taken(autojump_clock: MockClock, tmp_path: Path) -> None:
    town = Town()
    now = [1000 * SECOND]
    async with (
        am.open_history("memory:", max_skew=10**18) as whole,
        town.peer() as left,
        town.peer(left) as right,
    ):
        jfk, clock, flight = (
            am.Machine(Airport, id="JFK", tags="airport"),
            am.Machine(Clock, id=CLOCK, tags="airport:JFK"),
            am.Machine(Flight, id="B6 1", tags="flight"),
        )
        for machine in (clock, jfk, flight):
            left.expose(machine)
        await right.replica("JFK")
        await right.replica(CLOCK)
        told: list[str] = []

        async def tell(owner: str, rows: Sequence[LogRow]) -> None:
            told.append(owner)
            await whole.journals.take(owner, rows)

        url = f"sqlite:///{tmp_path / 'believed.db'}"
        others = [left.id, right.id]
        async with open_believing(url, right, others, lambda: now[0], "airports", tell) as believing:
            for step in range(3):
                now[0] += SECOND
                jfk.add("Departing")
                clock.add("Step")
                flight.add("Scheduled")
                await trio.sleep(0.5)
                assert told_steps(right) == step + 1
            await believing.finish()
            rows = believing.rows
        owner = f"updates of {left.id} by {right.id}"
        assert set(told) == {owner}
        found = [record async for record in whole.between() if record.owner == owner]
        assert {record.machine for record in found} == {"JFK", CLOCK}
        assert len(found) == rows
        departures = [(record.at // SECOND, record.clock["Departing"]) for record in found if record.machine == "JFK"]
        assert departures[-3:] == [(1001, 1), (1002, 3), (1003, 5)]
        # a process that was killed tells all of it once more, and nothing is there twice
        async with open_believing(url, right, others, lambda: now[0], "all", tell) as believing:
            await right.replica("B6 1")
            await believing.finish()
        again = [record async for record in whole.between() if record.owner == owner]
        assert [r.at for r in again][: len(found)] == [r.at for r in found]
        assert {record.machine for record in again} == {"JFK", CLOCK, "B6 1"}


async def test_airports_and_their_clocks_are_told_from_flights(autojump_clock: MockClock) -> None:
    town = Town()
    async with town.peer() as left, town.peer(left) as right:
        left.expose(am.Machine(Airport, id="JFK", tags="airport"))
        left.expose(am.Machine(Flight, id="B6 1", tags=["flight", "from:JFK"]))
        assert is_airport(await right.replica("JFK"))
        assert not is_airport(await right.replica("B6 1"))
