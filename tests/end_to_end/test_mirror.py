"""Logs of machines of others: peers and histories together, on the network in memory, and once on libp2p.

The clock jumps when all wait and no database is at work; see `patient_clock`.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from asyncmachine.history_log import HistoryLog
from asyncmachine.mirror_log import Mirror, Pace, open_mirror
from history import History, Record, open_history
from machine import Machine, State
from pubsub.messages import Place, PulledRow
from pubsub.opening import open_peer
from pubsub.peer import Peer
from tests.pubsub.test_peer import Town

SCHEMA = {"A": State(), "B": State(), "M": State(multi=True)}
PATIENCE = 200.0  # s, most of them skipped
PACE = Pace(max_retry=4, probe=4)


@pytest.fixture
def town(nursery: trio.Nursery) -> Town:
    return Town(nursery)


def front() -> Machine:
    return Machine(SCHEMA, id="front", handler_timeout=None)


def play(machine: Machine, steps: int) -> None:
    """Do something that gossip will not tell one by one."""
    for i in range(steps):
        machine.toggle("ABM"[i % 3])


def told(history: History, owner: str) -> list[Record]:
    """Return what a history has of an owner's machines, without what belongs to the store."""
    found = [r for r in history.questions.between() if r.owner == owner]
    return [replace(r, id=0, owner="") for r in found]


