"""Make a failing scenario small: fewer faults, peers, seconds and changes, as long as it fails in the same way.

A failure is the same if the same line of thought found it: the function of a checker, or of a core, that raised. The
search is greedy, in the manner of delta debugging (Zeller and Hildebrandt 2002): it tries to leave out halves, then
quarters, and so on to single things, and keeps whatever still fails, until nothing more can go or the time is up.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pubsub.core import Core
from simulations.errors import SetupError, Violation
from simulations.experiment import Experiment
from simulations.scenario import Liar, Scenario
from simulations.scenario_check import crowd_of
from simulations.scenario_faults import Fault, Scene, expanded
from simulations.scenario_file import changed
from simulations.trial import Trial

LOOKS = 60.0  # s of CPU time that a search takes at most, unless more is asked for: as much on a busy computer


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a run failed. `place`: the function that found it; `at`: when, s of simulated time."""

    place: str
    text: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The smallest scenario that was found. `runs`: how many were tried; `is_late`: the time was up before all were."""

    scenario: Scenario
    seed: int
    failure: Failure
    runs: int
    is_late: bool = False


def failure_of(scenario: Scenario, seed: int, node: Callable[..., Core[int]] = Core) -> Failure | None:
    """Run a scenario, and return how it failed; None: it did not, or cannot be run at all."""
    try:
        experiment = Experiment(scenario, seed=seed, node=node)
    except SetupError:
        return None
    try:
        experiment.play()
    except Violation as violation:
        return _failed(violation.__cause__ or violation, str(violation), experiment)
    except Exception as error:  # noqa: BLE001  whatever a core raises is what is looked for
        return _failed(error, "".join(traceback.format_exception_only(error)).strip(), experiment)
    return None


def _failed(error: BaseException, text: str, experiment: Experiment) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    code = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1].f_code
    place = f"{type(error).__name__} in {code.co_qualname}" if frames else type(error).__name__
    return Failure(place=place, text=text, at=experiment.network.simulation.now / 1e6)


def shrink(
    scenario: Scenario,
    seed: int,
    *,
    seconds: float = LOOKS,
    fails: Callable[[Scenario, int], Failure | None] = failure_of,
    tell: Callable[[Scenario, int], None] = lambda scenario, runs: None,
) -> Shrunk | None:
    """Return the smallest scenario that fails as this one does; None: this one does not fail.

    Args:
        scenario, seed: what fails. The seed stays.
        seconds: of CPU time.
        fails: runs a scenario.
        tell: is told of each smaller one, and of how many were run.
    """
    failure = fails(scenario, seed)
    return None if failure is None else _Search(scenario, seed, failure, seconds, fails, tell).search()


class _Search:
    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        failure: Failure,
        seconds: float,
        fails: Callable[[Scenario, int], Failure | None],
        tell: Callable[[Scenario, int], None],
    ) -> None:
        self.scenario, self.seed, self.failure = scenario, seed, failure
        self._place = failure.place
        # What is missing at the end is missing sooner, too: there the quiet time is part of the promise.
        self._is_of_the_end = failure.place.endswith(".ended")
        self._until = time.process_time() + seconds
        self._fails, self._tell = fails, tell
        self._runs = 1

    def search(self) -> Shrunk:
        scene = Scene(crowd=crowd_of(self.scenario, self.seed), begin=0, end=2**62)
        self._try(msgspec.structs.replace(self.scenario, faults=expanded(self.scenario.faults, scene)))
        self._try(changed(self.scenario, {"check": self.scenario.check, "measure": ["coverage"]}))
        before = None
        while before != self.scenario and not self._late:
            before = self.scenario
            self._cut_time()
            self._drop("faults")
            self._drop("liars")
            self._fewer_peers()
            self._smaller()
            self._simpler()
        return Shrunk(scenario=self.scenario, seed=self.seed, failure=self.failure, runs=self._runs, is_late=self._late)

    @property
    def _late(self) -> bool:
        return time.process_time() > self._until

    def _try(self, smaller: Scenario) -> bool:
        """Keep a scenario if it fails in the same way."""
        if smaller == self.scenario or self._late:
            return False
        self._runs += 1
        failure = self._fails(smaller, self.seed)
        if failure is None or failure.place != self._place:
            return False
        self.scenario, self.failure = smaller, failure
        self._tell(smaller, self._runs)
        return True

    def _set(self, **values: Any) -> bool:
        return self._try(msgspec.structs.replace(self.scenario, **values))

    def _cut_time(self) -> None:
        """End soon after the failure, unless that is what is missing at the end."""
        scenario = self.scenario
        if self._is_of_the_end:
            return
        left = max(self.failure.at - scenario.settle, 0.0) + 0.5
        if left < scenario.seconds + scenario.quiet:
            seconds = min(scenario.seconds, left)
            kept = tuple([fault for fault in scenario.faults if fault.at <= left])
            self._set(seconds=seconds, quiet=max(left - seconds, 0.0), faults=kept)

    def _drop(self, name: str) -> None:
        """Leave out faults, or liars: halves, quarters, single ones."""
        size = len(getattr(self.scenario, name))
        while size:
            at = 0
            while at < len(all_of := getattr(self.scenario, name)):
                if not self._set(**{name: all_of[:at] + all_of[at + size :]}):
                    at += size
            size = size // 2

    def _fewer_peers(self) -> None:
        while any(self._try_peers(int(fewer)) for fewer in self._steps(self.scenario.peers, 2)):
            pass

    def _try_peers(self, peers: int) -> bool:
        return any(self._try(smaller) for smaller in _among(self.scenario, peers))

    @staticmethod
    def _steps(value: float, least: float) -> Iterator[float]:
        """Yield smaller values, the smallest first."""
        for share in (0.1, 0.25, 0.5, 0.75, 0.9):
            if least <= value * share < value:
                yield value * share
        if value - 1 >= least:
            yield value - 1

    def _smaller(self) -> None:
        for name, least in (("seconds", 0.5), ("quiet", 0.0), ("settle", 0.0)):
            if name == "quiet" and self._is_of_the_end:
                continue
            value = getattr(self.scenario, name)
            for less in self._steps(value, least):
                total = less + (self.scenario.quiet if name == "seconds" else self.scenario.seconds)
                kept = self.scenario.faults
                if name != "settle":
                    kept = tuple([fault for fault in kept if fault.at <= total])
                if self._set(**{name: round(less, 3), "faults": kept}):
                    break
        self._try_settings({"settle": 0.0})
        for key in ("rate", "size"):
            if (rate := getattr(self.scenario.workload, key, 0)) > 1:
                for less in self._steps(rate, 1):
                    value = int(less) if key == "size" else round(less, 3)
                    if self._try_settings({f"workload.{key}": value}):
                        break

    def _simpler(self) -> None:
        """Do without what makes the network special, one thing at a time."""
        for key, value in SIMPLER.items():
            self._try_settings({key: value})

    def _try_settings(self, settings: dict[str, Any]) -> bool:
        try:
            return self._try(changed(self.scenario, settings))
        except SetupError:
            return False


#: What a simple scenario has.
SIMPLER: dict[str, Any] = {
    "machines.turnover": 0.0,
    "machines.own_schemas": False,
    "machines.states": 1,
    "network.jitter_ms": 0.0,
    "network.loss": 0.0,
    "network.retransmit_ms": 0.0,
    "network.duplicate": 0.0,
    "network.reorder": 0.0,
    "network.bandwidth": 0,
    "network.uplink": 0,
    "network.cpu_frame_us": 0,
    "network.cpu_byte_ns": 0,
    "network.cpu_topic_us": 0,
    "network.latency": {"kind": "constant", "ms": 50.0},
    "planes.eager": False,
    "planes.links": True,
    "planes.repair": True,
    "planes.liveness": False,
    "topic.drop": 0.0,
    "topology": {"kind": "full"},
    "workload.kind": "silent",
}


def _among(scenario: Scenario, peers: int) -> Iterator[Scenario]:
    """Yield the same with fewer peers: those with the smallest numbers, or those first of whom something is said."""
    said = [getattr(part, "who", None) for part in (*scenario.faults, *scenario.liars)]
    named = [who[0] for who in said if isinstance(who, tuple) and len(who) == 1]
    for order in (range(scenario.peers), [*named, *range(scenario.peers)]):
        kept = list(dict.fromkeys(order))[:peers]
        made = _renumbered(scenario, {peer: number for number, peer in enumerate(sorted(kept))})
        try:
            yield changed(made, {"peers": peers})
        except SetupError:
            continue


def _renumbered(scenario: Scenario, numbers: Mapping[int, int]) -> Scenario:
    """Return it with other numbers for those who stay, and without what is said of those who are gone."""

    def few(who: Any) -> Any:
        return tuple([numbers[peer] for peer in who if peer in numbers]) if isinstance(who, tuple) else who

    def with_fewer(part: Any) -> Any:
        if getattr(part, "who", None) is None:
            return part
        new = {name: few(getattr(part, name)) for name in ("who", "others") if hasattr(part, name)}
        return msgspec.structs.replace(part, **new) if new["who"] else None

    faults: list[Fault] = [made for fault in scenario.faults if (made := with_fewer(fault)) is not None]
    liars: list[Liar] = [made for liar in scenario.liars if (made := with_fewer(liar)) is not None]
    return msgspec.structs.replace(scenario, faults=tuple(faults), liars=tuple(liars), absent=few(scenario.absent))


def scenario_of_trial(trial: Trial) -> Scenario:
    """Return a trial as a scenario, which does the same event by event."""
    latency, topic = trial.conditions.latency, trial.topic
    weather = trial.conditions
    settings: dict[str, Any] = {
        "name": f"trial-{trial.seed}",
        "question": f"Why does the trial with seed {trial.seed} fail?",
        "seed": trial.seed,
        "peers": trial.peers,
        "warm": False,
        "settle": 0.0,
        "seconds": trial.seconds,
        "quiet": 60.0,
        "topology": {"kind": "regular", "degree": min(6, max(trial.peers - 1, 2))},
        "network": {
            "latency": {"kind": "uniform", "low_ms": latency.low / 1000, "high_ms": latency.high / 1000},  # type: ignore[attr-defined]
            "jitter_ms": weather.jitter / 1000,
            "loss": weather.loss,
            "retransmit_ms": weather.retransmit / 1000,
            "duplicate": weather.duplicate,
            "reorder": weather.reorder,
            "bandwidth": weather.bandwidth,
            "cpu_frame_us": weather.cpu_frame,
        },
        "workload": {"kind": "poisson", "rate": trial.rate},
        "machines": {"states": trial.states, "own_schemas": trial.own_schemas, "turnover": trial.turnover},
        "planes": {"eager": trial.parameters.eager},
        "parameters": {"tau_ms": trial.parameters.tau / 1000},
        "topic": {"drop": topic.drop if topic else 0.0},
        "faults": [{"kind": "storm", "lasts": trial.seconds, "count": trial.faults}],
        "liars": [{"kind": KINDS[kind], "who": [peer]} for peer, kind in trial.liars],
    }
    return changed(Scenario(), settings)


KINDS = {"Forge": "forge", "Equivocate": "equivocate", "Hide": "hide", "Replay": "replay", "Flooding": "flood"}

__all__ = ["Failure", "Shrunk", "failure_of", "scenario_of_trial", "shrink"]
