"""A study: which variants of a scenario answer its question, in how many seeds, and what of them is shown.

It is the table `[study]` of a scenario's file. The full form is what the answer is for; the quick one takes less than
half a minute, so that all studies can be run again in five; the one for tests, a second.

    [study]
    seeds = [1, 2, 3]
    columns = ["coverage", "latency_p99"]
    answer = "At a loss of 40 % the slowest of 100 takes {loss 0.4|latency_p99}: no more than twice as long."
    claims = ["{loss 0.4|latency_p99} < 2 * {loss 0|latency_p99}"]
    [study.over]
    "network.loss" = [0.0, 0.1, 0.4]
    [study.quick]
    seeds = [1]
    set = {peers = 50}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from simulations.errors import SetupError
from simulations.scenario import Scenario
from simulations.scenario_file import changed, read
from simulations.scenario_keys import explain
from simulations.scenario_parts import Part
from simulations.study_claims import Claim
from simulations.sweep import Job, plan

FormName: TypeAlias = Literal["full", "quick", "test"]
Settings: TypeAlias = dict[str, Any]


class Form(Part, frozen=True, kw_only=True):
    """What is different in a shorter form; what is not given is that of the full one. `over` replaces only its keys."""

    seeds: tuple[int, ...] | None = None
    set: Settings = msgspec.field(default_factory=dict)
    over: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    variants: tuple[str, ...] | None = None


class Figure(Part, frozen=True, kw_only=True):
    """What is drawn: a measure of each variant over a key of the scenario, or a curve of each variant.

    Attributes:
        y: measures, a line each; or, with one of them, a line for each variant.
        x: the key; without it, each variant has a bar.
        curve: the name of a curve, of the first seed, in place of `y`.
        log: which axes are logarithmic: "x", "y", "xy" or "".
    """

    y: tuple[str, ...] = ()
    x: str = ""
    curve: str = ""
    log: Literal["", "x", "y", "xy"] = ""


class Study(Part, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        over: all combinations of these values, for each of the `variants`.
        columns: measures.
        answer: in words; `{variant|measure}` stands for a mean that was measured.
        claims: what these words say of the full form; see `simulations.study_claims`.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    over: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    variants: dict[str, Settings] = msgspec.field(default_factory=dict)
    columns: tuple[str, ...] = ("coverage", "latency_p50", "latency_p99", "bytes_per_update", "missing_at_end")
    figure: Figure | None = None
    answer: str = ""
    claims: tuple[str, ...] = ()
    quick: Form = Form()
    test: Form = Form()

    def plan(self, scenario: Scenario, form: FormName) -> list[Job]:
        """Return the runs of a form. That for tests is further from the full one than the quick one is.

        Raises:
            SetupError: one of them cannot be run.
        """
        forms = {"full": (), "quick": (self.quick,), "test": (self.quick, self.test)}[form]
        seeds, over, names = self.seeds, dict(self.over), tuple(self.variants)
        for shorter in forms:
            scenario = changed(scenario, shorter.set)
            seeds = shorter.seeds or seeds
            over |= shorter.over
            names = names if shorter.variants is None else shorter.variants
        variants = {name: self.variants[name] for name in names}
        return plan(scenario, over, seeds, variants=variants or None)


def load(path: Path) -> tuple[Scenario, Study]:
    """Read a file with a scenario and its study.

    Raises:
        SetupError: it is none, or has no study.
    """
    scenario, told = read(path)
    if not told:
        raise SetupError(f"{path} has no [study]: `am sim run` runs it as it is")
    return scenario, study_of(told, path)


def study_of(told: Mapping[str, Any], path: Path) -> Study:
    """Return a study from plain values.

    Raises:
        SetupError: they are none.
    """
    try:
        study = msgspec.convert(told, Study)
    except msgspec.ValidationError as error:
        raise SetupError(f"{path}: study.{explain(str(error), told, Study)}") from error
    for claim in study.claims:
        Claim(claim)
    for form in (study.quick, study.test):
        unknown = [name for name in form.variants or () if name not in study.variants]
        if unknown:
            raise SetupError(f"{path}: study.variants has no {unknown[0]!r}, which a shorter form names")
    return study


__all__ = ["Figure", "Form", "FormName", "Study", "load"]
