"""Peers in processes of their own, as `tests/end_to_end/peer_process.py` runs them, and what a process holds."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 4  # processes that start at a time: each imports for a second, and starves those that run already
PROGRAM = ROOT / "tests" / "end_to_end" / "peer_process.py"


@dataclass(frozen=True)
class Held:
    """What a process holds. Memory in MB.

    Attributes:
        rss: all that is resident.
        pss: the same, but what it shares with other processes by its share; so it changes as those come and go.
        own: what it has allocated itself, and no file is behind: where a leak is.
    """

    rss: float
    pss: float
    own: float
    files: int
    threads: int
    tasks: int


class PeerProcess:
    """A peer with one machine. It answers one command at a time; `tick` may be told, and answers when it is done."""

    def __init__(self, key_file: Path, *connect: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(key_file), *connect],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._done: list[dict[str, Any]] = []
        self.owner = self.address = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def greet(self) -> None:
        """Wait until it listens."""
        hello = self.hear()
        self.owner, self.address = hello["owner"], hello["address"]

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a peer has ended: exit status {self._process.wait()}; its own words are above")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        while "done" in (heard := self.hear()) and not command.startswith("tick"):
            self._done.append(heard)
        return heard

    def wait_for_ticks(self) -> dict[str, Any]:
        """Return what it says when a `tick` that was told is done."""
        return self._done.pop(0) if self._done else self.hear()

    def held(self) -> Held:
        """Return what it holds now."""
        tasks = self.ask("tasks")["tasks"]
        folder = Path(f"/proc/{self.pid}")
        return Held(
            rss=rss(self.pid),
            pss=pss(self.pid),
            own=own(self.pid),
            files=len(os.listdir(folder / "fd")),
            threads=len(os.listdir(folder / "task")),
            tasks=tasks,
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def processes(folder: Path, count: int, at_once: int = AT_ONCE) -> Iterator[list[PeerProcess]]:
    """Start a network: one peer, and then the others, who know it, so many at a time. They are killed after."""
    folder.mkdir(exist_ok=True)
    started = [PeerProcess(folder / "key0")]
    try:
        started[0].greet()
        for number in range(1, count):
            if number > at_once:
                started[-at_once].greet()
            started.append(PeerProcess(folder / f"key{number}", started[0].address))
        for process in started[1:][-at_once:]:
            process.greet()
        yield started
    finally:
        for process in started:
            process.kill()


def agree(peers: list[PeerProcess]) -> bool:
    """Tell whether all of them have each other's machines as they are; nothing may be on its way then."""
    states = {peer.owner: peer.ask("state") for peer in peers}
    return all(
        {o: ticks for o, (_, ticks) in state["replicas"].items()}
        == {o: other["own"] for o, other in states.items() if o != owner}
        for owner, state in states.items()
    )


def rss(pid: int) -> float:
    """Return the memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def pss(pid: int) -> float:
    """Return the memory of a process, with its share of what it shares with others, MB."""
    return _rolled_up(pid, "Pss:")


def own(pid: int) -> float:
    """Return the memory of a process that it has allocated itself, MB."""
    return _rolled_up(pid, "Anonymous:")


def _rolled_up(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / 1e6
