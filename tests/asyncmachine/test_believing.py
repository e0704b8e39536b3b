"""What a peer believed of the machines of others is kept beside what they were."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from asyncmachine import HistoryLog, open_observer, record_beliefs
from asyncmachine.mirror_log import Pace
from history import History, open_history
from pubsub.names import peer_id_of
from tests.asyncmachine.test_guest import Town, door


@pytest.fixture
async def town() -> Town:
    return Town()


async def rows(history: History, owner: str) -> list[tuple[str, dict[str, int]]]:
    await history.sync()
    return [
        (record.mutation, {name: tick for name, tick in record.clock.items() if tick})
        async for record in history.between()
        if record.owner == owner
    ]


async def test_each_update_is_a_row_of_who_believed_it_of_whom(town: Town, autojump_clock: MockClock) -> None:
    async with (
        open_history("memory:") as history,
        town.peer() as left,
        town.peer(left) as right,
    ):
        left.expose(front := door("front"))
        with record_beliefs(history, right) as beliefs:
            await right.replica("front")
            front.add("Open")
            await trio.sleep(1)
            left.expose(door("back"))
            await right.replica("back")
            await trio.sleep(1)
            assert beliefs.recorders == 2
            assert beliefs.refused == 0
            left.unexpose(front)
            left.expose(door("side"))
            await right.replica("side")
            await trio.sleep(1)
            assert sorted(replica.id for replica in beliefs._recorders) == ["back", "side"]
        owner = f"updates of {peer_id_of(left.owner)} by {right.id}"
        found = await rows(history, owner)
        assert ("base", {"Closed": 1}) in found
        assert ("update", {"Open": 1, "Closed": 2}) in found
        assert {machine.name for machine in await history.machines() if machine.owner == owner} == {
            "front",
            "back",
            "side",
        }


async def test_an_observer_keeps_the_truth_beside_it_also_of_machines_without_a_log(
    town: Town, autojump_clock: MockClock
) -> None:
    async with (
        open_history("memory:") as log,
        open_history("memory:") as history,
        town.peer(log=HistoryLog(log)) as left,
        town.peer(left) as plain,
        town.peer(left, plain) as right,
        open_observer(history, right, pace=Pace()) as observer,
    ):
        with record_beliefs(history, right) as beliefs:
            front = door("front")
            log.record(front)
            left.expose(front)
            plain.expose(door("shed"))
            await right.replica("front")
            await right.replica("shed")
            for _ in range(3):
                front.add("Open")
                front.add("Closed")
            await trio.sleep(5)
            await observer.complete()
            assert beliefs.recorders == 2
        truth = await rows(history, left.id)
        believed = await rows(history, f"updates of {left.id} by {right.id}")
        assert truth[-1][1] == believed[-1][1] == {"Open": 6, "Closed": 7}
        assert len(believed) < len(truth)  # gossip tells the newest, the log tells all
        assert await rows(history, f"updates of {plain.id} by {right.id}")
