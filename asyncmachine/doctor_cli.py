"""`am doctor`: a line a check, and a status of 1 if one failed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from asyncmachine.command import failing, json_option, options_of

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    envvar="AM_CONFIG",
    show_envvar=True,
    help="The configuration of a peer.",
)
@click.option("--key", type=click.Path(), metavar="FILE", help="A key file to look at.")
@click.option("--topic-key-file", type=click.Path(), help="The secret of a topic to look at.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Where a peer would listen: /ip4/0.0.0.0/tcp/4001.")
@click.option("--history", metavar="URL", help="The history to look at.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, config: Path | None, as_json: bool, **_: Any) -> None:
    """Check the installation, and what a peer needs: a line each, with what to do.

    Without options: what every peer needs. With those of a peer, or its configuration: what that peer needs.
    """
    from asyncmachine.config import settings_of

    with failing():
        settings = settings_of(config, options_of(ctx, "listen", "history"))
    from asyncmachine.doctor import examine

    failed = 0
    for finding in examine(settings):
        failed += finding.status == "fail"
        if as_json:
            import msgspec

            click.echo(msgspec.json.encode(asdict(finding)))
            continue
        todo = f": {finding.todo}" if finding.todo else ""
        status = click.style(f"{finding.status:<4}", COLOURS[finding.status])
        click.echo(f"{status}  {finding.check:<9}  {finding.told}{todo}")
    if failed:
        raise SystemExit(1)
