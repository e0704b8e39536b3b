"""Comparing outcomes: A against B, or a run against a stored baseline. What fell behind makes the status 1.

A measure fell behind where it is worse by more than a tolerance and the seeds agree about that (see `intervals`), where
it was at its bound and is no more (coverage was 100 %, nothing was missing), and where it has no value any more. What
depends on the machine (CPU time, memory) is not judged. Neither is what is neither better nor worse, such as a count of
updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from simulations.errors import SetupError
from simulations.intervals import Difference, compare_values
from simulations.outcome import Measure, Outcome, load_outcome
from simulations.report import outcomes_in
from simulations.report_groups import WORDS, Group, flat, grouped, text
from simulations.report_tables import number

TOLERANCE = 0.05  # of the value before


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure on both sides.

    Attributes:
        scenario: its label, where there are several.
        difference: None where a side has no value.
        behind: why it fell behind; "" if it did not.
    """

    scenario: str
    name: str
    about: Measure
    before: float | None
    after: float | None
    difference: Difference | None
    behind: str

    @property
    def change(self) -> str:
        """Return how much more it is, in words."""
        difference = self.difference
        if difference is None:
            return "same" if self.before is self.after is None else "-"
        if difference.change is None:
            return f"from 0 to {number(difference.after)}"
        return f"{difference.change:+.1%}" if difference.change else "same"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All measures that both sides have, and what else there is to say.

    Attributes:
        notes: in what the sides differ, beside their numbers.
        broken: promises that were kept before and are broken now, in words.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def behind(self) -> tuple[Row, ...]:
        """Return what fell behind."""
        return tuple(row for row in self.rows if row.behind)

    @property
    def status(self) -> int:
        """Return what a command ends with: 1 if anything fell behind."""
        return 1 if self.behind or self.broken else 0

    def lines(self, *, every: bool = False) -> list[str]:
        """Return a table as text: of what changed, or of everything."""
        shown = [row for row in self.rows if every or row.behind or row.change != "same"]
        cells = [("measure", "before", "after", "change", "")]
        for row in shown:
            unit = f" {row.about.unit}" if row.about.unit else ""
            is_sure = row.difference is None or row.difference.significant or row.change == "same"
            sure = "" if is_sure else " (within what seeds differ by)"
            verdict = f"BEHIND: {row.behind}" if row.behind else ""
            name = f"{row.scenario}: {row.name}" if row.scenario else row.name
            cells.append(
                (name, f"{number(row.before)}{unit}", f"{number(row.after)}{unit}", row.change + sure, verdict)
            )
        widths = [max(len(each[at]) for each in cells) for at in range(4)]
        table = [
            f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:{widths[3]}}  {e}".rstrip()
            for a, b, c, d, e in cells
        ]
        same = len(self.rows) - len(shown)
        return [
            *self.notes,
            *(table if shown else []),
            *([f"{same} measures are the same"] if same else []),
            *[f"BROKEN: {said}" for said in self.broken],
            f"{len(self.behind)} of {len(self.rows)} measures fell behind" if self.status else "nothing fell behind",
        ]


def compare(
    before: Sequence[Outcome],
    after: Sequence[Outcome],
    *,
    tolerance: float = TOLERANCE,
    tolerances: Mapping[str, float] = {},
) -> Comparison:
    """Compare outcomes, scenario by scenario.

    Args:
        before, after: of one scenario each, whatever they differ in; or of several, which are matched.
        tolerance: how much worse is still as good, relative to the value before.
        tolerances: others, by measure.

    Raises:
        SetupError: a side has no outcomes, or no scenario of the one is in the other.
    """
    old, new = grouped(before), grouped(after)
    notes, pairs = [], []
    if len(old) == len(new) == 1:
        pairs = [("", old[0], new[0])]
        notes += _differences(old[0], new[0])
    else:
        pairs = [(group.label, one, group) for group in new for one in old if not _differences(one, group)]
        if not pairs:
            raise SetupError("no scenario is on both sides: compare runs of the same scenarios, or one with one")
        lonely = len(old) + len(new) - 2 * len(pairs)
        if lonely:
            notes.append(f"{lonely} scenarios are on one side only, and not compared")
    rows, broken = [], []
    for label, one, other in pairs:
        for name in dict.fromkeys(name for o in one.outcomes for name in o.measures):
            rows.append(_row(label, name, one, other, tolerances.get(name, tolerance)))
        kept = {o.seed for o in one.outcomes if not o.violations}
        other_seeds = {o.seed for o in one.outcomes}.isdisjoint({o.seed for o in other.outcomes})
        bad = [o for o in other.outcomes if o.violations and (o.seed in kept or (other_seeds and kept))]
        broken += [f"seed {o.seed}{f' of {label}' if label else ''}: {o.violations[0]}" for o in bad]
    return Comparison(rows=tuple(rows), notes=tuple(notes), broken=tuple(broken))


