"""The log of a whole network: journals of owners, kept by an observer that never has to ask for a machine by name.

The clock jumps when nothing has happened for a while of real time, as databases work in threads of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from asyncmachine.history_log import HistoryLog
from asyncmachine.mirror_log import Pace
from asyncmachine.observer import Observer, open_observer
from history import History, Record, open_history
from machine import Machine, State
from pubsub.peer import Peer
from tests.pubsub.test_peer import Town

SCHEMA = {"A": State(), "B": State(), "M": State(multi=True)}
PATIENCE = 200.0  # s, most of them skipped
PACE = Pace(max_retry=4, probe=4)


@pytest.fixture
def town(nursery: trio.Nursery, mock_clock: MockClock) -> Town:
    mock_clock.autojump_threshold = 0.002
    return Town(nursery)


def made(name: str, **more: Any) -> Machine:
    return Machine(SCHEMA, id=name, handler_timeout=None, **more)


def play(machine: Machine, steps: int) -> None:
    for i in range(steps):
        machine.toggle("ABM"[i % 3])


def told(history: History, owner: str) -> list[Record]:
    """Return what a history has of an owner's machines, in the order in which it came, without what is the store's."""
    return [replace(r, id=0, owner="") for r in history.questions.feed(0, 1_000_000) if r.owner == owner]


async def until(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    with trio.fail_after(patience):
        while not holds():  # noqa: ASYNC110 - what is waited for is in a database, or in another peer
            await trio.sleep(0.25)


async def same(ours: History, theirs: History, peer: Peer) -> None:
    """Wait until one history has all that the other one recorded, row by row and in the same order."""
    await theirs.sync()
    expected = told(theirs, "")
    await until(lambda: len(told(ours, peer.id)) >= len(expected))
    assert told(ours, peer.id) == expected


@asynccontextmanager
async def observed(town: Town, path: Path, *peers: Peer, **more: Any) -> AsyncIterator[tuple[History, Peer, Observer]]:
    """Open a peer with a history that observes all others."""
    async with (
        open_history(f"sqlite:///{path}") as history,
        town.peer(*peers, **more) as own,
        open_observer(history, own, pace=PACE) as observer,
    ):
        yield history, own, observer


@asynccontextmanager
async def owner_of(town: Town, url: str, *peers: Peer, **more: Any) -> AsyncIterator[tuple[History, Peer]]:
    """Open a peer with a history that it serves."""
    async with open_history(url) as history, town.peer(*peers, log=HistoryLog(history), **more) as peer:
        yield history, peer


async def test_thousands_of_short_lived_machines_of_three_owners_are_all_here(town: Town, tmp_path: Path) -> None:
    rng = Random(5)
    first = await town.open()
    async with AsyncExitStack() as stack:
        owners = [await stack.enter_async_context(owner_of(town, "memory:", first)) for _ in range(3)]
        ours, _, observer = await stack.enter_async_context(observed(town, tmp_path / "o.db", first))
        living: list[tuple[Peer, Machine]] = []
        for wave in range(10):
            for number, (theirs, peer) in enumerate(owners):
                for i in range(100):
                    machine = made(f"{number}-{wave}-{i}", tags=(f"wave {wave}",))
                    theirs.record(machine)
                    if i % 2:  # what is gone before gossip tells of it is recorded all the same
                        peer.expose(machine)
                        living.append((peer, machine))
                    play(machine, rng.randrange(6))
                    if not i % 2:
                        machine.dispose()
            while len(living) > 200:
                peer, machine = living.pop(rng.randrange(len(living)))
                peer.unexpose(machine)
                machine.dispose()
            await trio.sleep(0.3)
        for theirs, peer in owners:
            await same(ours, theirs, peer)
        await observer.complete()
        counts = observer.statistics().counts
        assert observer.statistics().complete == observer.statistics().owners == 4
        assert len(ours.questions.machines()) == 3000
        assert counts.rows == sum(len(told(theirs, "")) for theirs, _ in owners)
        assert (counts.missing, counts.refused, counts.refused_pages, counts.unstored) == (0, 0, 0, 0)
        assert ours.questions.machine((owners[1][1].id, "1-3-8")).tags == ("wave 3",)


async def test_complete_means_all_that_was_recorded_before(town: Town, tmp_path: Path) -> None:
    first = await town.open()
    async with owner_of(town, "memory:", first) as (theirs, peer), observed(town, tmp_path / "o.db", first) as it:
        ours, own, observer = it
        machine = made("front")
        theirs.record(machine)
        peer.expose(machine)
        await own.replica("front")
        for _ in range(5):
            play(machine, 100)
            await observer.complete()
            assert told(ours, peer.id) == told(theirs, "")
        assert observer.is_complete(peer.owner)
        assert "0 behind" in repr(observer)
