"""Reports: outcomes as one HTML file that needs nothing else, and as JSON.

    Path("run.html").write_text(report([outcome]))           one run
    Path("loss.html").write_text(report(outcomes_of_sweep))  several seeds, or a sweep: grouped by what differs

The file has its figures (uPlot), styles and data in it, asks no network for anything, and holds the outcomes as they
are in its last script element: `outcomes_in` reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import msgspec

from simulations.errors import SetupError
from simulations.outcome import Outcome
from simulations.report_groups import Group, axis, grouped
from simulations.report_tables import (
    chips,
    headline,
    measures_table,
    planes_table,
    runs_table,
    scenario_table,
    sweep_table,
    titles,
    warnings,
)

_DATA = '<script type="application/json" id="outcomes">'
CONFIDENCE = (
    "Means over the seeds; ± is half of the 95 % interval of Student's t distribution. The bands of figures over time "
    "go from the lowest to the highest seed."
)
CURVES = {"coverage": "Coverage by the age of an update", "missing_updates": "What is missing over time"}


def report(outcomes: Sequence[Outcome], *, title: str | None = None) -> str:
    """Return a report of some outcomes as one HTML page.

    Raises:
        SetupError: there are no outcomes, or two of the same seed contradict each other.
    """
    groups = grouped(outcomes)
    heading = title or titles(groups)[0]
    question = f"<p class=question>{escape(titles(groups)[1])}</p>" if titles(groups)[1] else ""
    parts = [
        f"<header><div><h1>{escape(heading)}</h1>{question}</div>"
        '<button id="theme" type="button" aria-label="Switch between dark and light">◐</button></header>',
        f"<ul class=chips>{chips(outcomes)}</ul>",
        warnings(groups),
        *(_single(groups[0]) if len(groups) == 1 else _sweep(groups)),
        f"<section><h2>Runs</h2>{runs_table(groups)}</section>",
        f"<section><h2>Scenario</h2>{scenario_table(groups)}</section>",
    ]
    return page(heading, "\n".join(part for part in parts if part), _drawn(groups), outcomes)


def _single(group: Group) -> list[str]:
    figures = [
        f'<figure class=wide><figcaption>{escape(CURVES[name])}</figcaption><div class=plot data-curve="{name}"></div>'
        "</figure>"
        for name in CURVES
        if group.curve(name)
    ]
    note = f"<p class=note>{CONFIDENCE}</p>" if len(group.outcomes) > 1 else ""
    return [
        f"<section class=tiles>{headline(group)}</section>",
        f"<section class=figures>{''.join(figures)}</section>",
        f"<section><h2>Measures</h2>{note}{measures_table(group)}</section>",
        f"<section><h2>Traffic by plane</h2>{planes_table(group)}</section>",
    ]


def _sweep(groups: Sequence[Group]) -> list[str]:
    key = axis(groups)
    figures = (
        f"<section><h2>Over {escape(key)}</h2><p class=note>{CONFIDENCE} Dashed: the bound.</p>"
        '<label class=pick>Measure <select id="pick"></select></label>'
        '<figure class=wide><div class=plot id="picked"></div></figure>'
        '<div class=figures id="small"></div></section>'
        if key
        else ""
    )
    curves = "".join(
        f'<figure class=wide><figcaption>{escape(CURVES[name])}</figcaption><div class=plot data-curve="{name}"></div>'
        "</figure>"
        for name in CURVES
        if any(group.curve(name) for group in groups)
    )
    return [
        figures,
        f"<section><h2>Side by side</h2>{sweep_table(groups)}</section>",
        f"<section class=figures>{curves}</section>",
    ]


def _drawn(groups: Sequence[Group]) -> dict[str, Any]:
    """Return what the figures draw."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for name in CURVES:
        found = [(group, group.curve(name)) for group in groups]
        curves[name] = [{**curve, "label": group.label} for group, curve in found if curve]
    faults = [fault for fault in groups[0].scenario.get("faults") or [] if isinstance(fault, dict)]
    return {"curves": curves, "faults": faults, "sweep": _swept(groups)}


