"""The replay of airports beside what the file says, without a network, and after crashes at any row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

import asyncmachine as am
from asyncmachine.flights.data import HOUR, MINUTE, Leg, read_legs
from asyncmachine.flights.model import CLOSED, Clock, Flight
from asyncmachine.flights.replay import AirportReplay, Plan, ReplayClock
from asyncmachine.flights.timeline import Kind, timeline
from machine import Machine, Snapshot, Tracer, Transition


@dataclass(frozen=True)
class Row:
    """One row of a log: a machine's clock after a change."""

    at: int
    id: str
    names: tuple[str, ...]
    time: tuple[int, ...]

    @property
    def active(self) -> set[str]:
        return {name for name, tick in zip(self.names, self.time, strict=True) if tick % 2}


class Tape(Tracer):
    """A stage that keeps rows in order, as a history does, and brings back what it has."""

    id = "tape"

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self.rows = list(rows)
        self.here: dict[str, Machine] = {}
        self.now: ReplayClock

    async def enter(self, machine: Machine) -> None:
        self._take(machine)
        self._note(machine)

    def _take(self, machine: Machine) -> None:
        self.here[machine.id] = machine
        machine.add_tracer(self)

    def _note(self, machine: Machine) -> None:
        at = max(self.now(), self.rows[-1].at if self.rows else 0)
        self.rows.append(Row(at, machine.id, tuple(machine.state_names), tuple(machine.time())))

    async def come_back(self, machine: Machine) -> bool:
        last = next((row for row in reversed(self.rows) if row.id == machine.id), None)
        if last is None:
            return False
        machine.restore(Snapshot(machine.id, last.names, last.time, 1, 1))
        self._take(machine)
        return True

    def leave(self, machine: Machine) -> None:
        del self.here[machine.id]
        machine.remove_tracer(self)

    def transition_end(self, transition: Transition) -> None:
        if transition.ticks_before != transition.ticks_after:
            self._note(transition.machine)


def some(first: int, hours: int) -> list[Leg]:
    """Return the flights of some hours of the days of the file."""
    legs = read_legs()
    start = legs[0].scheduled + first * HOUR
    return [leg for leg in legs if start <= leg.scheduled < start + hours * HOUR]


async def replay(code: str, legs: list[Leg], rows: Sequence[Row] = (), *, most: int | None = None) -> Tape:
    """Run a replay from what a tape has to its end, or so many steps."""
    tape = Tape(rows)
    plan = Plan(legs, 30 * MINUTE)
    tape.now = ReplayClock(plan.start)
    airport = AirportReplay(code, legs, plan, tape.now, tape)
    await airport.open(again=bool(rows))
    steps = 0
    while airport.done < plan.steps and steps != most:
        await airport.run_step()
        steps += 1
    if most is None:
        assert airport.clock.is_active(Clock.Done)
        assert not airport.flights
        assert not airport.aircraft
        assert set(tape.here) == {code, "clock"}
    return tape


def closed(rows: Sequence[Row], code: str) -> list[tuple[int, int]]:
    """Return from when to when an airport was closed."""
    spans, since = [], 0
    for row in rows:
        if row.id == code and ("Closed" in row.active) != bool(since):
            if since:
                spans.append((since, row.at))
            since = 0 if since else row.at
    return spans


def closed_by_the_file(legs: list[Leg], code: str) -> list[tuple[int, int]]:
    """Compute the same from the file alone: departures before cancellations, where both are in the same minute."""
    happens = [(leg.scheduled if leg.departed is None else leg.departed, leg.departed is None) for leg in legs]
    here = [one for one, leg in zip(happens, legs, strict=True) if leg.origin == code]
    spans, row, since = [], 0, 0
    for at, cancelled in sorted(here):
        row = row + 1 if cancelled else 0
        if row == CLOSED:
            since = at
        elif since and not cancelled:
            spans.append((since, at))
            since = 0
    return spans


@pytest.fixture(scope="module")
def legs() -> list[Leg]:
    return read_legs()


