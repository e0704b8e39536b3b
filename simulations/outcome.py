"""An outcome: all that a run has to say, as plain values that go to JSON and back.

Reports, comparisons and pages of answers are made from outcomes, never from a simulation that is still there. What
depends on this machine (`Engine`, the commit, the code) stands apart from what the seed decides, so that two runs of a
seed can be told to be the same: `same_run` compares the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from simulations.errors import SetupError

Better = Literal["lower", "higher"]


class Measure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number.

    Attributes:
        value: it; None where there was nothing to measure, such as the latency of no updates.
        unit: of the value and of its bound, "" for a count or a ratio.
        bound: what no protocol can be better than, from the scenario; None where theory says nothing.
        better: which way is better; None: neither.
        about: what it is, in a few words.
    """

    value: float | None
    unit: str = ""
    bound: float | None = None
    better: Better | None = None
    about: str = ""


class Curve(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Numbers over numbers, such as what is missing over time. `x` grows.

    Attributes:
        bound: the same number of values as `y`, or none: what no protocol can be better than.
    """

    x: list[float]
    y: list[float]
    x_unit: str = "s"
    y_unit: str = ""
    bound: list[float] = []
    about: str = ""


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent on one channel while it was measured."""

    frames: int
    bytes: int


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """What the run took of this machine; `memory_mb` is the peak of the process."""

    events: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_mb: float = 0.0
    simulated_s: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a scenario with one seed has to say.

    Attributes:
        scenario: as a plain dict, with all defaults filled in. `name` and `question` in it head the report.
        code: the name of the code that ran, see `simulations.sources`; "" where nobody asked for it.
        trace: the hash over everything that happened.
        violations: what checkers objected to, in words.
        notes: what a reader must know, such as measures that were left out and why.
    """

    scenario: dict[str, Any]
    seed: int
    commit: str = ""
    version: str = ""
    code: str = ""
    trace: str = ""
    engine: Engine = msgspec.field(default_factory=Engine)
    measures: dict[str, Measure] = {}
    curves: dict[str, Curve] = {}
    planes: dict[str, Plane] = {}
    violations: list[str] = []
    notes: list[str] = []

    def encode(self) -> bytes:
        """Return this as JSON, for people to read as well."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def save(self, path: Path) -> None:
        """Write it to a file, whole or not at all: a sweep that is stopped goes on from what is there."""
        part = path.with_name(path.name + ".part")
        part.write_bytes(self.encode())
        part.replace(path)

    def same_run(self, other: Outcome) -> bool:
        """Say whether two outcomes are of runs that did the same, whichever machine they ran on."""
        return _decided(self) == _decided(other)


def _decided(outcome: Outcome) -> Outcome:
    return msgspec.structs.replace(outcome, engine=Engine(), commit="", version="", code="")


def decode_outcome(data: bytes, *, source: str = "this") -> Outcome:
    """Return an outcome from its JSON.

    Raises:
        SetupError: it is none. `source` names it in the message.
    """
    try:
        return msgspec.json.decode(data, type=Outcome)
    except msgspec.MsgspecError as error:
        raise SetupError(f"{source} is no outcome of a simulation, as `am sim run --json` writes: {error}") from error


def load_outcome(path: Path) -> Outcome:
    """Read an outcome from a file.

    Raises:
        SetupError: the file cannot be read, or holds no outcome.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    return decode_outcome(data, source=str(path))


__all__ = ["Better", "Curve", "Engine", "Measure", "Outcome", "Plane", "decode_outcome", "load_outcome"]
