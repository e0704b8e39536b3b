"""Processes on one network find each other by mDNS, in a network namespace of their own, and leave others alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from pubsub.announcement import MdnsCounts
from pubsub.identity import Domain, Identity
from pubsub.mdns import discover
from pubsub.opening import open_peer
from tests.pubsub.transports import until

ROOT = Path(__file__).parents[2]
SETUP = (
    "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.8.7/24 dev v0;"
    " ip link set v0 up; ip link set v1 up; ip route add 224.0.0.0/4 dev v0"
)

# A peer says when it has seen what it is about, and stays until its input ends.
PEER = """
import json, sys, threading, trio
from machine import Machine, Schema, State
from pubsub.opening import open_peer

topic, own, wanted = sys.argv[1:]

async def main():
    async with open_peer(topic, listen=["/ip4/0.0.0.0/tcp/0"], mdns=True) as peer:
        peer.expose(Machine(Schema({"On": State()}), id=own))
        with trio.fail_after(120):
            if wanted:
                await peer.replica(wanted)
            while not (peer.mdns.heard if wanted else peer.mdns.other_topic >= 2):
                await trio.sleep(0.05)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        out = {"members": len(peer.members()), **peer.statistics()["mdns"]}
    out["threads"] = [thread.name for thread in threading.enumerate() if "mDNS" in thread.name]
    print(json.dumps(out))

trio.run(main)
"""
ALONE = """
import logging, trio
from pubsub.opening import open_peer

logging.basicConfig(format="%(message)s")

async def main():
    async with open_peer("house", listen=[], mdns=True):
        await trio.sleep(2)

trio.run(main)
"""
# Starts processes of a Python program, waits for the first line of each, ends their inputs, and prints what they said.
RUNNER = """
import json, subprocess, sys

program, arguments = json.load(sys.stdin)
started = [
    subprocess.Popen([sys.executable, "-c", program, *given], stdin=-1, stdout=-1, stderr=-1, text=True)
    for given in arguments
]
first = [process.stdout.readline() for process in started]
print(json.dumps([[line, *process.communicate(), process.returncode] for line, process in zip(first, started)]))
"""


def in_namespace(setup: str, program: str, *arguments: list[str]) -> list[tuple[str, str, str, int]]:
    """Run a program several times at once, in one new network namespace, of which nothing is left afterwards.

    Returns:
        of each: its first line, the rest that it printed, its errors, and how it ended.
    """
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("mDNS NOT TESTED: a network namespace needs root, unshare and ip")
    trial = subprocess.run(["unshare", "-n", "sh", "-ec", setup], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"mDNS NOT TESTED: no network namespace here: {trial.stderr}")
    command = ["unshare", "-n", "-p", "-f", "--kill-child", "sh", "-ec", f'{setup}\nexec "$0" -c "$1"']
    done = subprocess.run(
        [*command, sys.executable, RUNNER],
        input=json.dumps([program, arguments]),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(first, rest, errors, code) for first, rest, errors, code in json.loads(done.stdout)]


def test_processes_of_a_topic_find_each_other_and_leave_no_thread_behind() -> None:
    done = in_namespace(SETUP, PEER, ["found", "one", "other"], ["found", "other", "one"], ["elsewhere", "third", ""])
    assert [(first, code) for first, _, _, code in done] == 3 * [("ready\n", 0)], [errors for _, _, errors, _ in done]
    one, other, stranger = [json.loads(rest) for _, rest, _, _ in done]
    assert one["members"] == other["members"] == 2
    assert min(one["heard"], other["heard"]) >= 1
    assert one["dialled"] + other["dialled"] >= 1
    assert stranger["members"] == 1
    assert (stranger["heard"], stranger["dialled"]) == (0, 0)
    assert one["threads"] == other["threads"] == stranger["threads"] == []


def test_without_a_network_it_is_said_once_and_the_peer_works() -> None:
    ((first, rest, errors, code),) = in_namespace("true", ALONE, [])
    assert (first + rest, code) == ("", 0), errors
    assert errors.count("is not found by mDNS") == 1, errors
    assert "Traceback" not in errors


async def test_a_peer_that_was_found_is_dialled_and_the_others_are_counted() -> None:
    stranger = Identity(bytes(32)).owner
    async with open_peer("house") as one, open_peer("house", allow=[one.id]) as other:
        other.found(stranger, one.addresses)
        assert other.mdns.not_allowed == 1
        one.found(other.owner, ["nonsense"])
        assert one.statistics()["addresses"]["wrong"] == 1
        assert one.mdns.dialled == 0
        other.found(one.owner, one.addresses)
        assert other.mdns.dialled == 1
        await until(lambda: any(member.connected for member in one.members()))
        other.found(one.owner, one.addresses)  # a neighbour by now
        assert other.mdns.dialled == 1


async def test_who_stops_at_once_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(discover, Identity(b"m" * 32).owner, Domain("house"), [], lambda *heard: None, MdnsCounts())
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert set(threading.enumerate()) <= before


def test_who_does_not_want_mdns_does_not_import_it() -> None:
    program = "import sys, pubsub.opening; print(*{'asyncio', 'pubsub.mdns', 'zeroconf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "\n"
