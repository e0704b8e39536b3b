"""A client that shares no code with us: js-libp2p hears the topic and checks our signatures; its nonsense harms nobody.

It needs node and npm, which fetches the libraries of `js/package-lock.json`; where they are not there the test is
skipped, and says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from machine import Machine, Schema, State
from pubsub.opening import open_peer
from pubsub.parameters import Parameters
from pubsub.peer import Peer

SOURCE = Path(__file__).with_name("js")
PATIENCE = 120  # s for anything at all: a bound, not a measure
TOPIC = "independent"
PROTOCOLS = {"/asyncmachine/1", "/meshsub/1.1.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, in a folder with its libraries."""
    missing = [name for name in ("node", "npm") if not shutil.which(name)]
    if missing:
        pytest.skip(f"INDEPENDENT CLIENT NOT TESTED: there is no {' and no '.join(missing)} here")
    folder = tmp_path_factory.mktemp("js") / "js"
    shutil.copytree(SOURCE, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"INDEPENDENT CLIENT NOT TESTED: npm could not fetch its libraries: {done.stderr[-500:]}")
    return folder / "listener.mjs"


class Client:
    """The program, running."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []

    async def listen(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for data in self._process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            self.told += map(json.loads, lines)

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line.encode() + b"\n")

    def records(self, owner: bytes) -> list[dict[str, Any]]:
        return [line for line in self.told if line.get("owner") == owner.hex()]

    def garbled(self) -> dict[str, str] | None:
        return next((line["garbled"] for line in self.told if "garbled" in line), None)


@pytest.fixture
async def peers() -> AsyncIterator[tuple[Peer, Peer]]:
    eager = Parameters(eager=True)
    async with (
        open_peer(TOPIC, parameters=eager) as one,
        open_peer(TOPIC, parameters=eager, connect=one.addresses) as two,
    ):
        yield one, two


async def test_a_client_of_js_libp2p_checks_our_signatures_and_harms_nobody(
    program: Path, peers: tuple[Peer, Peer], nursery: trio.Nursery
) -> None:
    one, two = peers
    machine = Machine(Schema({"On": State()}), id="machine")
    one.expose(machine)
    with trio.fail_after(PATIENCE):
        replica = await two.replica("machine")
    command = ["node", str(program), one.addresses[0], TOPIC]
    run = partial(
        trio.run_process, command, stdin=subprocess.PIPE, capture_stdout=False, stdout=subprocess.PIPE, check=False
    )
    client = Client(await nursery.start(run))
    nursery.start_soon(client.listen)

    async def change_until(done: Any) -> None:
        with trio.fail_after(PATIENCE):
            while not done():
                machine.toggle("On")
                await trio.sleep(0.1)

    await change_until(lambda: len(client.records(one.owner)) >= 10)
    assert all(record["good"] for record in client.records(one.owner))
    assert len({record["epoch"] for record in client.records(one.owner)}) == 1

    await client.tell("garbage")
    await change_until(lambda: client.garbled() is not None)
    said = client.garbled()
    assert said is not None
    assert set(said) == PROTOCOLS
    counts = {name: one.statistics()[name] for name in ("transport", "records")}
    assert counts["records"]["bad signature"] == 1, counts
    assert counts["transport"]["declined"] == 1, counts
    assert counts["transport"]["undecodable"] >= 3, counts
    assert counts["transport"]["garbled"] + counts["transport"]["strangers"] >= 1, counts

    # both are as before: connected, and what changes arrives
    assert any(member.owner == two.owner and member.connected for member in one.members())
    machine.toggle("On")
    with trio.fail_after(PATIENCE):
        await replica.when_time(machine.state_names, machine.time())
    assert two.statistics()["records"]["bad signature"] == 0  # nothing was passed on
    nursery.cancel_scope.cancel()
