"""A partition as the network makes it: two groups of processes in two network namespaces, and a wire that is pulled.

`test_peers.py` has one of dropped links, which runs everywhere. This one needs root and a kernel with namespaces; where
there are none it is skipped, and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from tests.end_to_end.test_peers import PATIENCE, Process, Town, town

__all__ = ["town"]  # a fixture

ROOT = Path(__file__).parents[2]
NEEDED = ("unshare", "nsenter", "ip", "sleep")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Wire:
    """Two namespaces with a wire between them, each held open by a process that sleeps."""

    def __init__(self, holders: list[int]) -> None:
        self._holders = holders
        left, right = holders
        self._inside(left, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(right))
        for number, holder in enumerate(holders):
            self._inside(holder, "ip", "addr", "add", f"{ADDRESSES[number]}/24", "dev", f"v{number}")
            for link in ("lo", f"v{number}"):
                self._inside(holder, "ip", "link", "set", link, "up")

    def _inside(self, holder: int, *command: str) -> None:
        run("nsenter", "-t", str(holder), "-n", *command)

    def prefix(self, side: int) -> tuple[str, ...]:
        """Return what runs a command on a side."""
        return "nsenter", "-t", str(self._holders[side]), "-n"

    def cut(self) -> None:
        """Pull the wire out: one side sends into nothing, the other has no way out any more."""
        self._inside(self._holders[1], "ip", "link", "set", "v1", "down")

    def heal(self) -> None:
        """Put it in again."""
        self._inside(self._holders[1], "ip", "link", "set", "v1", "up")


@pytest.fixture
def wire() -> Iterator[Wire]:
    missing = [name for name in NEEDED if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"PARTITION NOT TESTED: network namespaces need root, and {', '.join(missing or NEEDED)}")
    with ExitStack() as stack:
        holders = [stack.enter_context(subprocess.Popen(["unshare", "-n", "sleep", "600"])) for _ in ADDRESSES]
        for holder in holders:
            stack.callback(holder.kill)
        try:
            for holder in holders:
                wait_for_namespace(holder)
            wire = Wire([holder.pid for holder in holders])
        except OSError as error:
            pytest.skip(f"PARTITION NOT TESTED: no network namespaces here: {error}")
        yield wire


def wait_for_namespace(holder: subprocess.Popen[bytes]) -> None:
    """Wait until a process is in a namespace of its own."""
    ours = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{holder.pid}/ns/net") == ours:
        if holder.poll() is not None:
            raise OSError(f"unshare -n: exit status {holder.returncode}")


async def held(peers: list[Process], others: list[Process]) -> list[list[str]]:
    """Return what each of some peers has held each of others for, since they were alive."""
    return [await peer.held(other) for peer in peers for other in others]


async def test_both_sides_of_a_partition_bury_each_other_and_are_one_again_when_it_heals(
    wire: Wire, town: Town
) -> None:
    for side in (0, 1):
        for _ in range(3):
            await town.start(prefix=wire.prefix(side), listen=f"/ip4/{ADDRESSES[side]}/tcp/0")
    left, right = town.all[:3], town.all[3:]
    await town.until_agreed()

    wire.cut()
    with trio.fail_after(2 * PATIENCE):
        while True:
            seen = await held(left, right) + await held(right, left)
            if all(statuses[-1] == "dead" for statuses in seen):
                break
            await trio.sleep(0.2)
    assert all(statuses[-2:] == ["suspect", "dead"] for statuses in seen), seen

    before = {peer.owner: (await peer.state())["own"] for peer in town.all}
    for number, peer in enumerate(town.all):
        assert (await peer.ask(f"tick {number + 1} 50"))["done"] == number + 1
    for ours, others in ((left, right), (right, left)):
        await town.until_agreed(ours)
        for peer in ours:
            replicas = (await peer.state())["replicas"]
            assert all(replicas[other.owner][1] == before[other.owner] for other in others)

    wire.heal()
    await town.until_agreed()
    for peer in town.all:
        await town.until_held(peer, "alive", [other for other in town.all if other is not peer])


def test_a_computer_without_a_network_listens_on_loopback(wire: Wire) -> None:
    program = """
import trio
from pubsub.opening import open_peer

async def main():
    async with open_peer("alone", listen=["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"]) as one:
        print(sorted(address.split("/tcp")[0] for address in one.addresses))
        async with open_peer("alone", listen=[], connect=one.addresses) as other:
            with trio.fail_after(120):
                while len(other.members()) < 2:
                    await trio.sleep(0.05)

trio.run(main)
"""
    command = ["unshare", "-n", "sh", "-ec", 'ip link set lo up; exec "$0" -c "$1"', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['/ip4/127.0.0.1', '/ip6/::1']\n"
