"""A campaign: trial after trial, each in a process of its own, on several cores, until one fails or the time is up.

What a trial does is decided by its seed alone; only how many there are depends on this machine. Who runs a campaign
iterates over it, and learns of each trial that has ended.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from simulations.errors import Violation
from simulations.trial import Trial

LOOK = 0.2  # s at most between two looks at the clock


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a trial ended. ``error``: None, or what went wrong; ``replay``: the command that does it again."""

    seed: int
    peers: int = 0
    events: int = 0
    updates: int = 0
    simulated: float = 0.0
    trace: str = ""
    error: str | None = None
    replay: str = ""


def attempt(seed: int, peers: int | None) -> Result:
    """Run one trial in this process."""
    trial = Trial.draw(seed, peers)
    try:
        report = trial.run()
    except Violation as violation:
        return Result(seed=seed, peers=trial.peers, error=str(violation), replay=trial.replay)
    except Exception:  # noqa: BLE001  whatever a core raises is what is looked for
        return Result(seed=seed, peers=trial.peers, error=traceback.format_exc(), replay=trial.replay)
    return Result(
        seed=seed,
        peers=trial.peers,
        events=report.events,
        updates=report.updates,
        simulated=report.seconds,
        trace=report.trace,
        replay=trial.replay,
    )


class Campaign:
    """Trials with the seeds from one on.

    Args:
        seed: of the first trial.
        peers: of all trials; None: as each draws.
        count: of trials; None: no bound.
        seconds: of this machine's time, after which trials that still run are given up; None: no bound.
        jobs: how many run at a time.
    """

    def __init__(
        self,
        seed: int,
        *,
        peers: int | None = None,
        count: int | None = None,
        seconds: float | None = None,
        jobs: int = 1,
    ) -> None:
        Trial.draw(seed, peers)  # what cannot be drawn is said here, and not by each process
        self.given_up = 0
        self.elapsed = 0.0
        self._next = seed
        self._last = None if count is None else seed + count
        self._peers = peers
        self._seconds = seconds
        self._jobs = max(jobs, 1)
        self._running: dict[Connection, tuple[int, SpawnProcess]] = {}

    def __iter__(self) -> Iterator[Result | None]:
        """Yield each result as it comes, and None now and then, to show that time goes by. Ends after an error."""
        began = time.monotonic()
        try:
            while True:
                self.elapsed = time.monotonic() - began
                if self._seconds is not None and self.elapsed >= self._seconds:
                    return
                while len(self._running) < self._jobs and (self._last is None or self._next < self._last):
                    self._start(self._next)
                    self._next += 1
                if not self._running:
                    return
                yield None
                for connection in wait(list(self._running), LOOK):
                    assert isinstance(connection, Connection)
                    result = self._collect(connection)
                    yield result
                    if result.error is not None:
                        return
        finally:
            self.elapsed = time.monotonic() - began
            self._give_up()

    def _start(self, seed: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what this process has imported and opened
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(theirs, seed, self._peers), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = seed, process

    def _collect(self, connection: Connection) -> Result:
        seed, process = self._running.pop(connection)
        try:
            result = connection.recv()
            assert isinstance(result, Result)
        except EOFError:
            process.join()
            replay = Trial.draw(seed, self._peers).replay
            result = Result(seed=seed, error=f"the process ended with status {process.exitcode}", replay=replay)
        connection.close()
        process.join()
        return result

    def _give_up(self) -> None:
        for connection, (_, process) in self._running.items():
            process.terminate()
            process.join()
            connection.close()
            self.given_up += 1
        self._running.clear()


def _work(connection: Connection, seed: int, peers: int | None) -> None:
    try:
        connection.send(attempt(seed, peers))
    except KeyboardInterrupt:  # the parent has it as well, and ends the campaign
        return
