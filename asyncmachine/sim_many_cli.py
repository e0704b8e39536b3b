"""Commands of `am sim` that run many networks, or look at what came of them."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import click
import msgspec

from asyncmachine.sim_view import Bar, number, settings_option
from simulations.campaign import Campaign, Result
from simulations.errors import SetupError
from simulations.outcome import Outcome
from simulations.scenario import Scenario
from simulations.scenario_file import changed, find, parse_over, parse_setting, read, to_toml
from simulations.sweep import Ahead, Done, Job, Sweep, plan
from simulations.trial import Trial

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_jobs = click.option("--jobs", type=click.IntRange(min=1), help="Processes at a time; as many as there are cores.")
KEPT = Path("sim-outcomes")
COLUMNS = ("coverage", "latency_p50", "latency_p99", "bytes_per_update", "missing_at_end")


@click.command()
@click.argument("scenario", metavar="FILE|NAME")
@click.option("--over", metavar="KEY=A,B,C", multiple=True, help="Each of these values. Repeatable: all combinations.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="So many seeds of each.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The first one.")
@settings_option
@_jobs
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="Where outcomes are kept.",
)
@click.option("--fresh", is_flag=True, help="Run again what is kept there.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, an HTML file, too.")
@_json
def sweep(
    scenario: str,
    over: tuple[str, ...],
    seeds: int,
    seed: int,
    settings: tuple[str, ...],
    jobs: int | None,
    into: Path,
    fresh: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Run a scenario with each of some values and with several seeds, on all cores.

    A sweep that was stopped goes on where it was: outcomes are kept, a file for each scenario and seed.
    """
    made = changed(read(find(scenario))[0], dict(map(parse_setting, settings)))
    planned = plan(made, dict(map(parse_over, over)), range(seed, seed + seeds))

    def replay(job: Job) -> str:
        values = [*settings, *(f"{key}={json.dumps(value)}" for key, value in job.settings.items())]
        return f"am sim run {shlex.quote(scenario)} --seed {job.seed}" + "".join(
            f" --set {shlex.quote(v)}" for v in values
        )

    ended = watched(Sweep(planned, into, jobs or os.cpu_count() or 1, fresh, replay), made.name)
    outcomes = [done.outcome for done in ended if done.outcome is not None]
    if report is not None:
        from simulations.report import report as report_of

        report.write_text(report_of(outcomes), encoding="utf-8")
    if as_json:
        click.echo(json.dumps([json.loads(outcome.encode()) for outcome in outcomes]))
    else:
        _show_sweep(ended)
    if any(done.failed for done in ended):
        raise SystemExit(1)


def watched(sweep: Sweep, what: str) -> list[Done]:
    """Run a sweep to its end, and return all jobs in their order; show how far it is meanwhile."""
    ended: dict[int, Done] = {}
    places = {id(job): place for place, job in enumerate(sweep.jobs)}
    with Bar(what) as bar:
        for news in sweep:
            if isinstance(news, Ahead):
                bar.show(news.share, f"{what}: {len(ended)} of {len(sweep.jobs)}")
                continue
            ended[places[id(news.job)]] = news
            if news.failed:
                bar.say(f"{news.job.label}, seed {news.job.seed}: {_failure(news)}")
    return [ended[place] for place in sorted(ended)]


def _failure(done: Done) -> str:
    return done.error if done.outcome is None else "; ".join(done.outcome.violations)


def _show_sweep(ended: list[Done]) -> None:
    """Print means over the seeds, a line for each variant."""
    groups: dict[str, list[Outcome]] = {}
    for done in ended:
        groups.setdefault(done.job.label, []).extend([done.outcome] if done.outcome is not None else [])
    known = [name for name in COLUMNS if any(name in o.measures for group in groups.values() for o in group)]
    rows = [["", "seeds", *known]]
    for label, group in groups.items():
        cells = []
        for name in known:
            found = [o.measures[name] for o in group if name in o.measures]
            values = [measure.value for measure in found if measure.value is not None]
            cells.append(f"{number(sum(values) / len(values))} {found[0].unit}".strip() if values else "-")
        rows.append([label, str(len(group)), *cells])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    kept = sum(done.kept for done in ended)
    if kept:
        click.echo(f"{kept} of {len(ended)} outcomes were kept from before; --fresh runs them again")


@click.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=0.05, show_default=True, help="How much worse is as good."
)
@click.option("--all", "every", is_flag=True, help="Show the measures that are the same, too.")
@_json
def compare(before: Path, after: Path, tolerance: float, every: bool, as_json: bool) -> None:
    """Compare outcomes: two runs, two sweeps, or a run with a baseline. What fell behind ends with status 1.

    Each side is a file of outcomes (`--save`, `--json`), a report, or a folder such as the one of a sweep.
    """
    from simulations.compare import compare as compared
    from simulations.compare import load_outcomes

    found = compared(load_outcomes(before), load_outcomes(after), tolerance=tolerance)
    if as_json:
        rows = [
            {"scenario": r.scenario, "measure": r.name, "before": r.before, "after": r.after, "behind": r.behind}
            for r in found.rows
        ]
        click.echo(json.dumps({"rows": rows, "notes": found.notes, "broken": found.broken}))
    else:
        click.echo("\n".join(found.lines(every=every)))
    raise SystemExit(found.status)


