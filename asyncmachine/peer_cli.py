"""`am peer`: run a peer with one's own machines, and list those of a running network."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncmachine.command import failing, guest_options, json_option, network_options, options_of, run

if TYPE_CHECKING:
    from asyncmachine.config import Settings
    from asyncmachine.join import Guest
    from asyncmachine.service import Ready
    from pubsub.peer import PeerInfo
    from pubsub.replica import Replica


@click.group()
def peer() -> None:
    """Run a peer with your own machines, and list those of a running network."""


@peer.command(name="run")
@click.argument("sources", nargs=-1, required=True, metavar="FILE.py:NAME … | FILE.toml")
@network_options
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Where others reach it: /ip4/0.0.0.0/tcp/4001.")
@click.option("--announce", multiple=True, metavar="ADDRESS", help="Where it is said to be, behind a router.")
@click.option("--allow", multiple=True, metavar="PEER", help="Only these peer ids may take part. Repeatable.")
@click.option("--history", metavar="URL", help="Record the machines there, and bring them back from there.")
@click.option("--observe", is_flag=True, help="Keep the machines of all others in the history, too.")
@click.option("--beliefs", is_flag=True, help="Keep what this peer knew of them, and when, in the history, too.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics for Prometheus; without a host, on loopback.")
@click.option("--web", metavar="[HOST:]PORT", help="Serve the page there; without a host, on loopback. 8321 is usual.")
@click.option("--web-token-file", type=click.Path(), help="Holds the token that the page asks for, beyond loopback.")
@click.option("--log", type=click.Choice(["text", "json"]), help="How the log on stderr is written.  [default: text]")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="From where on.  [default: info]"
)
@json_option
@click.pass_context
def run_peer(ctx: click.Context, /, sources: tuple[str, ...], as_json: bool, **_: Any) -> None:
    """Run a peer that shares machines, until it is told to stop.

    NAME in a Python file is a machine, a list of machines, a function that returns them, or an async function that gets
    the peer. A TOML file says that and all the options below; docs/am.md has the keys.

    When it is ready, it says so in one line on stdout, with its addresses, and to systemd. SIGTERM or Ctrl-C: it says
    goodbye to the others, writes what it has recorded, and ends with a status of 0; a second one ends it at once.
    """
    from asyncmachine.config import settings_of
    from asyncmachine.errors import ConfigError
    from asyncmachine.log_format import logged
    from asyncmachine.target import load, parse_target

    with failing():
        files = [source for source in sources if source.endswith(".toml")]
        if len(files) > 1:
            raise ConfigError(f"one configuration is for one peer: start another one for {files[1]}")
        options = options_of(
            ctx,
            *("listen", "announce", "allow", "history", "observe", "beliefs", "metrics"),
            *("web", "web_token_file", "log", "log_level"),
        )
        options["machines"] = [source for source in sources if source not in files]
        settings = settings_of(Path(files[0]) if files else None, options)
        config = settings.config
        settings.check_values()  # what is wrong is said before anything begins
        targets = settings.check("machines", lambda text: parse_target(text, settings.folder))
    with logged(config.log, config.log_level):
        with failing():
            settings.check_network()
            loaded = load(targets)
        from asyncmachine.service import Service

        async def serve() -> bool:
            return await Service(settings, loaded, lambda ready: tell_ready(ready, as_json)).run()

        if not run(serve):
            raise SystemExit(1)


def tell_ready(ready: Ready, as_json: bool) -> None:
    """Print the line that says that a peer is ready."""
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode({"event": "ready", **asdict(ready)}))
        return
    parts = [f"ready: {ready.peer}", f"topic {ready.topic}", f"machines: {' '.join(ready.machines) or 'none'}"]
    if ready.restored:
        parts.append(f"brought back: {' '.join(ready.restored)}")
    if ready.metrics:
        parts.append(f"metrics: {ready.metrics}")
    if ready.web:
        parts.append(f"page: {ready.web}")
    parts.append(f"at {' '.join(ready.addresses) or 'no address'}")  # last, so that one can copy them as they stand
    click.echo("; ".join(parts))


# -- the list


@peer.command(name="list")
@guest_options
@click.option("--all", "everyone", is_flag=True, help="Peers too that are gone and share nothing.")
@click.option("--internal", is_flag=True, help="Machines too in which peers tell about themselves (@…).")
@click.option("--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to wait.")
@json_option
@click.pass_context
def list_peers(
    ctx: click.Context,
    /,
    config: Path | None,
    everyone: bool,
    internal: bool,
    timeout: float,
    as_json: bool,
    **_: Any,
) -> None:
    """List the members of a running network, and their machines.

    A guest joins for a moment, with a key for once. It is no member itself.
    """
    from asyncmachine.config import settings_of

    with failing():
        settings = settings_of(config, options_of(ctx))
    run(_list, settings, everyone, internal, timeout, as_json)


async def _list(settings: Settings, everyone: bool, internal: bool, patience: float, as_json: bool) -> None:
    from asyncmachine.join import join
    from asyncmachine.stop import until_stopped

    with until_stopped() as stopped:
        async with join(settings) as guest:
            await _tell_list(guest, everyone, internal, patience, as_json)
    if stopped.by:
        raise SystemExit(128 + stopped.by)


async def _tell_list(guest: Guest, everyone: bool, internal: bool, patience: float, as_json: bool) -> None:
    from asyncmachine.history_view import print_hint

    if not await guest.settled(patience):
        print_hint(f"there may be more: after {patience:g} s not everything has come")
    listed = members_of(guest, everyone, internal)
    print_json(listed) if as_json else print_tables(listed)


def members_of(guest: Guest, everyone: bool, internal: bool = False) -> list[tuple[PeerInfo, list[Replica]]]:
    """Return all members but this one, each with its machines by id."""
    from pubsub.members import Status

    found = []
    for member in guest.peer.members():
        machines = sorted(guest.peer.replicas(owner=member.owner, internal=internal), key=lambda replica: replica.id)
        is_gone = member.status in (Status.LEFT, Status.DEAD) and not machines
        if member.owner != guest.peer.owner and (everyone or not is_gone):
            found.append((member, machines))
    return found


def print_json(listed: list[tuple[PeerInfo, list[Replica]]]) -> None:
    """Print a JSON object a member."""
    from asyncmachine.history_view import print_lines, times

    print_lines(
        {
            "peer": member.id,
            "status": member.status.value,
            **times(seen=member.seen * 1_000_000),
            "connected": member.connected,
            "machines": [
                {
                    "machine": machine.id,
                    "tags": machine.tags,
                    "parent": machine.parent_id,
                    "active": machine.active_states(),
                    "ticks": dict(machine.clock()),
                    "time_sum": machine.time_sum,
                    "epoch": machine.epoch,
                }
                for machine in machines
            ],
        }
        for member, machines in listed
    )


def print_tables(listed: list[tuple[PeerInfo, list[Replica]]]) -> None:
    """Print the members, and then their machines, as tables."""
    from asyncmachine.history_view import TextTable, span_text

    peers = TextTable("peer", "status", "last change", ">machines", "")
    machines = TextTable("machine", "of", "active", ">@", "tags")
    for member, owned in listed:
        ago = max(time.time_ns() - member.seen * 1_000_000, 0) // 10**6 * 10**6
        near = "connected" if member.connected else None
        peers.add(member.id, member.status.value, f"{span_text(ago)} ago", len(owned), near)
        for machine in owned:
            active = " ".join(f"{state}:{machine.tick(state)}" for state in machine.active_states())
            machines.add(machine.id, f"…{member.id[-6:]}", active, machine.time_sum, " ".join(machine.tags))
    peers.print("nobody else is there")
    if any(owned for _, owned in listed):
        click.echo()
        machines.print()
