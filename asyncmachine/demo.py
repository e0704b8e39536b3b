"""`am demo`: four days of flights out of New York, a peer for each airport, and one that observes them.

What it does is in `asyncmachine.flights`; here is the command. Everything heavy is loaded late, and twice at the same
time: here, and in the process of which the airports' are copies.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import asyncmachine as am
    from asyncmachine.flights.belief import Kept
    from asyncmachine.flights.data import Leg
    from asyncmachine.flights.observe import Tower

    Served = Callable[[am.History, am.Peer, Tower], AbstractAsyncContextManager[str]]

SPEED = 2000.0  # replayed seconds a second: a day takes 43 s
FASTEST = 1e6
MAX_AIRPORTS = 8  # a process each


class _Wrong(click.ClickException):
    """One line on stderr, and a status: 1, the world's fault."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class _Misasked(_Wrong):
    """The same with a status of 2: the fault of who asked."""

    exit_code = 2


class _Speed(click.ParamType[float]):
    """A number, or ``max``, which is None."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it; 0 stands for max."""
        if value == "max":
            return 0.0
        try:
            speed = float(str(value))
        except ValueError:
            speed = math.nan
        if not 1 <= speed <= FASTEST:
            self.fail(f"{value!r} is neither max nor a number from 1 (as it was) to {FASTEST:,.0f}", param, ctx)
        return speed


