"""What an instrument is, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from simulations.outcome import Curve, Measure, Plane

if TYPE_CHECKING:
    from simulations.instruments.board import Board
    from simulations.simulation import Simulation, Verb

Handler = Callable[[int, int, Any], None]
"""(now, peer, event)."""


class Findings(msgspec.Struct, kw_only=True):
    """What instruments have found; it goes into an `Outcome` as it is."""

    measures: dict[str, Measure] = {}
    curves: dict[str, Curve] = {}
    planes: dict[str, Plane] = {}
    notes: list[str] = []


class Instrument:
    """Sees what it asks for, and says in the end what it found."""

    def __init__(self, board: Board) -> None:
        self.board = board

    @property
    def handlers(self) -> dict[type, Handler]:
        """Return which events it wants to see."""
        return {}

    def begin(self, now: int) -> None:
        """Measure from now on."""

    def faulted(self, now: int, verb: Verb) -> None:
        """See a fault just before it is applied."""

    def paused(self, simulation: Simulation) -> None:
        """See the simulation after each `run`."""

    def look(self) -> None:
        """Take down what the simulation itself has to say, which may be gone when something is to be found."""

    def add(self, other: Any) -> None:
        """Take over what one of the same kind has measured of other shards; both have had their last `look`."""

    def find(self, found: Findings) -> None:
        """Add what was found."""