def _differences(one: Group, other: Group) -> list[str]:
    """Return in what two scenarios differ; not in keys that only one has: those came, or went, with the code."""
    left, right = dict(flat(one.scenario)), dict(flat(other.scenario))
    keys = [key for key in left if key in right and left[key] != right[key] and key not in WORDS]
    return [f"{key}: {text(left.get(key)):.60} before, {text(right.get(key)):.60} after" for key in keys]


def _row(label: str, name: str, one: Group, other: Group, tolerance: float) -> Row:
    about = one.measure(name)
    assert about is not None
    sides = [{o.seed: o.measures[name].value for o in group.outcomes if name in o.measures} for group in (one, other)]
    known = [{seed: value for seed, value in side.items() if value is not None} for side in sides]
    difference = compare_values(known[0], known[1])
    means = [sum(side.values()) / len(side) if side else None for side in known]
    lost = len(known[1]) * len(sides[0]) < len(known[0]) * len(other.outcomes)
    behind = ""
    if about.better is not None and known[0] and lost:
        behind = f"{len(other.outcomes) - len(known[1])} of {len(other.outcomes)} runs have no value"
    elif difference is not None and about.better is not None:
        behind = _verdict(about, one.bound(name), other.bound(name), difference, tolerance)
    return Row(
        scenario=label,
        name=name,
        about=about,
        before=means[0],
        after=means[1],
        difference=difference,
        behind=behind,
    )


def _verdict(
    about: Measure, old_bound: float | None, new_bound: float | None, difference: Difference, tolerance: float
) -> str:
    worse = difference.after - difference.before if about.better == "lower" else difference.before - difference.after
    if worse <= 0:
        return ""
    if old_bound is not None and difference.before == old_bound and difference.after != new_bound:
        return f"it was at its bound of {number(old_bound)}"
    if not difference.significant:
        return ""
    if difference.change is None:
        return "it was 0"
    return f"worse by more than {tolerance:.0%}" if abs(difference.change) > tolerance else ""


def load_outcomes(path: Path) -> list[Outcome]:
    """Read outcomes: of a file with one or with a list of them, of a report, or of a folder with such files.

    Raises:
        SetupError: there are none, or a file cannot be read.
    """
    if path.is_dir():
        found = [outcome for file in sorted(path.glob("*.json")) for outcome in load_outcomes(file)]
        if not found:
            raise SetupError(f"there are no outcomes (*.json) in {path}")
        return found
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    if data.lstrip()[:1] == b"<":
        return outcomes_in(data.decode("utf-8", "replace"), source=str(path))
    if data.lstrip()[:1] == b"[":
        try:
            return msgspec.json.decode(data, type=list[Outcome])
        except msgspec.MsgspecError as error:
            raise SetupError(f"{path} holds no outcomes of simulations: {error}") from error
    return [load_outcome(path)]


def save_outcomes(outcomes: Sequence[Outcome], path: Path, *, curves: bool = True) -> None:
    """Write outcomes to one file; without their curves they make a baseline that is small enough to keep."""
    kept = [o if curves else msgspec.structs.replace(o, curves={}) for o in outcomes]
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


__all__ = ["TOLERANCE", "Comparison", "Row", "compare", "load_outcomes", "save_outcomes"]
