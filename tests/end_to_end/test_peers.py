"""Real peers on real libp2p, on loopback: in one process and in several, that come, go, freeze and are cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from machine import Machine, Schema, State
from pubsub.identity import Domain, Identity
from pubsub.members import Status
from pubsub.opening import open_peer
from pubsub.peer import Peer
from pubsub.transport import Transport
from pubsub.transport.meeting import DIAL_TIMEOUT

PROGRAM = Path(__file__).with_name("peer_process.py")
DOOR = Schema({"Open": State(), "Shut": State(remove=("Open",))})
PATIENCE = 120  # s for anything at all: a bound, not a measure


async def until(done: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while True:
            if done():
                return
            await trio.sleep(0.05)


class Group:
    """Peers in this process."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.peers: list[Peer] = []
        self.machines: list[Machine] = []

    async def add(self, **options: Any) -> Peer:
        connect = self.peers[0].addresses if self.peers else ()
        peer: Peer = await self.nursery.start(self._hold, {"connect": connect, **options})
        machine = Machine(DOOR, id="door")
        peer.expose(machine)
        self.peers.append(peer)
        self.machines.append(machine)
        return peer

    async def _hold(self, options: dict[str, Any], task_status: Any) -> None:
        async with open_peer("group", **options) as peer:
            task_status.started(peer)
            await trio.sleep_forever()

    def agree(self) -> bool:
        """Tell whether everybody has everybody's machine as it is."""
        truth = {peer.owner: tuple(machine.time()) for peer, machine in zip(self.peers, self.machines, strict=True)}
        return all(
            {r.owner: tuple(r.time()) for r in peer.replicas()} == {o: t for o, t in truth.items() if o != peer.owner}
            for peer in self.peers
        )


@pytest.mark.parametrize("count", [2, 10])
async def test_everyone_has_everyones_machines_and_a_change_reaches_all(count: int, nursery: trio.Nursery) -> None:
    group = Group(nursery)
    for _ in range(count):
        await group.add()
    await until(group.agree)
    for machine in group.machines:
        machine.toggle("Open")
    await until(group.agree)
    assert all(replica.is_active("Open") for peer in group.peers for replica in peer.replicas())
    assert all(len(peer.members()) == count for peer in group.peers)
    nursery.cancel_scope.cancel()


async def test_a_late_joiner_catches_up_and_who_leaves_has_left(nursery: trio.Nursery) -> None:
    group = Group(nursery)
    for _ in range(3):
        await group.add()
    for _ in range(51):
        group.machines[0].toggle("Open")
    await until(group.agree)
    late = await group.add()
    await until(group.agree)
    assert late.replicas(owner=group.peers[0].id)[0].is_active("Open")
    await late.leave()
    first = group.peers[0]
    await until(lambda: any(m.owner == late.owner and m.status is Status.LEFT for m in first.members()))
    nursery.cancel_scope.cancel()


# -- in processes of their own


class Process:
    """A peer in a process of its own."""

    def __init__(self, process: trio.Process, key_file: Path) -> None:
        self.process = process
        self.key_file = key_file
        self._buffer = b""
        self.owner = self.address = ""

    async def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._buffer:
                data = await self.process.stdout.receive_some()
                assert data, f"the peer has ended: {self.process.returncode}"
                self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        heard: dict[str, Any] = json.loads(line)
        return heard

    async def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(command.encode() + b"\n")

    async def ask(self, command: str) -> dict[str, Any]:
        await self.tell(command)
        return await self.hear()

    async def state(self) -> dict[str, Any]:
        return await self.ask("state")

    async def held(self, target: Process) -> list[str]:
        """Return what it has held another one for, since that was alive."""
        state = await self.state()
        return state["held"].get(target.owner) or [state["members"].get(target.owner, "unknown")]

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


class Town:
    """Processes that know the first of them."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.folder = folder
        self.all: list[Process] = []

    async def start(
        self,
        key: str | None = None,
        *,
        first: bool = False,
        prefix: Sequence[str] = (),
        listen: str = "/ip4/127.0.0.1/tcp/0",
    ) -> Process:
        """Start one. `prefix`: a command that runs the command that it is given."""
        known = [] if first or not self.all else [self.all[0].address]
        key_file = self.folder / (key or f"key{len(self.all)}")
        command = [*prefix, sys.executable, str(PROGRAM), str(key_file), *known, "--listen", listen]
        process: trio.Process = await self.nursery.start(
            partial(
                trio.run_process,
                command,
                stdin=subprocess.PIPE,
                capture_stdout=False,
                stdout=subprocess.PIPE,
                check=False,
                env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])},
            )
        )
        peer = Process(process, key_file)
        hello = await peer.hear()
        peer.owner, peer.address = hello["owner"], hello["address"]
        self.all.append(peer)
        return peer

    async def agree(self, among: list[Process] | None = None) -> bool:
        """Tell whether these know each other's machines as they are."""
        peers = self.all if among is None else among
        states = {peer.owner: await peer.state() for peer in peers}
        return all(
            state["replicas"].get(owner, (0, -1))[1] == states[owner]["own"]
            for mine, state in states.items()
            for owner in states
            if owner != mine
        )

    async def until_agreed(self, among: list[Process] | None = None) -> None:
        with trio.fail_after(PATIENCE):
            while True:
                if await self.agree(among):
                    return
                await trio.sleep(0.2)

    async def until_held(self, target: Process, status: str, among: list[Process]) -> None:
        """Wait until each of these holds the target for something, or has done so since it was alive."""
        with trio.fail_after(PATIENCE):
            for peer in among:
                while status not in await peer.held(target):  # noqa: ASYNC110 - another process tells when it is asked
                    await trio.sleep(0.2)