@click.command()
@click.argument("scenario", metavar="FILE|NAME")
@click.option("--seed", type=click.IntRange(min=0), help="The one that fails. By default the scenario's own.")
@settings_option
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="How long."
)
@click.option(
    "--into", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; NAME-SEED.toml by default."
)
def shrink(scenario: str, seed: int | None, settings: tuple[str, ...], minutes: float, into: Path | None) -> None:
    """Make a scenario that fails small: fewer peers, faults and seconds. Write what still fails to a file."""
    made = changed(read(find(scenario))[0], dict(map(parse_setting, settings)))
    chosen = made.seed if seed is None else seed
    if not _shrink(made, chosen, 60 * minutes, into or Path(f"{made.name}-{chosen}.toml")):
        click.echo(f"{made.name} does not fail with seed {chosen}")


def _shrink(scenario: Scenario, seed: int, seconds: float, into: Path) -> bool:
    from simulations.shrink import shrink as search

    with Bar("shrinking") as bar:
        began = time.monotonic()

        def tell(smaller: Scenario, runs: int) -> None:
            size = f"{smaller.peers} peers, {len(smaller.faults)} faults, {smaller.seconds + smaller.quiet:g} s"
            bar.show((time.monotonic() - began) / seconds, f"shrinking: {runs} runs, {size}")

        found = search(scenario, seed, seconds=seconds, tell=tell)
    if found is None:
        return False
    small = msgspec.structs.replace(found.scenario, seed=seed)
    told = [f"Fails with seed {seed}, after {found.runs} runs of larger ones:", *found.failure.text.splitlines()]
    into.write_text(to_toml(small, comment=told), encoding="utf-8")
    size = f"{small.peers} peers, {len(small.faults)} faults, {small.seconds + small.quiet:g} s"
    click.echo(
        f"shrunk in {found.runs} runs to {size}: {found.failure.text}\nreplay: am sim run {shlex.quote(str(into))}"
    )
    return True


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long; 1, unless there is a count.")
@click.option("--count", type=click.IntRange(min=1), help="At most so many seeds.")
@click.option("--seed", type=click.IntRange(min=0), help="The first seed; each trial takes the next. Else: the time.")
@click.option("--peers", type=click.IntRange(min=2), help="In each network. Else it is drawn: 4 to 40.")
@_jobs
@click.option(
    "--shrink/--no-shrink",
    "shrinks",
    default=True,
    help="Make the network of a seed that fails small, for up to a minute.",
)
@_json
def fuzz(
    minutes: float | None,
    count: int | None,
    seed: int | None,
    peers: int | None,
    jobs: int | None,
    shrinks: bool,
    as_json: bool,
) -> None:
    """Try the gossip protocol with seed after seed, each a network with faults, until the time is up or one fails.

    Everything about a network is drawn from its seed: size, rate, latencies, loss, partitions, crashes and clocks. All
    checkers are on.
    """
    if minutes is None and count is None:
        minutes = 1.0
    first = int(time.time()) if seed is None else seed
    try:
        campaign = Campaign(
            first,
            peers=peers,
            count=count,
            seconds=None if minutes is None else 60 * minutes,
            jobs=jobs or os.cpu_count() or 1,
        )
    except SetupError as error:
        raise click.BadParameter(str(error)) from error
    if not as_json:
        click.echo(f"seed: {first}")
    results = _fuzzed(campaign, count, minutes)
    failed = next((result for result in results if result.error is not None), None)
    passed = len(results) - (failed is not None)
    if as_json:
        told = {
            "seed": first,
            "passed": passed,
            "given_up": campaign.given_up,
            "events": sum(result.events for result in results),
            "simulated_seconds": sum(result.simulated for result in results),
            "seconds": round(campaign.elapsed, 3),
            "failure": None if failed is None else {k: getattr(failed, k) for k in ("seed", "error", "replay")},
            "trials": [{"seed": r.seed, "peers": r.peers, "trace": r.trace} for r in results if r.error is None],
        }
        click.echo(json.dumps(told))
    else:
        _tell(campaign, results, passed, failed)
    if failed is not None and shrinks and not as_json:
        _shrink_trial(failed.seed, peers)
    if failed is not None:
        raise SystemExit(1)


def _fuzzed(campaign: Campaign, count: int | None, minutes: float | None) -> list[Result]:
    """Return the results of a campaign; show how far it is meanwhile, where somebody can see it."""
    results: list[Result] = []
    with Bar("fuzzing") as bar:
        for result in campaign:
            if result is not None:
                results.append(result)
            by_count = len(results) / count if count else 0.0
            by_time = campaign.elapsed / (60 * minutes) if minutes else 0.0
            told = f"{len(results)} seeds, {sum(r.events for r in results):,} events"
            bar.show(max(by_count, by_time), told)
    return results


def _tell(campaign: Campaign, results: list[Result], passed: int, failed: Result | None) -> None:
    events, simulated = sum(r.events for r in results), sum(r.simulated for r in results)
    left = f"; {campaign.given_up} given up when the time was over" if campaign.given_up and failed is None else ""
    done = f"{events:,} events, {simulated:,.0f} simulated seconds"
    click.echo(f"{passed} seeds passed in {campaign.elapsed:.0f} s: {done}{left}")
    if failed is not None:
        click.echo(f"FAILED: seed {failed.seed}, {failed.peers} peers: {failed.error}\nreplay: {failed.replay}")


def _shrink_trial(seed: int, peers: int | None) -> None:
    from simulations.shrink import LOOKS, scenario_of_trial

    trial = Trial.draw(seed, peers)
    if not _shrink(scenario_of_trial(trial), seed, LOOKS, Path(f"trial-{seed}.toml")):
        click.echo("it did not fail again, and was not shrunk")
