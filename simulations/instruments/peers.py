"""What is so of single peers: how long a newcomer takes, how wrong its clock is, what it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from pubsub.core import Core
from pubsub.events import Published
from pubsub.hlc import wall_ms_of
from simulations.clocks import BEGINNING
from simulations.instruments.arrivals import held_by
from simulations.instruments.base import Findings, Handler, Instrument
from simulations.instruments.bounds import quantile
from simulations.instruments.spread import seconds
from simulations.outcome import Measure
from simulations.simulation import Simulation


class Joins(Instrument):
    """From the start of a peer until it knows all that was newest then."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._nearest: int | None = None

    def look(self) -> None:
        """Look for the shortest link."""
        self._nearest = min([link.base for link in self.board.simulation.network.each_link()], default=None)

    def add(self, other: Joins) -> None:
        """Take the shorter one."""
        self._nearest = min([each for each in (self._nearest, other._nearest) if each is not None], default=None)

    def find(self, found: Findings) -> None:
        """Take quantiles."""
        arrivals = self.board.arrivals
        began = len(arrivals.joined) + len(arrivals.joining)
        if not began:
            return
        took = np.sort(np.array([*arrivals.joined, *[np.inf] * len(arrivals.joining)], dtype=np.float64))
        # A dial, and a question with its answer, to the nearest neighbour that anybody has.
        bound = None if self._nearest is None else seconds(4 * self._nearest)
        for name, share in (("join_p50", 0.5), ("join_max", 1.0)):
            found.measures[name] = Measure(
                value=seconds(quantile(took, share)),
                unit="s",
                bound=bound,
                better="lower",
                about=f"from a start until all is known that was newest then, of {began}; the bound: two round trips",
            )
        if arrivals.joining:
            found.notes.append(f"{len(arrivals.joining)} of {began} peers that started did not know all at the end")


class Clocks(Instrument):
    """How far the stamps of states are from the truth, and how often their order is not that of the events."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._errors: list[int] = []
        self._last: dict[int, int] = {}  # by shard
        self._inverted = 0

    @property
    def handlers(self) -> dict[type, Handler]:
        """Return what is looked at."""
        return {Published: self._published}

    def begin(self, now: int) -> None:
        """Count from now on."""
        self._errors.clear()
        self._last.clear()
        self._inverted = 0

    def _published(self, now: int, peer: int, event: Any) -> None:
        header = getattr(event.state, "header", None)
        if header is None or peer in self.board.liars:
            return
        stamp, shard = header.hlc, self.board.simulation.shard_of[peer]
        last = self._last.get(shard, 0)
        self._errors.append(abs(wall_ms_of(stamp) - BEGINNING - now // 1000))
        self._inverted += stamp < last
        self._last[shard] = max(stamp, last)

    def add(self, other: Clocks) -> None:
        """Add what was counted."""
        self._errors += other._errors
        self._inverted += other._inverted

    def find(self, found: Findings) -> None:
        """Take quantiles."""
        if not self._errors:
            return
        errors = np.sort(np.array(self._errors, dtype=np.float64))
        for name, share in (("stamp_error_p50", 0.5), ("stamp_error_max", 1.0)):
            found.measures[name] = Measure(
                value=quantile(errors, share),
                unit="ms",
                bound=0.0,
                better="lower",
                about="between the stamp of a state and the true time",
            )
        found.measures["stamps_inverted"] = Measure(
            value=round(100 * self._inverted / len(errors), 4),
            unit="%",
            bound=0.0,
            better="lower",
            about="of the states are stamped before one that was published before them",
        )


class Memory(Instrument):
    """What all peers know, and what a core keeps beside that. What the process takes is in the outcome's `engine`."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._beside = self._replicas = 0

    def paused(self, simulation: Simulation) -> None:
        """Look at all cores: it takes as long as there are links."""
        for node in simulation.nodes:
            core = getattr(node, "node", node)
            if isinstance(core, Core):
                kept = sum(len(link.backlog) + len(link.asked) + len(link.notices) for link in core.links.values())
                self._beside = max(self._beside, kept + len(core.repair.sessions))

    def look(self) -> None:
        """Count what is known."""
        self._replicas = sum(_count(node) for node in self.board.simulation.nodes if node is not None)

    def add(self, other: Memory) -> None:
        """Add what is known elsewhere."""
        self._replicas += other._replicas
        self._beside = max(self._beside, other._beside)

    def find(self, found: Findings) -> None:
        """Report both."""
        found.measures["replicas"] = Measure(value=self._replicas, about="pairs of a peer and an owner that it knows")
        found.measures["kept_beside"] = Measure(
            value=self._beside, bound=0.0, better="lower", about="the most entries that a peer kept for its neighbours"
        )


def _count(node: Any) -> int:
    return sum(1 for _ in held_by(node))
