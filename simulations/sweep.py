"""A sweep: variants of a scenario, each with some seeds, each run in a process of its own, on all cores.

    sweep = Sweep(plan(scenario, {"network.loss": [0, 0.1, 0.2]}, seeds=range(5)), Path("outcomes"))
    for news in sweep: ...

Outcomes are kept in a folder, a file for each scenario and seed. A sweep that is stopped, or killed, goes on from them.
What is there is not run again, if it was made by the code that there is now (see `simulations.sources`); an outcome of
other code is replaced. Peak memory and CPU time are those of the one run.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from simulations.costs import Progress, guess
from simulations.errors import SetupError
from simulations.outcome import Outcome, decode_outcome, load_outcome
from simulations.scenario import Scenario
from simulations.scenario_file import changed
from simulations.sources import code, code_now

LOOK = 0.5  # s at most between two signs of life


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run. `label`: which variant it is; `settings`: what is different in it."""

    label: str
    settings: Mapping[str, Any]
    scenario: Scenario
    seed: int

    @property
    def file(self) -> str:
        """The name of the file of its outcome: what decides the run, and no more."""
        told = self.scenario.to_dict()
        for words in ("name", "question", "seed"):
            del told[words]
        digest = blake2b(msgspec.json.encode(told, order="sorted"), digest_size=8).hexdigest()
        return f"{digest}-{self.seed}.json"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A job that has ended. `kept`: it was there already. `error`: why there is no outcome."""

    job: Job
    outcome: Outcome | None = None
    kept: bool = False
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether it broke, or a checker objected."""
        return self.outcome is None or bool(self.outcome.violations)


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """A sign of life: the share of all work that is done, and how long the rest will take, s (None: nobody knows)."""

    share: float
    left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a folder has of some jobs. `old`: how many are there, but of other code; `new`: of how many nothing is.

    Attributes:
        outcomes: those of this code, by the place of the job.
        guesses: what each job will take, s of CPU time: as long as the last time, if there was one.
    """

    outcomes: Mapping[int, Outcome]
    old: int
    new: int
    guesses: Mapping[int, float]

    @property
    def left(self) -> float:
        """What is still to be run will take about so long, s of CPU time."""
        return sum([guess for place, guess in self.guesses.items() if place not in self.outcomes])

    def text(self, *, fresh: bool = False) -> str:
        """Say what there is, and what becomes of it."""
        count = len(self.outcomes)
        runs = count + self.old + self.new
        parts = [f"{runs} run{'' if runs == 1 else 's'}"]
        if fresh and count:
            parts.append(f"{count} kept, and run again as --fresh says")
        elif count:
            parts.append(f"{count} kept")
        if self.old:
            parts.append(f"{self.old} kept of other code than this ({code()}), and run again")
        return "; ".join([*parts, *([f"{self.new} new"] if self.new and self.new < runs else [])])


def kept(jobs: Sequence[Job], folder: Path) -> Kept:
    """Look at what a folder has of some jobs.

    Raises:
        SetupError: a file in it is no outcome, or the sources cannot be read.
    """
    outcomes: dict[int, Outcome] = {}
    guesses: dict[int, float] = {}
    old = 0
    for place, job in enumerate(jobs):
        path = folder / job.file
        found = load_outcome(path) if path.exists() else None
        guesses[place] = guess(job.scenario) if found is None else max(found.engine.cpu_s, 0.01)
        if found is not None and found.code == code():
            outcomes[place] = _named(found, job)
        else:
            old += found is not None
    return Kept(outcomes=outcomes, old=old, new=len(jobs) - len(outcomes) - old, guesses=guesses)


def plan(
    scenario: Scenario,
    over: Mapping[str, Sequence[Any]],
    seeds: Iterable[int],
    *,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Job]:
    """Return the jobs of a sweep: each variant with each combination of values with each seed, in this order.

    Args:
        scenario: what is the same in all.
        over: values of keys.
        seeds: of each.
        variants: settings by name; none: the scenario as it is.

    Raises:
        SetupError: a variant cannot be run, or there is nothing to run.
    """
    jobs = []
    chosen = list(seeds)
    for name, settings in (variants or {"": {}}).items():
        for values in itertools.product(*over.values()):
            drawn = dict(zip(over, values, strict=True))
            labels = [f"{key.rpartition('.')[2]} {shown(value)}" for key, value in drawn.items()]
            label = ", ".join([*([name] if name else []), *labels]) or "as it is"
            made = changed(scenario, {**settings, **drawn})
            jobs += [Job(label=label, settings={**settings, **drawn}, scenario=made, seed=seed) for seed in chosen]
    if not jobs:
        raise SetupError("there is nothing to run: give at least one value to each key, and one seed")
    return jobs


def shown(value: Any) -> str:
    """Return a value as a label has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass
