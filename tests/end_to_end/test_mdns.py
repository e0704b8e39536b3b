"""Two peers find each other by mDNS, in a network namespace of their own; and what may be announced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pubsub.announcement import SERVICE, digest_of, properties_of, read_announcement, worth_telling
from pubsub.errors import WireError
from pubsub.identity import Domain, Identity
from pubsub.names import peer_id_of

ROOT = Path(__file__).parents[2]
OWNER = Identity(b"m" * 32).owner
NAME = f"{peer_id_of(OWNER)}.{SERVICE}"
ADDRESS = f"/ip4/10.9.8.7/tcp/4001/p2p/{peer_id_of(OWNER)}"
HOUSE = Domain("house")

PROGRAM = """
import threading, trio
from machine import Machine, Schema, State
from pubsub.opening import open_peer

async def main():
    async with open_peer("found", listen=["/ip4/10.9.8.7/tcp/0"], mdns=True) as one:
        one.expose(Machine(Schema({"On": State()}), id="one"))
        async with (
            open_peer("found", listen=["/ip4/10.9.8.7/tcp/0"], mdns=True) as other,
            open_peer("elsewhere", listen=["/ip4/10.9.8.7/tcp/0"], mdns=True) as stranger,
        ):
            with trio.fail_after(30):
                await other.replica("one")
                while not stranger.statistics()["mdns"]["other_topic"]:
                    await trio.sleep(0.05)
            assert len(stranger.members()) == 1
            print("found", one.statistics()["mdns"]["heard"] + other.statistics()["mdns"]["heard"] > 0)
    print("threads", [thread.name for thread in threading.enumerate() if "mDNS" in thread.name])

trio.run(main)
"""


def _as_bytes(properties: dict[str, str]) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in properties.items()}


def test_an_announcement_is_read_by_peers_of_its_topic_only() -> None:
    told = _as_bytes(properties_of(HOUSE, [ADDRESS]))
    assert read_announcement(NAME, told, digest_of(HOUSE)) == (OWNER, [ADDRESS])
    assert read_announcement(NAME, told, digest_of(Domain("garden"))) is None
    assert read_announcement(NAME, told, digest_of(Domain("house", b"key"))) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("somebody." + SERVICE, {}),
        (NAME, {b"topic": None}),
        (NAME, {b"topic": b"short"}),
        (NAME, {b"a0": None}),
        (NAME, {b"a0": b"/ip4/10.9.8.7/tcp/4001"}),
        (NAME, {b"a0": b"\xff" + ADDRESS.encode()}),
        (NAME, {b"a0": b"/" + b"x" * 300 + ADDRESS.encode()}),
    ],
)
def test_nonsense_is_refused(name: str, change: dict[bytes, bytes | None]) -> None:
    told = _as_bytes(properties_of(HOUSE, [ADDRESS])) | change
    with pytest.raises(WireError):
        read_announcement(name, told, digest_of(HOUSE))


def test_loopback_is_told_only_where_there_is_nothing_else() -> None:
    near, far = "/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/10.9.8.7/tcp/1/p2p/x"
    assert worth_telling([near, far]) == [far]
    assert worth_telling([near, "/dns4/house/tcp/1"]) == [near]


def test_peers_on_one_network_find_each_other_and_leave_no_thread_behind() -> None:
    setup = (
        "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.8.7/24 dev v0; "
        "ip link set v0 up; ip link set v1 up; ip route add 224.0.0.0/4 dev v0"
    )
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("mDNS NOT TESTED: a network namespace needs root, unshare and ip")
    trial = subprocess.run(["unshare", "-n", "sh", "-ec", setup], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"mDNS NOT TESTED: no network namespace here: {trial.stderr}")
    command = ["unshare", "-n", "sh", "-ec", f'{setup}; exec "$0" -c "$1"', sys.executable, PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["found True", "threads []"]
