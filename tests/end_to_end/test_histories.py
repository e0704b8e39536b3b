"""Many changes on real peers, each with a history of its own: the history of one that watches has all of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import trio

from asyncmachine.history_log import HistoryLog
from asyncmachine.mirror_log import Mirror, open_mirror
from history import History, Record, open_history
from machine import Machine, Schema, State
from pubsub.opening import open_peer
from pubsub.peer import Peer

PEERS, RATE, SECONDS = 5, 200, 20
SCHEMA = Schema({"A": State(), "B": State(), "C": State()})


class Owner:
    """A peer with a machine and the history of it."""

    def __init__(self, peer: Peer, history: History) -> None:
        self.peer = peer
        self.history = history
        self.machine = Machine(SCHEMA, id="machine")
        history.record(self.machine)
        peer.expose(self.machine)

    async def work(self, rate: float, seconds: float) -> None:
        began = trio.current_time()
        for number in range(int(rate * seconds)):
            await trio.sleep_until(began + number / rate)
            self.machine.toggle("ABC"[number % 3])


def told(history: History, owner: str) -> list[Record]:
    return [replace(row, id=0, owner="") for row in history.questions.between() if row.owner == owner]


async def test_nothing_of_what_five_peers_do_is_missing_in_the_history_of_one_that_watches(seed: int) -> None:
    async with AsyncExitStack() as stack:
        enter: Any = stack.enter_async_context
        owners: list[Owner] = []
        for _ in range(PEERS):
            history = await enter(open_history("sqlite://"))
            known = owners[0].peer.addresses if owners else ()
            owners.append(Owner(await enter(open_peer("histories", connect=known, log=HistoryLog(history))), history))
        observed = await enter(open_history("sqlite://"))
        observer = await enter(open_peer("histories", connect=owners[0].peer.addresses))
        mirrors: list[Mirror] = []
        replicas = []
        with trio.fail_after(120):
            for owner in owners:
                replicas.append(await observer.replica("machine", owner=owner.peer.id))
        for replica in replicas:
            mirrors.append(await enter(open_mirror(observed, observer, replica)))
        async with trio.open_nursery() as nursery:
            for owner in owners:
                nursery.start_soon(owner.work, RATE / PEERS, SECONDS)
        with trio.fail_after(120):
            for owner, replica, mirror in zip(owners, replicas, mirrors, strict=True):
                await replica.when_time(SCHEMA.names, owner.machine.time())
                await owner.history.sync()
                truth = told(owner.history, "")
                while True:
                    await mirror.complete()
                    await observed.sync()
                    if told(observed, owner.peer.id) == truth:
                        break
                    await trio.sleep(0.1)
                assert len(truth) == RATE // PEERS * SECONDS + 1
                assert mirror.counts.fallbacks == 0