class Sweep:
    """Runs jobs, as many at a time as there are `workers`. Iterate over it once."""

    jobs: Sequence[Job]
    folder: Path
    workers: int = 1
    fresh: bool = False
    """Run what is there already, too."""
    replay: Callable[[Job], str] = lambda job: ""
    """The command that does a job again."""
    _running: dict[Connection, tuple[int, SpawnProcess]] = field(default_factory=dict)

    @cached_property
    def kept(self) -> Kept:
        """What was there when this was first looked at."""
        return kept(self.jobs, self.folder)

    @cached_property
    def _progress(self) -> Progress:
        return Progress(dict(self.kept.guesses), max(self.workers, 1))

    def __iter__(self) -> Iterator[Done | Ahead]:
        """Yield each job that has ended, and how far all are in between.

        Raises:
            SetupError: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{self.folder} cannot be made: {error.strerror}") from error
        found = {} if self.fresh else self.kept.outcomes
        progress = self._progress
        for place, outcome in found.items():
            progress.keep(place)
            yield Done(job=self.jobs[place], outcome=outcome, kept=True)
        waiting = [place for place in range(len(self.jobs)) if place not in found]
        waiting.reverse()
        try:
            while waiting or self._running:
                while waiting and len(self._running) < max(self.workers, 1):
                    self._start(waiting.pop())
                for connection in wait(list(self._running), LOOK):
                    assert isinstance(connection, Connection)
                    ended = self._hear(connection)
                    if ended is not None:
                        yield ended
                yield Ahead(share=progress.share, left=progress.left(time.monotonic()))
        finally:
            self._give_up()

    def _start(self, place: int) -> None:
        job = self.jobs[place]
        context = multiprocessing.get_context("spawn")  # a fork would share what this process has imported and opened
        ours, theirs = context.Pipe(duplex=False)
        told = msgspec.json.encode(job.scenario)
        arguments = (theirs, told, job.seed, self.replay(job), code())
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = place, process
        self._progress.begins(place, time.monotonic())

    def _hear(self, connection: Connection) -> Done | None:
        place, process = self._running[connection]
        job = self.jobs[place]
        try:
            word, said = connection.recv()
        except EOFError:
            process.join()
            word, said = "error", f"the process ended with status {process.exitcode}: out of memory, if it is -9"
        if word == "share":
            self._progress.shares(place, said)
            return None
        del self._running[connection]
        self._progress.ends(place, time.monotonic())
        connection.close()
        process.join()
        if word == "error":
            return Done(job=job, error=said)
        outcome = decode_outcome(said)
        outcome.save(self.folder / job.file)
        return Done(job=job, outcome=outcome)

    def _give_up(self) -> None:
        for connection, (_, process) in self._running.items():
            process.terminate()
            process.join()
            connection.close()
        self._running.clear()


def _named(outcome: Outcome, job: Job) -> Outcome:
    """Return a kept outcome under the name that its scenario has now."""
    return msgspec.structs.replace(outcome, scenario=job.scenario.to_dict())


def _end_with_the_parent() -> None:
    """End this process when the one is gone that has begun it, killed perhaps: nobody waits for the outcome then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(connection: Connection, told: bytes, seed: int, replay: str, expected: str) -> None:
    """Run a job in this process, and say what came of it; `expected`: the name of the code that is to run."""
    Thread(target=_end_with_the_parent, daemon=True).start()
    from simulations.experiment import run

    try:
        scenario = msgspec.json.decode(told, type=Scenario)
        outcome = run(scenario, seed=seed, replay=replay, progress=lambda share: connection.send(("share", share)))
        if code_now() != expected:  # what was imported in between, nobody can tell
            connection.send(("error", "the code has changed since the sweep began: begin it again"))
            return
        connection.send(("outcome", msgspec.structs.replace(outcome, code=expected).encode()))
    except KeyboardInterrupt:  # the parent has it as well, and ends the sweep
        return
    except Exception:  # noqa: BLE001  whatever a core raises ends this run only, and is told
        connection.send(("error", traceback.format_exc()))


__all__ = ["Ahead", "Done", "Job", "Kept", "Sweep", "kept", "plan"]
