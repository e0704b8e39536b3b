"""What a run will cost: guessed from its scenario, or known from the last time, and corrected by those that have ended.

A guess need not be right, only in proportion: what the first runs took in fact says how fast this machine is, and from
there on it tells how long the rest takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.scenario import Scenario
from simulations.workload import Bursts, Diurnal, Poisson, Silent

# s of CPU time, by the runs of docs/experiments on a machine that counts to 1,000,000 in 25 ms.
PEER = 2e-4  # of a peer and simulated second, if nothing happens
UPDATE = 2.2e-4  # of a peer and update, along some six neighbours
CROWD = 1.2  # that each factor of ten in peers above a hundred makes both dearer: they no longer fit into caches
UNKNOWN = 10.0  # updates/s of a workload that is read from elsewhere


def guess(scenario: Scenario) -> float:
    """Return about how long a run takes, s of CPU time."""
    simulated = scenario.settle + scenario.seconds + scenario.quiet
    crowd = CROWD ** max(len(str(scenario.peers)) - 3, 0)
    return scenario.peers * (PEER * simulated + UPDATE * _updates(scenario)) * crowd


def _updates(scenario: Scenario) -> float:
    workload, seconds = scenario.workload, scenario.seconds
    if isinstance(workload, Poisson | Diurnal):
        return workload.rate * seconds
    if isinstance(workload, Bursts):
        return (workload.rate + workload.size / workload.every) * seconds
    return 0.0 if isinstance(workload, Silent) else UNKNOWN * seconds


@dataclass
class Progress:
    """How far many runs are, and when they will be over.

    Args:
        guesses: what each run is expected to cost, by a name.
        workers: how many run at a time.
    """

    guesses: dict[int, float]
    workers: int = 1
    _shares: dict[int, float] = field(default_factory=dict)
    _spent: float = 0.0  # s, in runs that have ended
    _worth: float = 0.0  # what they were expected to cost
    _began: dict[int, float] = field(default_factory=dict)

    def keep(self, name: int) -> None:
        """Note a run that need not be run."""
        self._shares[name] = 1.0

    def begins(self, name: int, now: float) -> None:
        """Note that a run begins (s)."""
        self._began[name] = now
        self._shares[name] = 0.0

    def shares(self, name: int, share: float) -> None:
        """Note how much of a run is done."""
        self._shares[name] = share

    def ends(self, name: int, now: float) -> None:
        """Note that a run has ended (s)."""
        self._shares[name] = 1.0
        self._spent += now - self._began.pop(name)
        self._worth += self.guesses[name]

    @property
    def share(self) -> float:
        """The share of all work that is done."""
        done = sum([self.guesses[name] * share for name, share in self._shares.items()])
        return done / sum(self.guesses.values())

    def left(self, now: float) -> float | None:
        """Return how long the rest will take, s; None: nothing has been done yet that says so."""
        running = sum([self.guesses[name] * self._shares[name] for name in self._began])
        worth = self._worth + running
        if worth <= 0:
            return None
        pace = (self._spent + sum([now - began for began in self._began.values()])) / worth
        rest = sum([guess * (1 - self._shares.get(name, 0.0)) for name, guess in self.guesses.items()])
        return rest * pace / self.workers


__all__ = ["Progress", "guess"]