@pytest.fixture
async def town(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(nursery, tmp_path)
    async with AsyncExitStack() as stack:
        stack.callback(nursery.cancel_scope.cancel)  # which ends the processes
        yield town


async def test_five_processes_through_a_kill_a_return_a_freeze_and_a_goodbye(town: Town) -> None:
    for number in range(5):
        await town.start(first=number == 0)
    await town.until_agreed()

    # 200 changes/s of all together: nothing is lost
    for peer in town.all:
        await peer.tell("tick 201 40")
    for peer in town.all:
        assert (await peer.hear())["done"] == 201
    await town.until_agreed()

    # one is killed: suspected, and then dead; it returns as itself, in its next epoch
    victim, others = town.all[4], town.all[:4]
    epoch = (await others[0].state())["replicas"][victim.owner][0]
    await victim.kill()
    await town.until_held(victim, "suspect", others)
    await town.until_held(victim, "dead", others)
    town.all.remove(victim)
    returned = await town.start(victim.key_file.name)
    assert returned.owner == victim.owner
    await town.until_agreed()
    await town.until_held(returned, "alive", others)
    assert (await others[0].state())["replicas"][victim.owner][0] > epoch

    # one freezes: that is noticed; and it returns
    frozen, others = town.all[3], [peer for peer in town.all if peer is not town.all[3]]
    frozen.process.send_signal(signal.SIGSTOP)
    await town.until_held(frozen, "suspect", others)
    frozen.process.send_signal(signal.SIGCONT)
    await town.until_held(frozen, "alive", others)
    await others[0].tell("tick 5 50")
    await others[0].hear()
    await town.until_agreed()

    # one says goodbye
    leaving, others = town.all[2], [peer for peer in town.all if peer is not town.all[2]]
    assert await leaving.ask("leave") == {"left": True}
    await town.until_held(leaving, "left", others)


class Cuts:
    """Links that are dropped: between peers of two sides nothing gets through, and no new connection comes about."""

    def __init__(self) -> None:
        self.sides: dict[bytes, int] = {}

    def is_cut(self, one: bytes, other: bytes) -> bool:
        return self.sides.get(one, 0) != self.sides.get(other, 0)

    @asynccontextmanager
    async def transport(self, identity: Identity, domain: Domain) -> AsyncIterator[Transport[bytes]]:
        from pubsub.transport.libp2p import open_libp2p

        me = identity.owner
        async with open_libp2p(
            identity, topic=domain, gossip=False, is_allowed=lambda owner: not self.is_cut(me, owner)
        ) as transport:
            yield transport


async def test_a_partition_heals(nursery: trio.Nursery) -> None:
    cuts = Cuts()
    group = Group(nursery)
    for _ in range(6):
        await group.add(transport=cuts.transport)
    await until(group.agree)
    cuts.sides = {peer.owner: number % 2 for number, peer in enumerate(group.peers)}
    quiet = trio.current_time()
    while trio.current_time() < quiet + DIAL_TIMEOUT + 1:  # a dial that was under way may still come through
        for peer in group.peers:
            for owner, connection in list(peer._driver._connections.items()):
                if cuts.is_cut(peer.owner, owner):
                    connection.close()
                    quiet = trio.current_time()
        await trio.sleep(0.1)
    for machine in group.machines:
        machine.toggle("Open")

    def sides_agree() -> bool:
        return all(
            replica.is_active("Open") != cuts.is_cut(peer.owner, replica.owner)
            for peer in group.peers
            for replica in peer.replicas()
        )

    await until(sides_agree)
    await trio.sleep(3)
    assert sides_agree()
    cuts.sides = {}
    await until(group.agree)
    await until(lambda: all(m.status is Status.ALIVE for peer in group.peers for m in peer.members()))
    nursery.cancel_scope.cancel()
