"""Calibration: real peers beside the engine's prediction of them, measure by measure, and whether they are near enough.

A `Calibration` is some runs of one scenario on libp2p, and as many in engine A, which knew of the machine only what two
idle peers showed (`simulated`), or what the network itself showed while it ran (`explained`). Where the second agrees
and the first does not, the machine made the difference, and not the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from simulations.errors import SetupError
from simulations.outcome import Measure, Outcome
from simulations.report import page
from simulations.report_tables import number, table, words

GOAL = 1.2
ABOUT = (
    "How far apart: the larger by the smaller, run by run, and the median of that. Told: a second simulation that "
    "knows how long frames took and how late timers were while the real network ran, not just between two idle peers."
)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of one scenario, side by side: the n-th of each belong together.

    Attributes:
        name: of the scenario.
        compared: the measures that are to agree. All others tell about the machine.
        network: what was between the peers: "loopback", or what delayed it.
        load: of the machine, run by run.
    """

    name: str
    compared: list[str]
    real: list[Outcome]
    simulated: list[Outcome]
    explained: list[Outcome]
    network: str = "loopback"
    load: list[float] = []


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measure. `apart`: the larger by the smaller; None: a side has no value.

    Attributes:
        met: whether the prediction is near enough; None where nothing is predicted.
    """

    name: str
    about: Measure
    real: float | None
    simulated: float | None
    explained: float | None
    apart: float | None
    told_apart: float | None
    met: bool | None


def apart(left: float | None, right: float | None) -> float | None:
    """Return how many times the smaller of two numbers the larger one is."""
    if left is None or right is None:
        return None
    low, high = sorted((abs(left), abs(right)))
    if low == high:
        return 1.0
    return high / low if low else float("inf")


def rows(calibration: Calibration, *, goal: float = GOAL) -> list[Row]:
    """Compare all measures of the real runs with those of the simulated ones."""
    sides = (calibration.real, calibration.simulated, calibration.explained)
    if not calibration.real or len({len(side) for side in sides}) > 1:
        raise SetupError(f"{calibration.name}: each real run needs one of each simulation beside it")
    found = []
    for name in dict.fromkeys(name for outcome in calibration.real for name in outcome.measures):
        about = next(o.measures[name] for o in calibration.real if name in o.measures)
        real, simulated, explained = ([_value(o, name) for o in side] for side in sides)
        first = _median([apart(a, b) for a, b in zip(real, simulated, strict=True)])
        second = _median([apart(a, b) for a, b in zip(real, explained, strict=True)])
        is_compared = name in calibration.compared
        found.append(
            Row(
                name=name,
                about=about,
                real=_median(real),
                simulated=_median(simulated),
                explained=_median(explained),
                apart=first if is_compared else None,
                told_apart=second if is_compared else None,
                met=None if first is None or not is_compared else first <= goal,
            )
        )
    return found


def _value(outcome: Outcome, name: str) -> float | None:
    measure = outcome.measures.get(name)
    return None if measure is None else measure.value


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def lines(calibration: Calibration) -> list[str]:
    """Return a table as text."""
    cells = [("what", "real", "simulated", "apart", "told", "apart", "")]
    for row in rows(calibration):
        unit = f", {row.about.unit}" if row.about.unit else ""
        ratios = [f"{each:.2f}" if each is not None else "" for each in (row.apart, row.told_apart)]
        numbers = [number(each) if each is not None else "" for each in (row.real, row.simulated, row.explained)]
        verdict = "MISSED" if row.met is False else ""
        cells.append((words(row.name) + unit, numbers[0], numbers[1], ratios[0], numbers[2], ratios[1], verdict))
    widths = [max(len(each[at]) for each in cells) for at in range(6)]
    head = f"{calibration.name}, {calibration.network}, medians of {len(calibration.real)} runs"
    return [
        f"{head}, load {min(calibration.load):.1f} to {max(calibration.load):.1f}" if calibration.load else head,
        *(
            "  ".join((f"{c[0]:{widths[0]}}", *(f"{c[at]:>{widths[at]}}" for at in range(1, 6)), c[6])).rstrip()
            for c in cells
        ),
    ]


def calibration_page(calibrations: Sequence[Calibration], *, title: str = "Engine A against reality") -> str:
    """Return calibrations as one HTML page, as a report is: with both sides of each figure and table.

    Raises:
        SetupError: there are none, or one is not complete.
    """
    if not calibrations:
        raise SetupError("there are no calibrations to report")
    parts = [
        f"<header><div><h1>{escape(title)}</h1><p class=question>Does the engine predict what real peers do, within "
        f"{GOAL - 1:.0%}?</p></div>"
        '<button id="theme" type="button" aria-label="Switch between dark and light">◐</button></header>',
        f"<p class=note>{escape(ABOUT)}</p>",
        _summary(calibrations),
    ]
    curves = {}
    for at, calibration in enumerate(calibrations):
        name = f"coverage {at}"
        curves[name] = [
            {"x": c.x, "mean": c.y, "low": c.y, "high": c.y, "bound": None, "x_unit": c.x_unit, "y_unit": c.y_unit}
            | {"label": label}
            for label, side in (("real", calibration.real), ("simulated", calibration.simulated))
            for c in [side[0].curves.get("coverage")]
            if c is not None and c.x
        ]
        caption = "<figcaption>Coverage by the age of a change</figcaption>"
        figure = f'<figure class=wide>{caption}<div class=plot data-curve="{name}"></div></figure>'
        parts.append(
            f"<section><h2>{escape(calibration.name)}</h2><p class=note>{escape(lines(calibration)[0])}</p>"
            f"{_table(calibration)}{figure if curves[name] else ''}</section>"
        )
    outcomes = [o for c in calibrations for side in (c.real, c.simulated) for o in side]
    drawn: dict[str, Any] = {"curves": curves, "faults": [], "sweep": None}
    return page(title, "\n".join(parts), drawn, outcomes)


def _summary(calibrations: Sequence[Calibration]) -> str:
    """Return how far apart each scenario is in what is compared, in one table."""
    names = list(dict.fromkeys(name for each in calibrations for name in each.compared))
    body = []
    for name in names:
        cells = []
        for calibration in calibrations:
            row = next((row for row in rows(calibration) if row.name == name), None)
            cells.append(_ratio(row.apart, row.met, row.told_apart) if row is not None else "<td></td>")
        body.append(f"<tr><th scope=row>{escape(words(name))}</th>{''.join(cells)}</tr>")
    return table(["apart (told)", *(each.name for each in calibrations)], body)


def _ratio(value: float | None, met: bool | None, told: float | None) -> str:
    if value is None:
        return "<td>-</td>"
    beside = "" if told is None else f" <small>({told:.2f})</small>"
    return f"<td{' class=missed' if met is False else ''}>{value:.2f}{' missed' if met is False else ''}{beside}</td>"


def _table(calibration: Calibration) -> str:
    body = []
    for row in rows(calibration):
        unit = f", {row.about.unit}" if row.about.unit else ""
        told = "" if row.told_apart is None else f"{row.told_apart:.2f}"
        body.append(
            f"<tr><th scope=row>{escape(words(row.name) + unit)}</th><td>{number(row.real)}</td>"
            f"<td>{number(row.simulated)}</td>{_ratio(row.apart, row.met, None)}<td>{number(row.explained)}</td>"
            f"<td>{told}</td><td class=text>{escape(row.about.about)}</td></tr>"
        )
    return table(["measure", "real", "simulated", f"apart, at most {GOAL:g}", "told", "apart", "what it is"], body)


def save(calibrations: Sequence[Calibration], path: Path) -> None:
    """Write calibrations to a file, to be reported later."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(calibrations)), indent=1) + b"\n")


def load(path: Path) -> list[Calibration]:
    """Read what `save` has written.

    Raises:
        SetupError: it cannot be read, or is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Calibration])
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise SetupError(f"{path} holds no calibrations: {error}") from error


__all__ = ["GOAL", "Calibration", "Row", "apart", "calibration_page", "lines", "load", "rows", "save"]
