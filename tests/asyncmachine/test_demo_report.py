"""What is printed in the end, and how airports wait for each other."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from asyncmachine.flights.data import HOUR
from asyncmachine.flights.model import Clock
from asyncmachine.flights.observe import Latency
from asyncmachine.flights.pace import Pace, finished
from asyncmachine.flights.replay import CLOCK
from asyncmachine.flights.report import MOMENT, Cost, Report, Spent, as_json, minute, show, suggestions
from machine import Machine
from tests.pubsub.test_peer import Town

REPORT = Report(
    url="sqlite:////tmp/demo file.db",
    start=MOMENT - 40 * HOUR,
    end=MOMENT + 50 * HOUR,
    until=MOMENT + 50 * HOUR,
    flights={"EWR": {"landed": 1000, "cancelled": 300, "delayed": 200}, "JFK": {"landed": 900, "diverted": 8}},
    carriers={"UA": {"landed": 1900, "diverted": 8, "cancelled": 300}},
    closed={"EWR": [(MOMENT - 3 * HOUR + 1, MOMENT + 2 * HOUR), (MOMENT + 4 * HOUR, None)], "JFK": []},
    moment=MOMENT,
    airborne={"EWR": 2, "JFK": 5},
    moods={"EWR": "closed", "JFK": "open"},
    example="UA1-EWR-20130209T0200",
    rows=36_000,
    bytes=6 << 20,
    cost=Cost(
        seconds=40.0,
        first_replica=2.0,
        all_replicas=2.1,
        latency=(12, 95),
        peers={"EWR": Spent(10.0, 100 << 20)},
        restarts=0,
        complete=True,
    ),
)


def printed(report: Report, width: int = 80) -> list[str]:
    out = io.StringIO()
    show(report, Console(file=out, width=width, highlight=False, markup=False))
    return out.getvalue().splitlines()


def test_it_is_told_how_flights_ended_and_when_airports_were_closed() -> None:
    lines = [" ".join(line.split()) for line in printed(REPORT)]
    assert lines[0] == f"All of it: {minute(REPORT.start)} to 2013-02-11T04:00Z."
    assert "flights landed diverted cancelled in all delayed" in lines
    assert "EWR 1,000 0 300 1,300 200" in lines
    assert "all 1,900 8 300 2,208 200" in lines
    assert "EWR 2013-02-08T23:00Z 2013-02-09T04:00Z 5h00m" in lines
    assert "EWR 2013-02-09T06:00Z still closed 1d22h" in lines
    assert "JFK never" in lines
    assert "as of 2013-02-09T02:00Z airport airborne" in lines
    assert "36,000 transitions in 40.0 s, 900 a second; 6.0 MiB on disk." in lines


def test_an_interruption_is_said_with_what_had_not_ended() -> None:
    flights = {"EWR": {"scheduled": 10, "boarding": 2, "airborne": 30, "landed": 400, "diverted": 2, "cancelled": 100}}
    report = replace(REPORT, until=MOMENT, flights=flights, cost=replace(REPORT.cost, complete=False, restarts=2))
    lines = [" ".join(line.split()) for line in printed(report)]
    assert lines[0].startswith(f"Interrupted: {minute(report.start)} to 2013-02-09T02:00Z")
    assert "Some of what happened last is not in the history." in " ".join(lines[:3])
    assert "flights landed diverted cancelled airborne waiting in all delayed" in lines
    assert "EWR 400 2 100 30 12 544 0" in lines
    assert "Airports that were killed and came back: 2." in lines


@pytest.mark.parametrize("until", [REPORT.end, MOMENT])
def test_it_fits_into_80_columns(until: int) -> None:
    lines = printed(replace(REPORT, until=until))
    assert [line for line in lines if len(line) > 80] == []
    assert not any("…" in line for line in lines)


def test_commands_to_ask_more_are_those_of_a_shell_and_only_where_there_is_something_to_ask() -> None:
    commands = list(suggestions(REPORT))
    assert commands[0] == "export AM_HISTORY='/tmp/demo file.db'"
    assert commands[1:3] == [
        "am history intervals EWR Closed --until 2013-02-11T04:00Z",
        "am history show EWR --at 2013-02-09T02:00Z",
    ]
    assert list(suggestions(replace(REPORT, url="memory:"))) == []


def test_a_program_gets_the_same_as_json() -> None:
    found = json.loads(json.dumps(as_json(REPORT)))
    assert found["flights"] == {"landed": 1900, "diverted": 8, "cancelled": 300, "delayed": 200}
    assert found["closed"]["EWR"][1]["end_at"] is None
    assert found["network"]["moment_time"] == "2013-02-09T02:00:00Z"
    assert found["whole"]


def test_latencies_are_told_by_how_many_were_not_above() -> None:
    latency = Latency()
    assert latency.quantile(0.5) is None
    for ms in range(100, 0, -1):
        latency.add(ms)
    assert [latency.quantile(share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]


async def test_a_step_begins_when_the_others_have_done_the_one_before(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    town = Town(nursery)
    one = await town.open()
    other = await town.open(one)
    clocks = [Machine(Clock, id=CLOCK) for _ in range(2)]
    one.expose(clocks[0])
    other.expose(clocks[1])
    pace = Pace(one, [other.id], other.id, ahead=1, ahead_of_observer=8)
    await pace.before(1)
    with trio.move_on_after(5) as waited:
        await pace.before(2)
    assert waited.cancelled_caught
    clocks[1].add(Clock.Step)
    with trio.fail_after(5):
        await pace.before(2)


async def test_who_restarts_is_waited_for(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    town = Town(nursery)
    one = await town.open()
    other = await town.open(one)
    first, second = Machine(Clock, id=CLOCK), Machine(Clock, id=CLOCK)
    other.expose(first)
    seen = trio.Event()

    async def wait() -> None:
        await finished(one, other.id)
        seen.set()

    nursery.start_soon(wait)
    await trio.sleep(2)
    other.unexpose(first)  # to others that is what a restart looks like
    await trio.sleep(2)
    other.expose(second)
    await trio.sleep(2)
    assert not seen.is_set()
    second.add(Clock.Done)
    with trio.fail_after(5):
        await seen.wait()