async def until(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    with trio.fail_after(patience):
        while not holds():  # noqa: ASYNC110 - what is waited for is in a database, or in another peer
            await trio.sleep(0.25)


async def same(ours: History, theirs: History, peer: Peer) -> None:
    """Wait until one history has what the other one recorded of a peer's machines, row by row."""
    await theirs.sync()
    expected = told(theirs, "")
    with trio.move_on_after(PATIENCE):
        await until(lambda: told(ours, peer.id)[-1:] == expected[-1:] and len(told(ours, peer.id)) >= len(expected))
    assert told(ours, peer.id) == expected


@asynccontextmanager
async def observed(town: Town, path: Path, peer: Peer, **more: Any) -> AsyncIterator[tuple[History, Peer, Mirror]]:
    """Open a peer with a history that mirrors the front of another peer."""
    async with (
        open_history(f"sqlite:///{path}") as history,
        town.peer(peer, **more) as own,
        open_mirror(history, own, (peer.id, "front"), pace=PACE) as mirror,
    ):
        yield history, own, mirror


async def test_a_log_is_complete_where_gossip_is_not(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        theirs.record(machine)
        owner = await town.open(log=HistoryLog(theirs))
        owner.expose(machine)
        async with observed(town, tmp_path / "o.db", owner) as (ours, own, mirror):
            replica = await own.replica("front")
            updates = ours.record(replica, owner="samples")
            for _ in range(5):
                play(machine, 100)
                await trio.sleep(1)
            await same(ours, theirs, owner)
            await mirror.complete()
            assert updates.recorded < 20
            assert len(told(theirs, "")) == 501
            assert mirror.recorder is None
            assert mirror.counts.rows == 501
            assert mirror.place == (1, 501)
            assert "complete, 1:501" in repr(mirror)
            for state in ("A", "B", "M"):
                spans = [[(i.start, i.end) for i in await h.intervals(n, state)] for h, n in both(ours, theirs, owner)]
                assert spans[0] == spans[1]


def both(ours: History, theirs: History, owner: Peer) -> Any:
    return [(ours, (owner.id, "front")), (theirs, ("", "front"))]


async def test_two_observers_have_it_both(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        theirs.record(machine)
        log = HistoryLog(theirs)
        owner = await town.open(log=log)
        owner.expose(machine)
        async with (
            observed(town, tmp_path / "1.db", owner) as (one, _, _),
            observed(town, tmp_path / "2.db", owner) as (two, _, _),
        ):
            for _ in range(3):
                play(machine, 100)
                await trio.sleep(0.3)
            await same(one, theirs, owner)
            await same(two, theirs, owner)
            assert log.counts.rows >= 602


async def test_without_a_log_each_row_is_an_update_until_there_is_one(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        owner = await town.open(log=HistoryLog(theirs))
        owner.expose(machine)
        async with observed(town, tmp_path / "o.db", owner) as (ours, own, mirror):
            await mirror.complete()
            assert mirror.recorder is not None
            await own.replica("front")
            for _ in range(3):
                play(machine, 10)
                await trio.sleep(1)
            await ours.sync()
            kinds = [r.mutation for r in told(ours, owner.id)]
            assert kinds[0] == "base"
            assert len(kinds) > 1
            assert set(kinds[1:]) == {"update"}
            theirs.record(machine)
            play(machine, 10)
            await until(lambda: mirror.recorder is None)
            await same(ours, theirs, owner)
            assert [r.mutation for r in told(ours, f"updates of {owner.id}")][: len(kinds)] == kinds
            assert mirror.counts.fallbacks == 1


async def test_a_peer_that_serves_nothing_is_recorded_by_updates(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    machine = front()
    owner = await town.open()
    owner.expose(machine)
    async with observed(town, tmp_path / "o.db", owner) as (ours, _, mirror):
        await mirror.complete()
        machine.add("A")
        await trio.sleep(2)
        await ours.sync()
        assert [r.mutation for r in told(ours, owner.id)] == ["base", "update"]
        assert mirror.counts.ended["none kept"] >= 1
        assert set(mirror.counts.ended) <= {"none kept", "not connected"}


async def test_an_owner_that_restarts_goes_on_in_its_next_epoch(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    first = await town.open()
    key, url = tmp_path / "key", f"sqlite:///{tmp_path / 'theirs.db'}"
    name = ""
    async with open_history(f"sqlite:///{tmp_path / 'ours.db'}") as ours, trio.open_nursery() as nursery:
        for epoch in (1, 2):
            async with (
                open_history(url) as theirs,
                town.peer(first, key_file=key, log=HistoryLog(theirs)) as owner,
            ):
                machine = front()
                await theirs.restore(machine)
                owner.expose(machine)
                if epoch == 1:
                    name = owner.id
                    nursery.start_soon(_mirror, ours, first, name)
                play(machine, 50)
                await same(ours, theirs, owner)
                assert await ours.place("front", name) == (epoch, 51)
            await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert name


async def _mirror(history: History, peer: Peer, owner: str) -> None:
    async with open_mirror(history, peer, (owner, "front"), pace=PACE):
        await trio.sleep_forever()


async def test_an_observer_that_restarts_asks_only_for_what_it_has_not(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        theirs.record(machine)
        log = HistoryLog(theirs)
        owner = await town.open(log=log)
        owner.expose(machine)
        for part in range(3):
            async with observed(town, tmp_path / "o.db", owner, key_file=tmp_path / "key") as (ours, _, mirror):
                play(machine, 100)
                await same(ours, theirs, owner)
                await until(lambda mirror=mirror: mirror.counts.rows >= 100)  # type: ignore[misc]
                assert mirror.counts.rows == 100 + (part == 0)
            play(machine, 0)
        assert log.counts.rows < 400


async def test_after_a_partition_it_goes_on_where_it_was(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        theirs.record(machine)
        owner = await town.open(log=HistoryLog(theirs))
        owner.expose(machine)
        async with observed(town, tmp_path / "o.db", owner) as (ours, own, mirror):
            play(machine, 100)
            await same(ours, theirs, owner)
            town.network.cut([owner.owner], [own.owner])
            for _ in range(6):
                play(machine, 50)
                await trio.sleep(4)
            assert len(told(ours, owner.id)) == 101
            town.network.heal()
            await same(ours, theirs, owner)
            await until(lambda: mirror.is_complete)
            assert mirror.counts.rows == 401
            assert mirror.recorder is None


@pytest.mark.parametrize("steps", [5, 200], ids=["a shorter log", "a longer log"])
async def test_an_owner_that_lost_its_database_begins_anew_and_both_logs_stay(
    town: Town, autojump_clock: MockClock, tmp_path: Path, steps: int
) -> None:
    first = await town.open()
    key = tmp_path / "key"
    before: list[Record] = []
    async with open_history(f"sqlite:///{tmp_path / 'ours.db'}") as ours:
        for life in (1, 2):
            async with (
                open_history("memory:") as theirs,
                town.peer(first, key_file=key, log=HistoryLog(theirs)) as owner,
                open_mirror(ours, first, (owner.id, "front"), pace=PACE) as mirror,
            ):
                machine = front()
                theirs.record(machine)
                owner.expose(machine)
                play(machine, 100 if life == 1 else steps)
                if life == 1:
                    await same(ours, theirs, owner)
                    before = told(ours, owner.id)
                    continue
                await until(lambda m=mirror: m.counts.anew)  # type: ignore[misc]
                await same(ours, theirs, owner)
                assert told(ours, f"earlier log of {owner.id}") == before
                assert ours.statistics().earlier_logs == 1
                assert ours.statistics().refused_pages == 0
                assert mirror.counts.missing == 0
                play(machine, 10)
                await same(ours, theirs, owner)
                assert mirror.counts.anew == 1


@pytest.mark.parametrize("steps", [0, 80], ids=["less than before", "something else"])
async def test_an_owner_that_went_back_to_an_older_database_begins_anew_and_both_logs_stay(
    town: Town, autojump_clock: MockClock, tmp_path: Path, steps: int
) -> None:
    first = await town.open()
    key, url = tmp_path / "key", f"sqlite:///{tmp_path / 'theirs.db'}"
    before: list[Record] = []
    async with open_history(f"sqlite:///{tmp_path / 'ours.db'}") as ours:
        for part in range(3):
            if part == 2:
                shutil.copy(tmp_path / "copy.db", tmp_path / "theirs.db")
            async with (
                open_history(url) as theirs,
                town.peer(first, key_file=key, log=HistoryLog(theirs)) as owner,
                open_mirror(ours, first, (owner.id, "front"), pace=PACE) as mirror,
            ):
                machine = front()
                await theirs.restore(machine)
                play(machine, steps if part == 2 else 50)
                owner.expose(machine)
                if part == 1:
                    await same(ours, theirs, owner)
                    before = told(ours, owner.id)
                elif part == 2:
                    await until(lambda m=mirror: m.counts.anew)  # type: ignore[misc]
                    await same(ours, theirs, owner)
                    assert told(ours, f"earlier log of {owner.id}") == before
                    play(machine, 10)
                    await same(ours, theirs, owner)
                    assert mirror.counts.anew == 1
                    assert mirror.counts.refused == mirror.counts.missing == 0
            if part == 0:
                shutil.copy(tmp_path / "theirs.db", tmp_path / "copy.db")
    assert len(before) == 102


class Liar:
    """A log of nonsense."""

    def __init__(self) -> None:
        self.asked = 0

    async def rows(
        self, machine: str, after: Place, until: Place | None, limit: int
    ) -> tuple[Sequence[PulledRow], bool]:
        self.asked += 1
        return [(after[0] + 1, 1, b"\1nonsense")], True


async def test_nonsense_is_refused_and_harms_nobody(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    liar = Liar()
    owner = await town.open(log=liar)
    owner.expose(front())
    async with observed(town, tmp_path / "o.db", owner) as (ours, own, mirror):
        await until(lambda: mirror.counts.refused >= 3)
        assert ours.questions.machines() == []
        assert ours.statistics().refused_pages == mirror.counts.refused
        assert (await own.replica("front")).id == "front"
        asked = liar.asked
        await trio.sleep(8)
        assert liar.asked < asked + 5  # it asks less and less


async def test_a_history_that_fails_is_not_taken_for_none(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_history("memory:") as theirs:
        machine = front()
        theirs.record(machine)
        log = HistoryLog(theirs)
        owner = await town.open(log=log)
        owner.expose(machine)
        await theirs.sync()
        await theirs.close()
        async with observed(town, tmp_path / "o.db", owner) as (ours, _, mirror):
            await until(lambda: log.counts.failed >= 2)
            assert mirror.recorder is None
            assert "none kept" not in mirror.counts.ended
            assert ours.questions.machines() == []


async def test_what_goes_wrong_in_the_block_comes_out_as_it_is(town: Town, autojump_clock: MockClock) -> None:
    owner = await town.open()
    async with open_history("memory:") as ours:
        with pytest.raises(KeyError, match="mine"):
            async with open_mirror(ours, owner, (owner.id, "front")):
                raise KeyError("mine")


async def test_on_libp2p(tmp_path: Path) -> None:
    """Real sockets, real time."""
    async with (
        open_history(f"sqlite:///{tmp_path / 'theirs.db'}") as theirs,
        open_history(f"sqlite:///{tmp_path / 'ours.db'}") as ours,
        open_peer("mirror", log=HistoryLog(theirs)) as owner,
        open_peer("mirror", connect=owner.addresses) as own,
    ):
        machine = front()
        theirs.record(machine)
        owner.expose(machine)
        with trio.fail_after(120):
            replica = await own.replica("front")
            async with open_mirror(ours, own, replica) as mirror:
                for _ in range(5):
                    play(machine, 200)
                    await trio.sleep(0.2)
                await same(ours, theirs, owner)
                await mirror.complete()
                assert mirror.counts.rows == 1001
