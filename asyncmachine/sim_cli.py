"""`am sim`: run whole networks in virtual time, and look for seeds with which the protocol breaks a promise.

Invariants: the seed is told first, and a failure ends with the command that repeats it and a status of 1. Progress goes
to stderr; ``--json`` prints one object.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulations.campaign import Campaign, Result
from simulations.errors import SetupError, Violation
from simulations.scenarios import SCENARIOS, run

DEFAULT_SEED = 20130207  # that of the tests

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def sim() -> None:
    """Run simulated networks."""


@sim.command(name="run")
@click.argument("scenario", type=click.Choice(sorted(SCENARIOS)), default="flood")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="The same seed does the same.")
@_json
def run_scenario(scenario: str, seed: int, as_json: bool) -> None:
    """Run a scenario of toy nodes, and say what happened.

    \b
    ping       50 peers ping their neighbours
    flood      200 peers flood values
    liar       one of 40 peers replays old values
    storm      30 peers flood values under random faults
    forgetful  peers that do not read their disk: a checker says so
    """  # noqa: D301 - click takes the backspace itself for "leave these lines as they are"
    if not as_json:
        click.echo(f"seed: {seed}\nscenario: {scenario}: {SCENARIOS[scenario].what}")
    try:
        simulation, statistics = run(scenario, seed)
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


@sim.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long; 1, unless there is a count.")
@click.option("--count", type=click.IntRange(min=1), help="At most so many seeds.")
@click.option("--seed", type=click.IntRange(min=0), help="The first seed; each trial takes the next. Else: the time.")
@click.option("--peers", type=click.IntRange(min=2), help="In each network. Else it is drawn: 4 to 40.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes at a time; as many as there are cores.")
@_json
def fuzz(
    minutes: float | None, count: int | None, seed: int | None, peers: int | None, jobs: int | None, as_json: bool
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
    results = _watched(campaign, count, minutes)
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
    if failed is not None:
        raise SystemExit(1)


def _watched(campaign: Campaign, count: int | None, minutes: float | None) -> list[Result]:
    """Return the results of a campaign; show how far it is meanwhile, where somebody can see it."""
    results: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("fuzzing", total=1.0)
        for result in campaign:
            if result is not None:
                results.append(result)
            by_count = len(results) / count if count else 0.0
            by_time = campaign.elapsed / (60 * minutes) if minutes else 0.0
            told = f"{len(results)} seeds, {sum(r.events for r in results):,} events"
            progress.update(task, completed=max(by_count, by_time), description=told)
    return results


def _tell(campaign: Campaign, results: list[Result], passed: int, failed: Result | None) -> None:
    events, simulated = sum(r.events for r in results), sum(r.simulated for r in results)
    left = f"; {campaign.given_up} given up when the time was over" if campaign.given_up and failed is None else ""
    done = f"{events:,} events, {simulated:,.0f} simulated seconds"
    click.echo(f"{passed} seeds passed in {campaign.elapsed:.0f} s: {done}{left}")
    if failed is not None:
        click.echo(f"FAILED: seed {failed.seed}, {failed.peers} peers: {failed.error}\nreplay: {failed.replay}")
