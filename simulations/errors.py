"""What goes wrong in a simulation, and whose fault it is.

    SimulationError
    ├── SetupError     (also a ValueError)      you: the experiment cannot be run as it is described
    └── Violation      (also an AssertionError) the code under test: it broke what a checker holds it to

Whatever else a node raises is passed on as it is, with the seed, the time and the command that replays it as a note.
"""

from __future__ import annotations


class SimulationError(Exception):
    """The root of all errors of this package."""


class SetupError(SimulationError, ValueError):
    """An experiment that cannot be run as described. Its sibling `Violation` is about one that ran."""


class Violation(SimulationError, AssertionError):
    """A checker saw what must not be. The message ends with the command that replays it."""