def _swept(groups: Sequence[Group]) -> dict[str, Any] | None:
    """Return each measure over the key of a sweep: a series for each combination of the other keys."""
    key = axis(groups) if len(groups) > 1 else None
    if key is None:
        return None
    names = list(dict.fromkeys(name for group in groups for o in group.outcomes for name in o.measures))
    measures = []
    for name in names:
        series: dict[str, list[tuple[Any, Group]]] = {}
        for group in groups:
            rest = ", ".join(f"{k} = {v}" for k, v in group.told.items() if k != key and not isinstance(v, list))
            series.setdefault(rest or name, []).append((group.told[key], group))
        lines = []
        for label, points in series.items():
            points.sort(key=lambda point: point[0])
            found = [(x, group.interval(name), group.bound(name)) for x, group in points]
            lines.append(
                {
                    "label": label,
                    "x": [x for x, _, _ in found],
                    "mean": [None if i is None else i.mean for _, i, _ in found],
                    "low": [None if i is None else i.low for _, i, _ in found],
                    "high": [None if i is None else i.high for _, i, _ in found],
                    "bound": [bound for _, _, bound in found],
                }
            )
        about = next(m for m in (group.measure(name) for group in groups) if m is not None)
        measures.append({"name": name, "unit": about.unit, "about": about.about, "series": lines})
    return {"key": key, "measures": measures}


def outcomes_in(page: str, *, source: str = "this") -> list[Outcome]:
    """Return the outcomes that a report holds.

    Raises:
        SetupError: it is no report.
    """
    at = page.rfind(_DATA)
    if at < 0:
        raise SetupError(f"{source} is no report of a simulation: it holds no outcomes")
    text = page[at + len(_DATA) : page.index("</script>", at)]
    try:
        return msgspec.json.decode(text.encode(), type=list[Outcome])
    except msgspec.MsgspecError as error:
        raise SetupError(f"{source} is a damaged report: {error}") from error


def report_json(outcomes: Sequence[Outcome]) -> str:
    """Return the numbers of a report as JSON: means, intervals and bounds by group."""
    groups = []
    for group in grouped(outcomes):
        measures = {}
        for name in dict.fromkeys(name for o in group.outcomes for name in o.measures):
            found, about = group.interval(name), group.measure(name)
            assert about is not None
            measures[name] = {
                "mean": None if found is None else found.mean,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
                "runs": 0 if found is None else found.count,
                "unit": about.unit,
                "bound": group.bound(name),
                "better": about.better,
            }
        seeds = [o.seed for o in group.outcomes]
        violations = [text for o in group.outcomes for text in o.violations]
        groups.append({"label": group.label, "told": group.told, "seeds": seeds, "measures": measures})
        groups[-1]["violations"] = violations
    return json.dumps({"confidence": "95 %, Student's t over seeds", "groups": groups}, indent=1) + "\n"


@cache
def _static(name: str) -> str:
    return (files("simulations") / "static" / name).read_text(encoding="utf-8")


def page(heading: str, body: str, drawn: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Return a page that needs nothing else: a body, what its figures draw, and the outcomes behind it."""
    raw = msgspec.json.encode(list(outcomes)).decode()
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">",
            f"<title>{escape(heading)}</title>",
            f"<style>{_static('uplot/uPlot.min.css')}\n{_static('report.css')}</style></head><body><main>",
            body,
            "</main>",
            f'<script type="application/json" id="drawn">{_inert(json.dumps(drawn))}</script>',
            f"<!-- uPlot is under this licence:\n{_static('uplot/LICENSE').replace('--', '- -')}-->",
            f"<script>{_static('uplot/uPlot.iife.min.js')}</script>",
            f"<script>{_static('report.js')}</script>",
            f"{_DATA}{_inert(raw)}</script>",
            "</body></html>\n",
        )
    )


def _inert(data: str) -> str:
    """Return JSON in which nothing can end a script element."""
    return data.replace("<", "\\u003c")