@click.command()
@click.option(
    "--speed",
    type=_Speed(),
    default=str(SPEED),
    metavar="N|max",
    help="Replayed seconds a second, or max: the airports go in steps, each as soon as the others have done the last"
    f" one. [default: {SPEED:.0f}, four days in about three minutes]",
)
@click.option("--from", "since", metavar="TIME", help="Only flights scheduled from then on (ISO 8601, UTC).")
@click.option("--until", metavar="TIME", help="Only flights scheduled before then.")
@click.option("--data", metavar="FILE", help="Other flights: a CSV file with the same columns, .gz or not.")
@click.option(
    "--history",
    "url",
    metavar="URL",
    help="Where to record: a new file, sqlite:///file.db, postgresql+psycopg://user@host/name."
    " [default: demo.db in your data directory, each time anew]",
)
@click.option(
    "--web",
    "address",
    metavar="[HOST:]PORT|off",
    help="Where the page is served meanwhile.  [default: loopback, port 8321, or any if that is taken]",
)
@click.option(
    "--beliefs",
    type=click.Choice(["airports", "all", "off"]),
    default="airports",
    show_default=True,
    help="Of which machines to keep what the other airports believed of them, and when.",
)
@click.option("--no-tty", is_flag=True, help="A line now and then, and no picture; so it is without a terminal, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the end's report as JSON; lines go to stderr.")
def demo(
    speed: float,
    since: str | None,
    until: str | None,
    data: str | None,
    url: str | None,
    address: str | None,
    beliefs: Kept,
    no_tty: bool,
    as_json: bool,
) -> None:
    """Replay four days of flights out of New York, with the blizzard of February 2013 in them.

    One process per airport: each is a peer that shares a machine for each of its flights. This one holds replicas of
    all, records them, and shows how everything is. Ctrl-C ends it early, and tells what is known by then.
    """
    began = time.monotonic()
    try:
        legs, page = _legs(data, since, until), _page(address)
        live = not (no_tty or as_json)
        _record(tuple(legs), speed or None, url, page, beliefs, began, live=live, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("Interrupted before it began.", err=True)


def _record(
    legs: tuple[Leg, ...],
    speed: float | None,
    url: str | None,
    page: Served | None,
    beliefs: Kept,
    began: float,
    *,
    live: bool,
    as_json: bool,
) -> None:
    from asyncmachine.flights.place import PlaceError, place_for
    from asyncmachine.flights.warm import warm_up
    from history.errors import HistoryError

    try:
        warm_up()
    except OSError as error:
        folder = tempfile.gettempdir()
        raise _Wrong(
            f"the processes of the airports cannot be started: {error}; temporary files are in {folder}: "
            "if that is long, set TMPDIR to a folder with a shorter path"
        ) from error
    try:
        with place_for(url) as place:
            _run(legs, speed, place, page, beliefs, began, live=live, as_json=as_json)
    except PlaceError as error:
        raise _Misasked(str(error)) from error
    except (HistoryError, OSError) as error:
        raise _Wrong(str(error)) from error


def _run(
    legs: tuple[Leg, ...],
    speed: float | None,
    url: str,
    page: Served | None,
    beliefs: Kept,
    began: float,
    *,
    live: bool,
    as_json: bool,
) -> None:
    import trio
    from rich.console import Console

    import asyncmachine as am
    from asyncmachine.flights import report
    from asyncmachine.flights.process import describe
    from asyncmachine.flights.supervisor import Settings, run
    from asyncmachine.flights.view import Screen

    console = Console(highlight=False, markup=False, emoji=False, stderr=as_json)
    screen = Screen(console, live=live and console.is_terminal and os.environ.get("TERM") != "dumb")
    settings = Settings(legs=legs, speed=speed, url=url, began=began, kept=beliefs, page=page)
    try:
        found = trio.run(run, settings, screen)
    except* (am.AsyncMachineError, am.HistoryError, OSError) as group:
        raise _Wrong(describe(group)) from group
    if as_json:
        click.echo(json.dumps(report.as_json(found)))
    else:
        console.print()
        report.show(found, console)


def _page(address: str | None) -> Served | None:
    """Return what serves the page of the observer, on a port that is bound by now; None: nothing is to.

    Raises:
        _Misasked: the address is none. _Wrong: nothing can be served there.
    """
    if address == "off":
        return None
    from asyncmachine.config import parse_address
    from asyncmachine.errors import ConfigError, ServeError
    from asyncmachine.web.guard import token_for
    from asyncmachine.web.server import bind_page

    try:
        where = None if address is None else parse_address(address)
        token = token_for("127.0.0.1" if where is None else where[0], None)
        bound = bind_page(where)
    except ServeError as error:
        raise _Wrong(str(error)) from error
    except (ConfigError, ValueError) as error:
        raise _Misasked(f"--web: {error}") from error

    def page(store: am.History, peer: am.Peer, tower: Tower) -> AbstractAsyncContextManager[str]:
        from asyncmachine.web.apart import Job, Told, reachable, serve_apart
        from asyncmachine.web.app import Page
        from asyncmachine.web.live import LivePeer
        from asyncmachine.web.server import serve_page
        from asyncmachine.web.source import Source

        names = {owner: code for code, owner in tower.owners.items()}
        where, live = reachable(store.store), LivePeer(peer, None)
        if where is not None:  # this process has enough to do
            job = Job(where, "flights", token)
            return serve_apart(bound, job, lambda: Told(tower.replayed, names, live.look()))
        source = Source(store.store, mode="peer", title="flights", now=lambda: tower.replayed, names=lambda: names)
        return serve_page(bound, Page(source, token=token, live=live))

    return page


# -- what was asked for


def _legs(data: str | None, since: str | None, until: str | None) -> list[Leg]:
    """Return the flights of a window.

    Raises:
        _Misasked: there are none, or no such file.
    """
    from asyncmachine.flights.data import SECOND, DataError, read_legs

    try:
        legs = read_legs(data)
    except DataError as error:
        raise _Misasked(str(error)) from error
    first, last = legs[0].scheduled, legs[-1].scheduled

    def text(at: int) -> str:
        return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%MZ}"

    there = f"there are flights from {text(first)} to {text(last)}"
    low, high = _moment("--from", since, there), _moment("--until", until, there)
    low, high = first if low is None else low, last + 1 if high is None else high
    if low > last:
        raise _Misasked(f"--from {since} is after the last flight: {there}")
    if high <= first:
        raise _Misasked(f"--until {until} is before the first flight: {there}")
    if low >= high:
        raise _Misasked(f"--from {since} is not before --until {until}: {there}")
    chosen = [leg for leg in legs if low <= leg.scheduled < high]
    if not chosen:
        raise _Misasked(f"no flight is scheduled from {text(low)} until {text(high)}: choose a longer time; {there}")
    codes = {leg.origin for leg in chosen}
    if len(codes) > MAX_AIRPORTS:
        raise _Misasked(
            f"these flights are from {len(codes)} airports, and a process each is too much beyond {MAX_AIRPORTS}:"
            " leave some of them out of the file"
        )
    return chosen


def _moment(option: str, text: str | None, there: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 10**9
    except (ValueError, OverflowError):
        raise _Misasked(f"{option} {text!r} is no time such as 2013-02-08T12:00Z: {there}") from None
