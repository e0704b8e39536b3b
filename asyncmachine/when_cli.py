"""`am when`: wait until states of a machine of a running network are active.

It is a guest, see `asyncmachine.join`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asyncmachine.change_view import json_line, text_line
from asyncmachine.command import failing, guest_options, json_option, options_of, run

if TYPE_CHECKING:
    import trio

    from asyncmachine.config import Settings
    from asyncmachine.join import Guest
    from pubsub.replica import Replica

TIMED_OUT: Final = 1


@click.command()
@click.argument("machine")
@click.argument("states", nargs=-1, required=True, metavar="STATE…")
@guest_options
@click.option("--not", "inactive", is_flag=True, help="Wait until none of the states is active.")
@click.option("--owner", metavar="PEER", help="Of which peer the machine is: its id, or the end of it.")
@click.option("--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to wait.")
@json_option
@click.pass_context
def when(
    ctx: click.Context,
    /,
    machine: str,
    states: tuple[str, ...],
    config: Path | None,
    inactive: bool,
    owner: str | None,
    timeout: float,
    as_json: bool,
    **_: Any,
) -> None:
    """Wait until states of a machine are active, all at the same time.

    \b
    Ends with a status of
    0  when they are
    1  when the time is over, or no peer was found in it
    2  when it cannot be: the machine has no such state, or an option is wrong
    """  # noqa: D301 - click takes the backspace itself for "leave these lines as they are"
    from asyncmachine.config import settings_of

    with failing():
        settings = settings_of(config, options_of(ctx))
    run(_when, settings, Wanted(machine, states, inactive, owner), timeout, as_json)


class Wanted:
    """What `am when` waits for."""

    def __init__(self, machine: str, states: tuple[str, ...], inactive: bool, owner: str | None) -> None:
        self.machine = machine
        self.states = states
        self.inactive = inactive
        self.owner = owner
        self.came: Replica | None = None

    async def first(self, guest: Guest) -> None:
        """Wait until it is so on one machine."""
        import trio

        seen: dict[Replica, None] = {}
        async with trio.open_nursery() as nursery:
            while True:
                for replica in guest.find(self.machine, self.owner):
                    if replica not in seen:
                        seen[replica] = None
                        nursery.start_soon(self._wait, replica, nursery.cancel_scope)
                await guest.news()

    async def _wait(self, replica: Replica, over: trio.CancelScope) -> None:
        from machine import DisposedError

        try:
            await (replica.when_not if self.inactive else replica.when)(*self.states)
        except DisposedError:
            return  # there may be another one of its name
        if not replica.is_gone:
            self.came = replica
            over.cancel()

    def told_late(self, guest: Guest, seconds: float) -> str:
        """Return what there is instead, after so many seconds."""
        found = guest.find(self.machine, self.owner)
        if found:
            what = f"has not {'left' if self.inactive else 'become'} {' '.join(self.states)}"
            return (
                f"after {seconds:g} s: {self.machine} {what}, it is {' and '.join(f'{one}' or '()' for one in found)}"
            )
        if not guest.peer.statistics()["links"]["links"]:
            return guest.nobody(seconds)
        whose = f" of {self.owner}" if self.owner is not None else ""
        return f"after {seconds:g} s: no machine {self.machine!r}{whose} is known; am peer list shows those that are"


async def _when(settings: Settings, wanted: Wanted, patience: float, as_json: bool) -> None:
    import trio

    from asyncmachine.history_view import print_hint
    from asyncmachine.join import join
    from asyncmachine.stop import until_stopped

    came: Replica | None = None
    with until_stopped() as stopped:
        async with join(settings) as guest:
            with trio.move_on_after(patience):
                await wanted.first(guest)
            came = wanted.came
            if came is not None:
                write = json_line if as_json else text_line
                click.echo(write(time.time_ns(), came, "came", came.active_states()))
            elif not stopped.by:
                print_hint(wanted.told_late(guest, patience))
    if came is None:
        raise SystemExit(128 + stopped.by if stopped.by else TIMED_OUT)
