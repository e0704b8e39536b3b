"""A sweep: variants of a scenario, each with some seeds, each run in a process of its own, on all cores.

    sweep = Sweep(plan(scenario, {"network.loss": [0, 0.1, 0.2]}, seeds=range(5)), Path("outcomes"))
    for news in sweep: ...

Outcomes are kept in a folder, a file for each scenario and seed. A sweep that is stopped goes on from them; what is
there is not run again, whatever code it was made with. Peak memory and CPU time are those of the one run.
"""

from __future__ import annotations

import itertools
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec

from simulations.errors import SetupError
from simulations.outcome import Outcome, decode_outcome, load_outcome
from simulations.scenario import Scenario
from simulations.scenario_file import changed

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
    """A sign of life: the share of all work that is done."""

    share: float


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
    _running: dict[Connection, tuple[Job, SpawnProcess]] = field(default_factory=dict)
    _shares: dict[Connection, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Done | Ahead]:
        """Yield each job that has ended, and how far all are in between.

        Raises:
            SetupError: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{self.folder} cannot be made: {error.strerror}") from error
        waiting = []
        done = 0
        for job in self.jobs:
            path = self.folder / job.file
            if path.exists() and not self.fresh:
                done += 1
                yield Done(job=job, outcome=_named(load_outcome(path), job), kept=True)
            else:
                waiting.append(job)
        waiting.reverse()
        try:
            while waiting or self._running:
                while waiting and len(self._running) < max(self.workers, 1):
                    self._start(waiting.pop())
                for connection in wait(list(self._running), LOOK):
                    assert isinstance(connection, Connection)
                    ended = self._hear(connection)
                    if ended is not None:
                        done += 1
                        yield ended
                yield Ahead(share=(done + sum(self._shares.values())) / len(self.jobs))
        finally:
            self._give_up()

    def _start(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what this process has imported and opened
        ours, theirs = context.Pipe(duplex=False)
        told = msgspec.json.encode(job.scenario)
        process = context.Process(target=_work, args=(theirs, told, job.seed, self.replay(job)), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = job, process
        self._shares[ours] = 0.0

    def _hear(self, connection: Connection) -> Done | None:
        job, process = self._running[connection]
        try:
            word, said = connection.recv()
        except EOFError:
            process.join()
            word, said = "error", f"the process ended with status {process.exitcode}: out of memory, if it is -9"
        if word == "share":
            self._shares[connection] = said
            return None
        del self._running[connection], self._shares[connection]
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


def _work(connection: Connection, told: bytes, seed: int, replay: str) -> None:
    from simulations.experiment import run

    try:
        scenario = msgspec.json.decode(told, type=Scenario)
        outcome = run(scenario, seed=seed, replay=replay, progress=lambda share: connection.send(("share", share)))
        connection.send(("outcome", outcome.encode()))
    except KeyboardInterrupt:  # the parent has it as well, and ends the sweep
        return
    except Exception:  # noqa: BLE001  whatever a core raises ends this run only, and is told
        connection.send(("error", traceback.format_exc()))


__all__ = ["Ahead", "Done", "Job", "Sweep", "plan"]
