"""The log of a whole network: journals of owners, kept by an observer that never has to ask for a machine by name.

The clock jumps when all wait and no database is at work; see `patient_clock`.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from asyncmachine.history_log import JOURNAL, HistoryLog
from asyncmachine.mirror_log import Pace
from asyncmachine.observer import Observer, open_observer
from history import History, Record, open_history
from history.journal import MARK
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
    with trio.move_on_after(PATIENCE):
        await until(lambda: told(ours, peer.id)[-len(expected) :] == expected)
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


async def test_thousands_of_short_lived_machines_of_three_owners_are_all_here(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
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
        await until(lambda: observer.statistics().complete == observer.statistics().owners == 4)
        assert len(ours.questions.machines()) == 3000
        assert counts.rows == sum(len(told(theirs, "")) for theirs, _ in owners)
        assert (counts.missing, counts.refused, counts.refused_pages, counts.unstored) == (0, 0, 0, 0)
        assert ours.questions.machine((owners[1][1].id, "1-3-8")).tags == ("wave 3",)


async def test_complete_means_all_that_was_recorded_before(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
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
        await until(lambda: observer.is_complete(peer.owner))  # gossip may have told of it only now
        await until(lambda: "0 behind" in repr(observer))


async def test_an_owner_that_is_killed_goes_on_in_the_same_journal(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    first = await town.open()
    key, url = tmp_path / "key", f"sqlite:///{tmp_path / 'theirs.db'}"
    async with observed(town, tmp_path / "o.db", first) as (ours, _, observer):
        for epoch in range(1, 4):
            async with owner_of(town, url, first, key_file=key) as (theirs, peer):
                machines = [made(f"{i}") for i in range(20)]
                for machine in machines:
                    await theirs.restore(machine)
                    peer.expose(machine)
                    play(machine, epoch)
                lone = made(f"only {epoch}")
                theirs.record(lone)
                await same(ours, theirs, peer)
                town.network.crash(peer.owner)
        counts = observer.counts
        assert {m.epoch for m in ours.questions.machines() if not m.name.startswith("only")} == {3}
        assert counts.rows == ours.statistics().pulled == 3 * 21 + 20 * 6
        assert (counts.anew, counts.rewound, counts.refused, counts.missing) == (0, 0, 0, 0)


async def test_an_observer_that_restarts_asks_only_for_what_it_has_not(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with owner_of(town, "memory:") as (theirs, peer):
        for part in range(3):
            machine = made(f"part {part}")
            theirs.record(machine)
            peer.expose(machine)
            play(machine, 99)
            async with observed(town, tmp_path / "o.db", peer, key_file=tmp_path / "key") as (ours, _, observer):
                await same(ours, theirs, peer)
                await until(lambda o=observer: o.counts.rows >= 100)  # type: ignore[misc]
                assert observer.counts.rows == 100
                assert observer.counts.refused_pages == observer.counts.unstored == 0


async def test_an_owner_that_lost_its_database_begins_a_new_journal_and_both_stay(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    first = await town.open()
    key = tmp_path / "key"
    before: list[Record] = []
    async with observed(town, tmp_path / "o.db", first) as (ours, _, observer):
        for life in (1, 2):
            async with owner_of(town, "memory:", first, key_file=key) as (theirs, peer):
                await until(lambda o=observer, peer=peer: o.is_complete(peer.owner))  # type: ignore[misc]
                for i in range(3 + life):
                    machine = made(f"{i}")
                    theirs.record(machine)
                    peer.expose(machine)
                    play(machine, 10 - 4 * life)
                await same(ours, theirs, peer)
                if life == 1:
                    before = told(theirs, "")
        (name,) = {m.owner for m in ours.questions.machines() if m.owner.startswith("earlier log of ")}
        assert told(ours, name) == before
        assert observer.counts.anew == ours.statistics().earlier_logs == 4
        assert observer.counts.refused == observer.counts.refused_pages == 0


@pytest.mark.parametrize("steps", [0, 80], ids=["less than before", "something else"])
async def test_an_owner_that_went_back_to_an_older_database_begins_anew_and_both_stay(
    town: Town, autojump_clock: MockClock, tmp_path: Path, steps: int
) -> None:
    first = await town.open()
    key, url = tmp_path / "key", f"sqlite:///{tmp_path / 'theirs.db'}"
    before: list[Record] = []
    async with observed(town, tmp_path / "o.db", first) as (ours, _, observer):
        for part in range(3):
            if part == 2:
                shutil.copy(tmp_path / "copy.db", tmp_path / "theirs.db")
            async with open_history(url) as theirs:
                machine, extra = made("front"), made(f"part {part}")
                await theirs.restore(machine)
                theirs.record(extra)
                play(machine, steps if part == 2 else 50)
                async with town.peer(first, log=HistoryLog(theirs), key_file=key) as peer:
                    peer.expose(machine)
                    await until(lambda part=part: observer.counts.rewound == (part == 2))  # type: ignore[misc]
                    await theirs.sync()
                    await until(lambda t=theirs, p=peer: told(ours, p.id)[-len(told(t, "")) :] == told(t, ""))  # type: ignore[misc]
                    if part == 1:
                        before = told(ours, peer.id)
                    elif part == 2:
                        play(machine, 10)
                        await observer.complete()
                        assert [r for r in told(ours, peer.id) if r.machine != "part 1"] == told(theirs, "")
                        # what is in the older database, too, is there twice; the other machine kept its name
                        earlier = [r for r in before if r.machine != "part 1"]
                        assert told(ours, f"earlier log of {peer.id}") == earlier
            if part == 0:
                shutil.copy(tmp_path / "theirs.db", tmp_path / "copy.db")
        assert observer.counts.rewound == 1
        assert observer.counts.anew == ours.statistics().earlier_logs == 2
        assert observer.counts.refused == observer.counts.refused_pages == observer.counts.missing == 0


async def test_what_the_owner_let_go_is_counted_as_missing(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with owner_of(town, "memory:") as (theirs, peer):
        machines = [made(f"{i}") for i in range(10)]
        for machine in machines:
            theirs.record(machine)
            peer.expose(machine)
            play(machine, 20)
        await theirs.sync()
        await theirs.prune(max_rows=5)
        async with observed(town, tmp_path / "o.db", peer) as (ours, _, observer):
            await same(ours, theirs, peer)
            await observer.complete()
            assert observer.counts.missing == 160
            for machine in machines:
                play(machine, 20)
            await same(ours, theirs, peer)
            assert observer.counts.missing == 160


async def test_machines_without_a_log_are_kept_by_updates_until_there_is_one(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    first = await town.open()
    key = tmp_path / "key"
    async with observed(town, tmp_path / "o.db", first) as (ours, own, observer):

        def kinds(owner: str, machine: str) -> list[str]:
            return [r.mutation for r in told(ours, owner) if r.machine == machine]

        async with town.peer(first, key_file=key) as peer:  # it serves nothing
            front, late = made("front"), made("late")
            peer.expose(front)
            await own.replica("front")
            await until(lambda: observer.statistics().recorders == 1)
            peer.expose(late)
            await until(lambda: observer.statistics().recorders == 2)
            front.add("A")
            await until(lambda: kinds(peer.id, "front") == ["base", "update"])
            peer.unexpose(late)
            await until(lambda: observer.statistics().recorders == 1)
            await until(lambda: observer.statistics().without_log == 2)  # and the one that is there to meet at
            await observer.complete()
            assert kinds(peer.id, "late") == ["base"]
        async with owner_of(town, "memory:", first, key_file=key) as (theirs, peer):
            front, other = made("front"), made("other")
            theirs.record(front)
            for machine in (front, other):  # of which only one is recorded
                peer.expose(machine)
                machine.add("M")
            aside = f"updates of {peer.id}"
            await until(lambda: kinds(aside, "other") == ["base"])
            assert observer.statistics().recorders == 1
            other.add("B")
            await until(lambda: kinds(aside, "other") == ["base", "update"])
            await observer.complete()
            assert [r for r in told(ours, peer.id) if r.machine == "front"] == told(theirs, "")
            assert kinds(aside, "front")[:2] == ["base", "update"]
            theirs.record(other)
            other.add("A")
            await until(lambda: observer.statistics().recorders == 0)
            await observer.complete()
            assert kinds(peer.id, "other") == ["base", "add"]
            assert observer.counts.fallbacks >= 3
            assert observer.counts.unrecorded == 0


async def test_machines_that_are_recorded_by_hand_are_left_alone(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    owner = await town.open()
    front = made("front")
    owner.expose(front)
    async with open_history(f"sqlite:///{tmp_path / 'o.db'}") as ours, town.peer(owner) as own:
        ours.record(await own.replica("front"), owner="samples")
        async with open_observer(ours, own, pace=PACE) as observer:
            await until(lambda: observer.counts.unrecorded)
            await observer.complete()
            assert observer.statistics().recorders == 0
            assert observer.counts.unrecorded == 1


class Liar:
    """Serves a journal of nonsense."""

    def __init__(self, rows: Sequence[PulledRow], *, endless: bool = False) -> None:
        self.asked = 0
        self._rows = rows
        self._endless = endless

    async def rows(
        self, machine: str, after: Place, until: Place | None, limit: int
    ) -> tuple[Sequence[PulledRow], bool]:
        if machine != JOURNAL:
            raise LookupError(machine)
        self.asked += 1
        if self._endless:
            return [(1, after[1] + 1, MARK)], False
        return self._rows, True


async def test_nonsense_is_refused_and_harms_nobody(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    liar = Liar([(1, 1, MARK + b"nonsense")])
    false = await town.open(log=liar)
    false.expose(made("front"))
    async with (
        owner_of(town, "memory:", false) as (theirs, peer),
        observed(town, tmp_path / "o.db", false, peer) as (ours, _, observer),
    ):
        machine = made("true")
        theirs.record(machine)
        peer.expose(machine)
        play(machine, 10)
        await same(ours, theirs, peer)
        await until(lambda: observer.counts.refused_pages >= 3)
        await until(lambda: observer.behind() == [false.id])
        assert [m.name for m in ours.questions.machines()] == ["true"]
        asked = liar.asked
        await trio.sleep(8)
        assert liar.asked < asked + 6  # it asks less and less
        play(machine, 10)
        await same(ours, theirs, peer)


async def test_one_that_has_no_end_of_pages_does_not_keep_others_waiting(
    town: Town, autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmachine.observer.TURNS", 1)
    monkeypatch.setattr("asyncmachine.owner_log.TURN", 1.0)
    false = await town.open(log=Liar((), endless=True))
    async with (
        owner_of(town, "memory:", false) as (theirs, peer),
        observed(town, tmp_path / "o.db", false, peer) as (ours, _, observer),
    ):
        machine = made("true")
        theirs.record(machine)
        peer.expose(machine)
        for _ in range(3):
            play(machine, 10)
            await same(ours, theirs, peer)
        await until(lambda: observer.counts.ended.get("turn over", 0) >= 2)


async def test_who_left_or_died_is_not_waited_for(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    first = await town.open()
    async with observed(town, tmp_path / "o.db", first) as (ours, _, observer):
        async with owner_of(town, "memory:", first) as (theirs, peer):
            machine = made("front")
            theirs.record(machine)
            peer.expose(machine)
            await same(ours, theirs, peer)
            await peer.leave()
        await until(lambda: observer.statistics().away == 1)
        with trio.fail_after(5):
            await observer.complete()


async def test_what_goes_wrong_in_the_block_comes_out_as_it_is(town: Town, autojump_clock: MockClock) -> None:
    owner = await town.open()
    async with open_history("memory:") as ours:
        with pytest.raises(KeyError, match="mine"):
            async with open_observer(ours, owner):
                raise KeyError("mine")


async def test_on_libp2p(tmp_path: Path) -> None:
    """Real sockets, real time."""
    async with (
        open_history(f"sqlite:///{tmp_path / 'theirs.db'}") as theirs,
        open_history(f"sqlite:///{tmp_path / 'ours.db'}") as ours,
        open_peer("observer", log=HistoryLog(theirs)) as owner,
        open_peer("observer", connect=owner.addresses) as own,
        open_observer(ours, own) as observer,
    ):
        with trio.fail_after(120):
            for wave in range(5):
                for i in range(50):
                    machine = made(f"{wave}-{i}")
                    theirs.record(machine)
                    owner.expose(machine)
                    play(machine, 8)
                    owner.unexpose(machine)
                    machine.dispose()
                await trio.sleep(0.2)
            await until(lambda: observer.statistics().owners)
            await observer.complete()
            assert told(ours, owner.id) == told(theirs, "")
            assert observer.counts.rows == 250 * 9
