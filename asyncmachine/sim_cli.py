"""`am sim`: run whole networks in virtual time, and look for seeds with which the protocol breaks a promise.

Invariants: the seed is told first, and a failure ends with the command that repeats it and a status of 1; a scenario
that cannot be run, in one line that names the key and a status of 2. Progress goes to stderr; ``--json`` prints one
object.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncmachine.sim_fuzz_cli import fuzz, shrink
from asyncmachine.sim_sweep_cli import compare, experiments, sweep
from asyncmachine.sim_view import Bar, check_folder, jobs_option, json_option, settings_option, show_outcome
from simulations.errors import SetupError, Violation
from simulations.outcome import Outcome
from simulations.scenario import DEFAULT_SEED, Scenario
from simulations.scenario_file import changed, find, parse_setting, read, shipped
from simulations.scenarios import SCENARIOS
from simulations.scenarios import run as run_toy

if TYPE_CHECKING:
    from simulations.recording import Recording


class _Misused(click.ClickException):
    """One line on stderr, and a status of 2: the scenario cannot be run as it is described."""

    exit_code = 2

    def __init__(self, error: Exception) -> None:
        super().__init__(" ".join(str(error).split()))


class _Group(click.Group):
    """Turn what is wrong with a scenario into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except SetupError as error:
            raise _Misused(error) from error
        except BrokenPipeError:
            raise  # click ends without a word
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror or error}") from error


@click.group(cls=_Group)
def sim() -> None:
    """Run simulated networks."""


for _command in (compare, experiments, fuzz, shrink, sweep):
    sim.add_command(_command)


@sim.command(name="run")
@click.argument("scenario", metavar="FILE|NAME", default="flood")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed does the same. By default the scenario's own.")
@settings_option
@json_option
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, an HTML file, too.")
@click.option(
    "--record", metavar="FILE", help="Record the run into this new history, a file or a URL, to ask about it."
)
@click.option(
    "--record-views",
    "views",
    type=click.IntRange(min=0),
    help="Of how many peers to record what they believed; by default of all up to 100, and of 5 of more.",
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the outcome as JSON, to compare.")
@jobs_option
def run_scenario(
    scenario: str,
    seed: int | None,
    settings: tuple[str, ...],
    as_json: bool,
    report: Path | None,
    record: str | None,
    views: int | None,
    save: Path | None,
    jobs: int | None,
) -> None:
    """Run a scenario, and measure it.

    It is a file, TOML or Python (docs/simulations.md says what is in it), or one that `am sim list` names.
    """
    if views is not None and record is None:
        raise click.UsageError("--record-views goes with --record")
    if scenario in SCENARIOS and not Path(scenario).is_file():
        if settings or report or record or save:
            raise click.UsageError(f"{scenario} is made of toy nodes: only --seed and --json are for it")
        _run_toy(scenario, DEFAULT_SEED if seed is None else seed, as_json)
        return
    check_folder(report, save)
    made = changed(read(find(scenario))[0], dict(map(parse_setting, settings)))
    chosen = made.seed if seed is None else seed
    if not as_json:
        click.echo(f"seed: {chosen}\nscenario: {made.name}: {made.question}".rstrip(": "))
    outcome = _run(made, chosen, replay_command(scenario, chosen, settings), record, views, jobs or os.cpu_count() or 1)
    if save is not None:
        outcome.save(save)
    if report is not None:
        from simulations.report import report as report_of

        report.write_text(report_of([outcome]), encoding="utf-8")
    if as_json:
        click.echo(outcome.encode().decode(), nl=False)
    else:
        show_outcome(outcome)
    if outcome.violations:
        if not as_json:
            click.echo(f"shrink it: am sim shrink {shlex.quote(scenario)} --seed {chosen}{_settings_text(settings)}")
        raise SystemExit(1)


def replay_command(scenario: str, seed: int, settings: Sequence[str]) -> str:
    """Return what repeats a run."""
    return f"am sim run {shlex.quote(scenario)} --seed {seed}{_settings_text(settings)}"


def _settings_text(settings: Sequence[str]) -> str:
    return "".join(f" --set {shlex.quote(setting)}" for setting in settings)


def _run(scenario: Scenario, seed: int, replay: str, record: str | None, views: int | None, jobs: int) -> Outcome:
    from simulations.experiment import run

    watching: list[Recording] = []
    if record is not None:
        from simulations.recording import Recording

        watching.append(Recording(record, views=views))
    try:
        with Bar("running") as bar:
            return run(scenario, seed=seed, replay=replay, progress=bar.show, watching=watching, jobs=jobs)
    finally:
        for recording in watching:
            recording.close()


def _run_toy(scenario: str, seed: int, as_json: bool) -> None:
    if not as_json:
        click.echo(f"seed: {seed}\nscenario: {scenario}: {SCENARIOS[scenario].what}")
    try:
        simulation, statistics = run_toy(scenario, seed)
    except Violation as violation:
        click.echo(json.dumps({"seed": seed, "violation": str(violation)}) if as_json else f"VIOLATION: {violation}")
        raise SystemExit(1) from None
    told = {"seed": seed, "trace": simulation.trace_hash(), **asdict(statistics)}
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        if name != "seed":
            click.echo(f"{name}: {value}")


@sim.command(name="list")
@json_option
def list_scenarios(as_json: bool) -> None:
    """List what can be run by name."""
    told = [{"name": name, "question": read(path)[0].question, "file": str(path)} for name, path in shipped().items()]
    toys = [{"name": name, "question": toy.what, "file": None} for name, toy in SCENARIOS.items()]
    if as_json:
        click.echo(json.dumps(told + toys))
        return
    width = max(len(str(entry["name"])) for entry in told + toys)
    for title, entries in (("Experiments", told), ("Toy nodes", toys)):
        click.echo(f"{title}:")
        for entry in entries:
            click.echo(f"  {entry['name']:<{width}}  {entry['question']}")
