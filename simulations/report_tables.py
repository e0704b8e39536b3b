"""The tables of a report, as HTML that can be read without any script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from simulations.outcome import Measure, Outcome
from simulations.report_groups import WORDS, Group, flat, text

HEADLINE = ("coverage", "time_to_100", "latency_p50", "latency_p99", "hops_mean", "rmr", "bytes_per_update", "heal_100")
SWEPT = (
    *("coverage", "time_to_50", "time_to_100", "latency_p50", "latency_p99", "hops_mean", "rmr", "bytes_per_update"),
    *("frames_per_second", "cpu", "missing_at_end", "heal_100", "join_p50", "detection_all", "false_suspicions"),
)
SECTIONS = {
    "How news spreads": ("updates", "coverage", "time_to", "latency", "hops"),
    "What it costs": ("rmr", "duplicates", "bytes", "frames", "cpu", "replicas", "kept"),
    "What is missing": ("missing", "heal", "join"),
    "What peers think of each other": ("detection", "declared", "false"),
    "Clocks": ("stamp",),
}
REST = "More"
SHOWN = 12  # notes, and violations
TEXTS = ("what it is", "value of the key")  # columns of words


def number(value: float | None) -> str:
    """Return a number as people read it: four digits are enough to compare two of them."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size < 0.001:
        return f"{value:.1e}"
    digits = 4 - len(str(int(size))) if size >= 1 else 4
    shown = f"{value:.{max(digits, 0)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def spread(half: float) -> str:
    """Return half of an interval: two digits say enough."""
    return number(float(f"{half:.2g}"))


def titles(groups: Sequence[Group]) -> tuple[str, str]:
    """Return what a report is called, and its question."""
    first = groups[0].scenario
    name = str(first.get("name") or "Simulation")
    if len({str(group.scenario.get("name")) for group in groups}) > 1:
        name = "Simulations"
    return name, str(first.get("question") or "")


def chips(outcomes: Sequence[Outcome]) -> str:
    """Return what the runs have in common, in a line."""
    first = outcomes[0]
    seeds = sorted({o.seed for o in outcomes})
    shown = ", ".join(map(str, seeds[:6])) + (f" and {len(seeds) - 6} more" if len(seeds) > 6 else "")
    commits = sorted({o.commit for o in outcomes if o.commit})
    peers = sorted({int(o.scenario["peers"]) for o in outcomes if isinstance(o.scenario.get("peers"), int)})
    said = [f"seed{'s' if len(seeds) > 1 else ''} {shown}"]
    if peers:
        said.append(f"{' to '.join(f'{n:,}' for n in dict.fromkeys((peers[0], peers[-1])))} peers")
    if first.engine.simulated_s:
        said.append(f"{number(first.engine.simulated_s)} s simulated")
    if commits:
        said.append(f"commit {', '.join(commit[:12] for commit in commits)}")
    if first.version:
        said.append(f"version {first.version}")
    if len(outcomes) == 1 and first.trace:
        said.append(f"trace {first.trace}")
    elif len(outcomes) > 1:
        said.append(f"{len(outcomes)} runs")
    return "".join(f"<li>{escape(each)}</li>" for each in said)


def warnings(groups: Sequence[Group]) -> str:
    """Return what checkers objected to, and what a reader must know."""
    out = []
    runs = [(_run_of(group, o, groups), o) for group in groups for o in group.outcomes]
    bad = [f"{run}: {said}" for run, o in runs for said in o.violations]
    if bad:
        out.append(f'<section class="box bad" role="alert"><h2>Promises that were broken</h2>{_items(bad)}</section>')
    notes: dict[str, list[str]] = {}
    for run, outcome in runs:
        for note in outcome.notes:
            notes.setdefault(note, []).append(run)
    if notes:
        lines = [note if len(runs) == 1 else f"{note} ({_among(where, len(runs))})" for note, where in notes.items()]
        out.append(f"<section class=box><h2>To be known</h2>{_items(lines)}</section>")
    return "".join(out)


