"""The page of a study: question, answer, table and figure, made of nothing but outcomes.

Its numbers are means over the seeds; ± is half of the 95 % interval (see `simulations.intervals`). The page says with
which sizes, seeds and commits it was made, and how to make it again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import fill
from typing import Any

from simulations import figure
from simulations.intervals import Interval, interval
from simulations.outcome import Measure, Outcome
from simulations.report_tables import number, words
from simulations.scenario import Scenario
from simulations.scenario_file import read, shipped
from simulations.study import FormName, Study
from simulations.study_claims import BOUND, Claim
from simulations.sweep import Done

FORMS = {
    "full": "the full form",
    "quick": "the quick form, which has fewer peers, seconds or seeds than the full one",
    "test": "the form for tests, whose numbers mean nothing",
}


@dataclass(frozen=True)
class Variant:
    """The outcomes of one variant, a seed each."""

    label: str
    outcomes: tuple[Outcome, ...]

    def measure(self, name: str) -> Measure | None:
        """Return a measure of the first outcome that has it: for its unit and its words."""
        return next((o.measures[name] for o in self.outcomes if name in o.measures), None)

    def mean(self, name: str) -> Interval | None:
        """Return a mean over the seeds; None: there is no value."""
        return interval([o.measures[name].value if name in o.measures else None for o in self.outcomes])

    def bound(self, name: str) -> float | None:
        """Return the mean of the bounds."""
        found = interval([o.measures[name].bound if name in o.measures else None for o in self.outcomes])
        return None if found is None else found.mean


class Page:
    """A page and its figure.

    Args:
        scenario, study: whose.
        ended: all runs of a form.
        form: which one.
    """

    def __init__(self, scenario: Scenario, study: Study, ended: Sequence[Done], form: FormName) -> None:
        self._scenario, self._study, self._ended, self._form = scenario, study, ended, form

    @cached_property
    def variants(self) -> list[Variant]:
        """The variants, in the order in which they were planned."""
        found: dict[str, list[Outcome]] = {}
        for done in self._ended:
            found.setdefault(done.job.label, []).extend([] if done.outcome is None else [done.outcome])
        return [Variant(label, tuple(outcomes)) for label, outcomes in found.items()]

    @property
    def _outcomes(self) -> list[Outcome]:
        return [outcome for variant in self.variants for outcome in variant.outcomes]

    def text(self) -> str:
        """Return the page as Markdown."""
        scenario, study = self._scenario, self._study
        image = [f"![{self._caption}]({scenario.name}.svg)", ""] if study.figure is not None else []
        return "\n".join(
            [
                f"# {scenario.name.replace('-', ' ').capitalize()}",
                "",
                f"**{scenario.question}**",
                "",
                fill(self._filled(" ".join(study.answer.split())), 120, break_on_hyphens=False),
                "",
                *self._table(),
                "",
                *image,
                *self._columns(),
                "",
                "## How it was made",
                "",
                *self._making(),
                "",
            ]
        )

    @cached_property
    def objections(self) -> list[str]:
        """What the answer says in words, and these numbers do not: claims of the full form that do not hold."""
        if self._form != "full":
            return []

        def mean(label: str, name: str) -> float | None:
            variant = next((variant for variant in self.variants if variant.label == label), None)
            if variant is None:
                return None
            if name.endswith(BOUND):
                return variant.bound(name.removesuffix(BOUND))
            found = variant.mean(name)
            return None if found is None else found.mean

        told = [Claim(text).objection(mean) for text in self._study.claims]
        return [objection for objection in told if objection]

    def _filled(self, answer: str) -> str:
        """Put means into the words."""

        def value(found: re.Match[str]) -> str:
            label, name = found[1].strip(), found[2].strip()
            variant = next((v for v in self.variants if v.label == label), None)
            mean = None if variant is None else variant.mean(name)
            if variant is None or mean is None:
                return "(not measured in this form)"
            about = variant.measure(name)
            assert about is not None
            return f"{number(mean.mean)} {about.unit}".strip()

        return re.sub(r"\{([^{}|]+)\|([^{}|]+)\}", value, answer)

    def _table(self) -> list[str]:
        columns = [name for name in self._study.columns if any(v.measure(name) for v in self.variants)]
        units = [next((m.unit for v in self.variants if (m := v.measure(name))), "") for name in columns]
        heads = [f"{words(name)}{f', {unit}' if unit else ''}" for name, unit in zip(columns, units, strict=True)]
        rows = [["", *heads], ["---", *["---:"] * len(heads)]]
        for variant in self.variants:
            rows.append([variant.label, *[_cell(variant, name) for name in columns]])
        return [f"| {' | '.join(row)} |" for row in rows]

    def _columns(self) -> list[str]:
        lines = ["In brackets is what no protocol can do better on this network, where there is such a bound.", ""]
        for name in self._study.columns:
            about = next((m for v in self.variants if (m := v.measure(name))), None)
            if about is not None and about.about:
                lines.append(f"* *{words(name)}*: {about.about}")
        return lines

    @property
    def _caption(self) -> str:
        shown = self._study.figure
        assert shown is not None
        return words(shown.curve) if shown.curve else ", ".join(map(words, shown.y))

    def _making(self) -> list[str]:
        outcomes = self._outcomes
        first = self.variants[0].outcomes[0] if outcomes else None
        seeds = sorted({outcome.seed for outcome in outcomes})
        commits = sorted({outcome.commit for outcome in outcomes if outcome.commit})
        peers = sorted({outcome.scenario["peers"] for outcome in outcomes})
        cpu = sum(outcome.engine.cpu_s for outcome in outcomes)
        command = {"full": "", "quick": " --quick", "test": " --test"}[self._form]
        lines = [
            f"This is {FORMS[self._form]}: {_several(peers)} peers; "
            f"{_count(len(self.variants), 'variant')} with {'seed' if len(seeds) == 1 else 'seeds'} {_several(seeds)}. "
            f"{self._timing(first)}",
            "",
            f"Made by `am sim experiments {self._scenario.name}{command}` at commit {_several(commits) or 'unknown'}, "
            f"in {cpu:.0f} s of CPU time. A variant alone: `am sim run {self._scenario.name} --set KEY=VALUE`.",
        ]
        failed = [done for done in self._ended if done.failed]
        if self.objections:
            lines += ["", "The answer says in words what these numbers do not:", ""]
            lines += [f"* `{objection}`" for objection in self.objections]
        notes = dict.fromkeys(note for outcome in outcomes for note in outcome.notes)
        lines += ["", *[f"* {done.job.label}, seed {done.job.seed}: {_failure(done)}" for done in failed]]
        if notes:
            lines += ["", "Notes of the instruments, of all runs:", "", *[f"* {note}" for note in sorted(notes)[:12]]]
        return lines

    @staticmethod
    def _timing(outcome: Outcome | None) -> str:
        if outcome is None:
            return ""
        scenario = outcome.scenario
        return (
            f"Each has {scenario['settle']:g} s to settle, {scenario['seconds']:g} s of workload and "
            f"{scenario['quiet']:g} s of quiet, unless a variant says otherwise."
        )

    def svg(self) -> str | None:
        """Return the figure; None: there is none to be drawn."""
        shown = self._study.figure
        if shown is None:
            return None
        if shown.curve:
            return self._curves(shown.curve, shown.log)
        measured = [name for name in shown.y if any(variant.mean(name) for variant in self.variants)]
        if not measured:
            return None
        unit = next((m.unit for v in self.variants if (m := v.measure(measured[0]))), "")
        label = f"{', '.join(map(words, measured))}{f', {unit}' if unit else ''}"
        if not shown.x:
            name = measured[0]
            drawn = [(v.label, mean.mean) for v in self.variants if (mean := v.mean(name))]
            return figure.bars(drawn, x_label=label, log="x" in shown.log or "y" in shown.log)
        lines = [line for name in measured for line in self._lines(name, shown.x, len(measured) > 1)]
        return figure.lines(lines, x_label=shown.x, y_label=label, log=shown.log)

    def _lines(self, name: str, key: str, several: bool) -> list[figure.Line]:
        """Return a line for each set of variants that differ in the key alone."""
        sets: dict[str, list[tuple[float, Interval]]] = {}
        last = key.rpartition(".")[2]
        for variant in self.variants:
            mean = variant.mean(name)
            if mean is not None:
                shared = ", ".join(part for part in variant.label.split(", ") if not part.startswith(f"{last} "))
                label = ": ".join([*([shared] if shared else []), *([words(name)] if several or not shared else [])])
                sets.setdefault(label, []).append((_at(variant.outcomes[0].scenario, key), mean))
        lines = []
        for label, points in sets.items():
            points.sort(key=lambda point: point[0])
            means = [mean for _, mean in points]
            lines.append(
                figure.Line(
                    label=label,
                    x=[x for x, _ in points],
                    y=[mean.mean for mean in means],
                    low=[mean.low for mean in means],
                    high=[mean.high for mean in means],
                )
            )
        return lines

    def _curves(self, name: str, log: str) -> str | None:
        firsts = [(variant.label, variant.outcomes[0]) for variant in self.variants if variant.outcomes]
        drawn = [(label, outcome.curves[name]) for label, outcome in firsts if name in outcome.curves]
        if not drawn:
            return None
        first = drawn[0][1]
        lines = [figure.Line(label=label, x=curve.x, y=curve.y) for label, curve in drawn]
        unit = f", {first.y_unit}" if first.y_unit else ""
        return figure.lines(lines, x_label=first.x_unit, y_label=f"{words(name)}{unit}", log=log)


def index() -> str:
    """Return the page that leads to those of all studies of this package."""
    lines = [
        "# Experiments",
        "",
        "Each is a file in `simulations/experiments/`, and each page was written by a command from what was measured.",
        "`make experiments` runs all of them again, which takes hours; `make experiments EXPERIMENTS=--quick` runs",
        "smaller networks, in five minutes. A page says in its last part which of these it is of.",
        "",
    ]
    for name, path in shipped().items():
        lines.append(f"* [{read(path)[0].question}]({name}.md)")
    return "\n".join([*lines, ""])


def _cell(variant: Variant, name: str) -> str:
    mean, bound = variant.mean(name), variant.bound(name)
    if mean is None:
        return "never" if variant.measure(name) else "-"
    spread = f" ± {number(mean.half)}" if mean.half > 0 else ""
    some = f", {mean.count} of {mean.of} seeds" if mean.count < mean.of else ""
    return f"{number(mean.mean)}{spread}{f' ({number(bound)})' if bound is not None else ''}{some}"


def _at(scenario: dict[str, Any], key: str) -> float:
    at: Any = scenario
    for part in key.split("."):
        at = at[int(part)] if isinstance(at, list) else at[part]
    return float(re.sub(r"[^\d.]", "", at)) if isinstance(at, str) else float(at)


def _several(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in values)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _failure(done: Done) -> str:
    if done.outcome is None:
        return done.error.strip().splitlines()[-1]
    return "; ".join(done.outcome.violations)


__all__ = ["Page", "index"]
