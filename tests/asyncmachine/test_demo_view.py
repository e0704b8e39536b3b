"""What the observer makes of a replay, and how it is shown: one airport, on the network in memory.

The clock jumps when nothing has happened for a while of real time, as histories work in threads of their own.
"""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import trio
from rich.console import Console
from trio.testing import MockClock

import asyncmachine as am
from asyncmachine.flights.data import HOUR, MINUTE, Leg, read_legs
from asyncmachine.flights.fleet import Fleet
from asyncmachine.flights.observe import Tower
from asyncmachine.flights.pace import Pace
from asyncmachine.flights.process import Job
from asyncmachine.flights.replay import AirportReplay, Plan, ReplayClock
from asyncmachine.flights.view import Scene, draw, line
from asyncmachine.observer import open_observer
from machine import Machine
from pubsub.opening import wall_ms
from tests.pubsub.test_peer import Town


class Stage:
    """Records machines, and exposes them."""

    def __init__(self, store: am.History, peer: am.Peer) -> None:
        self.store = store
        self.peer = peer
        self.recorders: dict[Machine, am.Recorder] = {}

    async def enter(self, machine: Machine) -> None:
        self.recorders[machine] = self.store.record(machine)
        self.peer.expose(machine)

    async def come_back(self, machine: Machine) -> bool:
        raise AssertionError("nobody crashes here")

    def leave(self, machine: Machine) -> None:
        self.peer.unexpose(machine)
        self.recorders.pop(machine).stop()


def some() -> list[Leg]:
    """Return flights of the day on which the airport closed."""
    legs = [leg for leg in read_legs() if leg.origin == "EWR"]
    start = legs[0].scheduled + 30 * HOUR
    return [leg for leg in legs if start <= leg.scheduled < start + 6 * HOUR]


def job(plan: Plan) -> Job:
    return Job(
        code="EWR",
        legs=(),
        plan=plan,
        speed=None,
        folder=Path(),
        topic="t",
        topic_key=b"",
        connect=(),
        listen=(),
        others=(),
        observer="",
        ahead=None,
        ahead_of_observer=4,
    )


def printed(scene: Scene, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(draw(scene, 75.0))
    return out.getvalue().splitlines()


async def test_what_is_observed_is_what_was_replayed_and_fits_on_a_screen(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    town, legs = Town(nursery), some()
    plan = Plan(legs, 30 * MINUTE)
    now = ReplayClock(plan.start)
    span = plan.end - plan.start + HOUR
    first = await town.open()
    async with (
        am.open_history("memory:", now=now) as theirs,
        am.open_history("memory:", now=lambda: plan.end, max_skew=span) as ours,
        town.peer(
            first, log=am.HistoryLog(theirs), wall=wall_ms
        ) as airport,  # how late a record is, is told in real time
        town.peer(first) as peer,
        open_observer(ours, peer),
    ):
        tower = Tower(ours, peer, {"EWR": airport.id}, plan)
        peer.expose(tower.clock)
        fleet = Fleet([job(plan)], lambda code: 0)
        scene = Scene(plan, fleet, tower, peer)
        assert "starting" in "\n".join(printed(scene, 80))
        nursery.start_soon(tower.run)
        replay = AirportReplay("EWR", legs, plan, now, Stage(theirs, airport))
        pace = Pace(airport, [], peer.id, ahead=None, ahead_of_observer=4)
        await replay.open()
        with trio.fail_after(600):
            while replay.done < plan.steps:
                await pace.before(replay.done + 1)
                assert replay.done - 4 <= tower.airports["EWR"].steps <= replay.done
                await replay.run_step()
            await tower.finished.wait()
        assert tower.replayed == plan.end
        assert +tower.stages == Counter(
            "cancelled" if leg.departed is None else "landed" if leg.landed else "diverted" for leg in legs
        )
        late = [leg for leg in legs if leg.departed is not None and leg.departed - leg.scheduled >= 15 * MINUTE]
        assert tower.delayed == len(late)
        assert tower.rows == theirs.statistics().committed == tower.airports["EWR"].rows
        assert tower.airports["EWR"].latency.count > 0
        assert tower.all_replicas is not None
        fleet.airports["EWR"].status = "running"
        for width in (80, 120):
            assert max(map(len, printed(scene, width))) <= width
            assert "…" not in "".join(printed(scene, width))
        lines = printed(scene, 80)
        assert "100%" in lines[0]
        (row,) = (text for text in lines if text.startswith("EWR"))
        assert "alive" in row
        assert f"{tower.rows:,}" in row
        assert line(scene).startswith(am.format_time(plan.end)[:16])
        nursery.cancel_scope.cancel()