def _run_of(group: Group, outcome: Outcome, groups: Sequence[Group]) -> str:
    return f"{group.label}, seed {outcome.seed}" if len(groups) > 1 else f"seed {outcome.seed}"


def _among(where: Sequence[str], runs: int) -> str:
    if len(where) == 1:
        return where[0]
    return "in all runs" if len(where) == runs else f"in {len(where)} of {runs} runs"


def _items(lines: Sequence[str]) -> str:
    """Return lines as a list; of many, the first."""
    more = f"<p>And {len(lines) - SHOWN} more.</p>" if len(lines) > SHOWN else ""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines[:SHOWN])}</ul>{more}"


def headline(group: Group) -> str:
    """Return the measures that matter most, each beside its bound."""
    tiles = []
    for name in HEADLINE:
        about, found = group.measure(name), group.interval(name)
        if about is None or found is None:
            continue
        bound = group.bound(name)
        against = f"bound {number(bound)}" if bound is not None else ""
        if bound and about.better == "lower":
            against = f"{found.mean / bound:.2g} times the bound, {number(bound)}"
        half = f"<small> ± {spread(found.half)}</small>" if found.count > 1 else ""
        tiles.append(
            f'<div class=tile title="{escape(about.about)}"><b>{escape(words(name))}</b>'
            f"<span>{number(found.mean)}{half}<i>{escape(about.unit)}</i></span><em>{against}</em>"
            f"{_bar(about, found.mean, bound)}</div>"
        )
    return "".join(tiles)


def _bar(about: Measure, value: float, bound: float | None) -> str:
    """Return how near a value is to its bound: full where it is there."""
    if not bound or about.better is None or value <= 0:
        return ""
    share = value / bound if about.better == "higher" else bound / value
    width = round(100 * min(max(share, 0.0), 1.0), 1)
    return f'<div class=bar aria-hidden=true><div style="width:{width}%"></div></div>'


def words(name: str) -> str:
    """Return the name of a measure in words."""
    return name.replace("_", " ").replace("p999", "p99.9").replace("time to ", "time to ").replace("rmr", "RMR")


def measures_table(group: Group) -> str:
    """Return all measures, in sections."""
    names = list(dict.fromkeys(name for o in group.outcomes for name in o.measures))
    several = len(group.outcomes) > 1
    heads = ["measure", "value", *(["± 95 %"] if several else []), "bound", "of bound", "what it is"]
    body = []
    for section, starts in {**SECTIONS, REST: ()}.items():
        mine = [n for n in names if n.startswith(starts)] if starts else names
        names = [name for name in names if name not in mine]
        rows = "".join(_measure_row(group, name, several) for name in mine)
        if rows:
            body.append(f'<tr class=section><th colspan="{len(heads)}" scope=colgroup>{section}</th></tr>{rows}')
    return table(heads, body)


def _measure_row(group: Group, name: str, several: bool) -> str:
    about, found = group.measure(name), group.interval(name)
    assert about is not None
    bound = group.bound(name)
    unit = f" {about.unit}" if about.unit else ""
    value = "-" if found is None else f"{number(found.mean)}{unit}"
    partly = f" <small>({found.count} of {found.of} runs)</small>" if found and found.count < found.of else ""
    ratio = "" if found is None or not bound or about.better != "lower" else f"{found.mean / bound:.3g} &times;"
    half = f"<td>{'' if found is None or found.count < 2 else spread(found.half)}</td>" if several else ""
    shown = "" if bound is None else f"{number(bound)}{unit}"
    return (
        f"<tr><th scope=row>{escape(words(name))}</th><td>{escape(value)}{partly}</td>{half}<td>{escape(shown)}</td>"
        f"<td>{ratio}</td><td class=text>{escape(about.about)}</td></tr>"
    )


