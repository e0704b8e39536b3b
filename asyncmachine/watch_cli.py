"""`am watch`: states of a running network, as they change.

It is a guest, see `asyncmachine.join`. A change is shown when it comes here, with the time of this computer.
"""

from __future__ import annotations

import select
import sys
import time
from collections import deque
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asyncmachine.change_view import json_line, text_line
from asyncmachine.command import failing, guest_options, json_option, options_of, run
from machine import Reader, Tracer, Transition

if TYPE_CHECKING:
    import trio

    from asyncmachine.config import Settings
    from asyncmachine.join import Guest
    from pubsub.replica import Replica

MOST: Final = 10_000  # lines that wait for a slow reader
LOOK: Final = 0.5  # s between two looks whether somebody still reads


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
        from pubsub.names import is_internal

        for replica in guest.peer.replicas(internal=is_internal(self._pattern)):
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
        write = json_line if self._as_json else text_line
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
