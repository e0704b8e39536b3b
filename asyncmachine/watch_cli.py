"""`am watch` and `am when`: states of a running network, as they change and until they do.

Both are guests, see `asyncmachine.join`. A change is shown when it comes here, with the time of this computer.
"""

from __future__ import annotations

import select
import sys
import time
from collections import deque
from fnmatch import fnmatchcase
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asyncmachine.command import failing, guest_options, json_option, options_of, run
from machine import Reader, Tracer, Transition

if TYPE_CHECKING:
    import trio

    from asyncmachine.config import Settings
    from asyncmachine.join import Guest
    from pubsub.replica import Replica

MOST: Final = 10_000  # lines that wait for a slow reader
LOOK: Final = 0.5  # s between two looks whether somebody still reads
TIMED_OUT: Final = 1


# -- watch


@click.command()
@click.argument("pattern")
@guest_options
@click.option("--owner", metavar="PEER", help="Only machines of this peer: its id, or the end of it.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many lines.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="End after so many seconds.")
@click.option("--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, help="To find a peer, s.")
@json_option
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    pattern: str,
    config: Path | None,
    owner: str | None,
    count: int | None,
    seconds: float | None,
    timeout: float,
    as_json: bool,
    **_: Any,
) -> None:
    """Follow states live: a line a change.

    PATTERN is the id of a machine, or a pattern of ids: 'UA*', or '*' for all. With ':State' behind it, only changes
    of that state are shown. First comes a line for each machine as it is. A + came, a - went, a ~ came and went.

    Ends with Ctrl-C, and with a status of 0.
    """
    from asyncmachine.config import settings_of

    with failing():
        settings = settings_of(config, options_of(ctx))
    ids, _colon, state = pattern.partition(":")
    run(_watch, settings, Watch(ids, state, owner, as_json), count, seconds, timeout)


class Watch:
    """What is watched, and the lines that come of it.

    Args:
        pattern: of machine ids.
        state: only changes of this one; empty: of any.
        owner: the end of a peer id; None: anybody.
        as_json: how lines are written.
    """

    def __init__(self, pattern: str, state: str, owner: str | None, as_json: bool) -> None:
        import trio

        self.dropped = 0
        self._pattern = pattern
        self._state = state
        self._owner = owner
        self._as_json = as_json
        self._lines: deque[str] = deque()
        self._known: dict[Replica, int] = {}  # in which epoch
        self._new_event = trio.Event
        self._rung = trio.Event()

    async def follow(self, guest: Guest) -> None:
        """Follow all machines, for ever."""
        while True:
            self._look(guest)
            await guest.news()

    def _look(self, guest: Guest) -> None:
        """Begin to follow the machines that are new."""
        from asyncmachine.join import is_owner

        for replica in guest.peer.replicas():
            if replica in self._known or not fnmatchcase(replica.id, self._pattern):
                continue
            if self._owner is not None and not is_owner(replica, self._owner):
                continue
            self._known[replica] = replica.epoch
            replica.add_tracer(_Follower(self))
            if not self._state or self._state in replica.state_names:
                self.put(replica, "known", replica.active_states())

    def changed(self, replica: Replica, update: Transition) -> None:
        """Take note of an update."""
        restarted = self._known.get(replica) != replica.epoch
        self._known[replica] = replica.epoch
        if self._state and self._state not in update.changed:
            return
        added, removed = update.added, update.removed
        passed = tuple(state for state in update.changed if state not in (*added, *removed))
        self.put(replica, "restarted" if restarted else "changed", added, removed, passed)

    def gone(self, replica: Replica) -> None:
        """Take note that a machine is no longer shared."""
        self._known.pop(replica, None)
        if not self._state or self._state in replica.state_names:
            self.put(replica, "gone")

    def put(self, replica: Replica, what: str, *states: tuple[str, ...]) -> None:
        """Put a line where `take` finds it."""
        if len(self._lines) >= MOST:
            self.dropped += 1
            return
        write = _json_line if self._as_json else _text_line
        self._lines.append(write(time.time_ns(), replica, what, *states))
        self._rung.set()

    async def take(self) -> list[str]:
        """Wait for lines, and return them."""
        while not self._lines:
            self._rung = self._new_event()
            await self._rung.wait()
        lines = list(self._lines)
        self._lines.clear()
        return lines


class _Follower(Tracer):
    """Hands on what becomes of one replica."""

    id = "am watch"

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def transition_end(self, transition: Transition) -> None:
        """Hand on an update."""
        replica: Any = transition.machine
        self._watch.changed(replica, transition)

    def machine_dispose(self, machine: Reader) -> None:
        """Hand on that it is gone."""
        replica: Any = machine
        self._watch.gone(replica)


def _json_line(at: int, replica: Replica, what: str, *states: tuple[str, ...]) -> str:
    import msgspec

    from history import format_time
    from pubsub.names import peer_id_of

    line = {
        "at": at,
        "time": format_time(at),
        "owner": peer_id_of(replica.owner),
        "machine": replica.id,
        "event": what,
        **dict(zip_longest(("added", "removed", "passed"), states, fillvalue=())),
        "active": replica.active_states(),
        "ticks": dict(replica.clock()),
        "time_sum": replica.time_sum,
        "epoch": replica.epoch,
    }
    return msgspec.json.encode(line).decode()


def _text_line(at: int, replica: Replica, what: str, *states: tuple[str, ...]) -> str:
    from asyncmachine.history_view import safe
    from history import format_time
    from pubsub.names import peer_id_of

    moment = format_time(at // 10**6 * 10**6 + 1)[:23] + "Z"  # always three digits
    if what == "changed":
        told = " ".join(sign + name for sign, names in zip("+-~", states, strict=True) for name in names)
    else:
        told = {"known": "is", "came": "is", "restarted": "restarted:", "gone": "is gone, last"}[what]
    return safe(f"{moment}  …{peer_id_of(replica.owner)[-6:]}  {replica.id}  {told}  {replica}")


async def _watch(settings: Settings, watch: Watch, count: int | None, seconds: float | None, patience: float) -> None:
    import trio

    from asyncmachine.history_view import print_hint
    from asyncmachine.join import join
    from asyncmachine.stop import until_stopped

    with until_stopped():
        async with join(settings) as guest, trio.open_nursery() as nursery:
            await guest.settled(patience)
            nursery.start_soon(watch.follow, guest)
            nursery.start_soon(_until_unread, nursery.cancel_scope)
            with trio.move_on_after(inf if seconds is None else seconds):
                await _print_all(watch, count)
            nursery.cancel_scope.cancel()
    if watch.dropped:
        print_hint(f"{watch.dropped} changes are not shown: they came faster than they were read")


async def _print_all(watch: Watch, count: int | None) -> None:
    """Print lines as they come, until there were enough, or nobody reads them any more."""
    import trio

    printed = 0
    while count is None or printed < count:
        lines = await watch.take()
        if count is not None:
            lines = lines[: count - printed]
        # in a thread: who reads slowly must not keep this peer from answering the others
        if not await trio.to_thread.run_sync(_print, lines, abandon_on_cancel=True):
            return
        printed += len(lines)


async def _until_unread(over: trio.CancelScope) -> None:
    """Cancel when nobody reads what is printed any more: in a pipe, the next line may be long in coming."""
    import trio

    try:
        stdout = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's
        return
    poll = select.poll()
    poll.register(stdout, 0)
    while True:
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            over.cancel()
        await trio.sleep(LOOK)


def _print(lines: list[str]) -> bool:
    """Print lines; tell whether somebody still reads them."""
    try:
        click.echo("\n".join(lines))
    except BrokenPipeError:
        return False
    return True


# -- when


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
                write = _json_line if as_json else _text_line
                click.echo(write(time.time_ns(), came, "came", came.active_states()))
            elif not stopped.by:
                print_hint(wanted.told_late(guest, patience))
    if came is None:
        raise SystemExit(128 + stopped.by if stopped.by else TIMED_OUT)
