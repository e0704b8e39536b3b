"""A peer in a process of its own, told what to do by lines on its standard input. Answers are lines of JSON.

python peer_process.py KEY_FILE [ADDRESS …] [--listen ADDRESS]

tick COUNT RATE    toggle its machine so often, at so many a second, and answer when it is done
tasks              say how many tasks live in it
state              say what it knows: own tick, ticks of others, members, what it held these for since they were alive
leave              say goodbye and end
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import Any

import trio
import trio.lowlevel

from machine import Machine, Schema, State
from pubsub.members import MemberChanged, Status
from pubsub.opening import open_peer
from pubsub.peer import Peer

MACHINE = Schema({"On": State(), "Off": State(remove=("On",))})


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Diary:
    """What a peer has held others for, since they were alive last: a suspicion may be over before anybody asks."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}

    def note(self, event: object) -> None:
        if isinstance(event, MemberChanged):
            held = self.held.setdefault(event.owner.hex(), [])
            if event.status is Status.ALIVE:
                held.clear()
            else:
                held.append(event.status.value)


def knowledge(peer: Peer, machine: Machine, diary: Diary) -> dict[str, Any]:
    return {
        "own": machine.time().sum,
        "replicas": {replica.owner.hex(): [replica.epoch, replica.time().sum] for replica in peer.replicas()},
        "members": {member.owner.hex(): member.status.value for member in peer.members()},
        "held": diary.held,
        "connected": sum(member.connected for member in peer.members()),
    }


async def tick(machine: Machine, count: int, rate: float) -> None:
    began = trio.current_time()
    for number in range(count):
        await trio.sleep_until(began + number / rate)
        machine.toggle("On")
    say(done=count, own=machine.time().sum)


async def main(key_file: str, connect: list[str], listen: str) -> None:
    machine, diary = Machine(MACHINE, id="machine"), Diary()
    async with (
        open_peer("end to end", key_file=key_file, connect=connect, listen=[listen], notify=diary.note) as peer,
        trio.open_nursery() as nursery,
    ):
        peer.expose(machine)
        say(id=peer.id, owner=peer.owner.hex(), address=peer.addresses[0])
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as commands:
            waiting = b""
            async for data in commands:
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    word, *arguments = line.decode().split()
                    if word == "tick":
                        nursery.start_soon(partial(tick, machine, int(arguments[0]), float(arguments[1])))
                    elif word == "tasks":
                        say(tasks=trio.lowlevel.current_statistics().tasks_living)
                    elif word == "state":
                        say(**knowledge(peer, machine, diary))
                    elif word == "leave":
                        await peer.leave()
                        say(left=True)
                        nursery.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("key_file")
    options.add_argument("connect", nargs="*")
    options.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    chosen = options.parse_args()
    trio.run(main, chosen.key_file, chosen.connect, chosen.listen)
