"""`am sim sweep`, `experiments` and `compare`: run a scenario in many forms, and look at what came of it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from asyncmachine.sim_view import Bar, check_folder, jobs_option, json_option, settings_option, time_text
from simulations.errors import SetupError
from simulations.outcome import Outcome
from simulations.report_tables import number
from simulations.scenario import Scenario
from simulations.scenario_file import changed, find, in_toml, parse_over, parse_setting, read, shipped
from simulations.study import FormName, Study, load
from simulations.study_page import Page, index
from simulations.sweep import Ahead, Done, Job, Kept, Sweep, kept, plan

KEPT = Path("sim-outcomes")
COLUMNS = ("coverage", "latency_p50", "latency_p99", "bytes_per_update", "missing_at_end")


@click.command()
@click.argument("scenario", metavar="FILE|NAME")
@click.option("--over", metavar="KEY=A,B,C", multiple=True, help="Each of these values. Repeatable: all combinations.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="So many seeds of each.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The first one.")
@settings_option
@jobs_option
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="Where outcomes are kept.",
)
@click.option("--fresh", is_flag=True, help="Run again what is kept there.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, an HTML file, too.")
@json_option
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
    """Run variants of a scenario, on all cores.

    Each of the values is run with each of the seeds.
    A sweep that was stopped goes on where it was: outcomes are kept, a file for each scenario and seed.
    One that other code has made is not used, but run again.
    """
    check_folder(report)
    made = changed(read(find(scenario))[0], dict(map(parse_setting, settings)))
    planned = plan(made, dict(map(parse_over, over)), range(seed, seed + seeds))

    def replay(job: Job) -> str:
        return _replay(scenario, job, settings)

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


def _replay(scenario: str, job: Job, settings: tuple[str, ...]) -> str:
    values = [*settings, *(f"{key}={in_toml(value)}" for key, value in job.settings.items())]
    sets = "".join(f" --set {shlex.quote(value)}" for value in values)
    return f"am sim run {shlex.quote(scenario)} --seed {job.seed}{sets}"


def watched(sweep: Sweep, what: str, tell: Callable[[Done], None] = lambda done: None) -> list[Done]:
    """Run a sweep to its end, and return all jobs in their order; show how far it is, and how long it takes."""
    ended: dict[int, Done] = {}
    places = {id(job): place for place, job in enumerate(sweep.jobs)}
    with Bar(what) as bar:
        if sweep.kept.outcomes or sweep.kept.old:
            bar.say(f"{what}: {sweep.kept.text(fresh=sweep.fresh)}")
        for news in sweep:
            if isinstance(news, Ahead):
                left = "" if news.left is None else f", about {time_text(news.left)} left"
                bar.show(news.share, f"{what}: {len(ended)} of {len(sweep.jobs)}{left}")
                continue
            ended[places[id(news.job)]] = news
            tell(news)
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
    count = sum(done.kept for done in ended)
    if count:
        click.echo(f"{count} of {len(ended)} outcomes were kept from before; --fresh runs them again")


@click.command()
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("--quick", "form", flag_value="quick", help="Small networks: all of them take about five minutes.")
@click.option("--test", "form", flag_value="test", help="Tiny ones, to see that they run: the numbers mean nothing.")
@jobs_option
@click.option(
    "--pages",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs/experiments"),
    show_default=True,
    help="Where the pages are written.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="Where outcomes are kept.",
)
@click.option("--fresh", is_flag=True, help="Run again what is kept there.")
@click.option("--list", "listed", is_flag=True, help="Say what each would take, and run nothing.")
def experiments(
    names: tuple[str, ...],
    form: FormName | None,
    jobs: int | None,
    pages: Path,
    into: Path,
    fresh: bool,
    listed: bool,
) -> None:
    """Answer the questions that come with this.

    Runs all experiments, or those that are named, and writes a page with the answer of each, the cheapest first.
    Without a form they are run in full, which takes hours. What was stopped, or killed, goes on where it was, as long
    as the code is the same: what other code has made is run again.
    """
    chosen: FormName = form or "full"
    found = [Running(name, load(find(name)), chosen, into) for name in dict.fromkeys(names or shipped())]
    studies = {study.name: study for study in sorted(found, key=lambda study: study.cost)}
    if listed:
        _list(list(studies.values()))
        return
    owners = {id(job): study for study in studies.values() for job in study.jobs}
    try:
        pages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{pages} cannot be made: {error.strerror}") from error
    every = [job for study in studies.values() for job in study.jobs]
    replay = {id(job): _replay(study.name, job, ()) for study in studies.values() for job in study.jobs}

    untrue: list[str] = []

    def ended(done: Done) -> None:
        study = owners[id(done.job)]
        if study.add(done):
            objections = study.write(pages)
            untrue.extend(objections)
            click.echo(study.told)
            for objection in objections:
                click.echo(f"{study.name}: the answer does not fit: {objection}")

    sweep = Sweep(every, into, jobs or os.cpu_count() or 1, fresh, lambda job: replay[id(job)])
    done = watched(sweep, "experiments", ended)
    (pages / "README.md").write_text(index(), encoding="utf-8")
    if untrue or any(one.failed for one in done):
        raise SystemExit(1)


def _list(studies: list[Running]) -> None:
    """Print what is kept of each, and what the rest will take, in the order in which they are run."""
    width = max(len(study.name) for study in studies)
    for study in studies:
        left = f", about {time_text(study.kept.left)} of CPU time" if study.kept.left else ""
        click.echo(f"{study.name:<{width}}  {study.kept.text()}{left}")
    click.echo(f"{'all':<{width}}  about {time_text(sum(study.kept.left for study in studies))} of CPU time")


class Running:
    """A study that is being run. `kept`: what the folder of outcomes has of it."""

    def __init__(self, name: str, loaded: tuple[Scenario, Study], form: FormName, folder: Path) -> None:
        self.name = name
        self._scenario, self._study = loaded
        self._form = form
        self.jobs = self._study.plan(self._scenario, form)
        self.kept: Kept = kept(self.jobs, folder)
        self._ended: dict[int, Done] = {}

    @property
    def cost(self) -> float:
        """What all of it takes, kept or not, s of CPU time."""
        return sum(self.kept.guesses.values())

    def add(self, done: Done) -> bool:
        """Note the end of a job; return whether it was the last one."""
        self._ended[id(done.job)] = done
        return len(self._ended) == len(self.jobs)

    def write(self, folder: Path) -> list[str]:
        """Write the page and its figure; return what its answer says and its numbers do not."""
        page = Page(self._scenario, self._study, [self._ended[id(job)] for job in self.jobs], self._form)
        (folder / f"{self.name}.md").write_text(page.text(), encoding="utf-8")
        picture = page.svg()
        if picture is not None:
            (folder / f"{self.name}.svg").write_text(picture, encoding="utf-8")
        return page.objections

    @property
    def told(self) -> str:
        """What to tell about it at the end."""
        done = self._ended.values()
        cpu = sum(one.outcome.engine.cpu_s for one in done if one.outcome is not None)
        failed = sum(one.failed for one in done)
        count = sum(one.kept for one in done)
        runs = f"{len(done)} run{'' if len(done) == 1 else 's'}"
        return f"{self.name}: {runs}, {count} of them kept, {failed} failed, {cpu:.0f} s of CPU time"


@click.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=0.05, show_default=True, help="How much worse is as good."
)
@click.option("--all", "every", is_flag=True, help="Show the measures that are the same, too.")
@json_option
def compare(before: Path, after: Path, tolerance: float, every: bool, as_json: bool) -> None:
    """Say what fell behind.

    Compares two runs, two sweeps, or a run with a baseline, and ends with status 1 if something did. Each side is a
    file of outcomes (`--save`, `--json`), a report, or a folder such as the one of a sweep.
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
