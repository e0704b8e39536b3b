"""Outcomes in groups: runs of one scenario with several seeds, and what tells the groups of a sweep apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulations.errors import SetupError
from simulations.intervals import Interval, interval
from simulations.outcome import Curve, Measure, Outcome

WORDS = ("name", "question", "seed")  # of a scenario: what it is called, which decides nothing, or differs by design


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a scenario by their dotted keys, as `--set` takes them. A list is a leaf."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


@dataclass(frozen=True)
class Group:
    """The outcomes of one scenario.

    Attributes:
        label: what it is called among others.
        told: the keys in which it differs from other groups, and its values.
        outcomes: by seed.
    """

    label: str
    told: dict[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def scenario(self) -> dict[str, Any]:
        """Return what they have in common."""
        return self.outcomes[0].scenario

    def measure(self, name: str) -> Measure | None:
        """Return a measure of the first run that has it: its unit, and what it is about."""
        return next((o.measures[name] for o in self.outcomes if name in o.measures), None)

    def interval(self, name: str) -> Interval | None:
        """Return the mean of a measure over the seeds."""
        return interval([o.measures[name].value if name in o.measures else None for o in self.outcomes])

    def bound(self, name: str) -> float | None:
        """Return the mean of its bound."""
        found = interval([o.measures[name].bound if name in o.measures else None for o in self.outcomes])
        return None if found is None else found.mean

    def plane(self, name: str) -> tuple[float, float]:
        """Return the mean of a plane's frames and bytes."""
        planes = [o.planes[name] for o in self.outcomes if name in o.planes]
        count = max(len(planes), 1)
        return sum(p.frames for p in planes) / count, sum(p.bytes for p in planes) / count

    def curve(self, name: str) -> dict[str, Any] | None:
        """Return a curve over the seeds, at the times of the longest: mean, lowest, highest, mean bound."""
        curves = [o.curves[name] for o in self.outcomes if name in o.curves]
        if not curves:
            return None
        first = max(curves, key=lambda curve: curve.x[-1] if curve.x else 0.0)
        if not first.x:
            return None
        rows = np.array([_at(curve, first.x, curve.y) for curve in curves])
        bounds = [_at(curve, first.x, curve.bound) for curve in curves if curve.bound]
        return {
            "x": first.x,
            "mean": _short(rows.mean(axis=0)),
            "low": _short(rows.min(axis=0)),
            "high": _short(rows.max(axis=0)),
            "bound": _short(np.mean(bounds, axis=0)) if bounds else None,
            "x_unit": first.x_unit,
            "y_unit": first.y_unit,
            "about": first.about,
            "seeds": len(curves),
        }


def _at(curve: Curve, x: Sequence[float], y: Sequence[float]) -> Any:
    return np.interp(x, curve.x, y)


def _short(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def identity_of(scenario: dict[str, Any]) -> str:
    """Return what is the same for the runs of one group, and for no others."""
    return json.dumps({key: value for key, value in scenario.items() if key not in WORDS}, sort_keys=True)


def grouped(outcomes: Sequence[Outcome]) -> list[Group]:
    """Put outcomes into groups of the same scenario, in the order in which these first come.

    Raises:
        SetupError: there are none, or one seed was run twice with different results.
    """
    if not outcomes:
        raise SetupError("there are no outcomes to report")
    found: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        runs = found.setdefault(identity_of(outcome.scenario), {})
        before = runs.setdefault(outcome.seed, outcome)
        if not before.same_run(outcome):
            raise SetupError(
                f"seed {outcome.seed} of {outcome.scenario.get('name') or 'a scenario'} is there twice, with different "
                "results: give the outcomes of one commit"
            )
    leaves = [dict(flat(next(iter(runs.values())).scenario)) for runs in found.values()]
    keys = list(dict.fromkeys(key for leaf in leaves for key in leaf if key not in WORDS))
    differ = [key for key in keys if any(leaf.get(key) != leaves[0].get(key) for leaf in leaves)]
    groups = []
    for leaf, runs in zip(leaves, found.values(), strict=True):
        told = {key: leaf.get(key) for key in differ}
        label = ", ".join(f"{key} = {text(value):.60}" for key, value in told.items()) or str(leaf.get("name") or "run")
        groups.append(Group(label, told, tuple(runs[seed] for seed in sorted(runs))))
    return groups


def text(value: Any) -> str:
    """Return a value of a scenario as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return json.dumps(value)


def axis(groups: Sequence[Group]) -> str | None:
    """Return the key along which a sweep is drawn: the one with the most different numbers; None: there is none."""
    best, count = None, 1
    for key in groups[0].told:
        values = {group.told[key] for group in groups if _is_number(group.told[key])}
        if len(values) > count and all(_is_number(group.told[key]) for group in groups):
            best, count = key, len(values)
    return best


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