@pytest.mark.parametrize("code", ["EWR", "JFK", "LGA"])
async def test_an_airport_comes_to_what_the_file_says(legs: list[Leg], code: str) -> None:
    tape = await replay(code, legs)
    here = [leg for leg in legs if leg.origin == code]
    last = {row.id: row for row in tape.rows}
    outcomes: Counter[str] = Counter()
    for leg in here:
        active = last[leg.id].active
        outcome = active & {Flight.Landed, Flight.Diverted, Flight.Cancelled}
        assert len(outcome) == 1
        outcomes.update(outcome)
        if leg.departed is not None:
            assert (Flight.Delayed in active) == (leg.departed - leg.scheduled >= 15 * MINUTE), leg
    assert outcomes["Cancelled"] == sum(leg.departed is None for leg in here)
    assert outcomes["Landed"] == sum(leg.landed is not None for leg in here)
    airport = last[code]
    told = dict(zip(airport.names, map(am.activations, airport.time), strict=True))
    assert told["Departing"] == sum(leg.departed is not None for leg in here)
    assert told["Cancelling"] == outcomes["Cancelled"]
    spans = closed(tape.rows, code)
    assert spans == closed_by_the_file(legs, code)
    assert spans
    for craft in [row for id, row in last.items() if id.endswith(f"@{code}")]:
        assert craft.active == {"Parked"}


async def test_what_is_in_the_air_at_any_moment_is_what_the_file_says(legs: list[Leg], seed: int) -> None:
    tape = await replay("JFK", legs)
    rng = random.Random(seed)
    gone = {event.leg.id: event.at for event in timeline(legs) if event.kind in (Kind.LAND, Kind.DIVERT)}
    for _ in range(20):
        moment = rng.randrange(tape.rows[0].at, tape.rows[-1].at)
        then = {row.id: row for row in tape.rows if row.at <= moment}
        flying = {id for id, row in then.items() if "Airborne" in row.active}
        expected = {
            leg.id
            for leg in legs
            if leg.origin == "JFK" and leg.departed is not None and leg.departed <= moment < gone[leg.id]
        }
        assert flying == expected, moment


async def test_a_replay_that_crashed_anywhere_goes_on_to_the_same_end(seed: int) -> None:
    legs = some(30, 10)  # of the day on which the airports close
    whole = (await replay("EWR", legs)).rows
    assert any("Closed" in row.active for row in whole)
    rng = random.Random(seed)
    for cut in [1, 2, len(whole) - 1, *rng.sample(range(3, len(whole)), 20)]:
        again = (await replay("EWR", legs, whole[:cut])).rows
        assert history_of(again) == history_of(whole), f"after row {cut}: {whole[cut]}"


async def test_a_replay_that_crashes_again_and_again_comes_to_the_same_end(seed: int) -> None:
    legs = some(30, 10)
    whole = (await replay("EWR", legs)).rows
    rng = random.Random(seed)
    rows: list[Row] = []
    while len(rows) < len(whole) - 50:
        more = (await replay("EWR", legs, rows, most=5)).rows
        rows = more[: rng.randrange(len(rows), len(more)) + 1]
    assert history_of((await replay("EWR", legs, rows)).rows) == history_of(whole)


def history_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return what each machine did and when; but aircraft, of which two flights of one at a time would tell lies."""
    out: dict[str, list[Row]] = {}
    for row in rows:
        if "@" not in row.id:
            out.setdefault(row.id, []).append(row)
    return out


async def test_at_a_speed_events_come_when_it_is_time_and_are_stamped_with_their_own(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    legs = some(0, 2)
    plan = Plan(legs, 10 * MINUTE)
    tape = Tape()
    tape.now = ReplayClock(plan.start, 3600.0, trio.current_time(), trio.current_time)
    replay = AirportReplay("EWR", legs, plan, tape.now, tape)
    began = trio.current_time()
    await replay.open()
    for _ in range(plan.steps):
        await replay.run_step()
        assert plan.end_of(replay.done) - plan.start == pytest.approx((trio.current_time() - began) * 3600e9, abs=1e4)
    assert [row.at for row in tape.rows if row.id != "clock"] == sorted(
        row.at for row in tape.rows if row.id != "clock"
    )
    assert {row.at for row in tape.rows} <= {event.at for event in timeline(legs)} | {
        plan.end_of(i) for i in range(plan.steps + 1)
    }


async def test_between_two_events_the_clock_goes_on_but_never_past_the_next_one(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    clock = ReplayClock(0, 60.0, trio.current_time(), trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.reach, 60 * 10**9)
        await trio.sleep(0.5)
        assert clock() == pytest.approx(30e9)
    assert clock() == 60 * 10**9
    await trio.sleep(10)
    assert clock() == 60 * 10**9
