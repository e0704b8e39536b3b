"""`am sim fuzz` and `am sim shrink`: look for seeds that break the protocol, and make the network of one small."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import click
import msgspec

from asyncmachine.sim_view import Bar, check_folder, jobs_option, json_option, settings_option
from simulations.campaign import Campaign, Result
from simulations.errors import SetupError
from simulations.scenario import Scenario
from simulations.scenario_file import changed, find, parse_setting, read, to_toml
from simulations.trial import Trial


@click.command()
@click.argument("scenario", metavar="FILE|NAME")
@click.option("--seed", type=click.IntRange(min=0), help="The one that fails. By default the scenario's own.")
@settings_option
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How long, in CPU time.",
)
@click.option(
    "--into", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; NAME-SEED.toml by default."
)
def shrink(scenario: str, seed: int | None, settings: tuple[str, ...], minutes: float, into: Path | None) -> None:
    """Make a scenario that fails small.

    Leaves out peers, faults and seconds as long as it fails in the same way, and writes what is left to a file.
    """
    check_folder(into)
    made = changed(read(find(scenario))[0], dict(map(parse_setting, settings)))
    chosen = made.seed if seed is None else seed
    if not _shrink(made, chosen, 60 * minutes, into or Path(f"{made.name}-{chosen}.toml")):
        click.echo(f"{made.name} does not fail with seed {chosen}")


def _shrink(scenario: Scenario, seed: int, seconds: float, into: Path) -> bool:
    from simulations.shrink import shrink as search

    with Bar("shrinking") as bar:
        began = time.process_time()

        def tell(smaller: Scenario, runs: int) -> None:
            size = f"{smaller.peers} peers, {len(smaller.faults)} faults, {smaller.seconds + smaller.quiet:g} s"
            bar.show((time.process_time() - began) / seconds, f"shrinking: {runs} runs, {size}")

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
    if found.is_late:
        click.echo("the time was up: with more --minutes it may get smaller")
    return True


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long; 1, unless there is a count.")
@click.option("--count", type=click.IntRange(min=1), help="At most so many seeds.")
@click.option("--seed", type=click.IntRange(min=0), help="The first seed; each trial takes the next. Else: the time.")
@click.option("--peers", type=click.IntRange(min=2), help="In each network. Else it is drawn: 4 to 40.")
@jobs_option
@click.option(
    "--shrink/--no-shrink",
    "shrinks",
    default=True,
    help="Make the network of a seed that fails small, for up to a minute.",
)
@json_option
def fuzz(
    minutes: float | None,
    count: int | None,
    seed: int | None,
    peers: int | None,
    jobs: int | None,
    shrinks: bool,
    as_json: bool,
) -> None:
    """Look for seeds that break the protocol.

    Each is a network with faults, until the time is up or one fails.
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