def planes_table(group: Group) -> str:
    """Return frames and bytes by plane."""
    names = list(dict.fromkeys(name for o in group.outcomes for name in o.planes))
    sums = {name: group.plane(name) for name in names}
    total = sum(sent for _, sent in sums.values()) or 1.0
    rows = []
    for name, (frames, sent) in sums.items():
        share = 100 * sent / total
        meter = f'<td class=meter><div style="width:{share:.1f}%"></div></td>'
        cells = f"<td>{number(frames)}</td><td>{number(sent)} B</td><td>{number(share)} %</td>{meter}"
        rows += [f"<tr><th scope=row>{escape(name)}</th>{cells}</tr>"] if frames else []
    return table(["plane", "frames", "bytes", "share", ""], rows) if rows else "<p class=note>Nothing was sent.</p>"


def sweep_table(groups: Sequence[Group]) -> str:
    """Return the groups of a sweep side by side: a row for each, a column for each measure that matters."""
    names = [name for name in SWEPT if any(group.measure(name) for group in groups)]
    keys = list(groups[0].told)
    heads = [*keys, "seeds"]
    for name in names:
        about = next(m for m in (group.measure(name) for group in groups) if m is not None)
        heads.append(f"{words(name)}{f', {about.unit}' if about.unit else ''}")
    rows = []
    for group in groups:
        cells = [f"<th scope=row>{escape(f'{text(group.told[key]):.60}')}</th>" for key in keys]
        cells.append(f"<td>{len(group.outcomes)}</td>")
        for name in names:
            found = group.interval(name)
            half = f" <small>± {spread(found.half)}</small>" if found and found.count > 1 else ""
            cells.append(f"<td>{number(found.mean if found else None)}{half}</td>")
        bad = any(o.violations for o in group.outcomes)
        rows.append(f"<tr{' class=bad' if bad else ''}>{''.join(cells)}</tr>")
    return table(heads, rows)


def runs_table(groups: Sequence[Group]) -> str:
    """Return each run: its seed, its trace, and what it took."""
    rows = []
    several = len(groups) > 1
    for group in groups:
        for outcome in group.outcomes:
            engine = outcome.engine
            speed = engine.events / engine.cpu_s if engine.cpu_s else None
            label = f"<th scope=row>{escape(group.label)}</th>" if several else ""
            rows.append(
                f"<tr>{label}<td>{outcome.seed}</td><td class=code>{escape(outcome.trace)}</td>"
                f"<td>{number(engine.events)}</td><td>{number(speed)}</td><td>{number(engine.cpu_s)} s</td>"
                f"<td>{number(engine.wall_s)} s</td><td>{number(engine.memory_mb)} MB</td>"
                f"<td>{len(outcome.violations) or 'none'}</td></tr>"
            )
    heads = ["seed", "trace", "events", "events/CPU-s", "CPU", "wall", "memory", "violations"]
    return table([*(["scenario"] if several else []), *heads], rows)


def scenario_table(groups: Sequence[Group]) -> str:
    """Return what all groups have in common, key by key."""
    leaves = [(key, value) for key, value in flat(groups[0].scenario) if key not in WORDS]
    rows = []
    for key, value in leaves:
        shown = text(value) if key not in groups[0].told else "differs, see above"
        if isinstance(value, list) and value and key not in groups[0].told:
            shown = "\n".join(text(each) for each in value)
        rows.append(f"<tr><th scope=row class=code>{escape(key)}</th><td class='text code'>{escape(shown)}</td></tr>")
    summary = f"<summary>{len(leaves)} keys</summary>"
    return f"<details{'' if len(groups) > 1 else ' open'}>{summary}{table(['key', 'value of the key'], rows)}</details>"


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    cells = "".join(f"<th scope=col{' class=text' if head in TEXTS else ''}>{escape(head)}</th>" for head in heads)
    head = f"<thead><tr>{cells}</tr></thead>"
    return f"<div class=scroll tabindex=0><table>{head}<tbody>{''.join(rows)}</tbody></table></div>"
